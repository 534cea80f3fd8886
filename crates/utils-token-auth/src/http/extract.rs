use std::{fmt, future::Future, ops::Deref, pin::Pin, rc::Rc, time::Duration};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::{Payload, RequestHead},
};
use futures_util::future::{Ready, ready};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Options,
    credentials::{self, Source},
    scopes::Scopes,
};
use crate::{Sid, claims::Token, engine::TokenAuth, error::Error, store::Store};

/// A verified access token: as a handler's argument, it requires one.
///
/// It is the [`Token`] by `Deref`. Without a token, or with a bad one, the answer is 401 with the challenge of
/// RFC 6750; the handler does not run. Behind [`protect()`](crate::HttpAuth::protect), a request is verified once,
/// however many extractors ask.
///
/// In a handler that returns `utils_restful::Result`, `.or_respond()?` keeps these refusals what they are.
///
/// ```
/// use std::time::Duration;
/// use actix_web::{HttpResponse, delete};
/// use utils_token_auth::{Auth, Error, Scopes};
/// # #[derive(serde::Deserialize)] struct Claims { scopes: Vec<String> }
/// # impl Scopes for Claims { fn has_scope(&self, scope: &str) -> bool { self.scopes.has_scope(scope) } }
///
/// #[delete("/account")]
/// async fn delete_account(auth: Auth<Claims>) -> Result<HttpResponse, Error> {
///     auth.require("account:delete")?; // 403
///     auth.fresh(Duration::from_secs(5 * 60))?; // 401: the password is asked for again
///     auth.confirm().await?; // the session was not revoked this very second
///     Ok(HttpResponse::Ok().body(format!("good bye, {}", auth.user)))
/// }
/// ```
pub struct Auth<C> {
    token: Rc<Token<C>>,
    mounted: Mounted<C>,
    source: Source,
}

/// As [`Auth`], for routes that also serve those who are not signed in.
///
/// It is `None` only for a request without credentials. A token that is expired, revoked or altered is refused here
/// as well, so that nobody is treated as a stranger without being told.
#[derive(Debug)]
pub struct MaybeAuth<C>(pub Option<Auth<C>>);

/// The engine and its options where the extractors find them: without the type of the store.
pub(crate) struct Mounted<C>(Rc<Mount<C>>);

struct Mount<C> {
    engine: Box<dyn Engine<C>>,
    options: Options,
}

trait Engine<C> {
    fn verify(&self, token: &str) -> Result<Rc<Token<C>>, Error>;
    fn confirm(&self, session: Sid) -> Pin<Box<dyn Future<Output = Result<(), Error>> + '_>>;
    fn now(&self) -> i64;
    /// The same for all clones of one engine.
    fn identity(&self) -> usize;
}

impl<C> Auth<C> {
    /// The token, if it has this scope.
    ///
    /// # Errors
    /// [`Error::Scope`]: 403 `insufficient_scope`.
    pub fn require(&self, scope: &str) -> Result<&Self, Error>
    where
        C: Scopes,
    {
        if self.claims.has_scope(scope) { Ok(self) } else { Err(Error::Scope(scope.to_owned())) }
    }

    /// The token, if the user signed in at most `max_age` ago: for what a stolen token should not be able to do
    /// (RFC 9470). A token that does not say when is refused.
    ///
    /// # Errors
    /// [`Error::NotFresh`]: 401 `insufficient_user_authentication`, upon which the client lets the user sign in again.
    pub fn fresh(&self, max_age: Duration) -> Result<&Self, Error> {
        let now = self.mounted.0.engine.now();
        let fresh = self.auth_time.is_some_and(|at| {
            let age = now.saturating_sub(at.saturating_mul(1000));
            u128::try_from(age).unwrap_or(0) <= max_age.as_millis()
        });
        if fresh { Ok(self) } else { Err(Error::NotFresh { max_age }) }
    }

    /// The token, if the store says at this moment that its session is live: for routes that must not rely on the
    /// list of revocations, which may be a second old.
    ///
    /// # Errors
    /// [`Error::Revoked`]; [`Error::Store`] when the store did not answer.
    pub async fn confirm(&self) -> Result<&Self, Error> {
        self.mounted.0.engine.confirm(self.session).await?;
        Ok(self)
    }

