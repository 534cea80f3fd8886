//! A database for every test: what holds on all of them is here, written once.
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::thread;

use diesel::{QueryResult, RunQueryDsl, sql_query, sql_types::BigInt};
use utils_testing::{Template, TestConnection, TestDb};

type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

const SCHEMA: [&str; 3] = [
    "CREATE TABLE authors (id INTEGER NOT NULL PRIMARY KEY)",
    "CREATE TABLE posts (id INTEGER NOT NULL PRIMARY KEY, author_id INTEGER NOT NULL, FOREIGN KEY (author_id) REFERENCES authors (id))",
    "INSERT INTO authors VALUES (1)",
];

fn prepare<C: TestConnection>(conn: &mut C) -> Outcome {
    Ok(SCHEMA.iter().try_for_each(|sql| conn.batch_execute(sql))?)
}

#[derive(diesel::QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

trait Sql: TestConnection {
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

fn posts<C: Sql>(db: &TestDb<C>) -> i64 {
    db.conn().number("SELECT COUNT(*) AS n FROM posts").unwrap()
}

fn write<C: Sql>(db: &TestDb<C>) {
    db.conn().batch_execute("INSERT INTO posts VALUES (1, 1)").unwrap();
}

fn every_test_starts_from_the_template<C: Sql>(make: impl Fn() -> TestDb<C> + Sync) {
    let first = make();
    write(&first);
    assert_eq!(posts(&first), 1);
    let second = make();
    assert_eq!(posts(&second), 0, "it sees the posts of the first");
    assert_eq!(
        second.conn().number("SELECT COUNT(*) AS n FROM authors").unwrap(),
        1,
        "what the template holds"
    );
    drop(first);
    assert_eq!(posts(&make()), 0);
}

/// Only for databases of their own: the transactions of a shared one would wait for the same key.
fn tests_run_side_by_side<C: Sql>(template: &Template<C>) {
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let db = template.fresh();
                write(&db);
                assert_eq!(posts(&db), 1, "it sees the posts of others");
            });
        }
    });
}

fn a_fresh_database_has_a_real_pool<C: Sql>(template: &Template<C>) {
    let db = template.fresh();
    let (mut one, mut two) = (db.conn(), db.conn());
    one.batch_execute("INSERT INTO posts VALUES (7, 1)").unwrap();
    assert_eq!(two.number("SELECT COUNT(*) AS n FROM posts").unwrap(), 1, "it was committed");
    assert!(two.batch_execute("INSERT INTO posts VALUES (8, 99)").is_err(), "foreign keys are kept");
}

fn a_rolled_back_database_commits_nothing<C: Sql>(template: &Template<C>) {
    let db = template.rollback();
    db.conn()
        .transaction::<_, diesel::result::Error, _>(|conn| {
            conn.batch_execute("INSERT INTO posts VALUES (1, 1)")
        })
        .unwrap();
    assert_eq!(posts(&db), 1, "the application's own transaction is a savepoint");
    let refused = db.conn().transaction::<(), diesel::result::Error, _>(|conn| {
        conn.batch_execute("INSERT INTO posts VALUES (2, 1)")?;
        Err(diesel::result::Error::RollbackTransaction)
    });
    assert!(refused.is_err());
    assert_eq!(posts(&db), 1);
    let mut outside = C::establish(db.url()).unwrap();
    assert_eq!(outside.number("SELECT COUNT(*) AS n FROM posts").unwrap(), 0, "others see nothing");
    drop(db);
    assert_eq!(outside.number("SELECT COUNT(*) AS n FROM posts").unwrap(), 0);
}
