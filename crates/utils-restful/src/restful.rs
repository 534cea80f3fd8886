use std::{
    any::Any,
    fmt,
    future::{Future, Ready, ready},
    panic::AssertUnwindSafe,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    Error, HttpMessage, HttpResponse, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
    http::StatusCode,
};
use futures_util::FutureExt;

use crate::{
    accept::wants_problem,
    catalogue::INTERNAL,
    log,
    request_id::{self, RequestId},
    shape::{Exchange, Words, shape},
};

/// The middleware that gives every answer of an application one shape.
///
/// ```
/// use actix_web::{App, web};
/// use utils_restful::Restful;
///
/// let app = App::new()
///     .route("/", web::get().to(|| async { "hello" })) // {"message":"hello"}
///     .wrap(Restful::new());                           // outermost: wrapped last
/// ```
///
/// What it does, from the outside in:
/// - every answer gets an `x-request-id` header, and so does the request; handlers can have it as
///   [`RequestId`];
/// - an error answer without a body, or with a text body, becomes `{"_errors": ["…"]}`: unknown paths, wrong
///   methods, what extractors refuse, errors of other middleware, panics. Its status and headers (`Allow`,
///   `WWW-Authenticate`, `Retry-After`, cookies) stay. JSON, HTML and streams that a handler made itself are
///   left alone;
/// - what the server did wrong (5xx) is logged with its cause, and a client sees
///   `Internal Server Error (request 5f0c…)` unless the application chose other words ([`ApiError::new`],
///   [`ErrorKind`](crate::ErrorKind), [`message`](crate::message()));
/// - a client that sends `Accept: application/problem+json` gets the same errors as RFC 9457 problem details;
/// - a text answer of a handler becomes `{"message": "…"}`, unless it is a [`Plain`](crate::Plain).
///
/// Wrap it last, so that it is outermost: what it does not enclose it cannot shape. An error reporter such as
/// Sentry belongs inside it, where it still sees the errors and panics as they are. `Compress` and
/// CORS belong outside: what is compressed already is left as it is, and errors need CORS headers too.
///
/// An error that another middleware returns, and a panic, leave as `Err` with the shaped answer as their
/// response, because the request is gone by then. Servers send that answer; in a test use `try_call_service`
/// for them.
///
/// A panic is caught while the answer is made, not while a body streams, and not in a program built with
/// `panic = "abort"`.
///
/// [`ApiError::new`]: crate::ApiError::new
#[derive(Debug, Clone, Copy)]
pub struct Restful {
    catch_panics: bool,
    problem_json_by_default: bool,
}

impl Restful {
    /// The middleware with its defaults.
    #[must_use]
    pub fn new() -> Self {
        Self { catch_panics: true, problem_json_by_default: false }
    }

    /// Sets whether a panicking handler answers 500. Default: true. Otherwise the connection is closed, as
    /// without this middleware.
    #[must_use]
    pub fn catch_panics(mut self, catch: bool) -> Self {
        self.catch_panics = catch;
        self
    }

    /// Sets whether clients that do not name `application/problem+json` in `Accept` get it too. Default:
    /// false.
    #[must_use]
    pub fn problem_json_by_default(mut self, by_default: bool) -> Self {
        self.problem_json_by_default = by_default;
        self
    }
}

impl Default for Restful {
    fn default() -> Self {
        Self::new()
    }
}

impl<S, B> Transform<S, ServiceRequest> for Restful
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Transform = RestfulService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(RestfulService { service: Rc::new(service), settings: *self }))
    }
}

/// [`Restful`] around one application.
pub struct RestfulService<S> {
    service: Rc<S>,
    settings: Restful,
}

impl<S> fmt::Debug for RestfulService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestfulService").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl<S, B> Service<ServiceRequest> for RestfulService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>>>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.service.poll_ready(context)
    }

    fn call(&self, mut req: ServiceRequest) -> Self::Future {
        // No clone of the request may live while it is routed: actix takes its parts mutably. So this keeps
        // the parts that an answer needs, all of them cheap to clone.
        let exchange = Exchange {
            id: RequestId::of(req.headers()),
            problem: wants_problem(req.headers(), self.settings.problem_json_by_default),
            method: req.method().clone(),
            uri: req.uri().clone(),
        };
        req.extensions_mut().insert(exchange.id.clone());
        // into the request too, where access logs and error reporters look for it
        if let Some(value) = exchange.id.header_value() {
            req.headers_mut().insert(request_id::HEADER, value);
        }
        let catch_panics = self.settings.catch_panics;
        let service = Rc::clone(&self.service);
        // Inside the future, because routing and a handler's first steps run in `call` itself.
        let answer = async move { service.call(req).await };
        Box::pin(async move {
            let outcome = if catch_panics {
                match AssertUnwindSafe(answer).catch_unwind().await {
                    Ok(outcome) => outcome,
                    Err(payload) => return Err(panicked(payload.as_ref(), exchange)),
                }
            } else {
                answer.await
            };
            match outcome {
                Ok(response) => Ok(answered(response, &exchange)),
                Err(error) => Err(failed(error, exchange)),
            }
        })
    }
}

fn answered<B: MessageBody + 'static>(
    response: ServiceResponse<B>,
    exchange: &Exchange,
) -> ServiceResponse<BoxBody> {
    let (request, response) = response.into_parts();
    let response = response.map_into_boxed_body();
    let words = Words::of(response.error());
    if response.status().is_server_error() || matches!(words, Words::System) {
        log::server_error(exchange, &response);
    }
    ServiceResponse::new(request, identified(shape(response, words, exchange), &exchange.id))
}

/// The error stays what it is, for loggers that stand outside; only its answer is shaped.
fn failed(error: Error, exchange: Exchange) -> Error {
    if error.as_response_error().status_code().is_server_error()
        || matches!(Words::of(Some(&error)), Words::System)
    {
        log::failure(&exchange, &error);
    }
    shaped_later(error, exchange)
}

fn panicked(payload: &(dyn Any + Send), exchange: Exchange) -> Error {
    let said = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    log::panic(&exchange, said.unwrap_or("a value that is not text"));
    shaped_later(Panicked.into(), exchange)
}

fn shaped_later(mut error: Error, exchange: Exchange) -> Error {
    let words = Words::of(Some(&error));
    error.add_response_mapper(move |response| identified(shape(response, words, &exchange), &exchange.id));
    error
}

fn identified(mut response: HttpResponse, id: &RequestId) -> HttpResponse {
    if let Some(value) = id.header_value() {
        response.headers_mut().insert(request_id::HEADER, value);
    }
    response
}

/// A handler or a middleware panicked.
#[derive(Debug, thiserror::Error)]
#[error("the request could not be answered")]
struct Panicked;

impl ResponseError for Panicked {
    fn status_code(&self) -> StatusCode {
        INTERNAL.status
    }

    fn error_response(&self) -> HttpResponse {
        INTERNAL.respond_with(&Default::default())
    }
}
