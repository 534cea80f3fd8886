//! Integration tests of the facade.

// Each feature brings its crate.
mod facade;
// The catalogue of errors in the docs, made from the crates' tables.
#[cfg(feature = "full")]
mod reference;
