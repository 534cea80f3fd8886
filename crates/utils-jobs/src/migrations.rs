//! The tables, as Diesel migrations.
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::{JobConn, JobsError, SessionConn};

/// The job tables for SQLite.
#[cfg(feature = "sqlite")]
pub const SQLITE_MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
/// The job tables for PostgreSQL.
#[cfg(feature = "postgres")]
pub const POSTGRES_MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");
/// The job tables for MySQL 8 and MariaDB 10.6 or newer.
#[cfg(feature = "mysql")]
pub const MYSQL_MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/mysql");

/// A connection that can bring the job tables up to date.
pub trait Migrate: SessionConn {
    /// Runs the migrations that are missing.
    ///
    /// # Errors
    /// What the database says.
    fn run_missing(&mut self) -> Result<(), JobsError>;
}

/// Creates the job tables or brings them up to date, on a connection of yours. [`Jobs::migrate`](crate::Jobs::migrate)
/// does it on one of its own.
///
/// Safe to call at every start and from several processes at once. The applied versions are in Diesel's own table, next
/// to the application's. The migrations themselves are public, see `SQLITE_MIGRATIONS`, for those who run them with
/// their own.
///
/// # Errors
/// [`JobsError::Migration`].
pub fn migrate<C: JobConn>(conn: &mut C) -> Result<(), JobsError> {
    conn.run_missing()
}

#[cfg(feature = "sqlite")]
impl Migrate for diesel::SqliteConnection {
    fn run_missing(&mut self) -> Result<(), JobsError> {
        // The write lock keeps a second process out until the tables are there.
        self.write_tx(|conn| {
            conn.run_pending_migrations(SQLITE_MIGRATIONS).map(drop).map_err(JobsError::Migration)
        })
    }
}

#[cfg(feature = "postgres")]
impl Migrate for diesel::PgConnection {
    fn run_missing(&mut self) -> Result<(), JobsError> {
        use diesel::connection::SimpleConnection;
        const KEY: i64 = 0x7574_696c_736a; // "utilsj"
        self.batch_execute(&format!("SELECT pg_advisory_lock({KEY})")).map_err(JobsError::from)?;
        let done = self.run_pending_migrations(POSTGRES_MIGRATIONS).map(drop).map_err(JobsError::Migration);
        self.batch_execute(&format!("SELECT pg_advisory_unlock({KEY})")).map_err(JobsError::from)?;
        done
    }
}

#[cfg(feature = "mysql")]
impl Migrate for diesel::MysqlConnection {
    fn run_missing(&mut self) -> Result<(), JobsError> {
        use crate::store::conn::{Raw, Statement};
        lock(self, 60)?;
        let done = self.run_pending_migrations(MYSQL_MIGRATIONS).map(drop).map_err(JobsError::Migration);
        self.number(Statement::new(format!("SELECT CAST(RELEASE_LOCK({LOCK}) AS SIGNED) AS n")))?;
        done
    }
}

/// Named locks are the server's, so the name holds the database.
#[cfg(feature = "mysql")]
const LOCK: &str = "CONCAT('utils_jobs.', LEFT(MD5(DATABASE()), 32))";

/// Waits for the lock that keeps other processes from migrating. The server answers 0 when the time is over, and nothing
/// when it could not even wait.
#[cfg(feature = "mysql")]
fn lock(conn: &mut diesel::MysqlConnection, seconds: u32) -> Result<(), JobsError> {
    use crate::store::conn::{Raw, Statement};
    let lock = format!("SELECT CAST(GET_LOCK({LOCK}, {seconds}) AS SIGNED) AS n");
    match conn.number(Statement::new(lock))? {
        Some(1) => Ok(()),
        _ => Err(JobsError::Migration("the lock for migrations is held by another process".into())),
    }
}

#[cfg(all(test, feature = "mysql"))]
mod tests {
    mod mysql {
        use diesel::{Connection, MysqlConnection};

        use super::super::lock;
        use crate::JobsError;

        #[test]
        fn nobody_migrates_without_the_lock() {
            let url = std::env::var("TEST_MYSQL_URL")
                .expect("TEST_MYSQL_URL must name a MySQL or MariaDB database");
            let mut first = MysqlConnection::establish(&url).unwrap();
            let mut second = MysqlConnection::establish(&url).unwrap();
            lock(&mut first, 10).unwrap();
            let refused = lock(&mut second, 0);
            assert!(matches!(refused, Err(JobsError::Migration(_))), "{refused:?}");
            drop(first);
            lock(&mut second, 10).unwrap();
        }
    }
}
