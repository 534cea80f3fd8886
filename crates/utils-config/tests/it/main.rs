//! Integration tests of `utils-config`.
#![allow(clippy::unwrap_used)] // also in the functions that tests share
mod golden;
mod settings;
mod url;
