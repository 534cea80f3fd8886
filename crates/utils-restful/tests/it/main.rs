//! The crate as an application uses it.
#![allow(clippy::unwrap_used)] // a test fails by panicking
mod application;
mod errors;
#[cfg(feature = "decimal")]
mod exact;
mod expected_json;
#[cfg(feature = "decimal")]
mod golden;
#[cfg(feature = "diesel")]
mod known_errors;
mod logged;
mod over_the_wire;
mod shapes;
mod texts;
