//! Jobs that are handled together, as the application sees them.
use std::{
    future::Future,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::Serialize;

use crate::{
    Context, Failure, Job, JobConn, Retry, Sessions, Stopping,
    run::{Outcome, raw},
    store::ends::{self, Ending},
};

/// A job of which many are handled in one call: rows that one statement inserts, messages that one request sends.
///
/// [`Worker::handle_batches`](crate::Worker::handle_batches) says how many at most, and for how long the first waits for
/// more. Jobs are enqueued one by one as always, and each stays a job of its own: it has its own result, attempts,
/// retries, dead letter, key and cancellation. An error of the whole call, a panic and a time-out are a failed attempt
/// of each of its jobs, as its policy has it. The last of several attempts is always made alone, so that a job which
/// takes the whole call down makes no dead letters of the others.
///
/// # Examples
/// ```
/// # #[cfg(feature = "sqlite")] {
/// use std::time::Duration;
/// use diesel::{connection::SimpleConnection, prelude::*};
/// use serde::{Deserialize, Serialize};
/// use utils_jobs::{Answers, Batch, BatchJob, Context, Failure, Job, Jobs, JobsError, Sessions, Worker};
///
/// diesel::table! {
///     click (page) { page -> Text }
/// }
///
/// #[derive(Serialize, Deserialize)]
/// struct Click {
///     page: String,
/// }
///
/// impl Job for Click {
///     const NAME: &'static str = "stats.click";
///     type Output = ();
///
///     async fn run(self, ctx: Context) -> Result<(), Failure> {
///         self.run_alone(ctx).await // where a worker handles them one by one
///     }
/// }
///
/// impl BatchJob for Click {
///     async fn run_batch(batch: Batch<Self>) -> Result<Answers<()>, Failure> {
///         let sessions = batch.sessions::<SqliteConnection>()?;
///         let done = sessions.tx(move |conn| {
///             let rows: Vec<_> = batch.iter().map(|(job, _)| click::page.eq(&job.page)).collect();
///             diesel::insert_into(click::table).values(rows).execute(conn)?;
///             let done = Answers::all(());
///             batch.finish_in(conn, &done)?; // the rows and the ends of the jobs: one commit
///             diesel::QueryResult::Ok(done)
///         });
///         Ok(done.await?)
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let sessions = Sessions::<SqliteConnection>::new(":memory:")?;
/// let jobs = Jobs::from_sessions(sessions.clone());
/// jobs.migrate()?;
/// sessions.with(|conn| conn.batch_execute("CREATE TABLE click (page TEXT PRIMARY KEY)"))?;
///
/// jobs.enqueue_many(["/", "/news", "/about"].map(|page| Click { page: page.to_owned() })).await?;
/// let mut worker = Worker::new(&jobs).handle_batches::<Click>(100, Duration::from_secs(2));
/// assert_eq!(worker.run_due().await?.succeeded, 3); // three jobs, in one call
/// # Ok::<(), JobsError>(()) }).unwrap();
/// # }
/// ```
pub trait BatchJob: Job {
    /// Does the work of all these jobs, and says how each has ended.
    ///
    /// # Errors
    /// What went wrong for all of them, by `?`: each has failed with it. What goes wrong for some of them belongs into
    /// the [`Answers`].
    fn run_batch(batch: Batch<Self>) -> impl Future<Output = Result<Answers<Self::Output>, Failure>> + Send;

    /// Does the work of one job, as a batch of one: for [`Job::run`].
    ///
    /// # Errors
    /// As [`run_batch`](Self::run_batch).
    fn run_alone(self, ctx: Context) -> impl Future<Output = Result<Self::Output, Failure>> + Send {
        async move { Self::run_batch(Batch::new(vec![(self, ctx)])).await?.of_one() }
    }
}

/// The jobs of one call, each with its [`Context`], the most urgent first. It is a slice of them, and never empty.
///
/// The contexts are those of the jobs: progress, notes, input and cancellation are each job's own.
#[derive(Debug)]
pub struct Batch<J> {
    jobs: Vec<(J, Context)>,
    /// One of them, for what all have in common.
    any: Option<Context>,
    lost: Arc<AtomicBool>,
}

impl<J: Job> Batch<J> {
    pub(crate) fn new(jobs: Vec<(J, Context)>) -> Self {
        let any = jobs.first().map(|(_, ctx)| ctx.clone());
        Self { jobs, any, lost: Arc::default() }
    }

    /// Up when a transaction was refused because one of the jobs is lost: the others have not failed.
    pub(crate) fn lost(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.lost)
    }

    /// What the worker was given, see [`Context::data`].
    ///
    /// # Errors
    /// As [`Context::data`].
    pub fn data<T: Send + Sync + 'static>(&self) -> Result<&T, Failure> {
        self.any.as_ref().ok_or_else(|| Retry::never("the batch is empty"))?.data()
    }

    /// Sessions on the database, see [`Context::sessions`].
    ///
    /// # Errors
    /// As [`Context::sessions`].
    pub fn sessions<C: JobConn>(&self) -> Result<Sessions<C>, Failure> {
        self.any.as_ref().ok_or_else(|| Retry::never("the batch is empty"))?.sessions()
    }

    /// Why the call is to end, when that goes for all of its jobs: a time limit or a shutdown, or all were cancelled.
    #[must_use]
    pub fn is_stopping(&self) -> Option<Stopping> {
        let reasons: Option<Vec<Stopping>> = self.jobs.iter().map(|(_, ctx)| ctx.is_stopping()).collect();
        reasons?.into_iter().min_by_key(|reason| reason.gravity())
    }

    /// Waits until the call is to end for all of its jobs; for a `select!` beside the work.
    pub async fn stopping(&self) -> Stopping {
        for (_, ctx) in &self.jobs {
            ctx.stopping().await;
        }
        self.is_stopping().unwrap_or(Stopping::LeaseLost)
    }

    /// Ends the call here when all of its jobs are to end, see [`Context::check`].
    ///
    /// # Errors
    /// When they are to end.
    pub fn check(&self) -> Result<(), Failure> {
        match (self.is_stopping(), &self.any) {
            (Some(reason), Some(any)) => any.ends_for(reason),
            _ => Ok(()),
        }
    }

    /// Ends the jobs that were answered with an output as done, inside a transaction of the application's: their effects
    /// and their ends are committed together or not at all. The handler should return the same answers right after the
    /// commit. Jobs that were answered with a failure end by those answers, so they should have no effects here.
    ///
    /// # Errors
    /// [`RollbackTransaction`](diesel::result::Error::RollbackTransaction) when the lease of one of these jobs is lost, for
    /// another worker has it: the transaction must not be committed. When the handler returns an error then, it is no
    /// failure of the others: they are put back, the attempt does not count, and they are handled again without that
    /// one. Also when there are not as many answers as jobs, and what the database says.
    pub fn finish_in<C: JobConn>(
        &self,
        conn: &mut C,
        answers: &Answers<J::Output>,
    ) -> diesel::QueryResult<()> {
        let Some(any) = &self.any else { return Ok(()) };
        let unwritten = |error: serde_json::Error| diesel::result::Error::SerializationError(Box::new(error));
        let mut ends = Vec::with_capacity(self.jobs.len());
        match &answers.0 {
            Kind::All(output) => {
                let result = serde_json::to_string(output).map_err(unwritten)?;
                ends.extend(self.jobs.iter().map(|(_, ctx)| ctx.done(result.clone())));
            }
            Kind::Each(each) => {
                if each.len() != self.jobs.len() {
                    return Err(diesel::result::Error::QueryBuilderError(
                        miscounted(each.len(), self.len()).error,
                    ));
                }
                for ((_, ctx), answer) in self.jobs.iter().zip(each) {
                    if let Ok(output) = answer {
                        ends.push(ctx.done(serde_json::to_string(output).map_err(unwritten)?));
                    }
                }
            }
        }
        let ending = Ending { worker: any.worker(), now: any.jobs().clock().millis(), in_round: false };
        let ended = ends::finish(conn, &ending, &ends)?;
        if ended.count != ends.len() {
            self.lost.store(true, Ordering::SeqCst);
            return Err(diesel::result::Error::RollbackTransaction);
        }
        if ended.freed > 0 {
            any.jobs().soon();
        }
        Ok(())
    }
}

