use std::{collections::BTreeSet, marker::PhantomData};

use serde::de::DeserializeOwned;

use super::Jobs;
use crate::{
    Enqueue, Job, JobConn, JobId, JobsError,
    job::Start,
    pump::Msg,
    store::flow::{self, Link, NO_RESULT, NewFlow, SINGLE},
};

/// A job that takes up what the job before it gave back: the output of a single one, or those of a group in a `Vec`, in
/// the order in which its members were given.
///
/// It reads its input with [`Context::input`](crate::Context::input). The outputs are kept with it, also after the jobs
/// that gave them are purged, so those of a large group are best small, such as ids.
///
/// # Examples
/// ```
/// use serde::{Deserialize, Serialize};
/// use utils_jobs::{Context, Failure, Follow, Job, Jobs, Worker};
///
/// #[derive(Serialize, Deserialize)]
/// struct Count {
///     text: String,
/// }
///
/// impl Job for Count {
///     const NAME: &'static str = "count";
///     type Output = usize;
///
///     async fn run(self, _: Context) -> Result<usize, Failure> {
///         Ok(self.text.split_whitespace().count())
///     }
/// }
///
/// #[derive(Serialize, Deserialize)]
/// struct Sum;
///
/// impl Job for Sum {
///     const NAME: &'static str = "sum";
///     type Output = usize;
///
///     async fn run(self, ctx: Context) -> Result<usize, Failure> {
///         Ok(ctx.input::<Self>()?.into_iter().sum())
///     }
/// }
///
/// impl Follow for Sum {
///     type Input = Vec<usize>;
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let jobs = Jobs::memory();
/// let pages = ["to be", "or not to be"].map(|text| Count { text: text.to_owned() });
/// let sum = jobs.group(pages).then(Sum).start().await?.last;
///
/// Worker::new(&jobs).handle::<Count>().handle::<Sum>().run_due().await?;
/// assert_eq!(jobs.wait(&sum, std::time::Duration::ZERO).await?, 6);
/// # Ok::<(), utils_jobs::JobsError>(()) }).unwrap();
/// ```
pub trait Follow: Job {
    /// What it takes up.
    type Input: DeserializeOwned + Send + 'static;
}

/// Jobs of which each runs when the one before it has ended well; see [`Jobs::chain`].
#[derive(Debug)]
#[must_use = "nothing is enqueued until it is started"]
pub struct Chain<J> {
    draft: Draft,
    last: PhantomData<fn() -> J>,
}

/// Jobs of one type that run side by side, and of which the next job gets all outputs; see [`Jobs::group`].
#[derive(Debug)]
#[must_use = "nothing is enqueued until a job that comes after it is started"]
pub struct Group<J> {
    draft: Draft,
    members: PhantomData<fn() -> J>,
}

/// A chain that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flow<J> {
    /// The job at the end: its output is that of the whole.
    pub last: JobId<J>,
    /// All jobs, in the order in which they were given.
    pub all: Vec<JobId>,
}

/// What is to be enqueued.
#[derive(Debug)]
struct Draft {
    jobs: Jobs,
    flow: NewFlow,
    /// The jobs that the next one waits for.
    ends: Vec<String>,
    as_what: As,
    /// What the clock had on top when the first job was given, and the jobs whose time is fixed.
    offset: i64,
    fixed: BTreeSet<String>,
    error: Option<JobsError>,
}

/// What the ends of a draft are to the next job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum As {
    Single,
    Group,
    /// The group that was to come after them has no members: there is no result in them.
    EmptyGroup,
}

