use std::{
    fmt,
    time::{Duration, SystemTime},
};

use utils_jobs::{DueReport, Filter, Job, JobStatus, Jobs, JobsError, State, Worker};

use crate::check::Check;

/// The jobs of an application under test: what was enqueued, and running it here and now.
///
/// No worker runs beside the test, so nothing happens between two of its lines. Time passes when
/// [`advance`](Self::advance) is called.
///
/// # Examples
/// ```
/// # use serde::{Deserialize, Serialize};
/// # use utils_jobs::{Context, Failure, Job};
/// # #[derive(Serialize, Deserialize)]
/// # struct Remind { user: u32 }
/// # impl Job for Remind {
/// #     const NAME: &'static str = "remind";
/// #     type Output = ();
/// #     async fn run(self, _: Context) -> Result<(), Failure> { Ok(()) }
/// # }
/// use std::time::Duration;
/// use utils_jobs::Jobs;
/// use utils_testing::TestJobs;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let jobs = Jobs::memory(); // or jobs in the database of the test
/// let mut background = TestJobs::new(&jobs, |worker| worker.handle::<Remind>());
///
/// // what the application does
/// jobs.enqueue(Remind { user: 7 }.after(Duration::from_secs(3_600))).await?;
///
/// let remind = background.expect_one::<Remind>().await;
/// assert_eq!(remind.job.user, 7);
/// assert_eq!(remind.starts_in, Duration::from_secs(3_600));
/// background.run_due().await; // nothing yet
/// assert_eq!(background.advance(Duration::from_secs(3_600)).await.succeeded, 1);
/// background.expect_none::<Remind>().await;
/// # Ok::<(), utils_jobs::JobsError>(()) }).unwrap();
/// ```
pub struct TestJobs {
    jobs: Jobs,
    worker: Worker,
}

/// A job that has been enqueued and has not begun.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WaitingJob<J> {
    /// The job, as a worker would get it.
    pub job: J,
    /// How long from now it may not start; zero when it is due.
    pub starts_in: Duration,
    /// All that is known about it: queue, priority, key and so on.
    pub status: JobStatus,
}

impl TestJobs {
    /// Jobs of an application, and the worker that would run them: `|worker| worker.handle::<Remind>()`, with its data.
    pub fn new(jobs: &Jobs, types: impl FnOnce(Worker) -> Worker) -> Self {
        Self { jobs: jobs.clone(), worker: types(Worker::new(jobs)) }
    }

    /// The jobs.
    #[must_use]
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// The jobs of this type that wait, in the order in which they were enqueued.
    ///
    /// Panics when the arguments of one cannot be read.
    pub fn waiting<J: Job>(&self) -> Check<'_, Vec<WaitingJob<J>>> {
        Check::new(async move {
            let waiting = self.list(Filter::new().name(J::NAME), is_waiting).await?;
            waiting.into_iter().map(|status| self.read(status)).collect()
        })
    }

    /// The one job of this type that waits; panics when there is none, or several.
    pub fn expect_one<J: Job>(&self) -> Check<'_, WaitingJob<J>> {
        Check::new(async move {
            let mut waiting = self.list(Filter::new().name(J::NAME), is_waiting).await?;
            match (waiting.pop(), waiting.is_empty()) {
                (Some(status), true) => self.read(status),
                (last, _) => {
                    let count = waiting.len() + usize::from(last.is_some());
                    Err(format!("expected one job {}, got {count}{}", J::NAME, self.all_waiting().await?))
                }
            }
        })
    }

    /// Panics when a job of this type waits.
    pub fn expect_none<J: Job>(&self) -> Check<'_> {
        Check::new(async move {
            match self.list(Filter::new().name(J::NAME), is_waiting).await?.len() {
                0 => Ok(()),
                count => {
                    Err(format!("expected no job {}, got {count}{}", J::NAME, self.all_waiting().await?))
                }
            }
        })
    }

    /// Panics when any job waits.
    pub fn expect_nothing(&self) -> Check<'_> {
        Check::new(async move {
            let waiting = self.all_waiting().await?;
            if waiting.is_empty() { Ok(()) } else { Err(format!("expected no jobs, got some{waiting}")) }
        })
    }

    /// Runs all jobs that are due, one after the other, and those that they enqueue; panics when one fails, with its error.
    pub fn run_due(&mut self) -> Check<'_, DueReport> {
        Check::new(async move {
            let before = self.failed().await?;
            let report = self.worker.run_due().await.map_err(in_words)?;
            if report.succeeded == report.total() {
                return Ok(report);
            }
            let mut message =
                format!("{} of {} attempts failed", report.total() - report.succeeded, report.total());
            for status in self.failed().await? {
                let is_old = before.iter().any(|old| old.id == status.id && old.attempts == status.attempts);
                if !is_old {
                    message += &described(&status);
                }
            }
            Err(message)
        })
    }

    /// Runs all jobs that are due, where some are meant to fail.
    pub fn run_due_with_failures(&mut self) -> Check<'_, DueReport> {
        Check::new(async move { self.worker.run_due().await.map_err(in_words) })
    }

    /// Moves the clock of the jobs forward, then runs what has become due; panics as [`run_due`](Self::run_due).
    pub fn advance(&mut self, by: Duration) -> Check<'_, DueReport> {
        self.jobs.advance(by);
        self.run_due()
    }

    fn read<J: Job>(&self, status: JobStatus) -> Result<WaitingJob<J>, String> {
        let job = serde_json::from_value(status.args.clone())
            .map_err(|error| format!("the arguments cannot be read: {error}{}", described(&status)))?;
        let starts_in =
            SystemTime::from(status.run_at).duration_since(self.jobs.clock().now()).unwrap_or_default();
        Ok(WaitingJob { job, starts_in, status })
    }

    async fn all_waiting(&self) -> Result<String, String> {
        Ok(self.list(Filter::new(), is_waiting).await?.iter().map(described).collect())
    }

    async fn failed(&self) -> Result<Vec<JobStatus>, String> {
        self.list(Filter::new(), |status| status.error.is_some() && status.state != State::Done).await
    }

    /// All jobs that are `wanted`, oldest first.
    async fn list(&self, filter: Filter, wanted: fn(&JobStatus) -> bool) -> Result<Vec<JobStatus>, String> {
        const PAGE: u32 = 500;
        let mut found = Vec::new();
        for page in 0.. {
            let jobs =
                self.jobs.list(filter.clone().offset(page * PAGE).limit(PAGE)).await.map_err(in_words)?;
            let is_last = jobs.len() < PAGE as usize;
            found.extend(jobs.into_iter().filter(wanted));
            if is_last {
                break;
            }
        }
        // ids are in the order of enqueueing
        found.sort_by_key(|status| status.id.to_string());
        Ok(found)
    }
}

impl fmt::Debug for TestJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestJobs").field("jobs", &self.jobs).field("worker", &self.worker).finish()
    }
}

fn is_waiting(status: &JobStatus) -> bool {
    matches!(status.state, State::Waiting | State::Scheduled)
}

/// A line for a failure's message.
fn described(status: &JobStatus) -> String {
    let mut line = format!("\n  {} {}: {}", status.state.as_str(), status.name, status.args);
    if let Some(error) = &status.error {
        line += &format!("\n    failed: {error}");
    }
    line
}

fn in_words(error: JobsError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