impl<J> Deref for Batch<J> {
    type Target = [(J, Context)];

    fn deref(&self) -> &[(J, Context)] {
        &self.jobs
    }
}

impl<J> IntoIterator for Batch<J> {
    type Item = (J, Context);
    type IntoIter = std::vec::IntoIter<(J, Context)>;

    fn into_iter(self) -> Self::IntoIter {
        self.jobs.into_iter()
    }
}

impl<'a, J> IntoIterator for &'a Batch<J> {
    type Item = &'a (J, Context);
    type IntoIter = std::slice::Iter<'a, (J, Context)>;

    fn into_iter(self) -> Self::IntoIter {
        self.jobs.iter()
    }
}

/// How the jobs of a [`Batch`] have ended: all alike, or each by itself.
///
/// # Examples
/// ```
/// use utils_jobs::{Answers, Retry};
///
/// let stored = Answers::all(());
///
/// let codes = [200_u16, 402, 200];
/// let charged: Answers<u16> = codes
///     .into_iter()
///     .map(|code| if code == 200 { Ok(code) } else { Err(Retry::never("the card was refused")) })
///     .collect();
/// # drop((stored, charged));
/// ```
#[derive(Debug)]
pub struct Answers<T>(Kind<T>);

#[derive(Debug)]
enum Kind<T> {
    All(T),
    Each(Vec<Result<T, Failure>>),
}

impl<T> Answers<T> {
    /// All are done, and give this back.
    #[must_use]
    pub fn all(output: T) -> Self {
        Self(Kind::All(output))
    }

    /// One answer for each job, in the order of the batch; a failure may say what is [next](Retry). When there are more
    /// or fewer answers than jobs, nobody knows whose they are, and all have failed.
    pub fn each(answers: impl IntoIterator<Item = Result<T, Failure>>) -> Self {
        Self(Kind::Each(answers.into_iter().collect()))
    }

    fn of_one(self) -> Result<T, Failure> {
        match self.0 {
            Kind::All(output) => Ok(output),
            Kind::Each(mut each) => match (each.pop(), each.len()) {
                (Some(only), 0) => only,
                (last, others) => Err(miscounted(others + usize::from(last.is_some()), 1)),
            },
        }
    }
}

impl<T: Serialize> Answers<T> {
    /// The outcomes of so many jobs.
    pub(crate) fn into_outcomes(self, jobs: usize) -> Vec<Outcome> {
        match self.0 {
            Kind::All(output) => vec![raw(&output); jobs],
            Kind::Each(each) if each.len() == jobs => each.into_iter().map(|answer| raw(&answer?)).collect(),
            Kind::Each(each) => vec![Err(miscounted(each.len(), jobs).into()); jobs],
        }
    }
}

impl<T> FromIterator<Result<T, Failure>> for Answers<T> {
    fn from_iter<I: IntoIterator<Item = Result<T, Failure>>>(answers: I) -> Self {
        Self::each(answers)
    }
}

fn miscounted(answers: usize, jobs: usize) -> Failure {
    Failure::new(format!("its batch of {jobs} got {answers} answers"))
}
