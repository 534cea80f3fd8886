//! The apalis board: its pages, with our table behind them and the application's guard before them.
use std::{convert::Infallible, fmt, marker::PhantomData, rc::Rc, time::Duration};

use actix_web::{
    Error, FromRequest, HttpResponse,
    body::MessageBody,
    dev::{AppService, HttpServiceFactory, ServiceRequest, ServiceResponse},
    error, guard,
    http::{Method, header},
    middleware::{Next, from_fn},
    web::{self, Data, Path, Query},
};
use apalis_board::actix::{RawTask, ui::ServeUI};
use apalis_core::{backend::Filter, task::Task};
use futures_util::stream;
use serde_json::Value;

use crate::{Jobs, JobsError, backend::look, failure::error_line};

/// The [apalis board](https://docs.rs/apalis-board) over all jobs: pages for a browser, with queues, workers, jobs and
/// numbers. To look at only: nothing can be changed by it.
///
/// The board itself asks nobody who they are, so it is made with a guard: an extractor of the application's and a decision.
/// When the extractor fails, its error is the answer, such as 401; when the decision is no, the answer is 404. That holds
/// for the pages, their files and the API alike.
///
/// Its pages want the root of a host and answer every path of it. Give them a port or a [host](Self::host) of their own, or
/// register the board as the last service of an `App` that has no other pages. They load nothing from elsewhere.
///
/// # Examples
/// ```no_run
/// use actix_web::{App, HttpRequest, HttpServer};
/// use utils_jobs::{Board, Jobs};
///
/// # async fn serve(jobs: Jobs) -> std::io::Result<()> {
/// // Here it is whoever can reach the loopback interface; an application asks its own extractor.
/// let is_local = |request: HttpRequest| request.peer_addr().is_some_and(|peer| peer.ip().is_loopback());
/// HttpServer::new(move || App::new().service(Board::new(&jobs, is_local)))
///     .bind(("127.0.0.1", 8090))?
///     .run()
///     .await
/// # }
/// ```
#[must_use = "the board is a service: register it with an `App`"]
pub struct Board<E, G> {
    jobs: Jobs,
    allows: G,
    host: Option<String>,
    extractor: PhantomData<fn(E)>,
}

impl<E, G> Board<E, G>
where
    E: FromRequest + 'static,
    G: Fn(E) -> bool + 'static,
{
    /// A board of these jobs, for those whom the guard lets in.
    pub fn new(jobs: &Jobs, allows: G) -> Self {
        Self { jobs: jobs.clone(), allows, host: None, extractor: PhantomData }
    }

    /// Answers only requests to this host, such as `jobs.example.org`; others go on to the next service. It says which
    /// service a request is for, and keeps nobody out: clients write it.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }
}

impl<E, G> HttpServiceFactory for Board<E, G>
where
    E: FromRequest + 'static,
    G: Fn(E) -> bool + 'static,
{
    fn register(self, config: &mut AppService) {
        let allows = Rc::new(self.allows);
        let mut scope = web::scope("").app_data(Data::new(self.jobs)).service(api()).service(ServeUI::new());
        if let Some(host) = self.host {
            scope = scope.guard(guard::Host(host));
        }
        let guarded = scope.wrap(from_fn(move |request, next| guarded(Rc::clone(&allows), request, next)));
        guarded.register(config);
    }
}

impl<E, G> fmt::Debug for Board<E, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").field("jobs", &self.jobs).field("host", &self.host).finish_non_exhaustive()
    }
}

/// What the pages may load: what is served here, its WebAssembly, and the small script in the page.
const POLICY: &str = "default-src 'none'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; connect-src 'self'; \
     style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; base-uri 'self'; \
     form-action 'none'; frame-ancestors 'none'";

async fn guarded<E, G, B>(
    allows: Rc<G>,
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error>
where
    E: FromRequest,
    G: Fn(E) -> bool,
    B: MessageBody,
{
    let who = request.extract::<E>().await.map_err(Into::into)?;
    if !allows(who) {
        return Err(error::ErrorNotFound("not found"));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(error::ErrorMethodNotAllowed("the board is to look at only"));
    }
    let mut answer = next.call(request).await?;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, header::HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, header::HeaderValue::from_static("no-referrer"));
    Ok(answer)
}

