//! Where jobs are kept: the SQL for three databases and the memory of this process, behind one blocking trait.
pub(crate) mod conn;
pub(crate) mod diesel;
pub(crate) mod ends;
pub(crate) mod flow;
pub(crate) mod insert;
pub(crate) mod memory;
pub(crate) mod row;
pub(crate) mod sql;
pub(crate) mod watched;

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

use self::{
    flow::NewFlow,
    row::{Claimed, Count, Finish, Inserted, Lease, NewRow, Progress, Record, SeenWorker, Want},
};
use crate::{JobsError, list::Filter};

/// The databases, and none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(hidden)]
pub enum Dialect {
    Sqlite,
    Postgres,
    Mysql,
    Memory,
}

impl Dialect {
    /// Whether there is a server, with a clock of its own.
    pub(crate) fn has_server(self) -> bool {
        matches!(self, Self::Postgres | Self::Mysql)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
            Self::Mysql => "MySQL",
            Self::Memory => "memory",
        }
    }
}

/// One exchange of a worker with the table. All of it happens in one transaction, or not at all.
#[derive(Debug, Default)]
pub(crate) struct Round<'a> {
    pub worker: &'a str,
    pub now: i64,
    pub lease_until: i64,
    pub finish: &'a [Finish],
    pub progress: &'a [Progress],
    /// The ids that the worker holds, when their leases are to be renewed.
    pub renew: Option<&'a [String]>,
    /// Take back what other workers have lost, and sort out what may not run any more.
    pub reap: bool,
    /// Move jobs whose time has come to the waiting ones.
    pub promote: bool,
    /// Something in the table cannot be changed: what is done to many jobs at once is done to those where it can be.
    pub careful: bool,
    pub wants: &'a [Want],
    /// At most so many for all wants together, a batch counting as one.
    pub limit: usize,
}

/// What a [`Round`] brought.
#[derive(Debug, Default)]
pub(crate) struct RoundDone {
    pub claimed: Vec<Claimed>,
    /// Jobs that are to be handled together.
    pub batches: Vec<Vec<Claimed>>,
    /// When the first batch that is not full has waited long enough.
    pub ready_at: Option<i64>,
    /// How many of the finishes were refused, because the job was no longer this worker's.
    pub refused: usize,
    /// What the table says this worker holds, when leases were renewed.
    pub leases: Option<Vec<Lease>>,
    /// How many jobs of dead workers were taken back.
    pub reaped: usize,
    /// How many jobs that waited for others may run now.
    pub freed: usize,
    /// When the next scheduled job is due, when asked to promote.
    pub next_due: Option<i64>,
    /// Jobs that the database does not let us change, when a careful round has looked for them all.
    pub stuck: Option<Vec<Stuck>>,
}

/// A job that the database does not let us change.
#[derive(Debug)]
pub(crate) struct Stuck {
    pub id: String,
    pub error: JobsError,
}

impl RoundDone {
    /// For how many calls of a handler jobs were claimed.
    pub(crate) fn calls(&self) -> usize {
        self.claimed.len() + self.batches.len()
    }

    /// Goes through the wants of a round, each with as much as it may claim.
    pub(crate) fn claim_all<E>(
        &mut self,
        round: &Round<'_>,
        mut claim: impl FnMut(&mut Self, &Want, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut taken = vec![0; round.wants.iter().map(|want| want.lane + 1).max().unwrap_or(0)];
        for want in round.wants {
            let room = want.limit.saturating_sub(taken.get(want.lane).copied().unwrap_or(0));
            let before = self.calls();
            let limit = room.min(round.limit.saturating_sub(before));
            if limit > 0 {
                claim(self, want, limit)?;
                taken[want.lane] += self.calls() - before;
            }
        }
        Ok(())
    }

    /// A batch will be ready at this time.
    pub(crate) fn ready_by(&mut self, at: i64) {
        self.ready_at = Some(self.ready_at.map_or(at, |first| first.min(at)));
    }
}

/// What [`Store::cancel`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CancelFound {
    AtOnce,
    Running,
    TooLate,
    Missing,
}

/// A worker as the table knows it.
#[derive(Debug, Clone)]
pub(crate) struct WorkerRow<'a> {
    pub name: &'a str,
    pub queues: &'a str,
    pub release: &'a str,
    pub started_at: i64,
    pub seen_at: i64,
}

