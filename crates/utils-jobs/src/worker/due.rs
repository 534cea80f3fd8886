use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use super::Worker;
use crate::{
    JobsError,
    clock::millis,
    pump::{Delivery, Msg},
    run::{Runner, end_of},
    store::{
        Round,
        row::{Names, Want, state},
    },
};

/// What [`Worker::run_due`] did, in attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DueReport {
    /// Attempts that ended well.
    pub succeeded: usize,
    /// Attempts that failed and will be made again.
    pub retried: usize,
    /// Attempts whose job is a dead letter now, or cancelled.
    pub dead: usize,
}

impl DueReport {
    /// How many attempts were made.
    #[must_use]
    pub fn total(self) -> usize {
        self.succeeded + self.retried + self.dead
    }
}

impl Worker {
    /// Runs all jobs that are due now, one after the other, here and now, and those that they enqueue: for tests. The
    /// worker can be used again. Works with every kind of jobs; schedules are not looked at.
    ///
    /// # Errors
    /// [`JobsError::NameTaken`], [`JobsError::Schedule`] for what was said before; [`JobsError::Sessions`].
    ///
    /// # Examples
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use utils_jobs::{Context, Failure, Job};
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Remind;
    /// # impl Job for Remind {
    /// #     const NAME: &'static str = "remind";
    /// #     type Output = ();
    /// #     async fn run(self, _: Context) -> Result<(), Failure> { Ok(()) }
    /// # }
    /// use std::time::Duration;
    /// use utils_jobs::{Jobs, Worker};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let jobs = Jobs::memory();
    /// let mut worker = Worker::new(&jobs).handle::<Remind>();
    /// jobs.enqueue(Remind.after(Duration::from_secs(3_600))).await?;
    ///
    /// assert_eq!(worker.run_due().await?.total(), 0);
    /// jobs.advance(Duration::from_secs(3_600));
    /// assert_eq!(worker.run_due().await?.succeeded, 1);
    /// # Ok::<(), utils_jobs::JobsError>(()) }).unwrap();
    /// ```
    pub async fn run_due(&mut self) -> Result<DueReport, JobsError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let name: Arc<str> = super::name::unique(Some("run_due"), self.jobs.release()).into();
        let (sender, receiver) = mpsc::channel();
        let runner = Runner {
            jobs: self.jobs.clone(),
            worker: Arc::clone(&name),
            registry: Arc::clone(&self.registry),
            data: Arc::clone(&self.data),
            pump: sender,
        };
        self.run_all_due(&runner, &Mutex::new(receiver)).await
    }

    async fn run_all_due(
        &self,
        runner: &Runner,
        messages: &Mutex<mpsc::Receiver<Msg>>,
    ) -> Result<DueReport, JobsError> {
        let mut report = DueReport::default();
        let mut queues = self.queues.clone();
        queues.extend(runner.registry.types().map(|(_, policy)| policy.queue.to_owned()));
        queues.sort();
        queues.dedup();
        let names = if self.only_known {
            Names::Only(runner.registry.types().map(|(name, _)| name.to_owned()).collect())
        } else {
            Names::All
        };
        let wants: Vec<Want> =
            queues.into_iter().map(|queue| Want { queue, names: names.clone(), limit: 1, lane: 0 }).collect();
        let mut finished = None;
        loop {
            let (wants, worker, end) = (wants.clone(), Arc::clone(&runner.worker), finished.take());
            let progress: Vec<_> = messages
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .try_iter()
                .filter_map(|message| match message {
                    Msg::Progress(word) => word.take(),
                    _ => None,
                })
                .collect();
            let round = self.jobs.blocking_round(move |jobs| {
                let now = jobs.clock().millis();
                jobs.store().round(&Round {
                    worker: &worker,
                    now,
                    lease_until: now + millis(jobs.settings().lease),
                    finish: end.as_slice(),
                    progress: &progress,
                    renew: None,
                    reap: true,
                    promote: true,
                    wants: &wants,
                    limit: 1,
                })
            });
            let Some(claimed) = round.await?.claimed.pop() else { return Ok(report) };
            let delivery = Delivery::new(claimed);
            let (started, began) = (Instant::now(), self.jobs.clock().millis());
            let outcome = runner.clone().run(delivery.clone()).await;
            let policy = runner.registry.policy(&delivery.claimed.name);
            let clock = self.jobs.clock();
            let end = match &outcome {
                Ok(output) => end_of(&delivery.claimed, policy, Ok(output.get().to_owned()), clock),
                Err(error) => end_of(&delivery.claimed, policy, Err(error), clock),
            };
            let wait = Duration::from_millis(u64::try_from(began - delivery.claimed.run_at).unwrap_or(0));
            let recorder = self.jobs.recorder();
            recorder.record(&delivery.claimed, &end, policy.is_some(), wait, started.elapsed());
            match end.state {
                state::DONE => report.succeeded += 1,
                state::WAITING | state::SCHEDULED => report.retried += 1,
                _ => report.dead += 1,
            }
            finished = Some(end);
        }
    }
}