impl Jobs {
    /// Begins a chain: [`then`](Chain::then) says what comes after, [`start`](Chain::start) enqueues it.
    ///
    /// All jobs stand in the table from the start, those that wait as [`Blocked`](crate::State::Blocked), so each can be
    /// looked at, awaited and cancelled by its id. A job is let go in the transaction that ends the one before it: no
    /// kill falls between the two. Delays and expiries count from the start of the chain, unique keys are held from
    /// then on.
    ///
    /// When a job does not end well (dead, cancelled, expired), those after it stay blocked, and
    /// [`wait`](Self::wait) on one of them fails with the reason. [`requeue`](Self::requeue) of that job goes on where the
    /// chain stopped; [`cancel`](Self::cancel) of the last gives up. When the job that did not end well is purged, those
    /// that wait for it are cancelled.
    ///
    /// # Examples
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use utils_jobs::{Context, Failure, Follow, Job, Worker};
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Double(u64);
    /// # impl Job for Double {
    /// #     const NAME: &'static str = "double";
    /// #     type Output = u64;
    /// #     async fn run(self, _: Context) -> Result<u64, Failure> { Ok(2 * self.0) }
    /// # }
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Add(u64);
    /// # impl Job for Add {
    /// #     const NAME: &'static str = "add";
    /// #     type Output = u64;
    /// #     async fn run(self, ctx: Context) -> Result<u64, Failure> { Ok(self.0 + ctx.input::<Self>()?) }
    /// # }
    /// # impl Follow for Add { type Input = u64; }
    /// use utils_jobs::Jobs;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let jobs = Jobs::memory();
    /// let chain = jobs.chain(Double(20)).then(Add(1)).then(Add(1)).start().await?;
    /// # Worker::new(&jobs).handle::<Double>().handle::<Add>().run_due().await?;
    /// assert_eq!(jobs.wait(&chain.last, std::time::Duration::from_secs(5)).await?, 42);
    /// # Ok::<(), utils_jobs::JobsError>(()) }).unwrap();
    /// ```
    pub fn chain<E: Enqueue>(&self, first: E) -> Chain<E::Job> {
        let mut draft = Draft::new(self);
        draft.add([first], As::Single);
        Chain { draft, last: PhantomData }
    }

    /// Begins with jobs that run side by side; [`then`](Group::then) says what comes when all have ended well. With no
    /// job at all, that comes at once.
    pub fn group<E: Enqueue>(&self, members: impl IntoIterator<Item = E>) -> Group<E::Job> {
        let mut draft = Draft::new(self);
        draft.add(members, As::Group);
        Group { draft, members: PhantomData }
    }

    /// A transaction is about to be committed that lets jobs go.
    pub(crate) fn soon(&self) {
        self.tell(|| Msg::Soon);
    }
}

impl<J: Job> Chain<J> {
    /// The next job: it takes up what this one gives back.
    pub fn then<E>(self, next: E) -> Chain<E::Job>
    where
        E: Enqueue,
        E::Job: Follow<Input = J::Output>,
    {
        self.then_only(next)
    }

    /// The next job: it comes after this one, and what that gives back is none of its business.
    pub fn then_only<E: Enqueue>(mut self, next: E) -> Chain<E::Job> {
        self.draft.add([next], As::Single);
        Chain { draft: self.draft, last: PhantomData }
    }

    /// The next jobs, side by side: each takes up what this one gives back.
    pub fn then_group<E>(mut self, members: impl IntoIterator<Item = E>) -> Group<E::Job>
    where
        E: Enqueue,
        E::Job: Follow<Input = J::Output>,
    {
        self.draft.add(members, As::Group);
        Group { draft: self.draft, members: PhantomData }
    }

    /// Enqueues all jobs, or none.
    ///
    /// # Errors
    /// As [`Jobs::enqueue`], and [`JobsError::KeyTaken`] when another job has the unique key of one of them.
    pub async fn start(self) -> Result<Flow<J>, JobsError> {
        self.draft.jobs.in_time().await?;
        let (jobs, flow, started) = self.draft.finish()?;
        jobs.blocking(move |jobs| jobs.store().insert_flow(&flow)).await?;
        jobs.wake();
        Ok(started)
    }

