//! Integration tests of the facade.

// The catalogue of errors in the docs, made from the crates' tables.
#[cfg(feature = "full")]
mod reference;
