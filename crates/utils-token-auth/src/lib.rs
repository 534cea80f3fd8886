//! Short-lived JWTs, revocable refresh tokens, and sessions a user can list and revoke, for actix-web.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use utils_token_auth::{Client, Keys, MemoryStore, Refusal, Session, TokenAuth, Which, Why};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Claims {
//!     scopes: Vec<String>,
//! }
//!
//! /// What an access token says; asked at login and at every renewal.
//! async fn claims(session: Session) -> Result<Claims, Refusal> {
//!     // data of a release that stored something else: sign in again
//!     Ok(Claims { scopes: session.data_as().map_err(|_| Refusal::Denied)? })
//! }
//!
//! # #[actix_web::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = Keys::hs256("2026-11", b"a secret of at least 32 bytes, from a file")?;
//! let auth = TokenAuth::new(keys, MemoryStore::new(), claims).build()?;
//!
//! // the password was right
//! let phone = auth.login("ana", ["read", "write"], Client::unknown().label("phone")).await?;
//! let token = auth.verify(&phone.token)?;
//! assert_eq!((token.user.as_str(), token.claims.scopes.len()), ("ana", 2));
//!
//! // fifteen minutes later
//! let renewed = auth.renew(&phone.refresh_token.unwrap_or_default(), Client::unknown()).await?;
//! assert_eq!(auth.list("ana", Some(renewed.session)).await?.len(), 1);
//!
//! // a new password ends every session, its access tokens included
//! auth.revoke(Which::All { user: "ana" }, Why::Password).await?;
//! assert!(auth.verify(&renewed.token).is_err());
//! # Ok(())
//! # }
//! ```
//!
//! - [`TokenAuth`] is the engine: [`login`](TokenAuth::login), [`renew`](TokenAuth::renew),
//!   [`logout`](TokenAuth::logout), [`revoke`](TokenAuth::revoke), [`list`](TokenAuth::list),
//!   [`verify`](TokenAuth::verify); [`start`](TokenAuth::start) hears of revocations in other processes.
//!   [`Policy`] has the lives and limits, [`Keys`] what tokens are signed with.
//! - [`HttpAuth`] is how it is reached: routes, [`protect`](HttpAuth::protect), and the extractors [`Auth`] and
//!   [`MaybeAuth`].
//! - A [`Store`] keeps the sessions: [`MemoryStore`], `DieselStore` on SQLite, PostgreSQL and MySQL by feature, or one
//!   of your own, which `utils_testing::token_auth::check_session_store` examines.
//! - [`Verifier`] alone is for services that accept tokens and hold no sessions.
//! - `Passwords` and `Throttle` (feature `password`) are for the login that comes before.
//!
//! A renewal that is repeated gets the same answer, so lost answers and tabs that share a refresh token sign nobody
//! out; a refresh token that somebody copied is noticed and ends its session. The guide `docs/guide/token-auth.md` says
//! how, and `docs/reference/security.md` what is promised, with the test of each promise.
mod builder;
mod claims;
mod clock;
mod engine;
mod error;
mod events;
mod http;
mod introspect;
mod jws;
mod keys;
mod pair;
#[cfg(feature = "password")]
mod password;
mod per_thread;
mod policy;
mod refresh;
mod renew;
mod revocations;
mod scope_bound;
mod session;
mod sid;
mod store;
#[cfg(feature = "password")]
mod throttle;
mod upkeep;
mod verifier;

#[cfg(feature = "utoipa")]
pub use crate::http::openapi::SecuritySchemes;
#[cfg(feature = "password")]
pub use crate::password::{PasswordCost, PasswordError, Passwords, Verified};
#[cfg(feature = "mysql")]
pub use crate::store::diesel::MYSQL_MIGRATIONS;
#[cfg(feature = "sqlite")]
pub use crate::store::diesel::SQLITE_MIGRATIONS;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub use crate::store::diesel::{DieselStore, DieselStoreError, Migrate, migrate};
#[cfg(feature = "postgres")]
pub use crate::store::diesel::{POSTGRES_MIGRATIONS, RevocationListener};
#[cfg(all(feature = "password", any(feature = "sqlite", feature = "postgres", feature = "mysql")))]
pub use crate::throttle::diesel::{DieselThrottle, DieselThrottleError};
#[cfg(feature = "password")]
pub use crate::throttle::{
    Allowance, Attempt, Charge, Throttle, ThrottleError, ThrottleKey, ThrottlePolicy, ThrottleStore,
    memory::MemoryThrottle,
};
pub use crate::{
    builder::Builder,
    claims::{Registered, Token},
    clock::{Clock, SystemClock, TestClock},
    engine::TokenAuth,
    error::{BuildError, Cause, ERRORS, Error, Refusal},
    events::{Event, EventKind, Severity},
    http::{
        HttpAuth,
        answer::PairInBody,
        client::{ParseNetworkError, Proxies},
        cookies::Cookies,
        extract::{Auth, MaybeAuth},
        protect::{Protect, Protected},
        scopes::Scopes,
    },
    introspect::Introspection,
    keys::{KeyError, Keys},
    pair::Pair,
    policy::{Policy, PolicyError, Stale},
    revocations::Revocations,
    session::{Client, LiveAt, Revoked, Session, SessionInfo, Why},
    sid::{ParseSidError, RandomError, Sid},
    store::{
        Purge, Rotate, Store, Which,
        memory::{MemoryStore, MemoryStoreError},
    },
    upkeep::Upkeep,
    verifier::{SignError, Verifier, VerifierError, VerifyError, VerifyPolicy},
};
