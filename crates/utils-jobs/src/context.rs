use std::{
    any::{Any, TypeId, type_name},
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, mpsc},
};

use serde::Serialize;
use tokio::sync::watch;

use crate::{
    Failure, Follow, JobConn, JobId, Jobs, JobsError, Retry, Sessions,
    failure::Next,
    pump::{Msg, Word},
    store::{
        conn::Statement,
        ends::{self, Ending},
        row::{Claimed, Finish, Progress, state},
    },
};

/// What a running job knows and can do. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

struct Inner {
    claimed: Arc<Claimed>,
    meta: BTreeMap<String, String>,
    worker: Arc<str>,
    jobs: Jobs,
    data: Arc<DataMap>,
    stop: watch::Receiver<Option<Stopping>>,
    pump: mpsc::Sender<Msg>,
    word: Word,
}

/// Why a running job is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stopping {
    /// Somebody cancelled it. It has its policy's grace to end by itself.
    Cancelled,
    /// The soft time limit is over.
    TimeLimit,
    /// The worker is shutting down, and its time is nearly over: unfinished jobs go back to their queue.
    Shutdown,
    /// The lease is lost: another worker has the job now, and nothing that this one does will count.
    LeaseLost,
}

impl Stopping {
    /// How much a reason changes for the job: a lost lease ends it at once, a cancelled one has its grace, and a shutdown
    /// has a time of its own.
    pub(crate) fn gravity(self) -> u8 {
        match self {
            Self::TimeLimit => 0,
            Self::Shutdown => 1,
            Self::Cancelled => 2,
            Self::LeaseLost => 3,
        }
    }
}

impl Context {
    pub(crate) fn new(
        claimed: Arc<Claimed>,
        worker: Arc<str>,
        jobs: Jobs,
        data: Arc<DataMap>,
        stop: watch::Receiver<Option<Stopping>>,
        pump: mpsc::Sender<Msg>,
    ) -> Self {
        let meta = serde_json::from_str(&claimed.meta).unwrap_or_default();
        Self {
            inner: Arc::new(Inner { claimed, meta, worker, jobs, data, stop, pump, word: Word::default() }),
        }
    }

    /// The job's id.
    #[must_use]
    pub fn id(&self) -> JobId {
        JobId::new(&self.inner.claimed.id)
    }

