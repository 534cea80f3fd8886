use std::{error::Error as StdError, time::Duration};

use actix_web::http::StatusCode;
use utils_restful::{CauseOf, ErrorKind};

use crate::{
    policy::PolicyError,
    verifier::{VerifierError, VerifyError},
};

/// A cause that stays on the server.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// Why a request was refused, or could not be answered.
///
/// The messages are safe to send to a client; what happened inside is in `source()`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request carries no token.
    #[error("A valid token is required to access this resource")]
    Missing,
    /// The request is to renew, and carries no refresh token.
    #[error("A valid token is required to access this resource")]
    NoRefreshToken,
    /// The request carries credentials in two places, or in a way that cannot be read.
    #[error("the request's credentials are malformed")]
    Malformed,
    /// The access token is not one of ours, or is altered.
    #[error("The provided token was invalid.")]
    Invalid(#[source] VerifyError),
    /// The access token's time is over: renew.
    #[error("The provided token was invalid.")]
    Expired(#[source] VerifyError),
    /// The session of this access token has been ended.
    #[error("The provided token was invalid.")]
    Revoked,
    /// The refresh token is not good any more, whatever the reason: sign in again.
    #[error("The provided token was invalid.")]
    Grant,
    /// The renewal asks for a scope that its session was not granted, or that the user has lost.
    #[error("the session was not granted these scopes")]
    ScopeNotGranted,
    /// The access token lacks this scope.
    #[error("the token does not allow this")]
    Scope(String),
    /// The request came with a cookie, and not from a page of ours.
    #[error("the request does not come from this site")]
    CrossSite,
    /// The user signed in too long ago for this: sign in again.
    #[error("a more recent sign-in is required")]
    NotFresh {
        /// How long ago it may be.
        max_age: Duration,
    },
    /// There is no such session among the user's.
    #[error("there is no such session")]
    NotFound,
    /// A user's id is 1 to 255 bytes long and has no NUL in it.
    #[error("the user's id must have 1 to 255 bytes and no NUL")]
    UserId,
    /// The session store did not answer as it should.
    #[error("sessions are not available at the moment")]
    Store(#[source] Cause),
    /// The claims function could not reach what it needs.
    #[error("sessions are not available at the moment")]
    Claims(#[source] Cause),
    /// The list of revoked sessions is older than the policy allows.
    #[error("sessions are not available at the moment")]
    Stale,
    /// A token could not be made: no randomness, or claims that are not a JSON object, use a reserved name, or have
    /// scopes that are not strings.
    #[error("the token could not be made")]
    Internal(#[source] Cause),
    /// The application asks for tokens in a place where no engine for these claims is configured.
    #[error("authentication is not set up")]
    NotConfigured,
}

/// Why an engine was not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The policy makes no sense.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The keys and the policy do not fit together.
    #[error(transparent)]
    Verifier(#[from] VerifierError),
    /// The first of the keys is the one that signs, and it is a public key.
    #[error("the first key must be able to sign")]
    NoSigningKey,
}

/// Why the claims function gave no claims.
///
/// Every error becomes [`Unavailable`](Self::Unavailable) by `?`, so that nobody is signed out because a database
/// hiccups; only an explicit [`Denied`](Self::Denied) ends the session.
///
/// ```
/// use utils_token_auth::Refusal;
///
/// fn scopes(active: Result<bool, std::io::Error>) -> Result<Vec<String>, Refusal> {
///     if active? { Ok(vec!["read".to_owned()]) } else { Err(Refusal::Denied) }
/// }
/// assert!(matches!(scopes(Ok(false)), Err(Refusal::Denied)));
/// assert!(matches!(scopes(Err(std::io::Error::other("down"))), Err(Refusal::Unavailable(_))));
/// ```
#[derive(Debug)]
pub enum Refusal {
    /// The user may not have a token any more: a login is refused, a renewal ends the session.
    Denied,
    /// It cannot be said at the moment: the answer is 503, and the client's retry works.
    Unavailable(Cause),
}

impl<E: StdError + Send + Sync + 'static> From<E> for Refusal {
    fn from(error: E) -> Self {
        // a row that the claims function missed is not what the client asked for
        Self::Unavailable(Box::new(CauseOf::new(&SESSIONS_UNAVAILABLE, error)))
    }
}

impl Error {
    pub(crate) fn store(error: impl StdError + Send + Sync + 'static) -> Self {
        Self::Store(Box::new(CauseOf::new(&SESSIONS_UNAVAILABLE, error)))
    }

    pub(crate) fn internal(error: impl Into<Cause>) -> Self {
        Self::Internal(error.into())
    }

    /// The stable code, status and remedy of this error.
    #[must_use]
    pub fn kind(&self) -> &'static ErrorKind {
        match self {
            Self::Missing => &TOKEN_MISSING,
            Self::NoRefreshToken => &REFRESH_TOKEN_MISSING,
            Self::Malformed => &CREDENTIALS_MALFORMED,
            Self::Invalid(_) => &TOKEN_INVALID,
            Self::Expired(_) => &TOKEN_EXPIRED,
            Self::Revoked => &TOKEN_REVOKED,
            Self::Grant => &REFRESH_TOKEN_INVALID,
            Self::ScopeNotGranted => &SCOPE_NOT_GRANTED,
            Self::Scope(_) => &INSUFFICIENT_SCOPE,
            Self::CrossSite => &CROSS_SITE_REQUEST,
            Self::NotFresh { .. } => &SIGN_IN_TOO_OLD,
            Self::NotFound => &SESSION_NOT_FOUND,
            Self::UserId => &USER_ID_UNUSABLE,
            Self::Store(_) | Self::Claims(_) | Self::Stale => &SESSIONS_UNAVAILABLE,
            Self::Internal(_) => &TOKEN_NOT_MADE,
            Self::NotConfigured => &AUTH_NOT_CONFIGURED,
        }
    }
}

impl From<VerifyError> for Error {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Expired { .. } => Self::Expired(error),
            _ => Self::Invalid(error),
        }
    }
}

