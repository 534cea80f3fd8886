mod backend;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod server;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::{fmt, sync::OnceLock, time::Duration};

use diesel::r2d2::{ConnectionManager, CustomizeConnection, Error, Pool, PooledConnection};

pub use self::backend::TestConnection;
use self::backend::{Cleanup, Prepare, Source};

/// How long a handler may wait for a connection before its test fails.
const PATIENCE: Duration = Duration::from_secs(5);

/// A database that is migrated once in a process, and from which every test gets one of its own.
///
/// It is a `static` of the tests. [`fresh`](Self::fresh) gives full isolation with a real pool:
///
/// | database | a fresh one is | time |
/// |---|---|---|
/// | SQLite | a copy of the template, in a temporary file | well under a millisecond |
/// | PostgreSQL | `CREATE DATABASE … TEMPLATE` | tens of milliseconds |
/// | MySQL, MariaDB | a new database in which `prepare` runs again | what the migrations take |
///
/// [`rollback`](Self::rollback) is faster on the servers, with limits.
///
/// # Examples
/// ```
/// # #[cfg(feature = "sqlite")] {
/// use diesel::{connection::SimpleConnection, prelude::*};
/// use utils_testing::Template;
///
/// static DATABASE: Template<SqliteConnection> = Template::sqlite(|conn| {
///     // conn.run_pending_migrations(MIGRATIONS)?;
///     conn.batch_execute("CREATE TABLE posts (title TEXT NOT NULL)")?;
///     Ok(())
/// });
///
/// // in a test
/// let db = DATABASE.fresh();
/// db.conn().batch_execute("INSERT INTO posts VALUES ('One')").unwrap();
/// // App::new().app_data(Data::new(db.pool().clone()))
///
/// // another test does not see it
/// let posts = diesel::sql_query("SELECT title FROM posts").execute(&mut DATABASE.fresh().conn()).unwrap();
/// assert_eq!(posts, 0);
/// # }
/// ```
pub struct Template<C: TestConnection> {
    source: Source,
    prepare: Prepare<C>,
    pool_size: u32,
    made: OnceLock<Result<C::Made, String>>,
}

impl<C: TestConnection> Template<C> {
    const fn new(source: Source, prepare: Prepare<C>) -> Self {
        Self { source, prepare, pool_size: 4, made: OnceLock::new() }
    }

    /// Sets the most connections of a [`fresh`](Self::fresh) database. Default: 4.
    #[must_use]
    pub const fn pool_size(mut self, connections: u32) -> Self {
        self.pool_size = connections;
        self
    }

    /// A database of its own, which is removed when the [`TestDb`] is dropped.
    ///
    /// # Panics
    /// When the database cannot be made: the server is away, the user may not create databases, `prepare` fails.
    #[track_caller]
    pub fn fresh(&self) -> TestDb<C> {
        match self.made().and_then(|made| C::fresh(made, self.prepare)) {
            Ok((url, cleanup)) => TestDb::new(url, self.pool_size, false, cleanup),
            Err(why) => panic!("no database for this test: {why}"),
        }
    }

    /// One connection in a transaction that is never committed, on a database that the tests share.
    ///
    /// What is written is invisible to other connections and gone at the end. The limits: a handler that takes two connections
    /// at once fails after 5 s, sequences move on, tests that write the same unique key wait for one another, and on MySQL a
    /// `CREATE TABLE` commits.
    ///
    /// # Panics
    /// As [`fresh`](Self::fresh).
    #[track_caller]
    pub fn rollback(&self) -> TestDb<C> {
        match self.made().and_then(|made| C::shared(made, self.prepare)) {
            Ok((url, cleanup)) => TestDb::new(url, 1, true, cleanup),
            Err(why) => panic!("no database for this test: {why}"),
        }
    }

    fn made(&self) -> Result<&C::Made, String> {
        self.made.get_or_init(|| C::make(&self.source, self.prepare)).as_ref().map_err(Clone::clone)
    }
}

impl<C: TestConnection> fmt::Debug for Template<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("pool_size", &self.pool_size).finish_non_exhaustive()
    }
}

/// The database of one test; made by a [`Template`], gone when it is dropped.
pub struct TestDb<C: TestConnection> {
    pool: Pool<ConnectionManager<C>>,
    url: String,
    // after the pool, because fields are dropped in this order
    _cleanup: Cleanup,
}

impl<C: TestConnection> TestDb<C> {
    fn new(url: String, pool_size: u32, rolls_back: bool, cleanup: Cleanup) -> Self {
        let pool = Pool::builder()
            .max_size(pool_size)
            .min_idle(Some(0))
            .connection_timeout(PATIENCE)
            .connection_customizer(Box::new(SetUp { rolls_back }))
            .build_unchecked(ConnectionManager::new(&url));
        Self { pool, url, _cleanup: cleanup }
    }

    /// The pool, for the application under test.
    #[must_use]
    pub fn pool(&self) -> &Pool<ConnectionManager<C>> {
        &self.pool
    }

    /// A connection, for the test itself. Let go of it before the application needs it.
    ///
    /// # Panics
    /// When none is free within 5 s.
    #[must_use]
    #[track_caller]
    pub fn conn(&self) -> PooledConnection<ConnectionManager<C>> {
        self.pool.get().unwrap_or_else(|error| panic!("no connection to the database of this test: {error}"))
    }

    /// Where the database is, in Diesel's spelling. A connection made from it is outside of a
    /// [`rollback`](Template::rollback).
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The sessions of this database, as jobs and handlers use them.
    #[cfg(feature = "jobs")]
    #[must_use]
    pub fn sessions(&self) -> utils_jobs::Sessions<C>
    where
        C: utils_jobs::SessionConn,
    {
        utils_jobs::Sessions::from_pool(self.pool.clone())
    }
}

impl<C: TestConnection> fmt::Debug for TestDb<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestDb").field("pool", &self.pool).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct SetUp {
    rolls_back: bool,
}

impl<C: TestConnection> CustomizeConnection<C, Error> for SetUp {
    fn on_acquire(&self, conn: &mut C) -> Result<(), Error> {
        C::set_up(conn).map_err(Error::QueryError)?;
        if self.rolls_back {
            conn.begin_test_transaction().map_err(Error::QueryError)?;
        }
        Ok(())
    }
}
