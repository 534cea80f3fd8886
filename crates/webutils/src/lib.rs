//! The kit for JSON APIs on actix-web and Diesel: one feature for each crate.
//!
//! This crate re-exports the others as modules, each behind the feature of its name, so that one dependency and one
//! version bring them together. Nothing is on by default: name what you use, and a database if something stores rows.
//!
//! ```toml
//! [dependencies]
//! webutils = { version = "0.1", features = ["restful", "pagination", "token-auth", "sqlite"] }
//! ```
//!
//! | Module | Feature | What it does |
//! |---|---|---|
//! | `restful` | `restful` | every response and every error in one JSON shape |
//! | `webargs` | `webargs` | typed request arguments, every wrong field reported at once |
//! | `pagination` | `pagination` | pages over any Diesel query |
//! | `token_auth` | `token-auth` | access tokens, refresh tokens, sessions a user can list and revoke |
//! | `jobs` | `jobs` | work after the response, enqueued in your own Diesel transaction |
//! | `config` | `config` | typed settings from defaults, a file and the environment |
//! | `release` | `release` | which release is running |
//! | `sentry` | `sentry` | error reports without the everyday 4xx |
//! | `testing` | `testing` | harnesses and contract suites; for `[dev-dependencies]` |
//!
//! `full` is all of them but `testing`. `sqlite`, `postgres` and `mysql` reach only the crates that are on.

#[cfg(feature = "config")]
#[doc(inline)]
pub use utils_config as config;
#[cfg(feature = "jobs")]
#[doc(inline)]
pub use utils_jobs as jobs;
#[cfg(feature = "pagination")]
#[doc(inline)]
pub use utils_pagination as pagination;
#[cfg(feature = "release")]
#[doc(inline)]
pub use utils_release as release;
#[cfg(feature = "restful")]
#[doc(inline)]
pub use utils_restful as restful;
#[cfg(feature = "sentry")]
#[doc(inline)]
pub use utils_sentry as sentry;
#[cfg(feature = "testing")]
#[doc(inline)]
pub use utils_testing as testing;
#[cfg(feature = "token-auth")]
#[doc(inline)]
pub use utils_token_auth as token_auth;
#[cfg(feature = "webargs")]
#[doc(inline)]
pub use utils_webargs as webargs;

/// The program in the README of the repository, as a test.
#[cfg(all(doctest, feature = "pagination", feature = "restful", feature = "token-auth"))]
#[doc = include_str!("../../../README.md")]
struct Readme;
