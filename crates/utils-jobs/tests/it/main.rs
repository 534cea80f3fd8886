//! The integration tests of utils-jobs; the suites of a server are in modules of its name.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy.toml reaches only `#[test]` functions"
)]
mod jobs;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod sessions;
