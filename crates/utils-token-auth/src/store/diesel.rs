mod error;
mod migrations;
#[cfg(feature = "postgres")]
mod notify;
mod row;

use std::{fmt, time::Duration};

use diesel::{
    connection::{TransactionManager, TransactionManagerStatus},
    prelude::*,
    r2d2::{ConnectionManager, Pool, R2D2Connection},
    result::{DatabaseErrorKind, Error as DieselError},
};

pub use self::error::DieselStoreError;
#[cfg(feature = "mysql")]
pub use self::migrations::MYSQL_MIGRATIONS;
#[cfg(feature = "postgres")]
pub use self::migrations::POSTGRES_MIGRATIONS;
#[cfg(feature = "sqlite")]
pub use self::migrations::SQLITE_MIGRATIONS;
pub use self::migrations::{Migrate, migrate};
#[cfg(feature = "postgres")]
pub use self::notify::RevocationListener;
use self::row::{Row, auth_sessions};
use crate::{
    Sid,
    session::{LiveAt, Session, Why},
    store::{Purge, Rotate, Store, Which},
};

/// Sessions in the table `auth_sessions`, shared by every process on the database.
///
/// `Conn` is a Diesel connection: `SqliteConnection`, `PgConnection` or `MysqlConnection`, each by its feature. Each
/// operation is one statement in its own transaction, on the blocking pool of the current tokio runtime.
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use diesel::SqliteConnection;
/// use utils_token_auth::DieselStore;
///
/// # let directory = tempfile::tempdir()?;
/// # let url = directory.path().join("app.sqlite").display().to_string();
/// let store = DieselStore::<SqliteConnection>::open(&url)?;
/// store.migrate().await?;
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "sqlite"))]
/// # fn main() {}
/// ```
pub struct DieselStore<Conn: R2D2Connection + 'static> {
    pool: Pool<ConnectionManager<Conn>>,
    /// Whether revocations are announced to listeners; PostgreSQL only.
    announces: bool,
}

impl<Conn: R2D2Connection + 'static> DieselStore<Conn> {
    /// Keeps sessions in the database of the application's pool.
    ///
    /// SQLite connections need `PRAGMA busy_timeout` and should be in WAL mode; [`open`](DieselStore::open) sees to
    /// both. The pool's connections must not be inside of a transaction.
    #[must_use]
    pub fn new(pool: Pool<ConnectionManager<Conn>>) -> Self {
        Self { pool, announces: false }
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> &Pool<ConnectionManager<Conn>> {
        &self.pool
    }
}

impl<Conn: Migrate> DieselStore<Conn> {
    /// Makes a pool of its own for a database.
    ///
    /// SQLite files are set to WAL mode with a `busy_timeout` of 5 s and `synchronous = NORMAL`: nothing is lost when
    /// the process dies, and at most the last moments when the machine does. `:memory:` is one connection.
    ///
    /// # Errors
    /// [`DieselStoreError::Pool`] when no connection could be made.
    pub fn open(url: &str) -> Result<Self, DieselStoreError> {
        let manager = ConnectionManager::<Conn>::new(url);
        // the first connection alone, because changing SQLite's journal mode does not wait for others who do
        let builder = if Conn::is_private(url) {
            // no second connection would see the tables, and none is left without this one
            Pool::builder().max_size(1).idle_timeout(None).max_lifetime(None)
        } else {
            Pool::builder().max_size(POOL_SIZE)
        };
        let pool = builder
            .min_idle(Some(1))
            .connection_timeout(CONNECTION_TIMEOUT)
            .test_on_check_out(Conn::IS_REMOTE)
            .connection_customizer(Box::new(migrations::Prepare))
            .build(manager)
            .map_err(DieselStoreError::Pool)?;
        Ok(Self::new(pool))
    }

