//! The rows that go in and out of the job table.
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Binary, Double, Integer, Nullable, Text},
};

/// The states as the table has them.
pub(crate) mod state {
    pub(crate) const WAITING: i32 = 0;
    pub(crate) const RUNNING: i32 = 1;
    pub(crate) const DONE: i32 = 2;
    pub(crate) const DEAD: i32 = 3;
    pub(crate) const CANCELLED: i32 = 4;
    pub(crate) const SCHEDULED: i32 = 5;
    pub(crate) const EXPIRED: i32 = 6;
    pub(crate) const BLOCKED: i32 = 7;

    pub(crate) fn is_final(state: i32) -> bool {
        matches!(state, DONE | DEAD | CANCELLED | EXPIRED)
    }
}

/// A job to put into the table.
#[derive(Debug, Clone)]
pub(crate) struct NewRow {
    pub id: String,
    pub name: String,
    pub queue: String,
    pub args: Vec<u8>,
    pub priority: i32,
    pub max_attempts: i32,
    pub created_at: i64,
    pub run_at: i64,
    pub expires_at: Option<i64>,
    pub unique_key: Option<String>,
    pub keep_key: bool,
    pub meta: String,
}

impl NewRow {
    /// How much room the row takes in a statement, roughly.
    pub(crate) fn bytes(&self) -> usize {
        const OTHERS: usize = 256;
        let key = self.unique_key.as_ref().map_or(0, String::len);
        self.args.len() + self.meta.len() + self.name.len() + self.queue.len() + key + OTHERS
    }

    pub(crate) fn state(&self) -> i32 {
        if self.run_at > self.created_at { state::SCHEDULED } else { state::WAITING }
    }
}

/// What became of a [`NewRow`]: its id, or that of the unfinished job with the same unique key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inserted {
    pub id: String,
    pub is_new: bool,
}

/// A job that this worker holds now.
#[derive(Debug, Clone, QueryableByName)]
pub struct Claimed {
    #[diesel(sql_type = Text)]
    pub id: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Text)]
    pub queue: String,
    #[diesel(sql_type = Binary)]
    pub args: Vec<u8>,
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
    #[diesel(sql_type = Integer)]
    pub max_attempts: i32,
    #[diesel(sql_type = Integer)]
    pub priority: i32,
    #[diesel(sql_type = BigInt)]
    pub run_at: i64,
    #[diesel(sql_type = BigInt)]
    pub created_at: i64,
    #[diesel(sql_type = Nullable<Text>)]
    pub unique_key: Option<String>,
    #[diesel(sql_type = Text)]
    pub meta: String,
    #[diesel(sql_type = Integer)]
    pub has_next: i32,
    #[diesel(sql_type = Nullable<Text>)]
    pub input: Option<String>,
}

pub(crate) const CLAIMED: &str = "id, name, queue, args, attempts, max_attempts, priority, run_at, created_at, unique_key, meta, has_next, input";

/// All that is known about a job.
#[derive(Debug, Clone, QueryableByName)]
pub struct Record {
    #[diesel(sql_type = Text)]
    pub id: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Text)]
    pub queue: String,
    #[diesel(sql_type = Binary)]
    pub args: Vec<u8>,
    #[diesel(sql_type = Integer)]
    pub state: i32,
    #[diesel(sql_type = Integer)]
    pub priority: i32,
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
    #[diesel(sql_type = Integer)]
    pub max_attempts: i32,
    #[diesel(sql_type = BigInt)]
    pub run_at: i64,
    #[diesel(sql_type = BigInt)]
    pub created_at: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub started_at: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub finished_at: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub expires_at: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    pub worker: Option<String>,
    #[diesel(sql_type = Integer)]
    pub cancel_requested: i32,
    #[diesel(sql_type = Nullable<Text>)]
    pub unique_key: Option<String>,
    #[diesel(sql_type = Nullable<Double>)]
    pub progress: Option<f64>,
    #[diesel(sql_type = Nullable<Text>)]
    pub progress_note: Option<String>,
    #[diesel(sql_type = Text)]
    pub meta: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub result: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub error: Option<String>,
}

pub(crate) const RECORD: &str = "id, name, queue, args, state, priority, attempts, max_attempts, run_at, created_at, started_at, \
     finished_at, expires_at, worker, cancel_requested, COALESCE(unique_key, ended_key) AS unique_key, progress, progress_note, meta, result, error";

/// A job that the table says a worker holds.
#[derive(Debug, Clone, QueryableByName)]
pub struct Lease {
    #[diesel(sql_type = Text)]
    pub id: String,
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
    #[diesel(sql_type = Integer)]
    pub cancel_requested: i32,
}

/// How many jobs of a queue are in a state.
#[derive(Debug, Clone, QueryableByName)]
pub struct Count {
    #[diesel(sql_type = Text)]
    pub queue: String,
    #[diesel(sql_type = Integer)]
    pub state: i32,
    #[diesel(sql_type = BigInt)]
    pub n: i64,
}

/// A worker as the table lists it.
#[derive(Debug, Clone, QueryableByName)]
pub struct SeenWorker {
    #[diesel(sql_type = Text)]
    pub name: String,
    /// A list in JSON.
    #[diesel(sql_type = Text)]
    pub queues: String,
    #[diesel(sql_type = Text)]
    pub release_name: String,
    #[diesel(sql_type = BigInt)]
    pub started_at: i64,
    #[diesel(sql_type = BigInt)]
    pub seen_at: i64,
}

impl SeenWorker {
    /// None where another version has written something else.
    pub(crate) fn queues(&self) -> Vec<String> {
        serde_json::from_str(&self.queues).unwrap_or_default()
    }
}

#[derive(Debug, QueryableByName)]
pub struct TextRow {
    #[diesel(sql_type = Text)]
    pub t: String,
}

#[derive(Debug, QueryableByName)]
#[cfg_attr(
    not(any(feature = "sqlite", feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "without a database nobody makes one")
)]
pub(crate) struct Number {
    #[diesel(sql_type = Nullable<BigInt>)]
    pub n: Option<i64>,
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finish {
    pub id: String,
    pub attempts: i32,
    pub state: i32,
    /// When to try again; only for a job that goes back.
    pub run_at: Option<i64>,
    /// JSON.
    pub result: Option<String>,
    pub error: Option<String>,
    /// The attempt does not count: the job had not been started.
    pub uncount: bool,
    /// Others wait for this job.
    pub has_next: bool,
}

/// How far an attempt has come.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Progress {
    pub id: String,
    pub attempts: i32,
    pub fraction: f64,
    pub note: String,
}

/// Which jobs of a queue a worker wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Want {
    pub queue: String,
    pub names: Names,
    /// At most so many, a batch counting as one; the wants of a lane share it.
    pub limit: usize,
    pub lane: usize,
    /// Jobs that are handled together: one batch of them, if it is ready.
    pub batch: Option<Batching>,
    /// Those behind this one come first. Only to save time: if they are too few, all are looked through.
    pub behind: Option<Place>,
}

/// Where a job stands in its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub priority: i32,
    pub run_at: i64,
    pub id: String,
}

/// When a batch is ready: it is full, or its first job has waited long enough for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Batching {
    /// How many jobs there are in a full one.
    pub max: usize,
    /// How long the first waits, in milliseconds.
    pub within: i64,
}

/// A choice of job names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Names {
    All,
    Only(Vec<String>),
    AllBut(Vec<String>),
}

impl Names {
    #[cfg_attr(not(test), allow(dead_code))]
    pub(crate) fn matches(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|each| each == name),
            Self::AllBut(names) => names.iter().all(|each| each != name),
        }
    }
}
