//! Short-lived JWTs, revocable refresh tokens, and sessions a user can list and revoke, for actix-web.
mod clock;
#[cfg(feature = "password")]
mod password;
#[cfg(feature = "password")]
mod throttle;

pub use crate::clock::{Clock, SystemClock, TestClock};
#[cfg(feature = "password")]
pub use crate::password::{PasswordCost, PasswordError, Passwords, Verified};
#[cfg(all(feature = "password", feature = "diesel"))]
pub use crate::throttle::diesel::{DieselThrottle, DieselThrottleError};
#[cfg(feature = "password")]
pub use crate::throttle::{
    Allowance, Attempt, Charge, Throttle, ThrottleError, ThrottleKey, ThrottlePolicy, ThrottleStore,
    memory::MemoryThrottle,
};