    /// Creates the table, or brings it up to date. It can be called at every start, by several processes at once.
    ///
    /// An application that keeps all migrations in one place can take the SQL from this crate's directory
    /// `migrations/` instead, or run the embedded ones, such as `SQLITE_MIGRATIONS`, itself.
    ///
    /// # Errors
    /// [`DieselStoreError::Migration`] with what the database said.
    pub async fn migrate(&self) -> Result<(), DieselStoreError> {
        self.run(migrate).await
    }
}

const POOL_SIZE: u32 = 10;
/// A request that waits longer is better answered with 503.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a statement is tried that others got in the way of: three in four tries may meet a row that many change.
/// Together with the waits between them it is half a second at most.
const TRIES: u64 = 50;
const MOST_WAIT_MS: u64 = 10;

impl<Conn: R2D2Connection + 'static> DieselStore<Conn> {
    async fn run<T, F>(&self, work: F) -> Result<T, DieselStoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn) -> Result<T, DieselStoreError> + Send + 'static,
    {
        let pool = self.pool.clone();
        let work = tokio::task::spawn_blocking(move || {
            let mut connection = pool.get().map_err(DieselStoreError::Pool)?;
            refuse_transaction(&mut *connection)?;
            work(&mut connection)
        });
        work.await.map_err(DieselStoreError::Stopped)?
    }
}

/// A read inside of an older transaction would see what is not true any more; see [`Store`].
fn refuse_transaction<Conn: Connection>(connection: &mut Conn) -> Result<(), DieselStoreError> {
    match Conn::TransactionManager::transaction_manager_status_mut(connection) {
        TransactionManagerStatus::Valid(status) if status.transaction_depth().is_some() => {
            Err(DieselStoreError::InsideTransaction)
        }
        TransactionManagerStatus::Valid(_) | TransactionManagerStatus::InError => Ok(()),
    }
}

impl<Conn: R2D2Connection + 'static> Clone for DieselStore<Conn> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), announces: self.announces }
    }
}

impl<Conn: R2D2Connection + 'static> fmt::Debug for DieselStore<Conn> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DieselStore").field("announces", &self.announces).finish_non_exhaustive()
    }
}

/// The sessions of one `Which` that are not ended yet, for an UPDATE. A macro, because each has a type of its own.
macro_rules! end_sessions {
    ($connection:expr, $user:expr, $condition:expr, $why:expr, $at:expr) => {
        diesel::update(
            auth_sessions::table
                .filter(auth_sessions::user_id.eq($user))
                .filter(auth_sessions::revoked_at.is_null())
                .filter($condition),
        )
        .set((auth_sessions::revoked_at.eq($at), auth_sessions::revoked_why.eq($why.code())))
        .execute($connection)
    };
}

/// Whether another statement on the same row won, where a database's default isolation says so by an error instead of
/// by looking at the row again: PostgreSQL from `REPEATABLE READ` on.
fn is_conflict(error: &DieselError) -> bool {
    matches!(error, DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _))
}

fn retry<T>(mut work: impl FnMut() -> Result<T, DieselStoreError>) -> Result<T, DieselStoreError> {
    for tries in 1..TRIES {
        match work() {
            // on a thread that may block: whoever is in the way has to be done first
            Err(DieselStoreError::Statement(error)) if is_conflict(&error) => {
                std::thread::sleep(Duration::from_millis(tries.min(MOST_WAIT_MS)));
            }
            done => return done,
        }
    }
    work()
}

