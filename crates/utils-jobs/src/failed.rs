//! Who is told of attempts that failed.
use std::{
    error::Error,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use crate::{
    JobId, Jobs, Stopping, TraceParent,
    failure::error_line,
    list::count,
    pump::Delivery,
    run::panic_text,
    store::row::{Finish, Record, state},
    trace,
};

/// An attempt of a job that failed, as [`JobsBuilder::on_failure`](crate::JobsBuilder::on_failure) is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FailedAttempt<'a> {
    /// The job's id.
    pub id: JobId,
    /// The name of its type.
    pub name: &'a str,
    /// Its queue.
    pub queue: &'a str,
    /// Which attempt it was, counted from 1.
    pub attempt: u32,
    /// How many there are at most.
    pub max_attempts: u32,
    /// The worker that made it; unknown when it died.
    pub worker: Option<&'a str>,
    /// The release of the program that tells.
    pub release: &'a str,
    /// The trace that the job belongs to.
    pub trace: Option<TraceParent>,
    /// What went wrong: what the job returned, [`Panicked`], a time limit, arguments that cannot be read, or a worker that
    /// died.
    pub error: &'a (dyn Error + 'static),
    /// Whether it was the last: the job is a dead letter now. Else it is tried again.
    pub is_dead: bool,
}

/// The error of a job that panicked, with the panic's text. For [`Policy::final_on`](crate::Policy::final_on), and for
/// those who are told of failures: the process's panic hook has heard of it already.
#[derive(Debug, thiserror::Error)]
#[error("panicked: {0}")]
pub struct Panicked(pub(crate) String);

/// The error of a job whose worker died, was killed, or stalled for longer than its lease.
#[derive(Debug, thiserror::Error)]
#[error("{LEASE_RAN_OUT}")]
pub struct WorkerLost(());

/// What stands in the table then.
pub(crate) const LEASE_RAN_OUT: &str = "the worker died or stalled: its lease ran out";

/// Those who are told.
#[derive(Clone, Default)]
pub(crate) struct Hooks(Vec<Arc<Hook>>);

type Hook = dyn Fn(&FailedAttempt<'_>) + Send + Sync;

impl Hooks {
    pub(crate) fn add(&mut self, hook: impl Fn(&FailedAttempt<'_>) + Send + Sync + 'static) {
        self.0.push(Arc::new(hook));
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hooks").field(&self.0.len()).finish()
    }
}

/// The end of an attempt.
pub(crate) struct AttemptEnd<'a> {
    pub delivery: &'a Delivery,
    pub worker: &'a str,
    pub finish: &'a Finish,
    pub error: Option<&'a (dyn Error + 'static)>,
    /// Whether the worker knows the type.
    pub is_known: bool,
    /// By the clock of the jobs.
    pub began: i64,
    pub run: Duration,
}

impl Jobs {
    /// Counts the end of an attempt, and tells of one that failed.
    pub(crate) fn attempt_ended(&self, ended: &AttemptEnd<'_>) {
        let AttemptEnd { delivery, finish, .. } = *ended;
        let claimed = &delivery.claimed;
        let wait = Duration::from_millis(u64::try_from(ended.began - claimed.run_at).unwrap_or(0));
        self.recorder().record(claimed, finish, ended.is_known, wait, ended.run);
        let Some(error) = ended.error else { return };
        // What was cancelled has not failed; of a lost one, the worker that has it now will tell.
        let is_void = matches!(delivery.control.reason(), Some(Stopping::Cancelled | Stopping::LeaseLost));
        if finish.uncount || is_void {
            return;
        }
        self.tell_of(&FailedAttempt {
            id: JobId::new(&claimed.id),
            name: &claimed.name,
            queue: &claimed.queue,
            attempt: count(claimed.attempts),
            max_attempts: count(claimed.max_attempts),
            worker: Some(ended.worker),
            release: self.release(),
            trace: trace::of_notes(&claimed.meta),
            error,
            is_dead: finish.state == state::DEAD,
        });
    }

    /// Tells of jobs that are dead letters because their workers died at each attempt.
    pub(crate) fn tell_of_buried(&self, buried: &[Record]) {
        for record in buried {
            self.tell_of(&FailedAttempt {
                id: JobId::new(&record.id),
                name: &record.name,
                queue: &record.queue,
                attempt: count(record.attempts),
                max_attempts: count(record.max_attempts),
                worker: None,
                release: self.release(),
                trace: trace::of_notes(&record.meta),
                error: &WorkerLost(()),
                is_dead: true,
            });
        }
    }

    fn tell_of(&self, failed: &FailedAttempt<'_>) {
        let FailedAttempt { id, name, queue, attempt, release, .. } = failed;
        let error = error_line(failed.error);
        let worker = failed.worker.unwrap_or_default();
        let trace_id = failed.trace.map(|trace| trace.trace_id()).unwrap_or_default();
        if failed.is_dead {
            tracing::error!(%id, name, queue, attempt, worker, release, trace_id, error, "a job failed for good");
        } else {
            tracing::warn!(%id, name, queue, attempt, worker, release, trace_id, error, "a job failed, and is tried again");
        }
        for hook in &self.hooks().0 {
            // It is the application's code, and the job's end must be written down all the same.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| hook(failed))) {
                tracing::error!(%id, panic = panic_text(&*panic), "what is told of failed jobs panicked");
            }
        }
    }
}
