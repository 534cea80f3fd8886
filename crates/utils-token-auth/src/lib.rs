//! Short-lived JWTs, revocable refresh tokens, and sessions a user can list and revoke, for actix-web.
#[cfg(feature = "password")]
mod password;

#[cfg(feature = "password")]
pub use crate::password::{PasswordCost, PasswordError, Passwords, Verified};