/// The same statements for each connection type: Diesel's bounds for "any of the three" would be longer than they.
macro_rules! store_on {
    ($connection:ty, $revoke:expr) => {
        impl DieselStore<$connection> {
            fn select(connection: &mut $connection, id: Sid) -> Result<Option<Session>, DieselStoreError> {
                retry(|| {
                    let row: Option<Row> =
                        auth_sessions::table.find(id.as_bytes().as_slice()).first(connection).optional()?;
                    row.map(Session::try_from).transpose()
                })
            }

            fn update(connection: &mut $connection, rotate: Rotate) -> Result<bool, DieselStoreError> {
                let live = auth_sessions::table
                    .find(rotate.id.as_bytes().as_slice())
                    .filter(auth_sessions::generation.eq(row::generation(rotate.from)?))
                    .filter(auth_sessions::revoked_at.is_null())
                    .filter(auth_sessions::expires_at.gt(rotate.live.now))
                    .filter(auth_sessions::renewed_at.ge(rotate.live.idle_since));
                let moved = diesel::update(live)
                    .set((
                        auth_sessions::generation.eq(row::generation(rotate.to)?),
                        auth_sessions::renewed_at.eq(rotate.live.now),
                        auth_sessions::ip.eq(rotate.client.ip.map(|ip| ip.to_string())),
                        auth_sessions::user_agent.eq(rotate.client.user_agent),
                    ))
                    .execute(connection);
                match moved {
                    Ok(moved) => Ok(moved > 0),
                    Err(error) if is_conflict(&error) => Ok(false),
                    Err(error) => Err(error.into()),
                }
            }
        }

        impl Store for DieselStore<$connection> {
            type Error = DieselStoreError;

            async fn insert(&self, session: Session) -> Result<(), DieselStoreError> {
                let row = Row::try_from(session)?;
                self.run(move |connection| {
                    retry(|| {
                        diesel::insert_into(auth_sessions::table).values(&row).execute(connection)?;
                        Ok(())
                    })
                })
                .await
            }

            async fn get(&self, id: Sid) -> Result<Option<Session>, DieselStoreError> {
                self.run(move |connection| Self::select(connection, id)).await
            }

            async fn rotate(&self, rotate: Rotate) -> Result<bool, DieselStoreError> {
                self.run(move |connection| Self::update(connection, rotate)).await
            }

            async fn get_then_rotate<T, Decide>(
                &self,
                id: Sid,
                decide: Decide,
            ) -> Result<(T, bool), DieselStoreError>
            where
                T: Send + 'static,
                Decide: FnOnce(Option<Session>) -> (T, Option<Rotate>) + Send + 'static,
            {
                self.run(move |connection| {
                    let (decision, rotate) = decide(Self::select(connection, id)?);
                    let moved = match rotate {
                        Some(rotate) => Self::update(connection, rotate)?,
                        None => false,
                    };
                    Ok((decision, moved))
                })
                .await
            }

            async fn revoke(&self, which: Which<'_>, why: Why, at: i64) -> Result<usize, DieselStoreError> {
                let (user, which) = (which.user().to_owned(), Owned::from(which));
                let revoke: Revoke<$connection> = $revoke(self);
                self.run(move |connection| retry(|| revoke(connection, &user, which, why, at))).await
            }

            async fn list(&self, user: &str, live: LiveAt) -> Result<Vec<Session>, DieselStoreError> {
                let user = user.to_owned();
                self.run(move |connection| {
                    let rows: Vec<Row> = retry(|| {
                        let sessions = auth_sessions::table
                            .filter(auth_sessions::user_id.eq(&user))
                            .filter(auth_sessions::revoked_at.is_null())
                            .filter(auth_sessions::expires_at.gt(live.now))
                            .filter(auth_sessions::renewed_at.ge(live.idle_since))
                            .order((auth_sessions::renewed_at.desc(), auth_sessions::id.desc()));
                        Ok(sessions.load(connection)?)
                    })?;
                    rows.into_iter().map(Session::try_from).collect()
                })
                .await
            }

            async fn revoked_since(&self, at: i64) -> Result<Vec<(Sid, i64)>, DieselStoreError> {
                self.run(move |connection| {
                    let rows: Vec<(Vec<u8>, Option<i64>)> = retry(|| {
                        let revoked = auth_sessions::table
                            .filter(auth_sessions::revoked_at.ge(at))
                            .select((auth_sessions::id, auth_sessions::revoked_at));
                        Ok(revoked.load(connection)?)
                    })?;
                    rows.into_iter()
                        .map(|(id, revoked_at)| Ok((row::sid(&id)?, revoked_at.unwrap_or(at))))
                        .collect()
                })
                .await
            }

            async fn purge(&self, purge: Purge) -> Result<usize, DieselStoreError> {
                // several processes may purge the same sessions
                self.run(move |connection| retry(|| Self::delete_ended(connection, purge))).await
            }
        }

        impl DieselStore<$connection> {
            fn delete_ended(connection: &mut $connection, purge: Purge) -> Result<usize, DieselStoreError> {
                // SELECT, then DELETE: MySQL has no LIMIT in a subquery, PostgreSQL none in DELETE. What is over
                // stays over, so nothing can happen in between. Each search is one index, but the last one.
                let limit = i64::from(purge.limit);
                let unended = || auth_sessions::table.filter(auth_sessions::revoked_at.is_null());
                let mut gone: Vec<Vec<u8>> = auth_sessions::table
                    .filter(auth_sessions::revoked_at.lt(purge.ended_before))
                    .select(auth_sessions::id)
                    .limit(limit)
                    .load(connection)?;
                if gone.is_empty() {
                    gone = unended()
                        .filter(auth_sessions::expires_at.lt(purge.ended_before))
                        .select(auth_sessions::id)
                        .limit(limit)
                        .load(connection)?;
                }
                if gone.is_empty() {
                    gone = unended()
                        .filter(auth_sessions::renewed_at.lt(purge.idle_before))
                        .select(auth_sessions::id)
                        .limit(limit)
                        .load(connection)?;
                }
                if gone.is_empty() {
                    return Ok(0);
                }
                let rows = auth_sessions::table.filter(auth_sessions::id.eq_any(gone));
                Ok(diesel::delete(rows).execute(connection)?)
            }
        }
    };
}

