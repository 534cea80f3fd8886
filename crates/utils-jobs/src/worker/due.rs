use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Instant,
};

use super::Worker;
use crate::{
    JobsError,
    clock::millis,
    pump::{Call, Delivery, Msg},
    run::Runner,
    store::{
        Round,
        row::{Batching, Finish, Names, Want, state},
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
    /// worker can be used again. Works with every kind of jobs; schedules are not looked at. Batches do not wait for
    /// more jobs: those that are due are handled together, as many at a time as the worker was told.
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
        let wants = self.wants(runner);
        let mut finished: Vec<Finish> = Vec::new();
        loop {
            let (wants, worker, ends) =
                (wants.clone(), Arc::clone(&runner.worker), std::mem::take(&mut finished));
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
                let done = jobs.store().round(&Round {
                    worker: &worker,
                    now,
                    lease_until: now + millis(jobs.settings().lease),
                    finish: &ends,
                    progress: &progress,
                    renew: None,
                    reap: true,
                    promote: true,
                    careful: false,
                    wants: &wants,
                    limit: 1,
                })?;
                if done.reaped > 0 {
                    jobs.tell_of_buried(&jobs.store().buried(now)?);
                }
                Ok(done)
            });
            let mut done = round.await?;
            let calls = match (done.claimed.pop(), done.batches.pop()) {
                (Some(claimed), _) => vec![Call::One(Delivery::new(claimed))],
                (None, Some(batch)) => Call::of_batch(batch).collect(),
                (None, None) => return Ok(report),
            };
            for call in calls {
                finished.extend(run(runner, call).await);
            }
            for end in &finished {
                match end.state {
                    state::DONE => report.succeeded += 1,
                    state::WAITING | state::SCHEDULED => report.retried += 1,
                    _ => report.dead += 1,
                }
            }
        }
    }

    /// One job, or one batch of those that are there.
    fn wants(&self, runner: &Runner) -> Vec<Want> {
        let registry = &runner.registry;
        let mut queues = self.queues.clone();
        queues.extend(registry.types().map(|(_, policy)| policy.queue.to_owned()));
        queues.sort();
        queues.dedup();
        let types = registry.types().map(|(name, _)| (name.to_owned(), registry.batching(name)));
        let (together, alone): (Vec<_>, Vec<_>) = types.partition(|(_, batching)| batching.is_some());
        let names = |of: &[(String, _)]| of.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let others = match (self.only_known, together.is_empty()) {
            (true, _) => Names::Only(names(&alone)),
            (false, true) => Names::All,
            (false, false) => Names::AllBut(names(&together)),
        };
        let mut kinds = vec![(others, None)];
        kinds.extend(together.into_iter().map(|(name, batching)| {
            // Nothing more comes while the test waits.
            (Names::Only(vec![name]), batching.map(|batching| Batching { within: 0, ..batching }))
        }));
        let want = |queue: &String, (lane, (names, batch)): (usize, &(Names, Option<Batching>))| Want {
            queue: queue.clone(),
            names: names.clone(),
            limit: 1,
            lane,
            batch: *batch,
            behind: None,
        };
        queues.iter().flat_map(|queue| kinds.iter().enumerate().map(move |kind| want(queue, kind))).collect()
    }
}

/// Runs a call to its end.
async fn run(runner: &Runner, call: Call) -> Vec<Finish> {
    let (started, began) = (Instant::now(), runner.jobs.clock().millis());
    let outcomes = match &call {
        Call::One(delivery) => vec![Some(runner.clone().run(delivery.clone()).await)],
        Call::Batch(deliveries) => runner.run_batch(deliveries, |_, _| {}).await,
    };
    let ends = call.deliveries().iter().zip(&outcomes);
    ends.filter_map(|(delivery, outcome)| {
        Some(runner.end(delivery, outcome.as_ref()?, began, started.elapsed()))
    })
    .collect()
}
