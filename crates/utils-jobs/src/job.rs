use std::{
    collections::BTreeMap,
    future::Future,
    time::{Duration, SystemTime},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Context, Failure, Policy};

/// A piece of work that is done later: its arguments are the struct, its name is for ever, its code is [`run`](Self::run).
///
/// # Examples
/// ```
/// use serde::{Deserialize, Serialize};
/// use utils_jobs::{Context, Failure, Job, Policy};
///
/// #[derive(Serialize, Deserialize)]
/// struct CountWords {
///     text: String,
/// }
///
/// impl Job for CountWords {
///     const NAME: &'static str = "text.count_words";
///     type Output = usize;
///
///     fn policy() -> Policy {
///         Policy::new().queue("text").attempts(3)
///     }
///
///     async fn run(self, ctx: Context) -> Result<usize, Failure> {
///         ctx.progress(0.5, "reading");
///         Ok(self.text.split_whitespace().count())
///     }
/// }
/// ```
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// The name in the table. A renamed type keeps it, so that no waiting job is lost; arguments that change in a way
    /// that old ones cannot be read need a new one, such as `mail.welcome.v2`.
    const NAME: &'static str;

    /// What the job gives back: kept with it as JSON until it is purged.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// How jobs of this type are run.
    #[must_use]
    fn policy() -> Policy {
        Policy::new()
    }

    /// Does the work. May be called again after a failure, a time-out or the death of its process, so its effects should
    /// bear repeating; [`Context::finish_in`] makes effects in the database happen exactly once.
    ///
    /// # Errors
    /// Any error, by `?`; what follows is the policy's decision, or that of [`Retry`](crate::Retry).
    fn run(self, ctx: Context) -> impl Future<Output = Result<Self::Output, Failure>> + Send;

    /// This job, not before `delay` has passed.
    #[must_use]
    fn after(self, delay: Duration) -> NewJob<Self> {
        NewJob::new(self).after(delay)
    }

    /// This job, not before `time`.
    #[must_use]
    fn at(self, time: SystemTime) -> NewJob<Self> {
        NewJob::new(self).at(time)
    }

    /// This job, with a priority of its own: higher runs first.
    #[must_use]
    fn priority(self, priority: i32) -> NewJob<Self> {
        NewJob::new(self).priority(priority)
    }

    /// This job, unless one of its type with the same key has not ended yet.
    #[must_use]
    fn unique(self, key: impl Into<String>) -> NewJob<Self> {
        NewJob::new(self).unique(key)
    }

    /// This job with settings of its own.
    #[must_use]
    fn with(self) -> NewJob<Self> {
        NewJob::new(self)
    }
}

/// A job about to be enqueued, with what differs from its [`Policy`].
#[derive(Debug, Clone)]
pub struct NewJob<J> {
    pub(crate) job: J,
    pub(crate) start: Start,
    pub(crate) queue: Option<String>,
    pub(crate) priority: Option<i32>,
    pub(crate) attempts: Option<u32>,
    pub(crate) expires_after: Option<Duration>,
    pub(crate) key: Option<String>,
    pub(crate) keep_key: bool,
    pub(crate) meta: BTreeMap<String, String>,
}

/// When a job may start.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start {
    Now,
    After(Duration),
    At(SystemTime),
}

impl<J> NewJob<J> {
    pub(crate) fn new(job: J) -> Self {
        Self {
            job,
            start: Start::Now,
            queue: None,
            priority: None,
            attempts: None,
            expires_after: None,
            key: None,
            keep_key: false,
            meta: BTreeMap::new(),
        }
    }

    /// Starts it only after this time, to the millisecond.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.start = Start::After(delay);
        self
    }

    /// Starts it only at this time; a time in the past is now.
    #[must_use]
    pub fn at(mut self, time: SystemTime) -> Self {
        self.start = Start::At(time);
        self
    }

    /// Puts it into another queue.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Sets the priority: higher runs first.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Sets how often it is tried. At least 1.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = Some(attempts.max(1));
        self
    }

    /// Sets how long after now it may still be started.
    #[must_use]
    pub fn expires_after(mut self, time: Duration) -> Self {
        self.expires_after = Some(time);
        self
    }

    /// Enqueues it only if no job of its type with this key waits or runs. The key is free again when the job has ended.
    #[must_use]
    pub fn unique(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self.keep_key = false;
        self
    }

    /// Enqueues it only if no job of its type ever had this key, as far back as jobs are kept: for requests that a
    /// client repeats.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self.keep_key = true;
        self
    }

    /// Adds a note for those who watch jobs, such as the user or the trace that it belongs to.
    #[must_use]
    pub fn meta(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.meta.insert(key.into(), value.into());
        self
    }
}

/// A job, or a job with settings: what can be enqueued.
pub trait Enqueue {
    /// The type of the job.
    type Job: Job;

    /// The job with its settings.
    fn into_new_job(self) -> NewJob<Self::Job>;
}

impl<J: Job> Enqueue for J {
    type Job = J;

    fn into_new_job(self) -> NewJob<J> {
        NewJob::new(self)
    }
}

impl<J: Job> Enqueue for NewJob<J> {
    type Job = J;

    fn into_new_job(self) -> Self {
        self
    }
}