/// Ends the sessions of a user.
type Revoke<Conn> = fn(&mut Conn, &str, Owned, Why, i64) -> Result<usize, DieselStoreError>;

/// [`Which`] without the user, for another thread.
#[derive(Clone, Copy)]
pub(crate) enum Owned {
    One(Sid),
    Others(Sid),
    All,
}

impl From<Which<'_>> for Owned {
    fn from(which: Which<'_>) -> Self {
        match which {
            Which::One { id, .. } => Self::One(id),
            Which::Others { keep, .. } => Self::Others(keep),
            Which::All { .. } => Self::All,
        }
    }
}

macro_rules! revoke_on {
    ($name:ident, $connection:ty) => {
        fn $name(
            connection: &mut $connection,
            user: &str,
            which: Owned,
            why: Why,
            at: i64,
        ) -> Result<usize, DieselStoreError> {
            let id = auth_sessions::id;
            let count = match which {
                Owned::One(one) => end_sessions!(connection, user, id.eq(one.as_bytes().as_slice()), why, at),
                Owned::Others(keep) => {
                    end_sessions!(connection, user, id.ne(keep.as_bytes().as_slice()), why, at)
                }
                Owned::All => end_sessions!(connection, user, id.is_not_null(), why, at),
            };
            Ok(count?)
        }
    };
}

#[cfg(feature = "sqlite")]
revoke_on!(revoke_on_sqlite, SqliteConnection);
#[cfg(feature = "sqlite")]
store_on!(SqliteConnection, |_: &Self| revoke_on_sqlite);

#[cfg(feature = "postgres")]
revoke_on!(revoke_on_postgres, PgConnection);
#[cfg(feature = "postgres")]
store_on!(PgConnection, |store: &Self| if store.announces { notify::revoke } else { revoke_on_postgres });

#[cfg(feature = "mysql")]
revoke_on!(revoke_on_mysql, MysqlConnection);
#[cfg(feature = "mysql")]
store_on!(MysqlConnection, |_: &Self| revoke_on_mysql);
