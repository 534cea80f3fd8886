//! What a user's client calls: renew, log out, list and end sessions.

use actix_web::{
    HttpRequest, HttpResponse, Resource, Route,
    http::header::ALLOW,
    web::{self, Data, Payload},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use utils_restful::ErrorBody;

use super::{
    HttpAuth, Names,
    answer::{in_body, in_cookies, unstored},
    client,
    credentials::{self, Source},
    extract::Auth,
    fields::Fields,
    oauth,
};
use crate::{
    engine::TokenAuth,
    error::Error,
    session::Why,
    store::{Store, Which},
};

pub(super) fn mount<C, S>(http: HttpAuth<C, S>, config: &mut web::ServiceConfig)
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    config
        .service(resource("/renew", "POST", [web::post().to(renew::<C, S>)]))
        .service(resource("/logout", "POST", [web::post().to(log_out::<C, S>)]))
        .service(resource(
            "/tokens",
            "GET, HEAD, DELETE",
            [web::get().to(list::<C, S>), web::head().to(list::<C, S>), web::delete().to(end_all::<C, S>)],
        ))
        .service(resource("/tokens/others", "DELETE", [web::delete().to(end_others::<C, S>)]))
        .service(resource("/tokens/{id}", "DELETE", [web::delete().to(end_one::<C, S>)]));
    oauth::mount::<C, S>(&http, config);
    config.app_data(Data::new(http));
}

/// A resource that says which methods it has (RFC 9110 section 15.5.6).
pub(super) fn resource<const N: usize>(path: &str, allow: &'static str, routes: [Route; N]) -> Resource {
    let refuse = move || async move {
        let mut response =
            ErrorBody::message("Method Not Allowed").respond(actix_web::http::StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(ALLOW, actix_web::http::header::HeaderValue::from_static(allow));
        response
    };
    routes.into_iter().fold(web::resource(path.to_owned()), Resource::route).default_service(web::to(refuse))
}

async fn renew<C, S>(
    http: Data<HttpAuth<C, S>>,
    request: HttpRequest,
    payload: Payload,
) -> actix_web::Result<HttpResponse>
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    let fields = match Fields::read(&request, payload).await {
        Err(error) if http.options.names == Names::OAuth => return Ok(oauth::unreadable(&error)),
        fields => fields?,
    };
    match renew_with(&http, &request, &fields).await {
        Err(error) if http.options.names == Names::OAuth => oauth::refusal(error),
        answer => Ok(answer?),
    }
}

async fn renew_with<C, S>(
    http: &HttpAuth<C, S>,
    request: &HttpRequest,
    fields: &Fields,
) -> Result<HttpResponse, Error>
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    let HttpAuth { auth, options } = http;
    let from_body = fields.text(options.names.refresh_token())?;
    let from_cookie = match &options.cookies {
        Some(cookies) => cookies.refresh_token(request.head())?.map(|token| (token, cookies)),
        None => None,
    };
    let scope = match options.names {
        Names::Short => None,
        Names::OAuth => {
            if fields.text("grant_type")?.is_some_and(|grant| grant != "refresh_token") {
                return Ok(oauth::refused("unsupported_grant_type"));
            }
            fields.text("scope")?
        }
    };
    let client = client::of(request, &options.proxies);
    match (from_body, from_cookie) {
        (Some(_), Some(_)) => Err(Error::Malformed),
        (None, None) => Err(Error::NoRefreshToken),
        (Some(token), None) => Ok(in_body(&auth.renew_within(token, client, scope).await?, options.names)),
        (None, Some((token, cookies))) => {
            cookies.check_origin(request.head())?;
            match auth.renew_within(token, client, scope).await {
                Err(Error::Grant) => {
                    // it will never be good again, and the browser would send it for weeks
                    let mut refused = match options.names {
                        Names::Short => HttpResponse::from_error(Error::Grant),
                        Names::OAuth => oauth::refused("invalid_grant"),
                    };
                    cookies.clear(&mut refused)?;
                    Ok(refused)
                }
                renewed => in_cookies(&renewed?, options),
            }
        }
    }
}

