//! Integration tests of `utils-webargs`.
#![allow(clippy::unwrap_used)] // also in the functions that tests share
mod engine;
#[cfg(feature = "actix")]
mod golden;
#[cfg(feature = "actix")]
mod http;
mod rules;
