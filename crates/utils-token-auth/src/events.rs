use std::{fmt, sync::Arc};

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::{Sid, session::Why};

/// Something an auditor wants to know.
///
/// The names are those of the OWASP Logging Vocabulary. A session's id never appears in clear: it is shown as a keyed
/// hash, the same in every process that has the same key, so that the events of one session can be found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// Whose session it was; empty for a purge.
    pub user: String,
    /// The session's hashed id; empty for events of several sessions.
    pub session: String,
    /// When it happened, in milliseconds since 1970.
    pub at: i64,
}

/// What happened to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A user signed in.
    Created,
    /// A refresh token was renewed; `rotated` says whether it was replaced.
    Renewed {
        /// Whether the client got a new refresh token that did not exist before.
        rotated: bool,
    },
    /// Sessions were ended.
    Revoked {
        /// The reason.
        why: Why,
        /// How many.
        sessions: usize,
    },
    /// A refresh token was used that had been replaced before: the session has been ended, because somebody has a
    /// copy.
    Reused,
    /// A genuine refresh token of a session that is over was used.
    UsedAfterEnd,
    /// Ended sessions were deleted.
    Deleted {
        /// How many.
        sessions: usize,
    },
}

/// How much an event should worry its reader, in OWASP's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// Everyday.
    Info,
    /// Worth a look when there are many.
    Warn,
    /// An attack or a bug: look now.
    Critical,
}

impl Event {
    /// The event's name in the OWASP Logging Vocabulary, such as `authn_token_created`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.kind {
            EventKind::Created => "authn_token_created",
            EventKind::Renewed { .. } => "session_renewed",
            EventKind::Revoked { .. } => "authn_token_revoked",
            EventKind::Reused => "authn_token_reuse",
            EventKind::UsedAfterEnd => "session_use_after_expire",
            EventKind::Deleted { .. } => "authn_token_delete",
        }
    }

    /// How much it should worry.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self.kind {
            EventKind::Created
            | EventKind::Renewed { .. }
            | EventKind::Revoked { .. }
            | EventKind::Deleted { .. } => Severity::Info,
            EventKind::UsedAfterEnd => Severity::Warn,
            EventKind::Reused => Severity::Critical,
        }
    }
}

/// Where events go.
#[derive(Clone)]
pub(crate) struct Events {
    sink: Arc<dyn Fn(&Event) + Send + Sync>,
    salt: Hmac<Sha256>,
}

impl Events {
    pub(crate) fn new(sink: Arc<dyn Fn(&Event) + Send + Sync>, salt: Hmac<Sha256>) -> Self {
        Self { sink, salt }
    }

    pub(crate) fn send(&self, kind: EventKind, user: &str, session: Option<Sid>, at: i64) {
        let session = session.map(|id| self.hashed(id)).unwrap_or_default();
        (self.sink)(&Event { kind, user: user.to_owned(), session, at });
    }

    fn hashed(&self, id: Sid) -> String {
        let mut mac = self.salt.clone();
        mac.update(id.as_bytes());
        mac.finalize().into_bytes()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Events")
    }
}

/// The sink that is used when the application names none: `tracing`, target `utils_token_auth::events`.
pub(crate) fn trace(event: &Event) {
    let Event { kind, user, session, at: _ } = event;
    let name = event.name();
    match event.severity() {
        Severity::Info => {
            tracing::info!(target: "utils_token_auth::events", event = name, user, session, ?kind, "{name}");
        }
        Severity::Warn => {
            tracing::warn!(target: "utils_token_auth::events", event = name, user, session, ?kind, "{name}");
        }
        Severity::Critical => tracing::error!(
            target: "utils_token_auth::events",
            event = name, user, session, ?kind, severity = "CRITICAL", "{name}"
        ),
    }
}
