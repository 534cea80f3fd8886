use std::any::Any;

use diesel::{ConnectionError, r2d2::PoolError};

/// Why database work did not happen, or failed.
///
/// No message shows a URL, a password or SQL; the cause stays in `source()`, where [`diesel::result::Error`] and
/// [`diesel::r2d2::PoolError`] can be found by downcast.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionsError {
    /// The URL is empty or belongs to another database.
    #[error("the database URL is not a {0} URL")]
    Url(&'static str),
    /// A setting of the pool makes no sense.
    #[error("{0}")]
    Settings(&'static str),
    /// The database could not be opened or did not let us in.
    #[error("the database cannot be reached")]
    Connect(#[source] ConnectionError),
    /// No connection became free within the time-out, or none could be made.
    #[error("no database connection became free in time")]
    Exhausted(#[source] PoolError),
    /// The database did not answer in this time. What was asked of it may be done all the same, now or later.
    #[error("the database did not answer within {0:?}")]
    Unanswered(std::time::Duration),
    /// The database refused a statement, or found nothing.
    #[error("the database work failed")]
    Query(#[from] diesel::result::Error),
    /// The closure panicked; its transaction is rolled back and its connection is back in the pool.
    #[error("the database work panicked")]
    Panicked(#[source] WorkPanic),
    /// There is no tokio runtime here, or it is shutting down.
    #[error("database work needs a running tokio runtime")]
    Runtime,
}

/// An error that a closure may return to [`Sessions::run`](crate::Sessions::run), and what the caller gets for it.
///
/// Implemented for [`diesel::result::Error`], which the caller gets as [`SessionsError::Query`], and for every type that
/// is `From<SessionsError>`, which the caller gets unchanged: implement that for your own error type, not this trait.
#[diagnostic::on_unimplemented(
    message = "a closure for `Sessions` cannot fail with `{Self}`",
    note = "implement `From<SessionsError>` for it, or return `diesel::QueryResult`"
)]
pub trait WorkError: Send + 'static {
    /// The error type of the whole call.
    type Caller: From<SessionsError> + Send + 'static;

    /// The closure's error as the caller sees it.
    fn for_caller(self) -> Self::Caller;
}

impl WorkError for diesel::result::Error {
    type Caller = SessionsError;

    fn for_caller(self) -> SessionsError {
        SessionsError::Query(self)
    }
}

impl<E: From<SessionsError> + Send + 'static> WorkError for E {
    type Caller = Self;

    fn for_caller(self) -> Self {
        self
    }
}

/// What a closure panicked with.
#[derive(Debug, thiserror::Error)]
#[error("panicked with: {0}")]
pub struct WorkPanic(String);

impl WorkPanic {
    pub(super) fn new(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Self(text.unwrap_or_else(|| "something that is not text".to_owned()))
    }
}
