//! Jobs on every database.
#[cfg(feature = "sqlite")]
mod end_to_end;
