use std::time::Duration;

use crate::verifier::VerifyPolicy;

/// How long things live, and how strict the engine is.
///
/// ```
/// use std::time::Duration;
/// use utils_token_auth::Policy;
///
/// let policy = Policy::default().access(Duration::from_secs(5 * 60)).max_sessions(10);
/// assert_eq!(policy.idle, Duration::from_secs(14 * 24 * 60 * 60));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// Life of an access token. Default: 15 minutes.
    pub access: Duration,
    /// A session that is not renewed for this long has ended. Default: 14 days.
    pub idle: Duration,
    /// A session ends this long after its login, however often it is renewed. Default: 90 days.
    pub absolute: Duration,
    /// How long the previous refresh token is still answered, with the same successor. Default: 20 s, at most 60 s.
    ///
    /// It is measured from the clock of the server that rotated to the clock of the one that is asked again, so what
    /// these differ by is lost of it: a retry that comes too late by it ends the session. Keep the clocks of servers
    /// within a few seconds of each other (NTP), or choose a grace that bears what they differ by.
    pub grace: Duration,
    /// Whether a renewal hands out a new refresh token. Default: yes.
    ///
    /// Without it a copied refresh token is never noticed. It is for clients that cannot store a new one.
    pub rotate: bool,
    /// How far the clocks of two servers may differ when a token is verified. Default: 5 s, at most 10 minutes.
    pub leeway: Duration,
    /// Bytes of an access token that are looked at; a longer one is refused unread. Default: 4096, at least 256.
    pub max_token: usize,
    /// How many verified access tokens each thread may keep, so that their signatures are not checked at every request;
    /// 0: none. Their times, and whether their session was revoked, are looked at all the same. Default: 4096, about
    /// 3 MiB when full.
    pub cached_tokens: usize,
    /// `iss` of every access token; checked on verification when set. Default: none.
    pub issuer: Option<String>,
    /// `aud` of every access token; checked on verification when set. Default: none.
    pub audience: Option<String>,
    /// The claim that names the user. Default: `sub`.
    pub subject_claim: &'static str,
    /// The claims whose scopes a renewal may narrow but never widen: a list of strings, or one string with blanks
    /// between; a token with anything else in them is not made. Default: `scope` and `scopes`.
    ///
    /// A scope that the user gained after the login reaches the token at the next login. Empty: a renewal takes
    /// whatever the claims function says.
    pub scope_claims: &'static [&'static str],
    /// How many sessions a user may have at once; a login above it ends those renewed longest ago. Default: no limit.
    pub max_sessions: Option<u32>,
    /// How often [`start`](crate::TokenAuth::start) asks the store for revocations of other processes. Default: 1 s.
    pub sync: Duration,
    /// What happens when the store did not answer that question for a while. Default: [`Stale::Allow`].
    pub stale: Stale,
    /// How long an ended session stays in the store before the purge. Default: 1 day.
    ///
    /// Never less than an access token lives, because its revocation must be found until then.
    pub keep: Duration,
    /// How often [`start`](crate::TokenAuth::start) purges. Default: 10 minutes.
    pub purge: Duration,
}

/// What to do with access tokens while the list of revoked sessions cannot be refreshed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stale {
    /// Go on: a session revoked elsewhere can be used until its access token ends.
    #[default]
    Allow,
    /// Refuse every access token (503) once the list is older than this, or was never loaded.
    Deny {
        /// The age that is still good enough; not shorter than [`Policy::sync`].
        after: Duration,
    },
}

/// Two servers whose clocks are further apart than this may miss each other's revocations.
pub(crate) const CLOCK_SKEW: Duration = Duration::from_secs(10);

/// A revocation has the time it was asked for; it is committed when the locks before it are gone, which is within 50 s
/// by MySQL's default.
const SLOW_COMMIT: Duration = Duration::from_secs(60);

const MAX_GRACE: Duration = Duration::from_secs(60);
const MAX_LEEWAY: Duration = Duration::from_secs(10 * MINUTE);
const MIN_TOKEN: usize = 256;
const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;

impl Default for Policy {
    fn default() -> Self {
        Self {
            access: Duration::from_secs(15 * MINUTE),
            idle: Duration::from_secs(14 * DAY),
            absolute: Duration::from_secs(90 * DAY),
            grace: Duration::from_secs(20),
            rotate: true,
            leeway: Duration::from_secs(5),
            max_token: 4096,
            cached_tokens: 4096,
            issuer: None,
            audience: None,
            subject_claim: "sub",
            scope_claims: &["scope", "scopes"],
            max_sessions: None,
            sync: Duration::from_secs(1),
            stale: Stale::Allow,
            keep: Duration::from_secs(DAY),
            purge: Duration::from_secs(10 * MINUTE),
        }
    }
}

