use diesel::{r2d2::PoolError, result::Error as DieselError};
use tokio::task::JoinError;

/// Why the database did not do what the engine asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DieselStoreError {
    /// No connection in time.
    #[error("no database connection for the sessions")]
    Pool(#[source] PoolError),
    /// No connection to hear of revocations.
    #[error("no database connection to hear of revocations")]
    Connection(#[source] diesel::ConnectionError),
    /// No thread to hear of revocations.
    #[error("no thread to hear of revocations")]
    Thread(#[source] std::io::Error),
    /// The statement failed.
    #[error("a statement on the sessions failed")]
    Statement(#[from] DieselError),
    /// The pool hands out connections that are inside of a transaction.
    #[error("sessions cannot be kept inside of a transaction")]
    InsideTransaction,
    /// The table could not be created or brought up to date.
    #[error("the table of sessions could not be migrated")]
    Migration(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row holds what no session can be.
    #[error("a session's row is damaged")]
    Row(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The runtime stopped, or the work panicked.
    #[error("the database work was stopped")]
    Stopped(#[source] JoinError),
}
