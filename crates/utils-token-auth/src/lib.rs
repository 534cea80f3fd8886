//! Short-lived JWTs, revocable refresh tokens, and sessions a user can list and revoke, for actix-web.
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
