use std::num::NonZeroU32;

use diesel::{
    Connection, QueryResult,
    connection::{TransactionManager, TransactionManagerStatus},
    r2d2::R2D2Connection,
};

/// A Diesel connection that [`Sessions`](crate::Sessions) can hand out.
///
/// Implemented for `SqliteConnection`, `PgConnection` and `MysqlConnection`, each by the feature of its database.
pub trait SessionConn: R2D2Connection + Send + 'static {
    /// What the database is called in messages.
    const DATABASE: &'static str;

    /// Whether connections are recycled even if nobody asked: the server closes idle ones.
    const ALWAYS_RECYCLES: bool = false;

    /// The URL as the driver wants it, or `None` when it belongs to another database.
    #[must_use]
    fn driver_url(url: &str) -> Option<String>;

    /// Whether every connection to this URL, in the driver's spelling, is a database of its own.
    #[must_use]
    fn is_private(_driver_url: &str) -> bool {
        false
    }

    /// Sets a new connection up, once.
    ///
    /// SQLite: waits up to 5 s for a lock (`busy_timeout`), `journal_mode=WAL`, `synchronous=NORMAL` and
    /// `foreign_keys=ON`. MySQL: `autocommit=1`, whatever the server has by default, as Diesel takes for granted that a
    /// statement without a transaction is committed. PostgreSQL needs nothing.
    ///
    /// # Errors
    /// When the database refuses a setting.
    fn prepare(&mut self) -> QueryResult<()> {
        Ok(())
    }

    /// Runs `work` in a transaction that is going to write; inside another transaction, in a savepoint of that.
    ///
    /// On SQLite the write lock is taken at the beginning (`BEGIN IMMEDIATE`), where waiting for another writer works. A
    /// transaction that reads first and writes later fails at once when somebody else has written in between.
    ///
    /// # Errors
    /// What `work` returns, which rolls everything back, or the database's own error at begin or commit.
    fn write_tx<T, E, F>(&mut self, work: F) -> Result<T, E>
    where
        F: FnOnce(&mut Self) -> Result<T, E>,
        E: From<diesel::result::Error>,
    {
        self.transaction(work)
    }
}

#[cfg(feature = "sqlite")]
impl SessionConn for diesel::SqliteConnection {
    const DATABASE: &'static str = "SQLite";

    fn driver_url(url: &str) -> Option<String> {
        super::url::sqlite(url)
    }

    fn is_private(driver_url: &str) -> bool {
        super::url::is_sqlite_memory(driver_url)
    }

    fn prepare(&mut self) -> QueryResult<()> {
        use diesel::connection::SimpleConnection;
        // The lock time-out comes first: changing the journal mode takes a lock itself.
        self.batch_execute(
            "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;",
        )
    }

    fn write_tx<T, E, F>(&mut self, work: F) -> Result<T, E>
    where
        F: FnOnce(&mut Self) -> Result<T, E>,
        E: From<diesel::result::Error>,
    {
        match depth(self) {
            0 => self.immediate_transaction(work),
            _ => self.transaction(work),
        }
    }
}

#[cfg(feature = "postgres")]
impl SessionConn for diesel::PgConnection {
    const DATABASE: &'static str = "PostgreSQL";

    fn driver_url(url: &str) -> Option<String> {
        super::url::postgres(url)
    }
}

#[cfg(feature = "mysql")]
impl SessionConn for diesel::MysqlConnection {
    const DATABASE: &'static str = "MySQL";

    // `wait_timeout`, 8 h by default and often far less at hosting companies
    const ALWAYS_RECYCLES: bool = true;

    fn driver_url(url: &str) -> Option<String> {
        super::url::mysql(url)
    }

    fn prepare(&mut self) -> QueryResult<()> {
        use diesel::connection::SimpleConnection;
        self.batch_execute("SET autocommit = 1")
    }
}

/// How many transactions and savepoints are open.
pub(super) fn depth<C: Connection>(conn: &mut C) -> u32 {
    let status: &TransactionManagerStatus = C::TransactionManager::transaction_manager_status_mut(conn);
    status.transaction_depth().ok().flatten().map_or(0, NonZeroU32::get)
}

/// Rolls back what a panic left open. When it cannot, the connection counts as broken and the pool replaces it.
pub(super) fn roll_back_to<C: Connection>(wanted: u32, conn: &mut C) {
    while depth(conn) > wanted {
        if let Err(error) = C::TransactionManager::rollback_transaction(conn) {
            tracing::warn!(%error, "the transaction of database work that panicked could not be rolled back");
            return;
        }
    }
}
