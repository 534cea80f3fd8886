use std::rc::Rc;

use actix_web::{
    HttpRequest, HttpResponse, Responder, ResponseError,
    body::BoxBody,
    http::header::{CACHE_CONTROL, HeaderValue, PRAGMA},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{Names, Options};
use crate::{
    engine::TokenAuth,
    error::Error,
    pair::Pair,
    session::Why,
    store::{Store, Which},
};

/// The answer of a login: `{"token", "refreshToken"}`, or what [`HttpAuth`](crate::HttpAuth) says instead: OAuth's
/// names, or cookies. It may not be stored (RFC 6749 section 5.1).
///
/// Cookies are set only for a page of ours, so that nobody is signed in as somebody else by a forged request. Such a
/// login is 403, and its session, of which nobody has a token, is ended.
impl Responder for Pair {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse {
        let Some(options) = request.app_data::<Rc<Options>>() else {
            return in_body(&self, Names::default());
        };
        let answer = match &options.cookies {
            Some(cookies) => cookies.check_origin(request.head()).and_then(|()| in_cookies(&self, options)),
            None => Ok(in_body(&self, options.names)),
        };
        answer.unwrap_or_else(|error| {
            if let Some(withdraw) = request.app_data::<Withdraw>() {
                (withdraw.0)(&self);
            }
            error.error_response()
        })
    }
}

/// A login's answer with the tokens in its body: see [`Pair::in_body`].
#[derive(Debug)]
#[must_use = "it is to be answered"]
pub struct PairInBody(Pair);

impl Pair {
    /// Answers with the tokens in the body, under the names of [`HttpAuth`](crate::HttpAuth), also where its
    /// [`cookies`](crate::HttpAuth::cookies) are on: for a route of native clients, which come from no page.
    ///
    /// No cookie is set, so nobody is signed in by a forged request, and no proof of an origin is asked for. A script of
    /// a page that knows a password can call the route as well, and then sees the tokens.
    ///
    /// ```
    /// use actix_web::{post, web};
    /// use utils_token_auth::{Client, Error, MemoryStore, PairInBody, TokenAuth};
    /// # type Engine = TokenAuth<serde_json::Value, MemoryStore>;
    ///
    /// #[post("/login/native")]
    /// async fn login(auth: web::Data<Engine>, client: Client) -> Result<PairInBody, Error> {
    ///     // the password was right …
    ///     Ok(auth.login("ann", (), client).await?.in_body())
    /// }
    /// ```
    pub fn in_body(self) -> PairInBody {
        PairInBody(self)
    }
}

/// `{"token", "refreshToken"}` or OAuth's names. It may not be stored (RFC 6749 section 5.1).
impl Responder for PairInBody {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse {
        let names = request.app_data::<Rc<Options>>().map_or_else(Names::default, |options| options.names);
        in_body(&self.0, names)
    }
}

/// Ends the session of a login whose answer is refused: without the types of the claims and of the store.
pub(crate) struct Withdraw(Rc<dyn Fn(&Pair)>);

impl Withdraw {
    pub(crate) fn new<C, S>(auth: TokenAuth<C, S>) -> Self
    where
        C: Serialize + DeserializeOwned + 'static,
        S: Store,
    {
        Self(Rc::new(move |pair| {
            // what a renewal answers was there before: a forged request must not end it
            if !pair.opened {
                return;
            }
            let Ok(token) = auth.verifier().verify::<C>(&pair.token, auth.now()) else { return };
            let auth = auth.clone();
            // an answer is made without waiting; the session can wait, because nobody can use it
            actix_web::rt::spawn(async move {
                let which = Which::One { user: &token.user, id: token.session };
                if let Err(error) = auth.revoke(which, Why::Logout).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the session of a refused login was not ended"
                    );
                }
            });
        }))
    }
}

pub(crate) fn in_body(pair: &Pair, names: Names) -> HttpResponse {
    match names {
        Names::Short => unstored(HttpResponse::Ok().json(pair)),
        Names::OAuth => {
            let mut body = json!({
                "access_token": pair.token,
                "token_type": "Bearer",
                "expires_in": pair.expires_in,
            });
            if let Some(token) = &pair.refresh_token {
                body["refresh_token"] = json!(token);
            }
            if let Some(scope) = &pair.scope {
                body["scope"] = json!(scope);
            }
            unstored(HttpResponse::Ok().json(body))
        }
    }
}

pub(crate) fn in_cookies(pair: &Pair, options: &Options) -> Result<HttpResponse, Error> {
    let mut body = json!({ "expiresIn": pair.expires_in });
    if let Some(scope) = pair.scope.as_ref().filter(|_| options.names == Names::OAuth) {
        body["scope"] = json!(scope);
    }
    let mut response = unstored(HttpResponse::Ok().json(body));
    if let Some(cookies) = &options.cookies {
        cookies.set(&mut response, pair, options.session_life)?;
    }
    Ok(response)
}

/// Keeps an answer out of every cache.
pub(crate) fn unstored(mut response: HttpResponse) -> HttpResponse {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}
