//! Background jobs that cannot be lost, enqueued in your own Diesel transaction, and a Diesel session factory.
//!
//! ```
//! # #[cfg(feature = "sqlite")] {
//! use std::time::Duration;
//! use diesel::{connection::SimpleConnection, prelude::*};
//! use serde::{Deserialize, Serialize};
//! use utils_jobs::{Context, Failure, Job, Jobs, JobsError, SessionConn, Sessions, Worker};
//!
//! #[derive(Serialize, Deserialize)]
//! struct CountWords {
//!     text: String,
//! }
//!
//! impl Job for CountWords {
//!     const NAME: &'static str = "text.count_words";
//!     type Output = usize;
//!
//!     async fn run(self, ctx: Context) -> Result<usize, Failure> {
//!         ctx.progress(0.5, "counting");
//!         Ok(self.text.split_whitespace().count())
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let sessions = Sessions::<SqliteConnection>::new(":memory:")?;
//! let jobs = Jobs::from_sessions(sessions.clone());
//! jobs.migrate()?;
//! let worker = Worker::new(&jobs).handle::<CountWords>().start()?;
//!
//! // the row and the job that belongs to it: both or none
//! let enqueuer = jobs.clone();
//! let id = sessions
//!     .tx(move |conn| {
//!         conn.batch_execute("CREATE TABLE post (text TEXT)")?;
//!         conn.batch_execute("INSERT INTO post VALUES ('to be or not')")?;
//!         enqueuer.enqueue_in(conn, CountWords { text: "to be or not".to_owned() })
//!     })
//!     .await?;
//!
//! assert_eq!(jobs.wait(&id, Duration::from_secs(5)).await?, 4);
//! worker.stop().await?;
//! # Ok::<(), JobsError>(()) }).unwrap();
//! # }
//! ```
//!
//! - A [`Job`] is a serde struct with a name and an async `run`; its [`Policy`] says how it is retried and limited.
//! - [`Jobs`] enqueues, also [inside a transaction of yours](Jobs::enqueue_in), and knows how each job stands.
//! - A [`Worker`] runs jobs, on an apalis worker whose storage is ours: SQLite, PostgreSQL, MySQL and MariaDB by feature,
//!   or the memory. Jobs are held by lease; one whose worker is killed is run again.
//! - [`Context`] is what a running job knows and can do: progress, cancellation, sessions, and
//!   [`finish_in`](Context::finish_in) for effects that happen exactly once.
//! - A [`BatchJob`] is handled together with others of its type, in one call.
//! - [`Jobs::chain`] and [`Jobs::group`] let jobs wait for others and take up what they give back.
//! - A [`Message`] is for programs elsewhere: committed with your rows, and published by a [relay](Worker::relay), to Redis
//!   Streams with the feature `redis`.
//! - [`Jobs::metrics`] is for Prometheus, a [`TraceParent`] joins a request to its jobs, and with the feature `actix` a
//!   job's progress is streamed to a browser; `board` is the apalis board behind a guard.
//! - [`Sessions`] gives handlers, jobs and scripts Diesel connections without blocking the event loop.
mod backend;
mod backoff;
mod batch;
#[cfg(feature = "board")]
mod board;
mod broker;
mod clock;
mod context;
mod error;
mod failed;
mod failure;
mod id;
mod job;
mod jobs;
mod list;
mod metrics;
mod migrations;
mod policy;
mod pump;
mod relay;
mod run;
mod running;
mod schedule;
mod sessions;
mod settings;
mod store;
mod trace;
#[cfg(feature = "actix")]
mod web;
mod worker;

#[cfg(feature = "board")]
pub use crate::board::Board;
#[cfg(feature = "mysql")]
pub use crate::migrations::MYSQL_MIGRATIONS;
#[cfg(feature = "postgres")]
pub use crate::migrations::POSTGRES_MIGRATIONS;
#[cfg(feature = "sqlite")]
pub use crate::migrations::SQLITE_MIGRATIONS;
#[cfg(feature = "redis")]
pub use crate::relay::RedisStreams;
#[cfg(feature = "actix")]
pub use crate::web::{ProgressStream, metrics_route, trace_requests};
pub use crate::{
    backend::{AckLayer, AckService, Storage},
    backoff::Backoff,
    batch::{Answers, Batch, BatchJob},
    broker::BrokerError,
    clock::Clock,
    context::{Context, Stopping},
    error::JobsError,
    failed::{FailedAttempt, Panicked, WorkerLost},
    failure::{Failure, Retry},
    id::{AnyJob, JobId},
    job::{Enqueue, Job, NewJob},
    jobs::{Cancellation, Chain, Counts, Enqueued, Flow, Follow, Group, Jobs, JobsBuilder},
    list::{Filter, JobStatus, State},
    metrics::METRICS_CONTENT_TYPE,
    migrations::migrate,
    policy::Policy,
    relay::{Message, Outgoing, Publisher},
    running::RunningJob,
    sessions::{PoolSettings, SessionConn, Sessions, SessionsBuilder, SessionsError, WorkError, WorkPanic},
    settings::JobsSettings,
    store::conn::JobConn,
    trace::{TraceParent, TraceParentError},
    worker::{DueReport, Worker, WorkerHandle, shutdown_signal},
};