/// The kinds of error this crate answers with.
pub static ERRORS: &[&ErrorKind] = &[
    &TOKEN_MISSING,
    &CREDENTIALS_MALFORMED,
    &TOKEN_INVALID,
    &TOKEN_EXPIRED,
    &TOKEN_REVOKED,
    &REFRESH_TOKEN_MISSING,
    &REFRESH_TOKEN_INVALID,
    &SCOPE_NOT_GRANTED,
    &INSUFFICIENT_SCOPE,
    &CROSS_SITE_REQUEST,
    &SIGN_IN_TOO_OLD,
    &SESSION_NOT_FOUND,
    &USER_ID_UNUSABLE,
    &SESSIONS_UNAVAILABLE,
    &TOKEN_NOT_MADE,
    &AUTH_NOT_CONFIGURED,
    #[cfg(feature = "password")]
    &crate::password::PASSWORD_TOO_LONG,
    #[cfg(feature = "password")]
    &crate::password::PASSWORD_CHECKS_BUSY,
    #[cfg(feature = "password")]
    &crate::password::PASSWORD_HASHING_FAILED,
    #[cfg(feature = "password")]
    &crate::throttle::TOO_MANY_LOGINS,
    #[cfg(feature = "password")]
    &crate::throttle::LOGIN_THROTTLE_DOWN,
];

static TOKEN_MISSING: ErrorKind = ErrorKind::new(
    "token_missing",
    StatusCode::UNAUTHORIZED,
    "Send the access token as `Authorization: Bearer <token>`.",
);
static CREDENTIALS_MALFORMED: ErrorKind = ErrorKind::new(
    "credentials_malformed",
    StatusCode::BAD_REQUEST,
    "Send one token, in one place, as `Authorization: Bearer <token>`.",
);
static TOKEN_INVALID: ErrorKind =
    ErrorKind::new("token_invalid", StatusCode::UNAUTHORIZED, "Sign in again for a new token.");
static TOKEN_EXPIRED: ErrorKind = ErrorKind::new(
    "token_expired",
    StatusCode::UNAUTHORIZED,
    "Renew the access token, then repeat the request.",
);
static TOKEN_REVOKED: ErrorKind =
    ErrorKind::new("token_revoked", StatusCode::UNAUTHORIZED, "The session was ended: sign in again.");
static REFRESH_TOKEN_INVALID: ErrorKind = ErrorKind::new(
    "refresh_token_invalid",
    StatusCode::UNAUTHORIZED,
    "The session is over or the refresh token is not the latest one: sign in again.",
);
static REFRESH_TOKEN_MISSING: ErrorKind = ErrorKind::new(
    "refresh_token_missing",
    StatusCode::UNAUTHORIZED,
    "Send the refresh token in the body of the request, or the cookie that has it, or sign in.",
);
static SCOPE_NOT_GRANTED: ErrorKind = ErrorKind::new(
    "scope_not_granted",
    StatusCode::BAD_REQUEST,
    "Ask for scopes that the login granted and the user still has, or leave `scope` out.",
);
static INSUFFICIENT_SCOPE: ErrorKind = ErrorKind::new(
    "insufficient_scope",
    StatusCode::FORBIDDEN,
    "The user lacks the scope named in `WWW-Authenticate`.",
);
static CROSS_SITE_REQUEST: ErrorKind = ErrorKind::new(
    "cross_site_request",
    StatusCode::FORBIDDEN,
    "Send the request from a page of this site, or have the site trust the page's origin.",
);
static AUTH_NOT_CONFIGURED: ErrorKind = ErrorKind::new(
    "auth_not_configured",
    StatusCode::INTERNAL_SERVER_ERROR,
    "Configure `HttpAuth::routes` or `HttpAuth::extractors` around the handler, with the same claims type.",
);
static SIGN_IN_TOO_OLD: ErrorKind = ErrorKind::new(
    "sign_in_too_old",
    StatusCode::UNAUTHORIZED,
    "Ask the user for the password again, then use the new token.",
);
static SESSION_NOT_FOUND: ErrorKind = ErrorKind::new(
    "session_not_found",
    StatusCode::NOT_FOUND,
    "List the user's sessions for the ids that exist.",
);
static USER_ID_UNUSABLE: ErrorKind = ErrorKind::new(
    "user_id_unusable",
    StatusCode::INTERNAL_SERVER_ERROR,
    "Give `login` a user id of 1 to 255 bytes without NUL.",
);
static SESSIONS_UNAVAILABLE: ErrorKind = ErrorKind::new(
    "sessions_unavailable",
    StatusCode::SERVICE_UNAVAILABLE,
    "Repeat the request in a moment; the log has the cause.",
);
static TOKEN_NOT_MADE: ErrorKind = ErrorKind::new(
    "token_not_made",
    StatusCode::INTERNAL_SERVER_ERROR,
    "The log has the cause: claims must be a JSON object without the names the library uses, with scopes as strings.",
);