/// A place for jobs. Every call blocks.
pub(crate) trait Store: Send + Sync + 'static {
    fn dialect(&self) -> Dialect;
    /// The same store with a connection of its own, where connections can be in use by others. An error where that cannot
    /// be, and must.
    fn with_own_connection(&self) -> Result<Option<Arc<dyn Store>>, JobsError> {
        Ok(None)
    }
    /// Another such store, for when the connection of one is not answered any more.
    fn with_other_connection(&self) -> Option<Arc<dyn Store>> {
        None
    }
    /// From this time on, nothing is waited for where that can be.
    fn hurry(&self, _end: Instant) {}
    fn as_any(&self) -> &dyn Any;
    /// How many calls can run at the same time.
    fn parallel(&self) -> usize;
    /// How long a call may wait for its turn.
    fn patience(&self) -> Duration;
    /// The same store for a caller who has waited already, and has this time left.
    fn with_patience(&self, _: Duration) -> Option<Arc<dyn Store>> {
        None
    }
    fn migrate(&self) -> Result<(), JobsError>;

    fn insert(&self, rows: &[NewRow]) -> Result<Vec<Inserted>, JobsError>;
    /// Puts all jobs of a flow into the table, or none.
    fn insert_flow(&self, flow: &NewFlow) -> Result<(), JobsError>;
    /// Why a job that waits for others will not run.
    fn broken(&self, id: &str) -> Result<Option<String>, JobsError>;
    fn round(&self, round: &Round<'_>) -> Result<RoundDone, JobsError>;
    /// Writes one end down, or the `substitute` when the database takes that and not the end. Gives back why not the end.
    fn finish_alone(
        &self,
        worker: &str,
        end: &Finish,
        substitute: &Finish,
        now: i64,
    ) -> Result<Option<JobsError>, JobsError>;
    /// Whether the database takes anything at all, when it has refused something.
    fn takes_writes(&self, _worker: &str) -> Result<(), JobsError> {
        Ok(())
    }
    /// Whether the tables are those of this version.
    fn has_tables(&self) -> Result<bool, JobsError> {
        Ok(true)
    }
    /// Enqueues one tick of a schedule, unless some process has done that. `None`: the schedule is seen for the first time.
    fn tick(&self, schedule: &str, tick: i64, job: Option<&NewRow>) -> Result<Option<bool>, JobsError>;
    /// The last tick of a schedule that was enqueued.
    fn last_tick(&self, schedule: &str) -> Result<Option<i64>, JobsError>;

    fn record(&self, id: &str) -> Result<Option<Record>, JobsError>;
    /// Those of these jobs that there are, in no order.
    fn records(&self, ids: &[String]) -> Result<Vec<Record>, JobsError>;
    /// The jobs that were given up at this time, as their workers died.
    fn buried(&self, at: i64) -> Result<Vec<Record>, JobsError>;
    fn list(&self, filter: &Filter) -> Result<Vec<Record>, JobsError>;
    /// The ids of those that [`list`](Self::list) would give back.
    fn ids(&self, filter: &Filter) -> Result<Vec<String>, JobsError> {
        Ok(self.list(filter)?.into_iter().map(|record| record.id).collect())
    }
    fn counts(&self) -> Result<Vec<Count>, JobsError>;
    /// Counts what has not ended, and dead letters: not the many that are done.
    fn open_counts(&self) -> Result<Vec<Count>, JobsError>;
    /// When the first waiting job of each queue could have started, as the count.
    fn oldest_waiting(&self) -> Result<Vec<Count>, JobsError>;
    /// Counts the jobs of each queue with ids in a range.
    fn counts_between(&self, from: &str, before: &str) -> Result<Vec<Count>, JobsError>;
    fn workers(&self) -> Result<Vec<SeenWorker>, JobsError>;
    fn cancel(&self, id: &str, now: i64) -> Result<CancelFound, JobsError>;
    fn requeue(&self, id: &str, now: i64) -> Result<bool, JobsError>;
    fn purge(&self, state: i32, before: i64, limit: usize) -> Result<usize, JobsError>;
    fn pause(&self, queue: &str, paused: bool) -> Result<(), JobsError>;
    fn paused(&self) -> Result<Vec<String>, JobsError>;
    fn seen(&self, worker: &WorkerRow<'_>) -> Result<(), JobsError>;
    fn gone(&self, worker: &str, before: i64) -> Result<(), JobsError>;

    /// The server's clock in milliseconds since 1970, where it may differ from ours.
    fn server_time(&self) -> Result<Option<i64>, JobsError>;
    /// Calls `wake` when another process enqueues, until it returns false. Blocks; returns at once where nothing tells.
    fn listen(&self, wake: &mut dyn FnMut(bool) -> bool) -> Result<(), JobsError>;
}
