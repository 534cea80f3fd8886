use std::{fmt, future::Future, sync::Arc};

use crate::{Context, JobId};

tokio::task_local! {
    static CURRENT: RunningJob;
}

/// The job whose code this is called in: for those who are not told, such as error reports and loggers.
///
/// It is known in the future of the job and in the database work of [`Sessions`](crate::Sessions), also while a panic
/// unwinds; not in tasks that the job spawns.
#[derive(Clone)]
pub struct RunningJob {
    inner: Arc<Inner>,
}

struct Inner {
    first: Context,
    jobs: usize,
}

impl RunningJob {
    pub(crate) fn new(first: &Context, jobs: usize) -> Self {
        Self { inner: Arc::new(Inner { first: first.clone(), jobs }) }
    }

    /// The job that is running here, if any.
    ///
    /// # Examples
    /// ```
    /// assert!(utils_jobs::RunningJob::current().is_none());
    /// ```
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// The id of the job; of the first one in a batch.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.inner.first.id()
    }

    /// The name of its type.
    #[must_use]
    pub fn name(&self) -> &str {
        self.inner.first.name()
    }

    /// Its queue.
    #[must_use]
    pub fn queue(&self) -> &str {
        self.inner.first.queue()
    }

    /// Which attempt this is, counted from 1; of the first one in a batch.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.inner.first.attempt()
    }

    /// The worker that runs it.
    #[must_use]
    pub fn worker(&self) -> &str {
        self.inner.first.worker()
    }

    /// The release of the program.
    #[must_use]
    pub fn release(&self) -> &str {
        self.inner.first.release()
    }

    /// How many jobs are handled in this call: more than one only in a batch.
    #[must_use]
    pub fn jobs(&self) -> usize {
        self.inner.jobs
    }

    pub(crate) fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }
}

/// The work, in the job that this is called in, whatever thread it is run on.
pub(crate) fn inherit<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let current = RunningJob::current();
    move || match current {
        Some(job) => CURRENT.sync_scope(job, work),
        None => work(),
    }
}

impl fmt::Debug for RunningJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningJob")
            .field("name", &self.name())
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
