mod read;
mod write;

pub(crate) use self::{
    read::{is_reserved, read},
    write::{WriteError, member_names, write},
};
use crate::Sid;

/// What the library itself says in an access token. Times are seconds since 1970, as RFC 7519 writes them.
///
/// The issuer and the audience come from the [`VerifyPolicy`](crate::VerifyPolicy), so that nothing is minted that
/// would not verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// `rfid`: the session this token belongs to.
    pub session: Sid,
    /// `sub`, or the claim the policy names instead: whose token it is.
    pub subject: String,
    /// `iat`: when it was minted.
    pub issued_at: i64,
    /// `exp`: the first second in which it is refused.
    pub expires_at: i64,
    /// `nbf`: the first second in which it is accepted.
    pub not_before: Option<i64>,
    /// `auth_time`: when the user last proved who they are, by a password for example.
    pub auth_time: Option<i64>,
}

/// A verified access token: who it speaks for, and the application's own claims.
///
/// Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Token<C> {
    /// The session this token belongs to.
    pub session: Sid,
    /// The user it speaks for.
    pub user: String,
    /// When it was minted.
    pub issued_at: i64,
    /// The first second in which it is refused, leeway aside.
    pub expires_at: i64,
    /// When the user last proved who they are; `None` in tokens minted elsewhere.
    pub auth_time: Option<i64>,
    /// The application's claims.
    pub claims: C,
}
