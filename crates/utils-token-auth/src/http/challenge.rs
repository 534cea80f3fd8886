//! The answer to a request that is refused: status, body, and the challenge of RFC 6750 section 3.

use std::fmt::Write;

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
    },
};

use crate::error::Error;

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        self.kind().status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = self.kind().respond(self);
        if let Some(challenge) = challenge(self) {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// What `WWW-Authenticate` says. A request without credentials gets no error code: it did nothing wrong yet.
fn challenge(error: &Error) -> Option<HeaderValue> {
    let fixed = HeaderValue::from_static;
    match error {
        Error::Missing | Error::NoRefreshToken => Some(fixed(r#"Bearer realm="api""#)),
        Error::Malformed => Some(fixed(r#"Bearer realm="api", error="invalid_request""#)),
        Error::Invalid(_) => Some(fixed(r#"Bearer realm="api", error="invalid_token""#)),
        Error::Expired(_) => Some(fixed(
            r#"Bearer realm="api", error="invalid_token", error_description="the access token has expired""#,
        )),
        Error::Revoked => Some(fixed(
            r#"Bearer realm="api", error="invalid_token", error_description="the session has ended""#,
        )),
        // one text for every reason: a thief learns nothing of the session
        Error::Grant => Some(fixed(
            r#"Bearer realm="api", error="invalid_token", error_description="the refresh token is not good""#,
        )),
        Error::Scope(scope) => {
            let mut text = String::from(r#"Bearer realm="api", error="insufficient_scope", scope=""#);
            text.extend(scope.chars().filter(|&character| may_be_quoted(character)));
            text.push('"');
            HeaderValue::from_str(&text).ok()
        }
        Error::NotFresh { max_age } => {
            // RFC 9470 section 3
            let mut text = String::from(
                r#"Bearer realm="api", error="insufficient_user_authentication", error_description="a more recent sign-in is required""#,
            );
            write!(text, r#", max_age="{}""#, max_age.as_secs()).ok()?;
            HeaderValue::from_str(&text).ok()
        }
        Error::CrossSite
        | Error::ScopeNotGranted
        | Error::NotFound
        | Error::UserId
        | Error::Store(_)
        | Error::Claims(_)
        | Error::Stale
        | Error::Internal(_)
        | Error::NotConfigured => None,
    }
}

/// RFC 6750 section 3: %x20-21 / %x23-5B / %x5D-7E, so neither quote nor backslash, nor a line that ends the header.
fn may_be_quoted(character: char) -> bool {
    matches!(character, '\u{20}'..='\u{21}' | '\u{23}'..='\u{5B}' | '\u{5D}'..='\u{7E}')
}
