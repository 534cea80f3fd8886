use std::fmt;

use serde::Serialize;

use crate::Sid;

/// What a login or a renewal hands to the client. Its JSON is `{"token": …, "refreshToken": …}`.
///
/// The answer that carries it must not be stored: send `Cache-Control: no-store` (RFC 6749 section 5.1).
#[derive(Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Pair {
    /// The session.
    #[serde(skip)]
    pub session: Sid,
    /// The access token.
    pub token: String,
    /// The refresh token. `None` after a renewal: the one the client has stays good, and is to be kept.
    #[serde(rename = "refreshToken", skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// Seconds until the access token ends.
    #[serde(skip)]
    pub expires_in: u64,
    /// The scopes of the access token, where OAuth's clients have to be told.
    #[serde(skip)]
    pub(crate) scope: Option<String>,
    /// Whether its session was opened with it.
    #[serde(skip)]
    pub(crate) opened: bool,
}

impl fmt::Debug for Pair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Pair")
            .field("session", &self.session)
            .field("refreshed", &self.refresh_token.is_some())
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}
