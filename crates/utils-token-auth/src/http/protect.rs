use std::{
    fmt,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    Error as ActixError, HttpResponse,
    body::{EitherBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
    http::header::{CACHE_CONTROL, HeaderValue},
};
use futures_util::{
    TryFutureExt,
    future::{Either, LocalBoxFuture, MapOk, Ready, ready},
};

use super::{
    extract::{Auth, Mounted},
    scopes::Scopes,
};
use crate::error::Error;

/// A middleware for whole scopes of routes: only a request with a valid access token gets through.
///
/// Handlers inside may still take [`Auth`](crate::Auth); the token is not verified again. Where another engine with the
/// same claims is configured around, configure this one's [`extractors`](crate::HttpAuth::extractors) in the scope too,
/// or the handlers ask that one. It must be inside of CORS and of `Restful`, that is, wrapped before them.
///
/// ```
/// use std::time::Duration;
/// use actix_web::web;
/// use utils_token_auth::{HttpAuth, MemoryStore, Scopes};
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Claims { scopes: Vec<String> }
/// # impl Scopes for Claims { fn has_scope(&self, scope: &str) -> bool { self.scopes.has_scope(scope) } }
///
/// fn admin(config: &mut web::ServiceConfig, http: &HttpAuth<Claims, MemoryStore>) {
///     let protect = http.protect().scope("admin").fresh(Duration::from_secs(3600)).confirm();
///     config.service(web::scope("/admin").wrap(protect));
/// }
/// ```
pub struct Protect<C> {
    rules: Rc<Rules<C>>,
}

struct Rules<C> {
    mounted: Mounted<C>,
    checks: Vec<Check<C>>,
    confirm: bool,
}

type Check<C> = Rc<dyn Fn(&Auth<C>) -> Result<(), Error>>;

impl<C: 'static> Protect<C> {
    pub(crate) fn new(mounted: Mounted<C>) -> Self {
        Self { rules: Rc::new(Rules { mounted, checks: Vec::new(), confirm: false }) }
    }

    /// Requires this scope too, as [`Auth::require`] does. Called twice, it requires both.
    #[must_use]
    pub fn scope(self, scope: impl Into<String>) -> Self
    where
        C: Scopes,
    {
        let scope = scope.into();
        self.check(move |auth| auth.require(&scope).map(drop))
    }

    /// Requires that the user signed in at most `max_age` ago, as [`Auth::fresh`] does.
    #[must_use]
    pub fn fresh(self, max_age: Duration) -> Self {
        self.check(move |auth| auth.fresh(max_age).map(drop))
    }

    /// Requires whatever the application wants of a token.
    #[must_use]
    pub fn check(mut self, check: impl Fn(&Auth<C>) -> Result<(), Error> + 'static) -> Self {
        self.change(|rules| rules.checks.push(Rc::new(check)));
        self
    }

    /// Asks the store at every request whether the session is live, as [`Auth::confirm`] does.
    #[must_use]
    pub fn confirm(mut self) -> Self {
        self.change(|rules| rules.confirm = true);
        self
    }

    fn change(&mut self, change: impl FnOnce(&mut Rules<C>)) {
        let Rules { mounted, checks, confirm } = &*self.rules;
        let mut rules = Rules { mounted: mounted.clone(), checks: checks.clone(), confirm: *confirm };
        change(&mut rules);
        self.rules = Rc::new(rules);
    }
}

impl<C> Clone for Protect<C> {
    fn clone(&self) -> Self {
        Self { rules: Rc::clone(&self.rules) }
    }
}

impl<C> fmt::Debug for Protect<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Protect").field("confirm", &self.rules.confirm).finish_non_exhaustive()
    }
}

impl<C, S, B> Transform<S, ServiceRequest> for Protect<C>
where
    C: 'static,
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = ActixError> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = ActixError;
    type Transform = Protected<C, S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(Protected { rules: Rc::clone(&self.rules), service: Rc::new(service) }))
    }
}

/// A service behind [`Protect`].
pub struct Protected<C, S> {
    rules: Rc<Rules<C>>,
    service: Rc<S>,
}

impl<C, S> fmt::Debug for Protected<C, S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Protected").finish_non_exhaustive()
    }
}

