//! For actix-web: a job's progress as it happens, the metrics, and the trace of a request.
mod progress;

use actix_web::{
    Error, HttpMessage, HttpResponse,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header,
    middleware::Next,
    web::Data,
};
use tracing::Instrument;

pub use self::progress::ProgressStream;
use crate::{Jobs, METRICS_CONTENT_TYPE, TraceParent, failure::error_line, trace::TRACEPARENT};

/// Answers [`Jobs::metrics`], of the `Data<Jobs>` of the application; 503 when the table cannot be read. Queue and job
/// names are in it, so put it where only Prometheus gets.
///
/// # Examples
/// ```
/// use actix_web::{App, test, web};
/// use utils_jobs::{Jobs, metrics_route};
///
/// # actix_web::rt::System::new().block_on(async {
/// let jobs = Jobs::open("memory:")?;
/// let app = App::new()
///     .app_data(web::Data::new(jobs))
///     .route("/metrics", web::get().to(metrics_route));
///
/// let app = test::init_service(app).await;
/// let answer = test::call_service(&app, test::TestRequest::get().uri("/metrics").to_request()).await;
/// assert_eq!(answer.headers().get("content-type").unwrap(), "text/plain; version=0.0.4; charset=utf-8");
/// # Ok::<(), utils_jobs::JobsError>(()) }).unwrap();
/// ```
pub async fn metrics_route(jobs: Data<Jobs>) -> HttpResponse {
    match jobs.metrics().await {
        Ok(text) => HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, METRICS_CONTENT_TYPE))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .body(text),
        Err(error) => {
            tracing::warn!(error = %error_line(&error), "the metrics of the jobs cannot be read");
            HttpResponse::ServiceUnavailable().finish()
        }
    }
}

/// A middleware that lets the jobs a request enqueues belong to the request's trace: that of its `traceparent` header, or
/// a new one when it has none that can be read.
///
/// The handler runs in a span `request` with the method, the path and `trace_id`, and in the trace's
/// [scope](TraceParent::scope). The [`TraceParent`] is in the request's extensions.
///
/// # Examples
/// ```
/// use actix_web::{App, middleware::from_fn};
///
/// let app = App::new().wrap(from_fn(utils_jobs::trace_requests));
/// ```
///
/// # Errors
/// Those of the handler.
pub async fn trace_requests<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let sent = request.headers().get(TRACEPARENT).and_then(|header| header.to_str().ok()?.parse().ok());
    let Some(trace) = sent.or_else(TraceParent::random) else { return next.call(request).await };
    request.extensions_mut().insert(trace);
    let span = tracing::info_span!(
        "request",
        method = %request.method(),
        path = %request.path(),
        trace_id = %trace.trace_id(),
    );
    trace.scope(next.call(request).instrument(span)).await
}
