//! Short-lived JWTs, revocable refresh tokens, and sessions a user can list and revoke, for actix-web.
mod claims;
mod clock;
mod jws;
mod keys;
#[cfg(feature = "password")]
mod password;
mod sid;
#[cfg(feature = "password")]
mod throttle;
mod verifier;

#[cfg(feature = "password")]
pub use crate::password::{PasswordCost, PasswordError, Passwords, Verified};
#[cfg(all(feature = "password", feature = "diesel"))]
pub use crate::throttle::diesel::{DieselThrottle, DieselThrottleError};
#[cfg(feature = "password")]
pub use crate::throttle::{
    Allowance, Attempt, Charge, Throttle, ThrottleError, ThrottleKey, ThrottlePolicy, ThrottleStore,
    memory::MemoryThrottle,
};
pub use crate::{
    claims::{Registered, Token},
    clock::{Clock, SystemClock, TestClock},
    keys::{KeyError, Keys},
    sid::{ParseSidError, RandomError, Sid},
    verifier::{SignError, Verifier, VerifierError, VerifyError, VerifyPolicy},
};