    pub(crate) fn came_by_cookie(&self) -> bool {
        self.source == Source::Cookie
    }

    pub(crate) fn came_by_query(&self) -> bool {
        self.source == Source::Query
    }
}

impl<C> Deref for Auth<C> {
    type Target = Token<C>;

    fn deref(&self) -> &Token<C> {
        &self.token
    }
}

impl<C> Clone for Auth<C> {
    fn clone(&self) -> Self {
        Self { token: Rc::clone(&self.token), mounted: self.mounted.clone(), source: self.source }
    }
}

impl<C: fmt::Debug> fmt::Debug for Auth<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Auth").field(&self.token).finish()
    }
}

impl<C: 'static> FromRequest for Auth<C> {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(extract(request).and_then(|auth| auth.ok_or(Error::Missing)))
    }
}

impl<C: 'static> FromRequest for MaybeAuth<C> {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(extract(request).map(Self))
    }
}

/// The request's token by the nearest engine for these claims or, where none is configured, as a `protect()` verified it.
///
/// When both are there and differ, the configured engine decides: a token has to please both then, so that no token of
/// one engine passes for one of the other.
fn extract<C: 'static>(request: &HttpRequest) -> Result<Option<Auth<C>>, Error> {
    match request.app_data::<Mounted<C>>() {
        Some(mounted) => mounted.authenticate(request),
        None => match request.extensions().get::<Auth<C>>() {
            Some(auth) => Ok(Some(auth.clone())),
            None => Err(Error::NotConfigured),
        },
    }
}

impl<C: 'static> Mounted<C> {
    pub(crate) fn new<S: Store>(auth: TokenAuth<C, S>, options: Options) -> Self
    where
        C: Serialize + DeserializeOwned,
    {
        Self(Rc::new(Mount { engine: Box::new(auth), options }))
    }

    /// The request's token, verified now or before.
    pub(crate) fn authenticate(&self, request: &HttpRequest) -> Result<Option<Auth<C>>, Error> {
        if let Some(auth) = request.extensions().get::<Auth<C>>()
            && auth.mounted.is_same_as(self)
        {
            return Ok(Some(auth.clone()));
        }
        self.verify(request.head())
    }

    /// As `authenticate`, and keeps what it found for the extractors behind a `protect()`. An extractor alone keeps
    /// nothing: to verify a token once more costs about what an entry in the request's extensions costs every time.
    pub(crate) fn authenticate_and_keep(&self, request: &HttpRequest) -> Result<Option<Auth<C>>, Error> {
        let auth = self.authenticate(request)?;
        if let Some(auth) = &auth {
            request.extensions_mut().insert(auth.clone());
        }
        Ok(auth)
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    fn verify(&self, head: &RequestHead) -> Result<Option<Auth<C>>, Error> {
        let Mount { engine, options } = &*self.0;
        let Some(presented) = credentials::find(head, options)? else { return Ok(None) };
        // before the token is looked at: the answer to a forged request must not tell whether the user is signed in
        if presented.source == Source::Cookie
            && let Some(cookies) = &options.cookies
        {
            cookies.check_origin(head)?;
        }
        let token = engine.verify(&presented.token)?;
        Ok(Some(Auth { token, mounted: self.clone(), source: presented.source }))
    }

    /// Whether both are the same engine, read from the same places.
    fn is_same_as(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
            || (self.0.engine.identity() == other.0.engine.identity()
                && self.0.options.same_sources(&other.0.options))
    }
}

impl<C> Clone for Mounted<C> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<C, S> Engine<C> for TokenAuth<C, S>
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    fn verify(&self, token: &str) -> Result<Rc<Token<C>>, Error> {
        self.verify_shared(token)
    }

    fn confirm(&self, session: Sid) -> Pin<Box<dyn Future<Output = Result<(), Error>> + '_>> {
        Box::pin(TokenAuth::confirm(self, session))
    }

    fn now(&self) -> i64 {
        TokenAuth::now(self)
    }

    fn identity(&self) -> usize {
        std::sync::Arc::as_ptr(&self.inner).addr()
    }
}