async fn log_out<C, S>(
    http: Data<HttpAuth<C, S>>,
    request: HttpRequest,
    payload: Payload,
) -> actix_web::Result<HttpResponse>
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    let fields = Fields::read(&request, payload).await?;
    let HttpAuth { auth, options } = &**http;
    let mut answer = unstored(HttpResponse::Ok().json(json!({ "status": "success" })));

    let mut tokens = Vec::new();
    for name in [options.names.refresh_token(), "token"] {
        tokens.extend(fields.text(name)?.map(str::to_owned));
    }
    let mut by_cookie = false;
    if let Some(presented) = credentials::find(request.head(), options)? {
        by_cookie |= presented.source == Source::Cookie;
        tokens.push(presented.token.into_owned());
    }
    if let Some(cookies) = &options.cookies {
        if let Some(token) = cookies.refresh_token(request.head())? {
            by_cookie = true;
            tokens.push(token.to_owned());
        }
        if by_cookie {
            cookies.check_origin(request.head())?;
            cookies.clear(&mut answer)?;
        }
    }
    if tokens.is_empty() {
        return Err(Error::Missing.into());
    }
    let mut known = by_cookie; // a browser with stale cookies is signed out by losing them
    for token in &tokens {
        known |= auth.sign_out(token).await?;
    }
    if known { Ok(answer) } else { Err(Error::Grant.into()) }
}

async fn list<C, S>(http: Data<HttpAuth<C, S>>, auth: Auth<C>) -> Result<HttpResponse, Error>
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    let sessions = http.auth.list(&auth.user, Some(auth.session)).await?;
    Ok(unstored(HttpResponse::Ok().json(json!({ "tokens": sessions }))))
}

async fn end_all<C, S>(http: Data<HttpAuth<C, S>>, auth: Auth<C>) -> Result<HttpResponse, Error>
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    http.auth.revoke(Which::All { user: &auth.user }, Why::User).await?;
    ended(&http, &auth, true, "you are now disconnected on every device")
}

async fn end_others<C, S>(http: Data<HttpAuth<C, S>>, auth: Auth<C>) -> Result<HttpResponse, Error>
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    http.auth.revoke(Which::Others { user: &auth.user, keep: auth.session }, Why::User).await?;
    ended(&http, &auth, false, "you are now disconnected on every other device")
}

async fn end_one<C, S>(
    http: Data<HttpAuth<C, S>>,
    auth: Auth<C>,
    request: HttpRequest,
) -> Result<HttpResponse, Error>
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    // a text that is no id names no session of the user's either
    let id = request.match_info().get("id").and_then(|id| id.parse().ok()).ok_or(Error::NotFound)?;
    if http.auth.revoke(Which::One { user: &auth.user, id }, Why::User).await? == 0 {
        return Err(Error::NotFound);
    }
    ended(&http, &auth, id == auth.session, "the token has been deleted")
}

/// Says that sessions were ended; a browser whose own session was among them forgets its cookies.
fn ended<C, S>(
    http: &HttpAuth<C, S>,
    auth: &Auth<C>,
    own: bool,
    message: &str,
) -> Result<HttpResponse, Error> {
    let mut answer = unstored(HttpResponse::Ok().json(json!({ "message": message })));
    if let Some(cookies) = &http.options.cookies
        && own
        && auth.came_by_cookie()
    {
        cookies.clear(&mut answer)?;
    }
    Ok(answer)
}

impl Names {
    fn refresh_token(self) -> &'static str {
        match self {
            Self::Short => "refreshToken",
            Self::OAuth => "refresh_token",
        }
    }
}

impl<C, S> TokenAuth<C, S>
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    /// Ends the session of an access or refresh token; whether the token was one of ours.
    pub(crate) async fn sign_out(&self, token: &str) -> Result<bool, Error> {
        Ok(self.logout(token).await?
            || self.inner.refresh.open(token).is_some()
            || self.access_token_of_ours(token, self.now()).is_some())
    }
}
