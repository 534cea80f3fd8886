//! The kit for JSON APIs on actix-web and Diesel: one feature for each crate.
