use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use super::Jobs;
use crate::{
    Filter, Job, JobId, JobStatus, JobsError, State,
    clock::{later, millis},
    pump::Msg,
    store::{CancelFound, row::Record},
};

/// What [`Jobs::cancel`] could do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancellation {
    /// The job had not started and will not.
    AtOnce,
    /// The job runs and is told; it ends as cancelled, or as done if it was faster.
    Requested,
    /// The job had ended already.
    TooLate,
}

/// How many jobs of a queue are in which state.
pub type Counts = BTreeMap<String, BTreeMap<&'static str, u64>>;

impl Jobs {
    /// How a job stands; `None` when there is no such job, or no longer.
    ///
    /// # Errors
    /// [`JobsError::Sessions`].
    pub async fn status(&self, id: impl AsRef<str>) -> Result<Option<JobStatus>, JobsError> {
        let id = id.as_ref().to_owned();
        let record = self.blocking(move |jobs| jobs.store().record(&id)).await?;
        Ok(record.map(JobStatus::from))
    }

    /// How several jobs stand, in the order of their ids, asked for together: `None` for one that is not there, or no
    /// longer.
    ///
    /// # Errors
    /// [`JobsError::Sessions`].
    ///
    /// # Examples
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use utils_jobs::{Context, Failure, Job};
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Count { page: u32 }
    /// # impl Job for Count {
    /// #     const NAME: &'static str = "count";
    /// #     type Output = ();
    /// #     async fn run(self, _: Context) -> Result<(), Failure> { Ok(()) }
    /// # }
    /// use utils_jobs::{Jobs, State};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let jobs = Jobs::memory();
    /// let ids = jobs.enqueue_many([1, 2, 3].map(|page| Count { page })).await?;
    /// let all = jobs.statuses(&ids).await?;
    /// assert!(all.iter().flatten().all(|status| status.state == State::Waiting));
    /// # Ok::<(), utils_jobs::JobsError>(()) }).unwrap();
    /// ```
    pub async fn statuses<I: AsRef<str>>(
        &self,
        ids: impl IntoIterator<Item = I>,
    ) -> Result<Vec<Option<JobStatus>>, JobsError> {
        let ids: Vec<String> = ids.into_iter().map(|id| id.as_ref().to_owned()).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let (records, ids) = self.blocking(move |jobs| Ok((jobs.store().records(&ids)?, ids))).await?;
        let by_id: HashMap<String, Record> =
            records.into_iter().map(|record| (record.id.clone(), record)).collect();
        Ok(ids.iter().map(|id| by_id.get(id).cloned().map(JobStatus::from)).collect())
    }

    /// Waits for the end of a job, and gives back what it gave back.
    ///
    /// # Errors
    /// [`JobsError::StillRunning`] when the time is over, [`JobsError::Failed`], [`JobsError::Cancelled`] and
    /// [`JobsError::Expired`] for the other ends, [`JobsError::NotFound`] when there is no such job.
    pub async fn wait<J: Job>(&self, id: &JobId<J>, time: Duration) -> Result<J::Output, JobsError> {
        let status = self.wait_status(id, time).await?;
        match status.state {
            State::Done => {
                serde_json::from_value(status.result.unwrap_or_default()).map_err(JobsError::Decode)
            }
            State::Cancelled => Err(JobsError::Cancelled),
            State::Expired => Err(JobsError::Expired),
            State::Dead | State::Scheduled | State::Blocked | State::Waiting | State::Running => {
                Err(JobsError::Failed { reason: status.error.unwrap_or_default() })
            }
        }
    }

    /// Waits for the end of a job, however it ends.
    ///
    /// # Errors
    /// [`JobsError::StillRunning`] when the time is over, [`JobsError::NotFound`] when there is no such job,
    /// [`JobsError::Failed`] when it waits for another one that did not end well.
    pub async fn wait_status(&self, id: impl AsRef<str>, time: Duration) -> Result<JobStatus, JobsError> {
        let deadline = later(Instant::now(), time);
        let mut look = Duration::from_millis(10);
        let mut ask_why_at = Instant::now();
        let waits = self.inner.waiting.wait_for(id.as_ref());
        loop {
            // Listening before the look, so that no end falls between.
            let mut told = std::pin::pin!(waits.told.notified());
            told.as_mut().enable();
            let status = self.status(&id).await?.ok_or(JobsError::NotFound)?;
            if status.state.is_final() {
                return Ok(status);
            }
            if status.state == State::Blocked && Instant::now() >= ask_why_at {
                let (blocked, began) = (id.as_ref().to_owned(), Instant::now());
                let broken = self.blocking(move |jobs| jobs.store().broken(&blocked)).await?;
                if let Some(reason) = broken {
                    return Err(JobsError::Failed { reason });
                }
                // It looks at all the jobs that this one waits for, so it takes at most a part of the time.
                ask_why_at = Instant::now() + began.elapsed().saturating_mul(20).min(Duration::from_secs(30));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(JobsError::StillRunning(time));
            }
            // Told of ends in this process; those of others are found by looking.
            let _ = tokio::time::timeout(look.min(left), told).await;
            look = (look * 2).min(Duration::from_millis(500));
        }
    }