/// Why a [`Policy`] makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A life of less than a second: tokens count in seconds.
    #[error("the policy's `{0}` must be at least a second")]
    TooShort(&'static str),
    /// An interval of no time at all.
    #[error("the policy's `{0}` must be at least a millisecond")]
    NoInterval(&'static str),
    /// A life or an interval that does not fit a date.
    #[error("the policy's `{0}` must be at most 100 years")]
    TooLong(&'static str),
    /// The longer the grace, the longer a thief's copy is good.
    #[error("the policy's `grace` must be at most 60 seconds")]
    Grace,
    /// Whoever has an expired token could use it for as long.
    #[error("the policy's `leeway` must be at most 10 minutes")]
    Leeway,
    /// No token of ours would be short enough.
    #[error("the policy's `max_token` must be at least 256 bytes")]
    MaxToken,
    /// Between two questions to the store every token would be refused.
    #[error("the policy's `stale` must not deny sooner than after `sync`")]
    Stale,
    /// A client that renews when its access token ends would always come too late.
    #[error("the policy's `idle` must not be shorter than its `access`")]
    Idle,
    /// Every login would end itself.
    #[error("the policy's `max_sessions` must be at least 1")]
    MaxSessions,
}

impl Policy {
    /// Sets the life of an access token.
    #[must_use]
    pub fn access(mut self, life: Duration) -> Self {
        self.access = life;
        self
    }

    /// Sets after how long without a renewal a session ends.
    #[must_use]
    pub fn idle(mut self, life: Duration) -> Self {
        self.idle = life;
        self
    }

    /// Sets how long after its login a session ends.
    #[must_use]
    pub fn absolute(mut self, life: Duration) -> Self {
        self.absolute = life;
        self
    }

    /// Sets how long the previous refresh token is still answered: at most 60 s.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets whether a renewal hands out a new refresh token.
    #[must_use]
    pub fn rotate(mut self, rotate: bool) -> Self {
        self.rotate = rotate;
        self
    }

    /// Sets how far the clocks of two servers may differ.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Sets the bytes of an access token that are looked at.
    #[must_use]
    pub fn max_token(mut self, bytes: usize) -> Self {
        self.max_token = bytes;
        self
    }

    /// Sets [`cached_tokens`](Self::cached_tokens).
    #[must_use]
    pub fn cached_tokens(mut self, tokens: usize) -> Self {
        self.cached_tokens = tokens;
        self
    }

    /// Sets `iss`.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Sets `aud`.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Sets the claim that names the user.
    #[must_use]
    pub fn subject_claim(mut self, name: &'static str) -> Self {
        self.subject_claim = name;
        self
    }

    /// Sets the claims whose scopes a renewal never widens.
    #[must_use]
    pub fn scope_claims(mut self, names: &'static [&'static str]) -> Self {
        self.scope_claims = names;
        self
    }

    /// Sets how many sessions a user may have at once.
    #[must_use]
    pub fn max_sessions(mut self, sessions: u32) -> Self {
        self.max_sessions = Some(sessions);
        self
    }

    /// Sets how often other processes' revocations are asked for.
    #[must_use]
    pub fn sync(mut self, interval: Duration) -> Self {
        self.sync = interval;
        self
    }

    /// Sets what happens when they cannot be asked for.
    #[must_use]
    pub fn stale(mut self, stale: Stale) -> Self {
        self.stale = stale;
        self
    }

    /// Sets how long an ended session stays in the store.
    #[must_use]
    pub fn keep(mut self, life: Duration) -> Self {
        self.keep = life;
        self
    }

    /// Sets how often the store is purged.
    #[must_use]
    pub fn purge(mut self, interval: Duration) -> Self {
        self.purge = interval;
        self
    }

    pub(crate) fn check(&self) -> Result<(), PolicyError> {
        const SECOND: Duration = Duration::from_secs(1);
        const CENTURY: Duration = Duration::from_secs(36_525 * DAY);

        for (name, life) in [("access", self.access), ("idle", self.idle), ("absolute", self.absolute)] {
            if life < SECOND {
                return Err(PolicyError::TooShort(name));
            }
        }
        for (name, interval) in [("sync", self.sync), ("purge", self.purge)] {
            if interval < Duration::from_millis(1) {
                return Err(PolicyError::NoInterval(name));
            }
        }
        for (name, life) in [
            ("access", self.access),
            ("idle", self.idle),
            ("absolute", self.absolute),
            ("keep", self.keep),
            ("sync", self.sync),
            ("purge", self.purge),
        ] {
            if life > CENTURY {
                return Err(PolicyError::TooLong(name));
            }
        }
        if self.grace > MAX_GRACE {
            return Err(PolicyError::Grace);
        }
        if self.leeway > MAX_LEEWAY {
            return Err(PolicyError::Leeway);
        }
        if self.max_token < MIN_TOKEN {
            return Err(PolicyError::MaxToken);
        }
        if matches!(self.stale, Stale::Deny { after } if after < self.sync) {
            return Err(PolicyError::Stale);
        }
        if self.idle < self.access {
            return Err(PolicyError::Idle);
        }
        if self.max_sessions == Some(0) {
            return Err(PolicyError::MaxSessions);
        }
        Ok(())
    }

    /// How long after a revocation an access token of that session could still be accepted somewhere.
    pub(crate) fn revocation_window(&self) -> Duration {
        self.access + self.leeway + CLOCK_SKEW + SLOW_COMMIT
    }

    pub(crate) fn verify_policy(&self) -> VerifyPolicy {
        VerifyPolicy {
            access: self.access,
            leeway: self.leeway,
            max_token: self.max_token,
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            subject_claim: self.subject_claim,
            cached_tokens: self.cached_tokens,
        }
    }
}
