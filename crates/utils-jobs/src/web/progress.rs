use std::{convert::Infallible, fmt, time::Duration};

use actix_web::{HttpRequest, HttpResponse, Responder, body::BoxBody, http::header, web::Bytes};
use futures_util::{Stream, stream};
use serde_json::Value;
use tokio::time::Instant;

use crate::{JobStatus, Jobs, JobsError, clock, failure::error_line};

/// How a job gets on, as server-sent events: an answer for a handler.
///
/// The handler has looked the job up and decided that this client may see it; the stream begins with that status. Each
/// change is an event `status` with a [`JobStatus`] as JSON; the one that ends the job ends the stream. When the job is
/// purged meanwhile, the last event is `gone`. A browser that connects again after the end gets 204, which tells its
/// `EventSource` to stop.
///
/// The job's end in this process shows at once; else the table is looked at every [`poll`](Self::poll), and a comment is sent every
/// [`keep_alive`](Self::keep_alive), so that proxies leave the connection open. After [`at_most`](Self::at_most) the
/// stream ends, and an `EventSource` connects anew: through the handler, which decides anew.
///
/// A status holds the text of the job's last error, the notes of who enqueued it and the worker's name. For clients who
/// should not see these, [`show`](Self::show) something else.
///
/// # Examples
/// ```
/// use actix_web::{Responder, error, get, web};
/// use serde_json::json;
/// use utils_jobs::{Jobs, ProgressStream};
///
/// #[get("/jobs/{id}/progress")]
/// async fn progress(jobs: web::Data<Jobs>, id: web::Path<String>) -> actix_web::Result<impl Responder> {
///     let status = jobs.status(&*id).await.map_err(error::ErrorServiceUnavailable)?;
///     let status = status
///         .filter(|status| status.meta.get("user").is_some_and(|user| user == "7"))
///         .ok_or_else(|| error::ErrorNotFound("no such job"))?;
///     Ok(ProgressStream::new(&jobs, status)
///         .show(|status| json!({ "state": status.state, "progress": status.progress })))
/// }
/// ```
#[must_use = "the stream is an answer: return it from the handler"]
pub struct ProgressStream {
    jobs: Jobs,
    status: JobStatus,
    poll: Duration,
    keep_alive: Duration,
    at_most: Duration,
    show: Box<dyn Fn(&JobStatus) -> Value>,
}

/// The least time between two looks at the table.
const LEAST: Duration = Duration::from_millis(50);
/// What `Last-Event-ID` holds when the client has seen the end.
const END: &str = "end";

impl ProgressStream {
    /// The progress of a job from this status on.
    pub fn new(jobs: &Jobs, status: JobStatus) -> Self {
        Self {
            jobs: jobs.clone(),
            status,
            poll: Duration::from_millis(500),
            keep_alive: Duration::from_secs(15),
            at_most: Duration::from_secs(600),
            show: Box::new(|status| serde_json::to_value(status).unwrap_or_default()),
        }
    }

    /// Sets how often the table is looked at. Default: 500 ms; at least 50 ms.
    pub fn poll(mut self, time: Duration) -> Self {
        self.poll = time.max(LEAST);
        self
    }

    /// Sets after how long without an event a comment is sent. Default: 15 s; at least 50 ms.
    pub fn keep_alive(mut self, time: Duration) -> Self {
        self.keep_alive = time.max(LEAST);
        self
    }

    /// Sets how long one answer lasts. Default: 10 min.
    pub fn at_most(mut self, time: Duration) -> Self {
        self.at_most = time;
        self
    }

    /// Sets what clients see of a status. Changes that do not show are not sent.
    pub fn show(mut self, show: impl Fn(&JobStatus) -> Value + 'static) -> Self {
        self.show = Box::new(show);
        self
    }

    /// The events, without an answer around them.
    pub fn events(self) -> impl Stream<Item = Result<Bytes, Infallible>> + 'static {
        let now = Instant::now();
        let following = Following {
            until: later(now, self.at_most),
            comment_at: later(now, self.keep_alive),
            shown: None,
            next: Some(Ok(Some(self.status.clone()))),
            ended: false,
            of: self,
        };
        stream::unfold(following, |mut following| async move {
            let event = following.event().await?;
            Some((Ok(Bytes::from(event)), following))
        })
    }
}

fn later(now: Instant, time: Duration) -> Instant {
    Instant::from_std(clock::later(now.into_std(), time))
}

/// Where a stream has got to.
struct Following {
    of: ProgressStream,
    shown: Option<Value>,
    next: Option<Result<Option<JobStatus>, JobsError>>,
    until: Instant,
    comment_at: Instant,
    ended: bool,
}

impl Following {
    /// The next event or comment; `None` at the end.
    async fn event(&mut self) -> Option<String> {
        loop {
            if self.ended {
                return None;
            }
            if let Some(found) = self.next.take()
                && let Some(event) = self.take(found)
            {
                self.comment_at = later(Instant::now(), self.of.keep_alive);
                return Some(event);
            }
            let now = Instant::now();
            if now >= self.until {
                return None;
            }
            if now >= self.comment_at {
                self.comment_at = later(now, self.of.keep_alive);
                return Some(": still here\n\n".to_owned());
            }
            let wake = later(now, self.of.poll).min(self.comment_at).min(self.until);
            self.of.jobs.end_or(self.of.status.id.as_str(), wake - now).await;
            self.next = Some(self.of.jobs.status(&self.of.status.id).await);
        }
    }

    fn take(&mut self, found: Result<Option<JobStatus>, JobsError>) -> Option<String> {
        match found {
            Ok(Some(status)) => {
                self.ended = status.state.is_final();
                let shown = (self.of.show)(&status);
                if !self.ended && self.shown.as_ref() == Some(&shown) {
                    return None;
                }
                // JSON has no line break outside of its escapes, so one line of data holds it.
                let id = if self.ended { "id: end\n" } else { "" };
                let event = format!("event: status\n{id}data: {shown}\n\n");
                self.shown = Some(shown);
                Some(event)
            }
            Ok(None) => {
                self.ended = true;
                Some("event: gone\nid: end\ndata: {}\n\n".to_owned())
            }
            // The table may be back at the next look.
            Err(error) => {
                tracing::debug!(error = %error_line(&error), "the status of a job cannot be read");
                None
            }
        }
    }
}

impl Responder for ProgressStream {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse {
        let seen = request.headers().get("last-event-id");
        if seen.is_some_and(|seen| seen.as_bytes() == END.as_bytes()) {
            return HttpResponse::NoContent().finish();
        }
        HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, "text/event-stream"))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header(("x-accel-buffering", "no")) // nginx would keep the events back
            .streaming(self.events())
    }
}

impl fmt::Debug for ProgressStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgressStream")
            .field("id", &self.status.id)
            .field("poll", &self.poll)
            .field("keep_alive", &self.keep_alive)
            .field("at_most", &self.at_most)
            .finish_non_exhaustive()
    }
}
