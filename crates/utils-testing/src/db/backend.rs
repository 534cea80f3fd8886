use std::error::Error;

use diesel::{QueryResult, r2d2::R2D2Connection};

/// Migrates and seeds a new database.
pub(super) type Prepare<C> = fn(&mut C) -> Result<(), Box<dyn Error + Send + Sync>>;

/// Where the server is; asked for when the first test needs it.
pub(super) type Source = fn() -> String;

/// Something whose drop removes a database.
pub(super) type Cleanup = Box<dyn Send + Sync>;

/// What is made for one test: the URL, and what removes it.
pub(super) type OwnDatabase = Result<(String, Cleanup), String>;

/// A connection that a [`Template`](crate::Template) can make databases for: `SqliteConnection`, `PgConnection` or
/// `MysqlConnection`, each by the feature of its database.
pub trait TestConnection: R2D2Connection + Send + sealed::Backend {}

pub(super) mod sealed {
    use super::{OwnDatabase, Prepare, QueryResult, Source};

    #[allow(unreachable_pub, reason = "a sealed trait is the bound of a public one")]
    pub trait Backend: Sized + 'static {
        /// What is kept for the whole process.
        type Made: Send + Sync;

        fn make(source: &Source, prepare: Prepare<Self>) -> Result<Self::Made, String>;

        fn fresh(made: &Self::Made, prepare: Prepare<Self>) -> OwnDatabase;

        /// A database on which transactions of several tests are never committed.
        fn shared(made: &Self::Made, prepare: Prepare<Self>) -> OwnDatabase;

        fn set_up(_conn: &mut Self) -> QueryResult<()> {
            Ok(())
        }
    }
}

/// Adds what was being done to an error.
pub(super) fn failed<T, E: std::fmt::Display>(outcome: Result<T, E>, doing: &str) -> Result<T, String> {
    outcome.map_err(|error| format!("{doing}: {error}"))
}