type Answer<B> = Result<ServiceResponse<EitherBody<B>>, ActixError>;
type Finish<B> = fn(ServiceResponse<B>) -> ServiceResponse<EitherBody<B>>;

impl<C, S, B> Service<ServiceRequest> for Protected<C, S>
where
    C: 'static,
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = ActixError> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = ActixError;
    // only a request that asks the store needs a future of its own
    type Future =
        Either<MapOk<S::Future, Finish<B>>, Either<Ready<Answer<B>>, LocalBoxFuture<'static, Answer<B>>>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), ActixError>> {
        self.service.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        match self.rules.admit(&request) {
            Err(error) => Either::Right(Either::Left(ready(Ok(refuse(request, error))))),
            Ok(auth) if self.rules.confirm => {
                let (finish, service) = (self.rules.finish::<B>(&auth), Rc::clone(&self.service));
                Either::Right(Either::Right(Box::pin(async move {
                    if let Err(error) = auth.confirm().await {
                        return Ok(refuse(request, error));
                    }
                    service.call(request).await.map(finish)
                })))
            }
            Ok(auth) => Either::Left(self.service.call(request).map_ok(self.rules.finish::<B>(&auth))),
        }
    }
}

impl<C: 'static> Rules<C> {
    fn admit(&self, request: &ServiceRequest) -> Result<Auth<C>, Error> {
        let auth = self.mounted.authenticate_and_keep(request.request())?.ok_or(Error::Missing)?;
        self.checks.iter().try_for_each(|check| check(&auth))?;
        Ok(auth)
    }

    fn finish<B>(&self, auth: &Auth<C>) -> Finish<B> {
        if auth.came_by_query() {
            private
        } else if self.mounted.options().query_param.is_some() {
            private_unless_said
        } else {
            ServiceResponse::map_into_left_body
        }
    }
}

fn refuse<B>(request: ServiceRequest, error: Error) -> ServiceResponse<EitherBody<B>> {
    // an answer rather than an `Err`, so that middlewares around this one, such as CORS, still see it
    request.into_response(HttpResponse::from_error(error)).map_into_right_body()
}

/// An address with a token in it must not bring up an answer from a shared cache, whatever the handler says (RFC 6750
/// section 2.3).
fn private<B>(mut response: ServiceResponse<B>) -> ServiceResponse<EitherBody<B>> {
    let headers = response.headers_mut();
    let said: Vec<&[u8]> = headers.get_all(CACHE_CONTROL).map(HeaderValue::as_bytes).collect();
    let private = not_shared(&said.join(&b','));
    headers.insert(CACHE_CONTROL, private);
    response.map_into_left_body()
}

/// An answer on another request for such an address, whose handler may know better.
fn private_unless_said<B>(mut response: ServiceResponse<B>) -> ServiceResponse<EitherBody<B>> {
    let headers = response.headers_mut();
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
    }
    response.map_into_left_body()
}

/// `said` without what lets shared caches keep an answer.
fn not_shared(said: &[u8]) -> HeaderValue {
    const PRIVATE: HeaderValue = HeaderValue::from_static("private");

    let Ok(said) = std::str::from_utf8(said) else { return PRIVATE };
    if said.contains('"') {
        return PRIVATE; // names of fields: what they mean is more than anybody needs here
    }
    let said: Vec<&str> = said.split(',').map(str::trim).filter(|directive| !directive.is_empty()).collect();
    let has = |name: &str| said.iter().any(|directive| directive.eq_ignore_ascii_case(name));
    let for_shared = |directive: &str| {
        let name = directive.split('=').next().unwrap_or_default().trim();
        ["public", "private", "s-maxage"].iter().any(|shared| name.eq_ignore_ascii_case(shared))
    };
    if has("no-store") && !said.iter().any(|directive| for_shared(directive)) {
        return HeaderValue::from_str(&said.join(", ")).unwrap_or(PRIVATE);
    }
    let kept = said.iter().copied().filter(|directive| !for_shared(directive));
    let kept: Vec<&str> = std::iter::once("private").chain(kept).collect();
    HeaderValue::from_str(&kept.join(", ")).unwrap_or(PRIVATE)
}
