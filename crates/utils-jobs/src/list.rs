use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{
    JobId,
    store::row::{Record, state},
};

/// Where a job stands. In JSON: `"waiting"` and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum State {
    /// Its time has not come: delayed, or between two attempts.
    Scheduled,
    /// Waits for other jobs to end, see [`Jobs::chain`](crate::Jobs::chain).
    Blocked,
    /// Ready for the next free worker.
    Waiting,
    /// A worker holds it.
    Running,
    /// Ended well.
    Done,
    /// A dead letter: out of attempts, or failed for good. It can be requeued.
    Dead,
    /// Cancelled before it ended.
    Cancelled,
    /// Not started before its expiry.
    Expired,
}

impl State {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Blocked,
        Self::Scheduled,
        Self::Waiting,
        Self::Running,
        Self::Done,
        Self::Dead,
        Self::Cancelled,
        Self::Expired,
    ];

    /// Whether the job has ended.
    #[must_use]
    pub fn is_final(self) -> bool {
        state::is_final(self.code())
    }

    /// The name, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Blocked => "blocked",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    pub(crate) fn code(self) -> i32 {
        match self {
            Self::Scheduled => state::SCHEDULED,
            Self::Blocked => state::BLOCKED,
            Self::Waiting => state::WAITING,
            Self::Running => state::RUNNING,
            Self::Done => state::DONE,
            Self::Dead => state::DEAD,
            Self::Cancelled => state::CANCELLED,
            Self::Expired => state::EXPIRED,
        }
    }

    /// A code that a newer version has written counts as dead: nobody will run it here.
    pub(crate) fn from_code(code: i32) -> Self {
        Self::ALL.into_iter().find(|each| each.code() == code).unwrap_or(Self::Dead)
    }
}

/// All that is known about a job. As JSON it has camel case names, times in RFC 3339, and no arguments.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct JobStatus {
    /// The id.
    pub id: JobId,
    /// The job's [`NAME`](crate::Job::NAME).
    pub name: String,
    /// The queue.
    pub queue: String,
    /// Where it stands.
    pub state: State,
    /// Higher runs first.
    pub priority: i32,
    /// How many attempts were begun.
    pub attempts: u32,
    /// How many attempts there may be.
    pub max_attempts: u32,
    /// How far it has come, between 0 and 1, if it says so.
    pub progress: Option<f64>,
    /// What it says about that.
    pub note: Option<String>,
    /// What it gave back, when done.
    pub result: Option<Value>,
    /// The last failure, for the operators: the text of the job's error, which may hold internals.
    pub error: Option<String>,
    /// Whether somebody has asked for the end of this running job.
    pub cancel_requested: bool,
    /// When it was enqueued.
    #[serde(serialize_with = "rfc3339")]
    pub created_at: DateTime<Utc>,
    /// When it may start, or be tried again.
    #[serde(serialize_with = "rfc3339")]
    pub run_at: DateTime<Utc>,
    /// When the last attempt began.
    #[serde(serialize_with = "optional_rfc3339")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[serde(serialize_with = "optional_rfc3339")]
    pub finished_at: Option<DateTime<Utc>>,
    /// When it is too late to start.
    #[serde(serialize_with = "optional_rfc3339")]
    pub expires_at: Option<DateTime<Utc>>,
    /// The worker that holds it.
    pub worker: Option<String>,
    /// The unique or idempotency key, also that of a job which has ended and keeps it from nobody.
    pub key: Option<String>,
    /// The notes of the one who enqueued it.
    pub meta: BTreeMap<String, String>,
    /// The arguments.
    #[serde(skip)]
    pub args: Value,
}

impl From<Record> for JobStatus {
    fn from(record: Record) -> Self {
        Self {
            id: JobId::new(&record.id),
            name: record.name,
            queue: record.queue,
            state: State::from_code(record.state),
            priority: record.priority,
            attempts: count(record.attempts),
            max_attempts: count(record.max_attempts),
            progress: record.progress,
            note: record.progress_note,
            result: record.result.as_deref().and_then(|text| serde_json::from_str(text).ok()),
            error: record.error,
            cancel_requested: record.cancel_requested != 0,
            created_at: time(record.created_at),
            run_at: time(record.run_at),
            started_at: record.started_at.map(time),
            finished_at: record.finished_at.map(time),
            expires_at: record.expires_at.map(time),
            worker: record.worker,
            key: record.unique_key,
            meta: serde_json::from_str(&record.meta).unwrap_or_default(),
            args: serde_json::from_slice(&record.args)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&record.args).into_owned())),
        }
    }
}

/// Which jobs to list.
///
/// # Examples
/// ```
/// use utils_jobs::{Filter, State};
///
/// let second_page_of_dead_mails = Filter::new().state(State::Dead).queue("mail").offset(20).limit(20);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    pub(crate) state: Option<State>,
    pub(crate) name: Option<String>,
    pub(crate) queue: Option<String>,
    pub(crate) order: Order,
    pub(crate) offset: u32,
    pub(crate) limit: u32,
    /// Whether somebody has set the limit.
    pub(crate) is_limited: bool,
}

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    NewestFirst,
    LastFinishedFirst,
}

impl Filter {
    /// The newest 100 jobs.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: None,
            name: None,
            queue: None,
            order: Order::NewestFirst,
            offset: 0,
            limit: 100,
            is_limited: false,
        }
    }

    /// Only jobs in this state; those that have ended come in the order of their end, the last first.
    #[must_use]
    pub fn state(mut self, state: State) -> Self {
        self.state = Some(state);
        self.order = if state.is_final() { Order::LastFinishedFirst } else { Order::NewestFirst };
        self
    }

    /// In the order of enqueueing, whatever their state.
    pub(crate) fn newest_first(mut self) -> Self {
        self.order = Order::NewestFirst;
        self
    }

    /// Only jobs with this [name](crate::Job::NAME).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Only jobs of this queue.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Leaves out so many. Default: 0.
    #[must_use]
    pub fn offset(mut self, jobs: u32) -> Self {
        self.offset = jobs;
        self
    }

    /// At most so many. Default: 100.
    #[must_use]
    pub fn limit(mut self, jobs: u32) -> Self {
        self.limit = jobs;
        self.is_limited = true;
        self
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::new()
    }
}

/// A number of the table, which is never below zero.
pub(crate) fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

fn time(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

fn rfc3339<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

fn optional_rfc3339<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => rfc3339(time, serializer),
        None => serializer.serialize_none(),
    }
}