    /// Cancels a job: at once when it waits, by asking when it runs. A running job is told at its worker's next
    /// heartbeat, at once when the worker is in this process, and is stopped after its
    /// [grace](crate::Policy::cancel_grace).
    ///
    /// # Errors
    /// [`JobsError::NotFound`], [`JobsError::Sessions`].
    pub async fn cancel(&self, id: impl AsRef<str>) -> Result<Cancellation, JobsError> {
        let cancelled = id.as_ref().to_owned();
        let found = self.blocking(move |jobs| jobs.store().cancel(&cancelled, jobs.clock().millis())).await?;
        self.tell(|| Msg::Beat);
        match found {
            CancelFound::AtOnce => {
                self.announce_end(id.as_ref());
                Ok(Cancellation::AtOnce)
            }
            CancelFound::Running => Ok(Cancellation::Requested),
            CancelFound::TooLate => Ok(Cancellation::TooLate),
            CancelFound::Missing => Err(JobsError::NotFound),
        }
    }

    /// Lists jobs. Dead letters: `Filter::new().state(State::Dead)`.
    ///
    /// # Errors
    /// [`JobsError::Sessions`].
    pub async fn list(&self, filter: Filter) -> Result<Vec<JobStatus>, JobsError> {
        let records = self.blocking(move |jobs| jobs.store().list(&filter)).await?;
        Ok(records.into_iter().map(JobStatus::from).collect())
    }

    /// Counts the jobs by queue and state. Looks at every row.
    ///
    /// # Errors
    /// [`JobsError::Sessions`].
    pub async fn counts(&self) -> Result<Counts, JobsError> {
        let rows = self.blocking(|jobs| jobs.store().counts()).await?;
        let mut counts = Counts::new();
        for row in rows {
            let state = State::from_code(row.state).as_str();
            *counts.entry(row.queue).or_default().entry(state).or_default() +=
                u64::try_from(row.n).unwrap_or(0);
        }
        Ok(counts)
    }

    /// Gives a dead, cancelled or expired job a new start, with all its attempts and without an expiry. False when it is
    /// none of these, not there, or when a job that it waited for was deleted. What waits for it goes on when it ends well.
    /// It takes its [unique key](crate::NewJob::unique) again.
    ///
    /// # Errors
    /// [`JobsError::KeyTaken`] when another job has its key, [`JobsError::Sessions`].
    pub async fn requeue(&self, id: impl AsRef<str>) -> Result<bool, JobsError> {
        let id = id.as_ref().to_owned();
        let requeued = self.blocking(move |jobs| jobs.store().requeue(&id, jobs.clock().millis())).await?;
        self.wake();
        Ok(requeued)
    }

    /// Gives all dead letters that the filter finds a new start, and says how many they were: as many as its
    /// [limit](Filter::limit) says, or all where none was set. One whose unique key another job has by now stays as it is.
    ///
    /// # Errors
    /// [`JobsError::Sessions`].
    pub async fn requeue_dead(&self, filter: Filter) -> Result<usize, JobsError> {
        const STEP: u32 = 500; // each in the time that the server has to answer
        let most = if filter.is_limited { filter.limit as usize } else { usize::MAX };
        let mut filter = filter.state(State::Dead).limit(STEP);
        // One that is dead again at once is not given a start once more, and the list begins behind it.
        let (mut again, mut is_last) = (HashSet::new(), false);
        while !is_last && again.len() < most {
            (filter, again, is_last) = self
                .blocking(move |jobs| {
                    let dead = jobs.store().ids(&filter)?;
                    let is_last = dead.len() < STEP as usize;
                    for id in dead {
                        if again.len() == most {
                            break;
                        }
                        let is_requeued = !again.contains(&id)
                            && match jobs.store().requeue(&id, jobs.clock().millis()) {
                                Err(JobsError::KeyTaken { .. }) => false,
                                requeued => requeued?,
                            };
                        if is_requeued {
                            again.insert(id);
                        } else {
                            filter.offset = filter.offset.saturating_add(1);
                        }
                    }
                    Ok((filter, again, is_last))
                })
                .await?;
            self.wake();
        }
        Ok(again.len())
    }

    /// Deletes the jobs that ended in this state at least so long ago, and says how many they were. Workers do this by
    /// themselves, see [`JobsSettings::retention`](crate::JobsSettings::retention).
    ///
    /// # Errors
    /// [`JobsError::Settings`] for a state that is no end, [`JobsError::Sessions`].
    pub async fn purge(&self, state: State, older_than: Duration) -> Result<usize, JobsError> {
        if !state.is_final() {
            return Err(JobsError::Settings("only jobs that have ended can be purged"));
        }
        const STEP: usize = 1_000; // short transactions let others in between
        let before = self.clock().millis().saturating_sub(millis(older_than));
        let mut purged = 0;
        loop {
            let step = self.blocking(move |jobs| jobs.store().purge(state.code(), before, STEP)).await?;
            purged += step;
            if step < STEP {
                return Ok(purged);
            }
        }
    }

    /// Stops all workers from starting jobs of a queue; what runs goes on. Survives restarts.
    ///
    /// # Errors
    /// [`JobsError::Sessions`].
    pub async fn pause(&self, queue: impl Into<String>) -> Result<(), JobsError> {
        let queue = queue.into();
        self.blocking(move |jobs| jobs.store().pause(&queue, true)).await
    }

    /// Lets the workers start jobs of a queue again.
    ///
    /// # Errors
    /// [`JobsError::Sessions`].
    pub async fn resume(&self, queue: impl Into<String>) -> Result<(), JobsError> {
        let queue = queue.into();
        self.blocking(move |jobs| jobs.store().pause(&queue, false)).await?;
        self.wake();
        Ok(())
    }

    /// The queues that are paused.
    ///
    /// # Errors
    /// [`JobsError::Sessions`].
    pub async fn paused(&self) -> Result<Vec<String>, JobsError> {
        self.blocking(|jobs| jobs.store().paused()).await
    }
}
