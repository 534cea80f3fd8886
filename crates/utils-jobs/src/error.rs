use std::time::Duration;

use crate::{BrokerError, SessionsError};

/// Why something about jobs did not work. What goes wrong *inside* a job is a [`Failure`](crate::Failure).
///
/// No message shows a URL, a password or SQL; the cause is in `source()`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobsError {
    /// The broker URL is not one we can use.
    #[error("the broker cannot be used: {0}")]
    Broker(#[from] BrokerError),
    /// A setting makes no sense.
    #[error("{0}")]
    Settings(&'static str),
    /// The database failed, or no connection became free in time.
    #[error("the job table cannot be reached")]
    Sessions(#[from] SessionsError),
    /// The tables could not be brought up to date.
    #[error("the job tables could not be migrated")]
    Migration(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The arguments cannot be written as JSON.
    #[error("the arguments of the job {name} cannot be written")]
    Encode {
        /// The job's name.
        name: &'static str,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
    /// The arguments take more room than a job may.
    #[error("the arguments of the job {name} take {bytes} bytes, above the maximum of {max}")]
    TooLarge {
        /// The job's name.
        name: &'static str,
        /// What they take.
        bytes: usize,
        /// What they may.
        max: usize,
    },
    /// The name, queue or unique key of a job takes more room than the table has for it.
    #[error("the {field} of a job takes {bytes} bytes, above the maximum of {max}")]
    TooLong {
        /// Which of them.
        field: &'static str,
        /// What it takes.
        bytes: usize,
        /// What it may.
        max: usize,
    },
    /// `enqueue_in` was given a connection to another kind of database than the jobs are kept in.
    #[error("the jobs are kept in {jobs}, the connection is to {connection}")]
    OtherDatabase {
        /// Where the jobs are.
        jobs: &'static str,
        /// Where the connection goes.
        connection: &'static str,
    },
    /// Another job has this unique key and has not ended, or has it as its idempotency key. A flow takes no jobs of others,
    /// and a job that is requeued has no place beside it.
    #[error("a job {name} with the same key is there already")]
    KeyTaken {
        /// The job's name.
        name: String,
    },
    /// There is no job with this id, or no longer.
    #[error("there is no such job")]
    NotFound,
    /// The job did not end in the time given.
    #[error("the job has not ended within {0:?}")]
    StillRunning(Duration),
    /// The job is a dead letter.
    #[error("the job has failed")]
    Failed {
        /// The last failure, for the operators.
        reason: String,
    },
    /// The job was cancelled.
    #[error("the job was cancelled")]
    Cancelled,
    /// The job was not started before its expiry, or not again after it had failed.
    #[error("the job has expired")]
    Expired,
    /// The job's result is not what its type says.
    #[error("the result of the job cannot be read")]
    Decode(#[source] serde_json::Error),
    /// A schedule cannot be read.
    #[error("the schedule {schedule:?} cannot be read: {reason}")]
    Schedule {
        /// The text.
        schedule: String,
        /// Why.
        reason: String,
    },
    /// A job type is registered twice in one worker, or two types have one name.
    #[error("two job types are called {0}")]
    NameTaken(&'static str),
    /// There is no tokio runtime here, or it is shutting down.
    #[error("jobs need a running tokio runtime")]
    Runtime,
    /// The worker ended because of an error of its engine.
    #[error("the worker has ended")]
    Worker(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<diesel::result::Error> for JobsError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Sessions(error.into())
    }
}
