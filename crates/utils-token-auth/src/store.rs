use std::{error::Error, future::Future};

use crate::{
    Sid,
    session::{Client, LiveAt, Session, Why},
};

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub(crate) mod diesel;
pub(crate) mod memory;

/// Where sessions live.
///
/// Two rules make renewals safe on every database; `utils-testing`'s suite (`token_auth::check_session_store`) holds a
/// store to them:
///
/// - **Each method is one atomic step.** On a database: one statement in its own transaction, committed when the
///   method returns.
/// - **[`rotate`](Self::rotate) and [`get`](Self::get) never share a transaction.** Whoever lost the race for a
///   rotation reads the row again and must see the winner's row. Inside one transaction MariaDB's default isolation
///   shows the old row, so that an honest caller looks like a thief, and PostgreSQL's `REPEATABLE READ` raises
///   serialization failures.
pub trait Store: Send + Sync + 'static {
    /// What can go wrong; the engine answers 503 and keeps it as the source.
    type Error: Error + Send + Sync + 'static;

    /// Whether other processes may use the same sessions. Then [`start`](crate::TokenAuth::start) is needed to hear
    /// of their revocations.
    const SHARED: bool = true;

    /// Adds a new session.
    fn insert(&self, session: Session) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The session with this id, ended ones included.
    fn get(&self, id: Sid) -> impl Future<Output = Result<Option<Session>, Self::Error>> + Send;

    /// Moves a live session from one generation to another; `true` for exactly one of several callers.
    fn rotate(&self, rotate: Rotate) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Reads a session, and rotates it if `decide` says so: what [`get`](Self::get) and then
    /// [`rotate`](Self::rotate) do, which is how it is provided.
    ///
    /// A store whose calls change threads may do both in one go. It is still one statement after the other, never one
    /// transaction. Returns what `decide` returned, and whether the session moved.
    fn get_then_rotate<T, Decide>(
        &self,
        id: Sid,
        decide: Decide,
    ) -> impl Future<Output = Result<(T, bool), Self::Error>> + Send
    where
        T: Send + 'static,
        Decide: FnOnce(Option<Session>) -> (T, Option<Rotate>) + Send + 'static,
    {
        async move {
            let (decision, rotate) = decide(self.get(id).await?);
            let moved = match rotate {
                Some(rotate) => self.rotate(rotate).await?,
                None => false,
            };
            Ok((decision, moved))
        }
    }

    /// Ends sessions that were not ended before, and says how many these were. The first reason stays.
    fn revoke(
        &self,
        which: Which<'_>,
        why: Why,
        at: i64,
    ) -> impl Future<Output = Result<usize, Self::Error>> + Send;

    /// The live sessions of a user, the one renewed last first.
    fn list(
        &self,
        user: &str,
        live: LiveAt,
    ) -> impl Future<Output = Result<Vec<Session>, Self::Error>> + Send;

    /// The sessions revoked at `at` (milliseconds since 1970) or later, each with its time.
    fn revoked_since(&self, at: i64) -> impl Future<Output = Result<Vec<(Sid, i64)>, Self::Error>> + Send;

    /// Deletes at most `limit` sessions that ended long enough ago, and says how many.
    fn purge(&self, purge: Purge) -> impl Future<Output = Result<usize, Self::Error>> + Send;
}

/// One step of a session: from a generation to the next, or to the same when refresh tokens do not rotate.
#[derive(Clone, Debug)]
pub struct Rotate {
    /// The session.
    pub id: Sid,
    /// The generation it must have.
    pub from: u32,
    /// The generation it gets.
    pub to: u32,
    /// It must be live at this moment; `live.now` becomes its `renewed_at`.
    pub live: LiveAt,
    /// The device that renews; address and agent replace those of the session.
    pub client: Client,
}

/// Which sessions to end. A user's id is always part of it: nobody ends another user's session by its id alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<'a> {
    /// One session, if it is this user's.
    One {
        /// The user.
        user: &'a str,
        /// The session to end.
        id: Sid,
    },
    /// All but one.
    Others {
        /// The user.
        user: &'a str,
        /// The session to keep.
        keep: Sid,
    },
    /// All.
    All {
        /// The user.
        user: &'a str,
    },
}

/// Which sessions to delete: those that ended before a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purge {
    /// A session revoked before this time may go; one that was not revoked may go when it expired before this time.
    /// Milliseconds since 1970.
    pub ended_before: i64,
    /// A session that was not revoked may go when it was last renewed before this time. Milliseconds since 1970.
    pub idle_before: i64,
    /// How many to delete at most.
    pub limit: u32,
}

impl Which<'_> {
    /// The user whose sessions are meant.
    #[must_use]
    pub fn user(&self) -> &str {
        match self {
            Self::One { user, .. } | Self::Others { user, .. } | Self::All { user } => user,
        }
    }

    /// Whether `session` is meant.
    #[must_use]
    pub fn matches(&self, session: &Session) -> bool {
        session.user == self.user()
            && match self {
                Self::One { id, .. } => session.id == *id,
                Self::Others { keep, .. } => session.id != *keep,
                Self::All { .. } => true,
            }
    }
}

impl Purge {
    /// Whether `session` may go.
    #[must_use]
    pub fn matches(&self, session: &Session) -> bool {
        match session.revoked {
            Some(revoked) => revoked.at < self.ended_before,
            None => session.expires_at < self.ended_before || session.renewed_at < self.idle_before,
        }
    }
}
