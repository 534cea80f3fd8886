//! Revocations pushed from process to process by PostgreSQL, for those to whom a second is too long.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use diesel::{
    Connection, PgConnection, RunQueryDsl,
    pg::PgNotification,
    sql_query,
    sql_types::{BigInt, Binary, SmallInt, Text},
};

use super::{DieselStore, DieselStoreError, Owned, revoke_on_postgres};
use crate::{Sid, revocations::Revocations, session::Why};

const CHANNEL: &str = "auth_sessions_revoked";
/// How often the connection is asked for notifications.
const LOOK: Duration = Duration::from_millis(25);
/// After how many looks a statement is sent, because a connection that is dead in silence says nothing either.
const PROBE: u32 = 400;
/// How long to wait before connecting anew.
const RECONNECT: Duration = Duration::from_secs(1);

impl DieselStore<PgConnection> {
    /// Announces each revocation by `NOTIFY`, for the [`RevocationListener`]s of other processes.
    #[must_use]
    pub fn announce(mut self) -> Self {
        self.announces = true;
        self
    }
}

/// Ends sessions and, if asked to, announces them: in the same statement, so that nothing is announced that did not
/// happen, and nothing that happened is kept quiet.
pub(super) fn revoke(
    connection: &mut PgConnection,
    user: &str,
    which: Owned,
    why: Why,
    at: i64,
    announces: bool,
) -> Result<usize, DieselStoreError> {
    if !announces {
        return revoke_on_postgres(connection, user, which, why, at, announces);
    }
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
            while !stop.load(Ordering::Acquire) {
                looks = (looks + 1) % PROBE;
                match connection.as_mut().map(|connection| hear(connection, &revocations, looks == 0)) {
                    Some(Ok(())) => thread::sleep(LOOK),
                    Some(Err(error)) => {
                        tracing::warn!(%error, "the connection that hears of revocations was lost");
                        connection = None;
                    }
                    None => {
                        thread::sleep(RECONNECT);
                        connection = listen(&url).ok();
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
        heard.extend(read(&notification?));
    }
    revocations.apply(&heard);
    Ok(())
}

/// The session and the time in `<32 hexadecimal digits> <milliseconds>`; anybody may write to a channel.
fn read(notification: &PgNotification) -> Option<(Sid, i64)> {
    let (id, at) = notification.payload.split_once(' ')?;
    Some((id.parse().ok()?, at.parse().ok()?))
}