/// The API that the pages call. apalis-board's own wants one storage for each queue, known at the start, that gives jobs
/// out undecoded; these answer the same for queues that appear later.
fn api() -> actix_web::Scope {
    web::scope("/api/v1")
        .route("/overview", web::get().to(overview))
        .route("/queues", web::get().to(queues))
        .route("/workers", web::get().to(workers))
        .route("/tasks", web::get().to(tasks))
        .route("/queues/{queue}/stats", web::get().to(queue_stats))
        .route("/queues/{queue}/workers", web::get().to(queue_workers))
        .route("/queues/{queue}/tasks", web::get().to(queue_tasks))
        .route("/queues/{queue}/tasks/{id}", web::get().to(queue_task))
        .route("/events", web::get().to(events))
        .default_service(web::to(async || HttpResponse::NotFound()))
}

async fn overview(jobs: Data<Jobs>) -> HttpResponse {
    answer(look::statistics(&jobs, None).await)
}

async fn queues(jobs: Data<Jobs>) -> HttpResponse {
    answer(look::queues(&jobs).await)
}

async fn workers(jobs: Data<Jobs>) -> HttpResponse {
    answer(look::workers(&jobs, None).await)
}

async fn tasks(jobs: Data<Jobs>, filter: Query<Filter>) -> HttpResponse {
    answer(page(&jobs, None, &filter).await)
}

async fn queue_stats(jobs: Data<Jobs>, queue: Path<String>) -> HttpResponse {
    answer(look::statistics(&jobs, Some(&[queue.into_inner()])).await)
}

async fn queue_workers(jobs: Data<Jobs>, queue: Path<String>) -> HttpResponse {
    answer(look::workers(&jobs, Some(&[queue.into_inner()])).await)
}

async fn queue_tasks(jobs: Data<Jobs>, queue: Path<String>, filter: Query<Filter>) -> HttpResponse {
    answer(page(&jobs, Some(&[queue.into_inner()]), &filter).await)
}

async fn queue_task(jobs: Data<Jobs>, path: Path<(String, String)>) -> HttpResponse {
    let (queue, id) = path.into_inner();
    match look::record(&jobs, id).await {
        Ok(Some(record)) if record.queue == queue => answer(Ok(shown(look::task(record)))),
        Ok(_) => HttpResponse::NotFound().finish(),
        Err(error) => answer::<()>(Err(error)),
    }
}

/// Where the board would show logs. There are none, but its pages call the system unhealthy unless it is open. It ends now
/// and then, so that a server which shuts down does not wait for it; the browser opens it again.
async fn events() -> HttpResponse {
    let comments = stream::unfold(0, |sent| async move {
        match sent {
            0 => {}
            1..=40 => tokio::time::sleep(Duration::from_secs(15)).await,
            _ => return None,
        }
        Some((Ok::<_, Infallible>(web::Bytes::from_static(b": still here\n\n")), sent + 1))
    });
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(comments)
}

async fn page(
    jobs: &Jobs,
    queues: Option<&[String]>,
    filter: &Filter,
) -> Result<Vec<RawTask<Value>>, JobsError> {
    let records = look::list(jobs, queues, None, look::Page::of(filter)).await?;
    Ok(records.into_iter().map(|record| shown(look::task(record))).collect())
}

/// Arguments that are no JSON are shown as text.
fn shown(task: Task<Vec<u8>>) -> RawTask<Value> {
    RawTask(task.map_args(|args| {
        serde_json::from_slice(&args)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&args).into_owned()))
    }))
}

fn answer<T: serde::Serialize>(found: Result<T, JobsError>) -> HttpResponse {
    match found {
        Ok(found) => HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(found),
        Err(error) => {
            tracing::warn!(error = %error_line(&error), "the board cannot read the job table");
            HttpResponse::ServiceUnavailable().finish()
        }
    }
}
