//! The tables, as Diesel migrations.
use diesel::r2d2::{CustomizeConnection, Error as R2D2Error, R2D2Connection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::DieselStoreError;

/// This crate's tables for SQLite.
#[cfg(feature = "sqlite")]
pub const SQLITE_MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
/// This crate's tables for PostgreSQL.
#[cfg(feature = "postgres")]
pub const POSTGRES_MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");
/// This crate's tables for MySQL and MariaDB.
#[cfg(feature = "mysql")]
pub const MYSQL_MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/mysql");

/// A connection that can bring this crate's tables up to date.
pub trait Migrate: R2D2Connection + 'static {
    /// Whether the database is on the other end of a network, where connections break.
    const IS_REMOTE: bool = true;

    /// Whether each connection to this URL has a database of its own, as SQLite's in memory.
    #[must_use]
    fn is_private(_url: &str) -> bool {
        false
    }

    /// Sets a new connection up.
    ///
    /// # Errors
    /// What the database says.
    fn prepare(&mut self) -> diesel::QueryResult<()> {
        Ok(())
    }

    /// Runs the migrations that are missing.
    ///
    /// # Errors
    /// [`DieselStoreError::Migration`].
    fn run_missing(&mut self) -> Result<(), DieselStoreError>;
}

/// Creates this crate's tables or brings them up to date, on a connection of the application.
///
/// It can be called at every start, by several processes at once. The versions that were applied are in Diesel's own
/// table, beside the application's.
///
/// # Errors
/// [`DieselStoreError::Migration`] with what the database said.
pub fn migrate<Conn: Migrate>(connection: &mut Conn) -> Result<(), DieselStoreError> {
    connection.run_missing()
}

/// Sets each connection of a pool up.
#[derive(Debug)]
pub(super) struct Prepare;

impl<Conn: Migrate> CustomizeConnection<Conn, R2D2Error> for Prepare {
    fn on_acquire(&self, connection: &mut Conn) -> Result<(), R2D2Error> {
        connection.prepare().map_err(R2D2Error::QueryError)
    }
}

#[cfg(feature = "sqlite")]
impl Migrate for diesel::SqliteConnection {
    const IS_REMOTE: bool = false;

    fn is_private(url: &str) -> bool {
        // an empty name is a file of SQLite's own
        url.is_empty() || url.contains(":memory:") || url.contains("mode=memory")
    }

    fn prepare(&mut self) -> diesel::QueryResult<()> {
        use diesel::connection::SimpleConnection;
        // the time-out first, because changing the journal mode takes a lock itself
        self.batch_execute(
            "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;",
        )
    }

    fn run_missing(&mut self) -> Result<(), DieselStoreError> {
        // the write lock keeps a second process out until the tables are there
        self.immediate_transaction(|connection| {
            connection
                .run_pending_migrations(SQLITE_MIGRATIONS)
                .map(drop)
                .map_err(DieselStoreError::Migration)
        })
    }
}

#[cfg(feature = "postgres")]
impl Migrate for diesel::PgConnection {
    fn run_missing(&mut self) -> Result<(), DieselStoreError> {
        use diesel::connection::SimpleConnection;
        // the lock that utils-jobs takes as well: both create Diesel's table of versions
        const KEY: i64 = 0x7574_696c_736a;
        self.batch_execute(&format!("SELECT pg_advisory_lock({KEY})"))?;
        let done = self.run_pending_migrations(POSTGRES_MIGRATIONS).map(drop);
        self.batch_execute(&format!("SELECT pg_advisory_unlock({KEY})"))?;
        done.map_err(DieselStoreError::Migration)
    }
}

#[cfg(feature = "mysql")]
impl Migrate for diesel::MysqlConnection {
    fn run_missing(&mut self) -> Result<(), DieselStoreError> {
        use diesel::{
            RunQueryDsl,
            sql_types::{Integer, Nullable},
        };
        // named locks are the server's, so the name holds the database
        const LOCK: &str = "CONCAT('utils_token_auth.', LEFT(MD5(DATABASE()), 32))";
        // 1, or 0 when the time is over, or NULL when it was interrupted
        let lock = diesel::dsl::sql::<Nullable<Integer>>(&format!("GET_LOCK({LOCK}, 60)"));
        if diesel::select(lock).get_result::<Option<i32>>(self)? != Some(1) {
            return Err(DieselStoreError::Migration("another process is migrating the tables".into()));
        }
        let done = self.run_pending_migrations(MYSQL_MIGRATIONS).map(drop);
        diesel::sql_query(format!("SELECT RELEASE_LOCK({LOCK})")).execute(self)?;
        done.map_err(DieselStoreError::Migration)
    }
}
