use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use actix_web::{
    Error, HttpResponse,
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
    http::StatusCode,
};
use sentry::{Hub, Level, event_from_error, protocol::Event};
use sentry_actix::{Sentry, SentryMiddleware};

/// The middleware that reports what the server did wrong: every answer of 500 and above, once, with its
/// cause, the request and the `request_id` tag. A panic is reported by the client itself, with the same
/// request.
///
/// What clients do wrong (4xx), validation errors among it, is not reported.
///
/// ```
/// use actix_web::App;
/// use utils_restful::Restful;
///
/// let app = App::new()
///     .wrap(utils_sentry::middleware()) // inside: it sees the errors and panics as they are
///     .wrap(Restful::new());            // outermost: wrapped last
/// ```
///
/// The order matters. Outside of `Restful` it would see every panic twice: once as such, and once as the
/// answer that `Restful` makes of it. Other middleware goes inside, so that its errors are reported too.
#[must_use]
pub fn middleware() -> Reporting {
    Reporting { hub: None, ignored: |_| false }
}

/// See [`middleware`](middleware()).
#[derive(Clone)]
pub struct Reporting {
    hub: Option<Arc<Hub>>,
    ignored: fn(StatusCode) -> bool,
}

impl Reporting {
    /// Sets which statuses of 500 and above are not reported, such as a 503 while maintenance is on. Default:
    /// none.
    #[must_use]
    pub fn ignore(mut self, ignored: fn(StatusCode) -> bool) -> Self {
        self.ignored = ignored;
        self
    }

    /// Sets the hub that reports go through. Default: the main one, which [`init`](crate::init) sets up.
    #[must_use]
    pub fn with_hub(mut self, hub: Arc<Hub>) -> Self {
        self.hub = Some(hub);
        self
    }
}

impl fmt::Debug for Reporting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporting").finish_non_exhaustive()
    }
}

/// sentry-actix's layer gives each request a hub that knows the request. It could capture errors as well, but
/// sees only their text for the client; and it asks an `Err` for its response, which some errors can give
/// only once.
impl<S, B> Transform<S, ServiceRequest> for Reporting
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: 'static,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Transform = SentryMiddleware<Capture<S>>;
    type InitError = ();
    type Future = <Sentry as Transform<Capture<S>, ServiceRequest>>::Future;

    fn new_transform(&self, service: S) -> Self::Future {
        let layer = Sentry::builder().capture_server_errors(false);
        let layer = match &self.hub {
            Some(hub) => layer.with_hub(Arc::clone(hub)),
            None => layer,
        };
        layer.finish().new_transform(Capture { service, ignored: self.ignored })
    }
}

/// The part of [`Reporting`] that reports: inside the layer that knows the request.
pub struct Capture<S> {
    service: S,
    ignored: fn(StatusCode) -> bool,
}

impl<S> fmt::Debug for Capture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").finish_non_exhaustive()
    }
}

impl<S, B> Service<ServiceRequest> for Capture<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: 'static,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>>>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.service.poll_ready(context)
    }

    fn call(&self, req: ServiceRequest) -> Self::Future {
        let request_id = req.headers().get("x-request-id").cloned();
        let ignored = self.ignored;
        let answer = self.service.call(req);
        Box::pin(async move {
            let outcome = answer.await;
            let status = match &outcome {
                Ok(response) => response.status(),
                Err(error) => error.as_response_error().status_code(),
            };
            if status.is_server_error() && !ignored(status) {
                let mut event = match &outcome {
                    Ok(response) => event_of_response(response.response()),
                    Err(error) => event_of_error(error),
                };
                event.tags.insert("status".to_owned(), status.as_u16().to_string());
                if let Some(id) = request_id.as_ref().and_then(|id| id.to_str().ok()) {
                    event.tags.insert("request_id".to_owned(), id.to_owned());
                }
                sentry::capture_event(event);
            }
            outcome
        })
    }
}

/// The error that an answer was made from; its cause, if the answer carries one, says more than its text for
/// clients.
fn event_of_response<B>(response: &HttpResponse<B>) -> Event<'static> {
    if let Some(cause) = response.extensions().get::<Arc<dyn StdError + Send + Sync>>() {
        return event_from_error(&**cause);
    }
    match response.error() {
        Some(error) => event_of_error(error),
        None => Event {
            message: Some(format!("answered {}", response.status())),
            level: Level::Error,
            ..Event::default()
        },
    }
}

/// actix gives an error's text and its Debug form, not its sources; derived Debug forms contain the sources.
fn event_of_error(error: &Error) -> Event<'static> {
    let mut event = event_from_error(error);
    event.extra.insert("error".to_owned(), format!("{error:?}").into());
    event
}
