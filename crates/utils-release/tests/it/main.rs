//! Integration tests of `utils-release`.
#![allow(clippy::unwrap_used)] // also in the functions that tests share
mod build_script;
mod golden;
#[cfg(feature = "actix")]
mod http;
mod process;
mod sources;
