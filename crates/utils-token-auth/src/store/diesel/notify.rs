//! Revocations pushed from process to process by PostgreSQL, for those to whom a second is too long.
use std::{
    error::Error as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use diesel::{
    Connection, PgConnection, RunQueryDsl, sql_query,
    sql_types::{BigInt, Binary, SmallInt, Text},
};

use super::{DieselStore, DieselStoreError, Owned};
use crate::{
    Sid,
    clock::{Clock, SystemClock, whole_ms},
    policy::CLOCK_SKEW,
    revocations::Revocations,
    session::Why,
};

const CHANNEL: &str = "auth_sessions_revoked";
/// How often the connection is asked for notifications.
const LOOK: Duration = Duration::from_millis(25);
/// After how many looks a statement is sent, because a connection that is dead in silence says nothing either.
const PROBE: u32 = 400;
/// How long to wait before connecting anew.
const RECONNECT: Duration = Duration::from_secs(1);
/// After how many vain attempts the log says so again: each minute.
const COMPLAIN: u32 = 60;

impl DieselStore<PgConnection> {
    /// Announces each revocation by `NOTIFY`, for the [`RevocationListener`]s of other processes.
    #[must_use]
    pub fn announce(mut self) -> Self {
        self.announces = true;
        self
    }
}

/// Ends sessions and announces them: in the same statement, so that nothing is announced that did not
/// happen, and nothing that happened is kept quiet.
pub(super) fn revoke(
    connection: &mut PgConnection,
    user: &str,
    which: Owned,
    why: Why,
    at: i64,
) -> Result<usize, DieselStoreError> {
    let (condition, id): (_, &[u8]) = match &which {
        Owned::One(id) => ("id = $4", id.as_bytes()),
        Owned::Others(keep) => ("id <> $4", keep.as_bytes()),
        Owned::All => ("length($4) = 0", &[]),
    };
    let statement = format!(
        "WITH ended AS (UPDATE auth_sessions SET revoked_at = $1, revoked_why = $2 \
         WHERE user_id = $3 AND revoked_at IS NULL AND {condition} RETURNING id) \
         SELECT pg_notify('{CHANNEL}', encode(id, 'hex') || ' ' || $1) FROM ended"
    );
    let count = sql_query(statement)
        .bind::<BigInt, _>(at)
        .bind::<SmallInt, _>(why.code())
        .bind::<Text, _>(user)
        .bind::<Binary, _>(id)
        .execute(connection)?;
    Ok(count)
}

/// Hears of revocations that other processes [`announce`](DieselStore::announce), on a connection and a thread of its
/// own, and adds them to the set of this process. It stops when it is dropped.
///
/// It makes revocations faster, not surer: whatever it misses, [`start`](crate::TokenAuth::start) finds a second later.
#[derive(Debug)]
#[must_use = "it stops when this is dropped"]
pub struct RevocationListener {
    stopped: Arc<AtomicBool>,
}

impl RevocationListener {
    /// Starts to listen on the database of this URL. A connection that is lost is made anew.
    ///
    /// # Errors
    /// [`DieselStoreError::Connection`] when the first connection could not be made.
    pub fn start(url: &str, revocations: &Revocations) -> Result<Self, DieselStoreError> {
        let stopped = Arc::new(AtomicBool::new(false));
        let mut connection = Some(listen(url)?);
        let (url, revocations, stop) = (url.to_owned(), revocations.clone(), Arc::clone(&stopped));
        let thread = thread::Builder::new().name("auth-revocations".to_owned()).spawn(move || {
            let mut looks = 0_u32;
            let mut failures = 0_u32;
            while !stop.load(Ordering::Acquire) {
                looks = (looks + 1) % PROBE;
                match connection.as_mut().map(|connection| hear(connection, &revocations, looks == 0)) {
                    Some(Ok(())) => thread::sleep(LOOK),
                    Some(Err(error)) => {
                        tracing::warn!(%error, "the connection that hears of revocations was lost");
                        connection = None;
                        failures = 0;
                    }
                    None => {
                        thread::sleep(RECONNECT);
                        match listen(&url) {
                            Ok(made) => {
                                tracing::info!("revocations are heard again");
                                connection = Some(made);
                            }
                            Err(error) => {
                                if failures.is_multiple_of(COMPLAIN) {
                                    // the cause may name the server, which belongs in the log and nowhere else
                                    let cause = error.source().map(ToString::to_string);
                                    tracing::warn!(cause, "revocations are not heard: no connection");
                                }
                                failures += 1;
                            }
                        }
                    }
                }
            }
        });
        thread.map_err(DieselStoreError::Thread)?;
        Ok(Self { stopped })
    }
}

impl Drop for RevocationListener {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
    }
}

fn listen(url: &str) -> Result<PgConnection, DieselStoreError> {
    let mut connection = PgConnection::establish(url).map_err(DieselStoreError::Connection)?;
    sql_query(format!("LISTEN {CHANNEL}")).execute(&mut connection)?;
    Ok(connection)
}

fn hear(connection: &mut PgConnection, revocations: &Revocations, probe: bool) -> diesel::QueryResult<()> {
    if probe {
        sql_query("SELECT 1").execute(connection)?;
    }
    let mut heard = Vec::new();
    for notification in connection.notifications_iter() {
        heard.extend(read(&notification?.payload, SystemClock.now_ms()));
    }
    revocations.apply(&heard);
    Ok(())
}

/// The session and the time in `<32 hexadecimal digits> <milliseconds>`. Anybody may write to a channel, so a time in the
/// future, which would never be forgotten, is none.
fn read(payload: &str, now: i64) -> Option<(Sid, i64)> {
    let (id, at) = payload.split_once(' ')?;
    let at: i64 = at.parse().ok()?;
    Some((id.parse().ok()?, at.min(now + whole_ms(CLOCK_SKEW))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_the_future_is_not_believed() {
        let id = "00112233445566778899aabbccddeeff";
        for (at, believed) in [("5000", 5_000), ("17000", 17_000), ("9223372036854775807", 17_000)] {
            assert_eq!(read(&format!("{id} {at}"), 7_000), Some((id.parse().unwrap(), believed)));
        }
        for text in ["", "a b", id, &format!("{id} x"), &format!("{id} 99999999999999999999")] {
            assert_eq!(read(text, 7_000), None, "{text}");
        }
    }
}
