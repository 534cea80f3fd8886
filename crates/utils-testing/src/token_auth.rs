//! The contract of a session store of `utils-token-auth`, as a suite to run on one's own.
//!
//! ```
//! use utils_testing::token_auth::check_session_store;
//! use utils_token_auth::MemoryStore;
//!
//! # #[actix_web::main]
//! # async fn main() {
//! let store = MemoryStore::new();
//! check_session_store(|| async { store.clone() }).await;
//! # }
//! ```
//!
//! Each function panics with the rule that was broken. The sessions it makes lie in the year 2001 and belong to users
//! that nobody has, so a database with other sessions in it is not disturbed.
mod endings;
mod races;
mod renewals;
mod rotation;
mod rows;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::atomic::{AtomicU32, Ordering},
};

use utils_token_auth::{Client, LiveAt, Session, Sid, Store};

pub use self::{
    endings::check_endings,
    races::{RaceReport, check_races},
    renewals::check_renewals,
    rotation::check_rotation,
    rows::check_rows,
};

/// Runs every check of this module, with races of 8 callers and 25 rounds.
///
/// `open` is called several times, and each store it makes must see the same sessions, like the processes of one
/// application and like one process before and after a restart.
pub async fn check_session_store<S, Open, Opening>(open: Open)
where
    S: Store,
    Open: Fn() -> Opening,
    Opening: Future<Output = S>,
{
    check_rows(&open).await;
    check_rotation(&open).await;
    check_endings(&open).await;
    check_renewals(&open).await;
    check_races(&open, 8, 25).await;
}

/// A moment in 2001: 9 September, 01:46:40 UTC.
const NOW: i64 = 1_000_000_000_000;
const HOUR: i64 = 3_600_000;

/// Live at [`NOW`], for sessions that were renewed in the hour before.
const LIVE: LiveAt = LiveAt { now: NOW, idle_since: NOW - HOUR };

/// A user whom no other test and no other run has.
fn new_user(name: &str) -> String {
    static USERS: AtomicU32 = AtomicU32::new(0);
    let run = new_id().to_string();
    format!("{name}-{}-{run}", USERS.fetch_add(1, Ordering::Relaxed))
}

fn new_id() -> Sid {
    match Sid::random() {
        Ok(id) => id,
        Err(error) => panic!("{error}"),
    }
}

/// A session that is live at [`NOW`].
fn session(user: &str) -> Session {
    Session {
        id: new_id(),
        user: user.to_owned(),
        data: serde_json::Value::Null,
        scopes: BTreeMap::new(),
        secret_hash: [7; 32],
        generation: 0,
        created_at: NOW - 1_000,
        renewed_at: NOW - 1_000,
        expires_at: NOW + HOUR,
        revoked: None,
        client: Client::unknown(),
    }
}

/// The answer of a store call, or the end of the check.
#[track_caller]
fn done<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("the store failed: {error}"),
    }
}

/// The session, which the store must have.
async fn found<S: Store>(store: &S, id: Sid) -> Session {
    match done(store.get(id).await) {
        Some(session) => session,
        None => panic!("a session that was inserted is not there"),
    }
}
