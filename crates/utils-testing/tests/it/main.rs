//! The integration tests of utils-testing; the suites of a server are in modules of its name.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy.toml reaches only `#[test]` functions"
)]
#[cfg(feature = "jobs")]
mod background;
mod crud;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod databases;
mod failures;
#[cfg(all(feature = "sqlite", feature = "jobs"))]
mod guide;
mod privileges;
mod recorded;
mod requests;
#[cfg(all(feature = "sqlite", feature = "jobs"))]
mod sessions;
mod things;
