//! The HTTP surface: where tokens are found in a request, and the routes a user's client calls.

pub(crate) mod answer;
pub(crate) mod challenge;
pub(crate) mod client;
pub(crate) mod cookies;
mod credentials;
pub(crate) mod extract;
mod fields;
mod oauth;
#[cfg(feature = "utoipa")]
pub(crate) mod openapi;
pub(crate) mod protect;
mod routes;
pub(crate) mod scopes;

use std::{fmt, rc::Rc, sync::Arc, time::Duration};

use actix_web::{HttpRequest, web};
use serde::{Serialize, de::DeserializeOwned};

use self::{answer::Withdraw, client::Proxies, cookies::Cookies, extract::Mounted, protect::Protect};
use crate::{engine::TokenAuth, store::Store};

/// How an engine is reached over HTTP: which parts of a request may carry a token, and what the answers look like.
///
/// By default a token is read from the `Authorization` header alone, and the answers use the names `token` and
/// `refreshToken`. Configure one engine for each scope; several, such as one for users and one for services, go into
/// `web::scope`s of their own. The value is made once and cloned into each worker:
///
/// ```
/// use actix_web::{App, HttpResponse, post, web};
/// use serde::{Deserialize, Serialize};
/// use utils_token_auth::{Auth, Client, Error, HttpAuth, Keys, MemoryStore, Pair, Refusal, Session, TokenAuth};
///
/// #[derive(Serialize, Deserialize)]
/// struct Claims {
///     scopes: Vec<String>,
/// }
/// type Engine = TokenAuth<Claims, MemoryStore>;
///
/// #[post("/login")]
/// async fn login(auth: web::Data<Engine>, client: Client) -> Result<Pair, Error> {
///     // the password was right …
///     auth.login("ann", (), client).await
/// }
///
/// #[post("/protected")]
/// async fn protected(auth: Auth<Claims>) -> String {
///     format!("Welcome, {}", auth.user)
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = Keys::hs256("1", b"a secret of at least 32 bytes, from a file")?;
/// let auth = TokenAuth::new(keys, MemoryStore::new(), |_: Session| async {
///     Ok::<_, Refusal>(Claims { scopes: vec![] })
/// })
/// .build()?;
///
/// let http = HttpAuth::new(auth.clone());
/// let app = move || {
///     App::new()
///         .app_data(web::Data::new(auth.clone()))
///         .configure(http.routes()) // /renew, /logout, /tokens, /tokens/others, /tokens/{id}
///         .service(login)
///         .service(protected)
/// };
/// # let _ = app();
/// # Ok(())
/// # }
/// ```
pub struct HttpAuth<C, S> {
    pub(crate) auth: TokenAuth<C, S>,
    pub(crate) options: Options,
}

/// What does not depend on the claims or the store.
#[derive(Clone, Default)]
pub(crate) struct Options {
    pub(crate) query_param: Option<Arc<str>>,
    pub(crate) cookies: Option<Arc<Cookies>>,
    pub(crate) proxies: Proxies,
    pub(crate) names: Names,
    /// How long a session, and so a cookie with its refresh token, can last.
    pub(crate) session_life: Duration,
    pub(crate) introspection: Option<Guard>,
    pub(crate) revocation: bool,
}

/// Who may ask about tokens.
pub(crate) type Guard = Arc<dyn Fn(&HttpRequest) -> bool + Send + Sync>;

/// The names in token answers and requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Names {
    /// `token` and `refreshToken`.
    #[default]
    Short,
    /// RFC 6749: `access_token`, `refresh_token`, `token_type`, `expires_in`, and its error answers.
    OAuth,
}

