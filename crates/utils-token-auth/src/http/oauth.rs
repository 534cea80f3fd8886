//! The endpoints that other services know from standards: introspection, revocation, public keys.

use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    http::header::{CACHE_CONTROL, HeaderValue},
    web::{self, Data, Payload},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{HttpAuth, answer::unstored, fields::Fields, routes::resource};
use crate::{error::Error, store::Store};

pub(super) fn mount<C, S>(http: &HttpAuth<C, S>, config: &mut web::ServiceConfig)
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    if http.options.introspection.is_some() {
        config.service(resource("/introspect", "POST", [web::post().to(introspect::<C, S>)]));
    }
    if http.options.revocation {
        config.service(resource("/revoke", "POST", [web::post().to(revoke::<C, S>)]));
    }
}

pub(super) fn mount_jwks<C, S>(http: &HttpAuth<C, S>, config: &mut web::ServiceConfig)
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    let keys = http.auth.verifier().jwks();
    let answer = move || {
        let mut response = HttpResponse::Ok().json(&keys);
        // long enough to spare the server, short enough for a key to be known before it signs
        let cache = HeaderValue::from_static("public, max-age=300");
        response.headers_mut().insert(CACHE_CONTROL, cache);
        async move { response }
    };
    config.service(resource(
        "/.well-known/jwks.json",
        "GET, HEAD",
        [web::get().to(answer.clone()), web::head().to(answer)],
    ));
}

/// The error answer of RFC 6749 section 5.2.
pub(super) fn refusal(error: Error) -> actix_web::Result<HttpResponse> {
    let code = match error {
        Error::Grant => "invalid_grant",
        Error::ScopeNotGranted => "invalid_scope",
        Error::Missing | Error::NoRefreshToken | Error::Malformed => "invalid_request",
        error => return Err(error.into()),
    };
    Ok(refused(code))
}

pub(super) fn refused(code: &str) -> HttpResponse {
    unstored(HttpResponse::BadRequest().json(json!({ "error": code })))
}

/// The same for a body that cannot be read: 400, or 413 for one that is too large.
pub(super) fn unreadable(error: &actix_web::Error) -> HttpResponse {
    let status = error.as_response_error().status_code();
    unstored(HttpResponse::build(status).json(json!({ "error": "invalid_request" })))
}

/// RFC 7662. A token that is not good is `{"active": false}`, whatever is wrong with it.
async fn introspect<C, S>(
    http: Data<HttpAuth<C, S>>,
    request: HttpRequest,
    payload: Payload,
) -> actix_web::Result<HttpResponse>
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    if !http.options.introspection.as_ref().is_some_and(|allowed| allowed(&request)) {
        return Ok(Error::Missing.error_response());
    }
    let fields = match Fields::read(&request, payload).await {
        Ok(fields) => fields,
        Err(error) => return Ok(unreadable(&error)),
    };
    match fields.text("token") {
        Ok(Some(token)) => Ok(unstored(HttpResponse::Ok().json(http.auth.introspect(token).await?))),
        Ok(None) => refusal(Error::Missing),
        Err(error) => refusal(error),
    }
}

/// RFC 7009. Whoever has the token may end it; the answer is 200 for every token, also for one that never was ours.
async fn revoke<C, S>(
    http: Data<HttpAuth<C, S>>,
    request: HttpRequest,
    payload: Payload,
) -> actix_web::Result<HttpResponse>
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    let fields = match Fields::read(&request, payload).await {
        Ok(fields) => fields,
        Err(error) => return Ok(unreadable(&error)),
    };
    match fields.text("token") {
        Ok(Some(token)) => {
            http.auth.sign_out(token).await?;
            Ok(unstored(HttpResponse::Ok().finish()))
        }
        Ok(None) => refusal(Error::Missing),
        Err(error) => refusal(error),
    }
}
