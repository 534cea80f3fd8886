use std::{error::Error, fmt, sync::Arc, time::Duration};

use crate::Backoff;

type Decides = Arc<dyn Fn(&(dyn Error + 'static)) -> bool + Send + Sync>;

/// How the jobs of a type are run. Every setter has a default that is safe.
///
/// The queue, the priority, the number of attempts and the expiry are written down with each job when it is enqueued;
/// the rest is what the worker's program says when it runs the job.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use utils_jobs::{Backoff, Policy};
///
/// let policy = Policy::new()
///     .queue("mail")
///     .attempts(5)
///     .backoff(Backoff::exponential(Duration::from_secs(1), Duration::from_secs(60)))
///     .final_on::<std::num::ParseIntError>()
///     .timeout(Duration::from_secs(30))
///     .rate(100, Duration::from_secs(60));
/// ```
#[derive(Clone)]
pub struct Policy {
    pub(crate) queue: &'static str,
    pub(crate) priority: i32,
    pub(crate) attempts: u32,
    pub(crate) expires_after: Option<Duration>,
    pub(crate) backoff: Backoff,
    pub(crate) soft_timeout: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) cancel_grace: Duration,
    pub(crate) concurrency: Option<usize>,
    pub(crate) rate: Option<(u32, Duration)>,
    pub(crate) blocking: bool,
    pub(crate) final_errors: Vec<Decides>,
}

impl Policy {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            queue: "default",
            priority: 0,
            attempts: 8,
            expires_after: None,
            backoff: Backoff::default(),
            soft_timeout: None,
            timeout: None,
            cancel_grace: Duration::from_secs(10),
            concurrency: None,
            rate: None,
            blocking: false,
            final_errors: Vec::new(),
        }
    }

    /// Sets the queue. Default: `default`.
    #[must_use]
    pub fn queue(mut self, queue: &'static str) -> Self {
        self.queue = queue;
        self
    }

    /// Sets the priority: higher runs first. Default: 0.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Sets how often a job is tried before it is a dead letter. At least 1. Default: 8.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Sets how long after enqueueing a job may still be started. Default: for ever.
    #[must_use]
    pub fn expires_after(mut self, time: Duration) -> Self {
        self.expires_after = Some(time);
        self
    }

    /// Sets the waits between attempts. Default: exponential from 1 s to 10 min with full jitter.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Says that an error of type `E`, anywhere among the causes, is final: trying again cannot help.
    #[must_use]
    pub fn final_on<E: Error + 'static>(self) -> Self {
        self.final_if(|error| error.is::<E>())
    }

    /// Says which errors are final. It is asked for the error and for each of its causes.
    #[must_use]
    pub fn final_if(
        mut self,
        is_final: impl Fn(&(dyn Error + 'static)) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.final_errors.push(Arc::new(is_final));
        self
    }

    /// Sets the hard time limit of an attempt: the job's future is dropped, and the attempt has failed. Default: none.
    ///
    /// A [blocking](Self::blocking) job cannot be stopped from outside; its attempt ends all the same, and its thread
    /// goes on until it looks at [`Context::is_stopping`](crate::Context::is_stopping).
    #[must_use]
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }

    /// Sets the soft time limit: the job is [told](crate::Context::stopping) and can end by itself. Default: none.
    #[must_use]
    pub fn soft_timeout(mut self, time: Duration) -> Self {
        self.soft_timeout = Some(time);
        self
    }

    /// Sets how long a job that is cancelled while it runs has to end by itself. Default: 10 s.
    #[must_use]
    pub fn cancel_grace(mut self, time: Duration) -> Self {
        self.cancel_grace = time;
        self
    }

    /// Sets how many jobs of this type one worker runs at once, a [batch](crate::Worker::handle_batches) counting as one.
    /// Default: as many as the worker runs at all.
    ///
    /// A type with a limit and a long backlog is best in a queue of its own, because looking past that backlog for
    /// other jobs takes time.
    #[must_use]
    pub fn concurrency(mut self, jobs: usize) -> Self {
        self.concurrency = Some(jobs.max(1));
        self
    }

    /// Sets how many jobs of this type one worker starts in a span of time, a [batch](crate::Worker::handle_batches)
    /// counting as one. Default: no limit.
    #[must_use]
    pub fn rate(mut self, jobs: u32, per: Duration) -> Self {
        self.rate = Some((jobs.max(1), per));
        self
    }

    /// Says that the job blocks its thread: it runs on tokio's blocking pool instead of the event loop.
    #[must_use]
    pub fn blocking(mut self) -> Self {
        self.blocking = true;
        self
    }

    pub(crate) fn is_final(&self, error: &(dyn Error + 'static)) -> bool {
        let mut cause = Some(error);
        while let Some(each) = cause {
            if self.final_errors.iter().any(|decides| decides(each)) {
                return true;
            }
            cause = each.source();
        }
        false
    }

    /// Whether jobs of this type are claimed apart from the others.
    pub(crate) fn is_limited(&self) -> bool {
        self.concurrency.is_some() || self.rate.is_some()
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("queue", &self.queue)
            .field("priority", &self.priority)
            .field("attempts", &self.attempts)
            .field("expires_after", &self.expires_after)
            .field("backoff", &self.backoff)
            .field("soft_timeout", &self.soft_timeout)
            .field("timeout", &self.timeout)
            .field("cancel_grace", &self.cancel_grace)
            .field("concurrency", &self.concurrency)
            .field("rate", &self.rate)
            .field("blocking", &self.blocking)
            .field("final_errors", &self.final_errors.len())
            .finish()
    }
}