impl<C, S> HttpAuth<C, S>
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    /// Tokens in the `Authorization` header only.
    #[must_use]
    pub fn new(auth: TokenAuth<C, S>) -> Self {
        let options = Options { session_life: auth.policy().absolute, ..Options::default() };
        Self { auth, options }
    }

    /// Also reads the access token from this parameter of the query, such as `?token=…`. Default: off.
    ///
    /// Such a token ends up in server logs, in the browser's history and in `Referer` headers, which is why RFC 6750
    /// section 2.3 and RFC 9700 section 4.3.2 advise against it. Answers must then not be kept by shared caches:
    /// [`protect`](Self::protect) sees to that for the routes it wraps, whatever their handlers say of caches; others
    /// set `Cache-Control: private` themselves.
    #[must_use]
    pub fn query_param(mut self, name: &str) -> Self {
        self.options.query_param = Some(name.into());
        self
    }

    /// Also reads and writes tokens in cookies, for browsers. Default: off.
    #[must_use]
    pub fn cookies(mut self, cookies: Cookies) -> Self {
        self.options.cookies = Some(Arc::new(cookies));
        self
    }

    /// Uses the names and error answers of RFC 6749 in `/renew` and token answers: `access_token`, `refresh_token`,
    /// `token_type`, `expires_in`; a refused renewal is 400 `{"error": "invalid_grant"}`. Default: `token` and
    /// `refreshToken`, and 401.
    ///
    /// A renewal may then ask for fewer scopes with `scope`, words with blanks between, for this one access token: the
    /// refresh token keeps its grant. The answer has `scope` when some were asked for, or when the user has lost some.
    /// More than was granted is 400 `{"error": "invalid_scope"}`, and nothing changes. A `grant_type` other than
    /// `refresh_token` is 400 `{"error": "unsupported_grant_type"}`.
    #[must_use]
    pub fn oauth_names(mut self) -> Self {
        self.options.names = Names::OAuth;
        self
    }

    /// Sets which proxies are believed when they say from where a request came. Default: none.
    #[must_use]
    pub fn proxies(mut self, proxies: Proxies) -> Self {
        self.options.proxies = proxies;
        self
    }

    /// Adds `POST /introspect` (RFC 7662) for callers that `allowed` lets in; the others get 401. Default: off.
    ///
    /// Who may ask is up to the application: a secret shared with the other service, an address, a client
    /// certificate.
    #[must_use]
    pub fn introspection(mut self, allowed: impl Fn(&HttpRequest) -> bool + Send + Sync + 'static) -> Self {
        self.options.introspection = Some(Arc::new(allowed));
        self
    }

    /// Adds `POST /revoke` (RFC 7009), for clients that know the standard rather than `/logout`. Default: off.
    #[must_use]
    pub fn revocation(mut self) -> Self {
        self.options.revocation = true;
        self
    }

    /// The routes of a user's sessions and what the extractors need, for `App::configure` or `Scope::configure`:
    ///
    /// | route | answer |
    /// |---|---|
    /// | `POST /renew` with `refreshToken` (JSON, form or cookie) | `{"token"}`, and `refreshToken` when it is new |
    /// | `POST /logout` with an access or refresh token | `{"status": "success"}`, also the second time |
    /// | `GET /tokens` | `{"tokens": […]}`: the user's sessions, `current` marked, never a secret |
    /// | `DELETE /tokens` | ends all of them, this one included |
    /// | `DELETE /tokens/others` | ends all but this one |
    /// | `DELETE /tokens/{id}` | ends one; 404 when it is not the user's |
    ///
    /// Handlers beside and below find [`Auth`](crate::Auth) by it, and what a [`Pair`](crate::Pair) is to be answered
    /// with. So one engine for each scope: of two in one `App` or `Scope`, the one configured last decides on names,
    /// cookies and [proxies](Self::proxies) for both.
    pub fn routes(&self) -> impl FnOnce(&mut web::ServiceConfig) + use<C, S> {
        let http = self.clone();
        move |config| {
            http.extractors()(config);
            routes::mount(http, config);
        }
    }

    /// Only what the extractors need, without routes: for a service that accepts tokens and does not manage sessions.
    pub fn extractors(&self) -> impl FnOnce(&mut web::ServiceConfig) + use<C, S> {
        let http = self.clone();
        move |config| {
            config
                .app_data(Withdraw::new(http.auth.clone()))
                .app_data(Mounted::new(http.auth, http.options.clone()))
                .app_data(Rc::new(http.options));
        }
    }

    /// `GET /.well-known/jwks.json`: the public keys, for services that verify our tokens themselves. To be
    /// configured at the root of the application, where RFC 8615 puts it. Secrets are never in it.
    pub fn well_known(&self) -> impl FnOnce(&mut web::ServiceConfig) + use<C, S> {
        let http = self.clone();
        move |config| oauth::mount_jwks(&http, config)
    }

    /// A middleware that lets only requests with a valid access token through: for whole scopes of routes.
    #[must_use]
    pub fn protect(&self) -> Protect<C> {
        Protect::new(Mounted::new(self.auth.clone(), self.options.clone()))
    }
}

impl<C, S> TokenAuth<C, S>
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    /// How this engine is reached over HTTP, to choose from; see [`HttpAuth`].
    #[must_use]
    pub fn http(&self) -> HttpAuth<C, S> {
        HttpAuth::new(self.clone())
    }

    /// [`HttpAuth::routes`] with nothing but the `Authorization` header.
    pub fn routes(&self) -> impl FnOnce(&mut web::ServiceConfig) + use<C, S> {
        self.http().routes()
    }

    /// [`HttpAuth::protect`] with nothing but the `Authorization` header.
    #[must_use]
    pub fn protect(&self) -> Protect<C> {
        self.http().protect()
    }
}

impl<C, S> Clone for HttpAuth<C, S> {
    fn clone(&self) -> Self {
        Self { auth: self.auth.clone(), options: self.options.clone() }
    }
}

impl<C, S> fmt::Debug for HttpAuth<C, S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HttpAuth").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Options {
    /// Whether a token is looked for in the same places.
    pub(crate) fn same_sources(&self, other: &Self) -> bool {
        let same_cookies = match (&self.cookies, &other.cookies) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        same_cookies && self.query_param == other.query_param
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("query_param", &self.query_param)
            .field("cookies", &self.cookies)
            .field("proxies", &self.proxies)
            .field("names", &self.names)
            .field("introspection", &self.introspection.is_some())
            .field("revocation", &self.revocation)
            .finish()
    }
}
