//! Reports of failed jobs.
use std::borrow::Cow;

use sentry::{
    event_from_error,
    protocol::{Context, Event, TraceContext},
};
use utils_jobs::{FailedAttempt, Panicked, RunningJob, TraceParent};

/// Reports a job that failed for good, once, with its cause: for
/// [`JobsBuilder::on_failure`](utils_jobs::JobsBuilder::on_failure).
///
/// The report is tagged with `job`, `job.id`, `job.queue`, `job.attempt` and `job.worker`; its release is that of the
/// jobs, and it belongs to the trace of the request that enqueued the job. Attempts that are tried again are no reports.
/// A panic is reported by the client when it happens, with the same tags, so a job that dies of one is no second report.
///
/// ```
/// use utils_jobs::Jobs;
///
/// let jobs = Jobs::builder().on_failure(utils_sentry::report_job).open("memory:")?;
/// # Ok::<(), utils_jobs::JobsError>(())
/// ```
pub fn report_job(failed: &FailedAttempt<'_>) {
    if !failed.is_dead || failed.error.is::<Panicked>() {
        return;
    }
    let mut event = event_from_error(failed.error);
    let job = Tagged {
        name: failed.name,
        id: failed.id.as_str(),
        queue: failed.queue,
        attempt: failed.attempt,
        worker: failed.worker,
        release: failed.release,
    };
    job.tag(&mut event);
    if let Some(trace) = failed.trace.and_then(trace_context) {
        event.contexts.insert("trace".to_owned(), Context::Trace(Box::new(trace)));
    }
    sentry::capture_event(event);
}

/// Says of an event in which job it happened, where it was in one: a panic, or what the application captures itself.
pub(crate) fn tag_running(event: &mut Event<'static>) {
    let Some(job) = RunningJob::current() else { return };
    let id = job.id();
    let tagged = Tagged {
        name: job.name(),
        id: id.as_str(),
        queue: job.queue(),
        attempt: job.attempt(),
        worker: Some(job.worker()),
        release: job.release(),
    };
    tagged.tag(event);
    if job.jobs() > 1 {
        event.tags.insert("job.batch".to_owned(), job.jobs().to_string());
    }
}

struct Tagged<'a> {
    name: &'a str,
    id: &'a str,
    queue: &'a str,
    attempt: u32,
    worker: Option<&'a str>,
    release: &'a str,
}

impl Tagged<'_> {
    fn tag(&self, event: &mut Event<'static>) {
        event.release = Some(Cow::Owned(self.release.to_owned()));
        event.transaction.get_or_insert_with(|| self.name.to_owned());
        let attempt = self.attempt.to_string();
        let tags = [
            ("job", self.name),
            ("job.id", self.id),
            ("job.queue", self.queue),
            ("job.attempt", &attempt),
            ("job.worker", self.worker.unwrap_or_default()),
        ];
        let tags = tags.into_iter().filter(|(_, value)| !value.is_empty());
        event.tags.extend(tags.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}

fn trace_context(trace: TraceParent) -> Option<TraceContext> {
    Some(TraceContext {
        trace_id: trace.trace_id().parse().ok()?,
        parent_span_id: Some(trace.parent_id().parse().ok()?),
        ..TraceContext::default()
    })
}
