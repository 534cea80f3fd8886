//! apalis workers over Diesel, jobs enqueued in your own transaction, and a Diesel session factory.
mod sessions;

pub use crate::sessions::{
    PoolSettings, SessionConn, Sessions, SessionsBuilder, SessionsError, WorkError, WorkPanic,
};
