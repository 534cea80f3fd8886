//! The crate as an application uses it.
#![allow(clippy::unwrap_used)] // a test fails by panicking
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
#[macro_use]
mod backend;
#[cfg(feature = "sqlite")]
mod golden;
mod links;
#[cfg(feature = "mysql")]
mod mysql;
mod page;
mod params;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod schema;
#[cfg(feature = "sqlite")]
mod sqlite;
