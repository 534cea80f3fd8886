//! The session factory: what holds on every database is here, written once.
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod recorded;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "sqlite")]
mod urls;

use std::{
    error::Error,
    sync::mpsc,
    time::{Duration, Instant},
};

use diesel::{QueryResult, RunQueryDsl, sql_query, sql_types::BigInt};
use utils_jobs::{SessionConn, Sessions, SessionsError};

#[derive(Debug, diesel::QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// A table of one counter that exists on one database at a time.
struct Counter<C: SessionConn> {
    sessions: Sessions<C>,
    table: String,
}

/// A statement without bind parameters, or a query for one number, on any of the databases.
trait Sql: SessionConn {
    fn number(&mut self, query: &str) -> QueryResult<i64>;
}

macro_rules! sql {
    ($($feature:literal $conn:ty),*) => {$(
        #[cfg(feature = $feature)]
        impl Sql for $conn {
            fn number(&mut self, query: &str) -> QueryResult<i64> {
                Ok(sql_query(query).get_result::<Number>(self)?.n)
            }
        }
    )*};
}
sql!("sqlite" diesel::SqliteConnection, "postgres" diesel::PgConnection, "mysql" diesel::MysqlConnection);

impl<C: Sql> Counter<C> {
    fn new(sessions: Sessions<C>, name: &str) -> Self {
        let table = format!("sessions_{name}_{}", std::process::id());
        let sql = format!("CREATE TABLE {table} (n BIGINT NOT NULL); INSERT INTO {table} VALUES (0)");
        sessions.with(|conn| sql.split(';').try_for_each(|sql| conn.batch_execute(sql))).unwrap();
        Self { sessions, table }
    }

    fn query(&self) -> String {
        format!("SELECT n FROM {}", self.table)
    }

    fn update(&self) -> String {
        format!("UPDATE {} SET n = n + 1", self.table)
    }

    async fn value(&self) -> i64 {
        let query = self.query();
        self.sessions.run(move |conn| conn.number(&query)).await.unwrap()
    }
}

impl<C: SessionConn> Drop for Counter<C> {
    fn drop(&mut self) {
        let sql = format!("DROP TABLE {}", self.table);
        self.sessions.with(|conn| conn.batch_execute(&sql)).unwrap();
    }
}

/// An application's own error, as a handler would have it.
#[derive(Debug)]
enum AppError {
    Database(SessionsError),
    Refused,
}

impl From<SessionsError> for AppError {
    fn from(error: SessionsError) -> Self {
        Self::Database(error)
    }
}

impl From<diesel::result::Error> for AppError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Database(error.into())
    }
}

async fn a_transaction_commits_or_leaves_nothing<C: Sql>(sessions: Sessions<C>) {
    let counter = Counter::new(sessions, "tx");
    let update = counter.update();
    counter.sessions.tx(move |conn| conn.batch_execute(&update)).await.unwrap();
    assert_eq!(counter.value().await, 1);

    let update = counter.update();
    let refused = counter.sessions.tx(move |conn| {
        conn.batch_execute(&update)?;
        Err::<(), _>(AppError::Refused)
    });
    assert!(matches!(refused.await, Err(AppError::Refused)));
    assert_eq!(counter.value().await, 1, "the closure's own error rolls back");

    let update = counter.update();
    let broken = counter.sessions.tx(move |conn| {
        conn.batch_execute(&update)?;
        conn.batch_execute("not SQL")?;
        Ok::<(), AppError>(())
    });
    let Err(AppError::Database(SessionsError::Query(_))) = broken.await else { panic!("not SQL") };
    assert_eq!(counter.value().await, 1, "an error of the database rolls back");

    let update = counter.update();
    let panicked = counter.sessions.tx(move |conn| {
        conn.batch_execute(&update)?;
        if update.is_empty() { QueryResult::Ok(()) } else { panic!("on purpose") }
    });
    assert!(matches!(panicked.await, Err(SessionsError::Panicked(_))));
    assert_eq!(counter.value().await, 1, "a panic rolls back");
}

