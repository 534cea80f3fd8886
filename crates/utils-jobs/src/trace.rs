//! W3C Trace Context (<https://www.w3.org/TR/trace-context/>): what joins a request to the jobs that it enqueued.
use std::{collections::BTreeMap, fmt, future::Future, str::FromStr};

use crate::{Context, NewJob};

/// The note of a job that holds its `traceparent`.
pub(crate) const TRACEPARENT: &str = "traceparent";

tokio::task_local! {
    static CURRENT: TraceParent;
}

/// A `traceparent`: the trace that something belongs to, and the span that caused it.
///
/// A job gets one by [`NewJob::trace`], or from the [scope](Self::scope) that it is enqueued in. With it, the span of each
/// run has `trace_id` and `parent_id`, and what the job enqueues belongs to the same trace.
///
/// # Examples
/// ```
/// use utils_jobs::TraceParent;
///
/// let trace: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse()?;
/// assert_eq!(trace.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert_eq!(trace.parent_id(), "00f067aa0ba902b7");
/// assert!(trace.is_sampled());
/// # Ok::<(), utils_jobs::TraceParentError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace: u128,
    parent: u64,
    flags: u8,
}

/// The text is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the traceparent is malformed")]
pub struct TraceParentError;

/// The bit of the flags that says that the trace is recorded.
const SAMPLED: u8 = 1;

impl TraceParent {
    /// A new trace, not sampled, by the system's random numbers; `None` when there are none.
    #[must_use]
    pub fn random() -> Option<Self> {
        let mut bytes = [0_u8; 24];
        getrandom::fill(&mut bytes).ok()?;
        let (trace, parent) = bytes.split_first_chunk::<16>()?;
        let parent = parent.first_chunk::<8>()?;
        // Zero is invalid, and as likely as anything else.
        let (trace, parent) = (u128::from_be_bytes(*trace).max(1), u64::from_be_bytes(*parent).max(1));
        Some(Self { trace, parent, flags: 0 })
    }

    /// The trace, in 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The span that caused this, in 16 hexadecimal digits.
    #[must_use]
    pub fn parent_id(&self) -> String {
        format!("{:016x}", self.parent)
    }

    /// Whether the caller records the trace.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The trace of the scope that this is called in.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|trace| *trace).ok()
    }

    /// Lets the jobs that the future enqueues belong to this trace, those of [`Sessions::run`](crate::Sessions::run) and
    /// [`Sessions::tx`](crate::Sessions::tx) among them. Tasks that it spawns are not in the scope.
    ///
    /// # Examples
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use utils_jobs::{Context, Failure, Job};
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Welcome;
    /// # impl Job for Welcome {
    /// #     const NAME: &'static str = "welcome";
    /// #     type Output = ();
    /// #     async fn run(self, _: Context) -> Result<(), Failure> { Ok(()) }
    /// # }
    /// use utils_jobs::{Jobs, TraceParent};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let jobs = Jobs::open("memory:")?;
    /// let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    /// let trace: TraceParent = header.parse()?;
    ///
    /// let id = trace.scope(jobs.enqueue(Welcome)).await?;
    /// assert_eq!(jobs.status(&id).await?.unwrap().meta["traceparent"], header);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }

    /// Lets the jobs that the function enqueues belong to this trace: for code on a blocking thread.
    pub fn scope_sync<T>(self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, work)
    }
}

/// The trace in the notes of a job, which are JSON. Most have none, and are not read.
pub(crate) fn of_notes(notes: &str) -> Option<TraceParent> {
    if !notes.contains(TRACEPARENT) {
        return None;
    }
    let notes: BTreeMap<String, String> = serde_json::from_str(notes).ok()?;
    notes.get(TRACEPARENT)?.parse().ok()
}

/// The work, in the scope that this is called in, whatever thread it is run on.
pub(crate) fn inherit<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let current = TraceParent::current();
    move || match current {
        Some(trace) => trace.scope_sync(work),
        None => work(),
    }
}

impl FromStr for TraceParent {
    type Err = TraceParentError;

    /// Reads the header as section 3.2 says: lower case digits, nothing all zero, and of later versions what we know.
    fn from_str(text: &str) -> Result<Self, TraceParentError> {
        let mut fields = text.split('-');
        let mut digits = |count: usize| {
            let field = fields.next().filter(|field| field.len() == count).ok_or(TraceParentError)?;
            let is_lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            if !field.bytes().all(is_lower_hex) {
                return Err(TraceParentError);
            }
            u128::from_str_radix(field, 16).map_err(|_| TraceParentError)
        };
        let (version, trace, parent, flags) = (digits(2)?, digits(32)?, digits(16)?, digits(2)?);
        let has_more = fields.next().is_some();
        if version == 0xff || (version == 0 && has_more) || trace == 0 || parent == 0 {
            return Err(TraceParentError);
        }
        Ok(Self {
            trace,
            parent: u64::try_from(parent).map_err(|_| TraceParentError)?,
            flags: u8::try_from(flags).map_err(|_| TraceParentError)?,
        })
    }
}

impl fmt::Display for TraceParent {
    /// The header, in version 00.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.parent, self.flags & SAMPLED)
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceParent({self})")
    }
}

impl<J> NewJob<J> {
    /// Lets the job belong to this trace, whatever scope it is enqueued in.
    #[must_use]
    pub fn trace(self, trace: TraceParent) -> Self {
        self.meta(TRACEPARENT, trace.to_string())
    }
}

impl Context {
    /// The trace that the job belongs to.
    #[must_use]
    pub fn trace(&self) -> Option<TraceParent> {
        self.meta().get(TRACEPARENT)?.parse().ok()
    }
}