    /// The job's [`NAME`](crate::Job::NAME).
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.claimed.name
    }

    /// The queue it came from.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.inner.claimed.queue
    }

    /// Which attempt this is, counted from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        u32::try_from(self.inner.claimed.attempts).unwrap_or(1)
    }

    /// How many attempts there may be.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        u32::try_from(self.inner.claimed.max_attempts).unwrap_or(1)
    }

    /// The notes of the one who enqueued it.
    #[must_use]
    pub fn meta(&self) -> &BTreeMap<String, String> {
        &self.inner.meta
    }

    /// The name of the worker that runs it.
    #[must_use]
    pub fn worker(&self) -> &str {
        &self.inner.worker
    }

    /// The release of the program that runs it.
    #[must_use]
    pub fn release(&self) -> &str {
        self.inner.jobs.release()
    }

    /// The jobs themselves, to enqueue more.
    #[must_use]
    pub fn jobs(&self) -> &Jobs {
        &self.inner.jobs
    }

    /// What the job before this one gave back, or all members of the group before it.
    ///
    /// # Errors
    /// A final failure when the job was enqueued alone, or when the input is not of this type.
    pub fn input<J: Follow>(&self) -> Result<J::Input, Failure> {
        let Some(input) = &self.inner.claimed.input else {
            return Err(Retry::never("the job has no input: it was not enqueued after another one"));
        };
        serde_json::from_str(input)
            .map_err(|error| Retry::never(format!("its input cannot be read: {error}")))
    }

    /// What the worker was given with [`Worker::data`](crate::Worker::data).
    ///
    /// # Errors
    /// A final failure that names the type when the worker has none of it.
    pub fn data<T: Send + Sync + 'static>(&self) -> Result<&T, Failure> {
        self.inner
            .data
            .get::<T>()
            .ok_or_else(|| Retry::never(format!("the worker has no data of type {}", type_name::<T>())))
    }

    /// Sessions on the database: those given with [`Worker::data`](crate::Worker::data), else those that the jobs
    /// themselves are kept with.
    ///
    /// # Errors
    /// A final failure when neither are of this kind.
    pub fn sessions<C: JobConn>(&self) -> Result<Sessions<C>, Failure> {
        let given = self.inner.data.get::<Sessions<C>>().cloned();
        given
            .or_else(|| self.inner.jobs.sessions::<C>())
            .ok_or_else(|| Retry::never(format!("the worker has no sessions of {}", C::DATABASE)))
    }

    /// Says how far the job has come, between 0 and 1, and what it is doing. Costs next to nothing: the newest word is
    /// written down with the worker's next exchange with the table, at the latest after a quarter of a second.
    pub fn progress(&self, fraction: f64, note: impl Into<String>) {
        let fraction = if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 };
        let claimed = &self.inner.claimed;
        let note = note.into().chars().filter(|each| *each != '\0').take(1_000).collect();
        let progress = Progress { id: claimed.id.clone(), attempts: claimed.attempts, fraction, note };
        // One message at a time: however often a job says something, only its newest word waits for the worker.
        if self.inner.word.put(progress) {
            let _ = self.inner.pump.send(Msg::Progress(self.inner.word.clone()));
        }
    }

    /// Whether the job is to end, and why.
    #[must_use]
    pub fn is_stopping(&self) -> Option<Stopping> {
        *self.inner.stop.borrow()
    }

    /// Waits until the job is to end; for a `select!` beside the work.
    pub async fn stopping(&self) -> Stopping {
        let mut stop = self.inner.stop.clone();
        match stop.wait_for(Option::is_some).await {
            Ok(reason) => (*reason).unwrap_or(Stopping::LeaseLost),
            // Nobody is left who could say: the worker is gone.
            Err(_) => Stopping::LeaseLost,
        }
    }

    /// Ends the job here when it is to end: `ctx.check()?` between two steps is all that a cancellable job needs.
    ///
    /// # Errors
    /// When it is to end. After [`Stopping::Shutdown`] the attempt does not count.
    pub fn check(&self) -> Result<(), Failure> {
        self.is_stopping().map_or(Ok(()), |reason| self.ends_for(reason))
    }

    /// The failure with which a job ends that is to end for this reason.
    pub(crate) fn ends_for(&self, reason: Stopping) -> Result<(), Failure> {
        Err(match reason {
            Stopping::Cancelled => Retry::never("cancelled while it ran"),
            Stopping::TimeLimit => Failure::new("the soft time limit is over"),
            Stopping::Shutdown => self.release_job(),
            Stopping::LeaseLost => Failure::new("another worker has the job"),
        })
    }

    /// A failure that puts the job back as it was, for any worker to take it at once; the attempt does not count. To wait for
    /// something, [`Retry::after`](crate::Retry::after) is better.
    #[must_use]
    pub fn release_job(&self) -> Failure {
        Failure { error: "put back by the job itself".into(), next: Next::Release }
    }

    /// Ends the job as done inside a transaction of the application's, so that its effects and its end are committed
    /// together or not at all. The job should return right after the commit, with the same output.
    ///
    /// # Errors
    /// [`RollbackTransaction`](diesel::result::Error::RollbackTransaction) when the lease is lost: another worker has the
    /// job, and this transaction must not be committed. Else what the database says.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "sqlite")] mod hidden {
    /// use diesel::{connection::SimpleConnection, prelude::*};
    /// # use serde::{Deserialize, Serialize};
    /// use utils_jobs::{Context, Failure, Job};
    ///
    /// # #[derive(Serialize, Deserialize)]
    /// struct Transfer { cents: i64 }
    ///
    /// impl Job for Transfer {
    ///     const NAME: &'static str = "bank.transfer";
    ///     type Output = ();
    ///
    ///     async fn run(self, ctx: Context) -> Result<(), Failure> {
    ///         let sessions = ctx.sessions::<SqliteConnection>()?;
    ///         sessions
    ///             .tx(move |conn| {
    ///                 conn.batch_execute("UPDATE account SET cents = cents + 1")?;
    ///                 ctx.finish_in(conn, &())
    ///             })
    ///             .await?;
    ///         Ok(())
    ///     }
    /// }
    /// # }
    /// ```
    pub fn finish_in<C: JobConn>(&self, conn: &mut C, output: &impl Serialize) -> diesel::QueryResult<()> {
        let result = serde_json::to_string(output)
            .map_err(|error| diesel::result::Error::SerializationError(Box::new(error)))?;
        let done = self.done(result);
        let now = self.inner.jobs.clock().millis();
        let ending = Ending { worker: &self.inner.worker, now, in_round: false };
        let ended = ends::finish(conn, &ending, &[done])?;
        if ended.count != 1 {
            return Err(diesel::result::Error::RollbackTransaction);
        }
        if ended.freed > 0 {
            self.inner.jobs.soon();
        }
        Ok(())
    }

    /// The end of a job that is done, with its output as JSON.
    pub(crate) fn done(&self, result: String) -> Finish {
        let claimed = &self.inner.claimed;
        Finish {
            id: claimed.id.clone(),
            attempts: claimed.attempts,
            state: state::DONE,
            run_at: None,
            result: Some(result),
            error: None,
            uncount: false,
            has_next: claimed.has_next != 0,
        }
    }

    /// The arguments, as they stand in the table.
    pub(crate) fn args(&self) -> &[u8] {
        &self.inner.claimed.args
    }

    /// Whether this attempt still holds the job, asked of the table inside a transaction.
    ///
    /// # Errors
    /// What the database says.
    pub fn still_holds<C: JobConn>(&self, conn: &mut C) -> Result<bool, JobsError> {
        let claimed = &self.inner.claimed;
        let held = Statement::new(
            "SELECT COUNT(*) AS n FROM utils_jobs WHERE id = ? AND worker = ? AND attempts = ? AND state = 1",
        );
        let held = conn.number(held.bind(&claimed.id).bind(&*self.inner.worker).bind(claimed.attempts))?;
        Ok(held == Some(1))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("id", &self.inner.claimed.id)
            .field("name", &self.inner.claimed.name)
            .field("attempt", &self.inner.claimed.attempts)
            .field("worker", &self.inner.worker)
            .finish_non_exhaustive()
    }
}

/// The application's data, by type.
#[derive(Default, Clone)]
pub(crate) struct DataMap {
    by_type: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl DataMap {
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, data: T) {
        self.by_type.insert(TypeId::of::<T>(), Arc::new(data));
    }

    fn get<T: 'static>(&self) -> Option<&T> {
        self.by_type.get(&TypeId::of::<T>()).and_then(|data| data.downcast_ref())
    }
}
