//! The crate as an application uses it.
#![allow(clippy::unwrap_used)] // a test fails by panicking
mod envelope;
mod golden;
#[cfg(feature = "jobs")]
mod jobs;
mod reports;
mod scrubbed;
mod support;