async fn a_transaction_in_a_transaction_is_a_savepoint<C: Sql>(sessions: Sessions<C>) {
    let counter = Counter::new(sessions, "savepoint");
    let update = counter.update();
    let outer = counter.sessions.tx(move |conn| {
        conn.batch_execute(&update)?;
        let inner = conn.write_tx(|conn| {
            conn.batch_execute(&update)?;
            Err::<(), _>(diesel::result::Error::RollbackTransaction)
        });
        assert!(inner.is_err());
        QueryResult::Ok(())
    });
    outer.await.unwrap();
    assert_eq!(counter.value().await, 1);
}

/// `sessions` has one connection and a short time-out.
async fn an_exhausted_pool_is_an_error_after_the_time_out<C: Sql>(sessions: Sessions<C>) {
    let (release, released) = mpsc::channel::<()>();
    let (begin, begun) = tokio::sync::oneshot::channel();
    let holder = tokio::spawn({
        let sessions = sessions.clone();
        async move {
            let hold = sessions.run(move |_| {
                let _ = begin.send(());
                let _ = released.recv();
                QueryResult::Ok(())
            });
            hold.await
        }
    });
    begun.await.unwrap();

    let start = Instant::now();
    let waiting = (0..40).map(|_| {
        let sessions = sessions.clone();
        tokio::spawn(async move { sessions.run(|conn| conn.number("SELECT COUNT(*) AS n")).await })
    });
    for waiting in waiting.collect::<Vec<_>>() {
        let error = waiting.await.unwrap().unwrap_err();
        assert!(matches!(error, SessionsError::Exhausted(_)), "{error:?}");
        let source = error.source().unwrap();
        assert!(source.is::<diesel::r2d2::PoolError>(), "an HTTP layer finds the pool's error: {source:?}");
    }
    let waited = start.elapsed();
    assert!(waited >= sessions.timeout(), "{waited:?} is too early");
    assert!(waited < sessions.timeout() + Duration::from_secs(3), "{waited:?}: 40 callers wait side by side");

    release.send(()).unwrap();
    holder.await.unwrap().unwrap();
    let one = sessions.run(|conn| conn.number("SELECT COUNT(*) AS n")).await;
    assert_eq!(one.unwrap(), 1, "the connection is back");

    let taken = sessions.pool().get().unwrap();
    let error = sessions.with(|conn| conn.number("SELECT COUNT(*) AS n")).unwrap_err();
    assert!(matches!(error, SessionsError::Exhausted(_)), "{error:?}");
    let error = sessions.run(|conn| conn.number("SELECT COUNT(*) AS n")).await.unwrap_err();
    assert!(matches!(error, SessionsError::Exhausted(_)), "taken past the permits: {error:?}");
    drop(taken);
    assert_eq!(sessions.with(|conn| conn.number("SELECT COUNT(*) AS n")).unwrap(), 1);
}

/// `sessions` has one connection: a lost one would show at once.
async fn a_panic_gives_the_connection_back<C: Sql>(sessions: Sessions<C>) {
    for round in 0..3 {
        let panicked = sessions.run(move |conn| {
            conn.transaction(|conn| {
                conn.number("SELECT COUNT(*) AS n")?;
                if round < 3 {
                    panic!("round {round}")
                }
                QueryResult::Ok(())
            })
        });
        let error = panicked.await.unwrap_err();
        assert_eq!(error.to_string(), "the database work panicked");
        assert_eq!(error.source().unwrap().to_string(), format!("panicked with: round {round}"));
    }
    assert_eq!(sessions.run(|conn| conn.number("SELECT COUNT(*) AS n")).await.unwrap(), 1);
    assert_eq!(sessions.with(|conn| conn.number("SELECT COUNT(*) AS n")).unwrap(), 1);
}

async fn writers_at_once_lose_no_update<C: Sql>(sessions: Sessions<C>) {
    let counter = Counter::new(sessions, "writers");
    let (query, update) = (counter.query(), counter.update());
    let writers = (0..16).map(|_| {
        let (sessions, query, update) = (counter.sessions.clone(), query.clone(), update.clone());
        tokio::spawn(async move {
            for _ in 0..5 {
                let (query, update) = (query.clone(), update.clone());
                let write = sessions.tx(move |conn| {
                    conn.number(&query)?;
                    conn.batch_execute(&update)
                });
                write.await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(counter.value().await, 80);
}