    /// Enqueues all jobs on the application's own connection, in its transaction if it is in one; see
    /// [`Jobs::enqueue_in`].
    ///
    /// # Errors
    /// As [`start`](Self::start), and [`JobsError::OtherDatabase`]. After an error nothing of the chain is enqueued, and
    /// the transaction around it can still be committed.
    pub fn start_in<C: JobConn>(self, conn: &mut C) -> Result<Flow<J>, JobsError> {
        let here = self.draft.jobs.store().dialect();
        if here != C::DIALECT {
            return Err(JobsError::OtherDatabase { jobs: here.name(), connection: C::DATABASE });
        }
        self.draft.jobs.in_time_on(conn)?;
        let (jobs, flow, started) = self.draft.finish()?;
        flow::insert(conn, &flow)?;
        jobs.soon();
        Ok(started)
    }
}

impl<J: Job> Group<J> {
    /// The job that comes when all members have ended well: it takes up what they give back.
    pub fn then<E>(self, next: E) -> Chain<E::Job>
    where
        E: Enqueue,
        E::Job: Follow<Input = Vec<J::Output>>,
    {
        self.then_only(next)
    }

    /// The job that comes when all members have ended well, whatever they give back.
    pub fn then_only<E: Enqueue>(mut self, next: E) -> Chain<E::Job> {
        self.draft.add([next], As::Single);
        Chain { draft: self.draft, last: PhantomData }
    }
}

impl Draft {
    fn new(jobs: &Jobs) -> Self {
        Self {
            jobs: jobs.clone(),
            flow: NewFlow::default(),
            ends: Vec::new(),
            as_what: As::Single,
            offset: jobs.clock().offset(),
            fixed: BTreeSet::new(),
            error: None,
        }
    }

    /// Adds jobs, each of which waits for all that are the ends now.
    fn add<E: Enqueue>(&mut self, new: impl IntoIterator<Item = E>, as_what: As) {
        let is_first = self.flow.rows.is_empty() && self.as_what == As::Single;
        let before = std::mem::take(&mut self.ends);
        for job in new {
            let job = job.into_new_job();
            let is_fixed = matches!(job.start, Start::At(_));
            let row = match self.jobs.row(job) {
                Ok(row) => row,
                Err(error) => {
                    self.error.get_or_insert(error);
                    continue;
                }
            };
            if !is_first && before.is_empty() {
                self.flow.without_members.push(row.id.clone());
            }
            for (place, job) in (0_i64..).zip(&before) {
                let position = match self.as_what {
                    As::Single => SINGLE,
                    As::Group => place,
                    As::EmptyGroup => NO_RESULT,
                };
                self.flow.links.push(Link { job: job.clone(), next: row.id.clone(), position });
            }
            if is_fixed {
                self.fixed.insert(row.id.clone());
            }
            self.ends.push(row.id.clone());
            self.flow.rows.push(row);
        }
        self.as_what = as_what;
        if self.ends.is_empty() {
            self.ends = before;
            self.as_what = As::EmptyGroup;
        }
    }

    fn finish<J>(mut self) -> Result<(Jobs, NewFlow, Flow<J>), JobsError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        // The jobs were given before the server was asked for its time: theirs count from now.
        let late = self.jobs.clock().offset() - self.offset;
        if late != 0 && !self.jobs.clock().is_moved_by_hand() {
            for row in &mut self.flow.rows {
                row.created_at += late;
                if !self.fixed.contains(&row.id) {
                    row.run_at = row.run_at.saturating_add(late);
                }
                row.expires_at = row.expires_at.map(|at| at.saturating_add(late));
            }
        }
        let all: Vec<JobId> = self.flow.rows.iter().map(|row| JobId::new(&row.id)).collect();
        let last = all.last().ok_or(JobsError::NotFound)?.typed();
        Ok((self.jobs, self.flow, Flow { last, all }))
    }
}
