use std::time::Duration;

use diesel::{MysqlConnection, connection::SimpleConnection};
use utils_jobs::{SessionConn, Sessions, SessionsBuilder};

use super::Sql;

fn builder() -> SessionsBuilder<MysqlConnection> {
    let url = std::env::var("TEST_MYSQL_URL").expect("TEST_MYSQL_URL must name a MySQL or MariaDB database");
    Sessions::builder(url)
}

fn one_connection() -> Sessions<MysqlConnection> {
    builder().pool_size(1).timeout(Duration::from_millis(200)).build().unwrap()
}

#[tokio::test]
async fn a_transaction_commits_or_leaves_nothing() {
    super::a_transaction_commits_or_leaves_nothing(builder().build().unwrap()).await;
}

#[tokio::test]
async fn a_transaction_in_a_transaction_is_a_savepoint() {
    super::a_transaction_in_a_transaction_is_a_savepoint(builder().build().unwrap()).await;
}

#[tokio::test]
async fn an_exhausted_pool_is_an_error_after_the_time_out() {
    super::an_exhausted_pool_is_an_error_after_the_time_out(one_connection()).await;
}

#[tokio::test]
async fn a_panic_gives_the_connection_back() {
    super::a_panic_gives_the_connection_back(one_connection()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_at_once_lose_no_update() {
    super::writers_at_once_lose_no_update(builder().pool_size(8).build().unwrap()).await;
}

const CONNECTION_ID: &str = "SELECT CONNECTION_ID() AS n";

/// The server closes an idle connection; the next caller gets another one and notices nothing.
///
/// The clock of this test is the server's, so it really has to wait.
#[tokio::test]
async fn a_connection_that_the_server_closed_is_replaced() {
    let sessions = builder().pool_size(1).build().unwrap();
    sessions.with(|conn| conn.batch_execute("SET SESSION wait_timeout = 2")).unwrap();
    let first = sessions.run(|conn| conn.number(CONNECTION_ID)).await.unwrap();
    let again = sessions.run(|conn| conn.number(CONNECTION_ID)).await.unwrap();
    assert_eq!(first, again, "in use, the connection stays");

    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let gone = format!("SELECT COUNT(*) AS n FROM information_schema.processlist WHERE id = {first}");
    let (after, open) = sessions
        .run(move |conn| Ok::<_, diesel::result::Error>((conn.number(CONNECTION_ID)?, conn.number(&gone)?)))
        .await
        .unwrap();
    assert_ne!(first, after, "the dead connection was handed out again");
    assert_eq!(open, 0, "the server closed the first connection, so the test saw what it is about");

    // without the test on check-out the same pool hands the dead connection out
    let manager =
        diesel::r2d2::ConnectionManager::<MysqlConnection>::new(std::env::var("TEST_MYSQL_URL").unwrap());
    let careless = diesel::r2d2::Pool::builder().max_size(1).test_on_check_out(false).build(manager).unwrap();
    let careless = Sessions::from_pool(careless);
    careless.with(|conn| conn.batch_execute("SET SESSION wait_timeout = 2")).unwrap();
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    careless.run(|conn| conn.number(CONNECTION_ID)).await.expect_err("a pool that does not test fails here");
}

#[test]
fn recycling_cannot_be_switched_off() {
    let lifetime = |builder: SessionsBuilder<_>| builder.build().unwrap().pool().max_lifetime();
    assert_eq!(lifetime(builder().pool_recycle(None)), Some(Duration::from_secs(1_800)));
    assert_eq!(lifetime(builder().pool_recycle(Duration::from_secs(280))), Some(Duration::from_secs(280)));
}

#[test]
fn a_statement_alone_is_committed_whatever_the_server_has_by_default() {
    let sessions = one_connection();
    let commits = sessions.with(|conn| {
        conn.batch_execute("SET autocommit = 0")?;
        conn.prepare()?;
        conn.number("SELECT CAST(@@autocommit AS SIGNED) AS n")
    });
    assert_eq!(commits.unwrap(), 1);
}
