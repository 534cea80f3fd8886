//! The crate as an application uses it.
#![allow(clippy::unwrap_used)] // a test fails by panicking
mod envelope;
mod golden;
mod reports;
mod scrubbed;
mod support;
