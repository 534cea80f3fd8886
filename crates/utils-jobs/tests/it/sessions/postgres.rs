use std::time::Duration;

use diesel::{Connection, PgConnection, connection::SimpleConnection};
use utils_jobs::{Sessions, SessionsBuilder};

use super::Sql;

fn builder() -> SessionsBuilder<PgConnection> {
    let url = std::env::var("TEST_POSTGRES_URL").expect("TEST_POSTGRES_URL must name a PostgreSQL database");
    Sessions::builder(url)
}

fn one_connection() -> Sessions<PgConnection> {
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

#[tokio::test]
async fn a_connection_that_the_server_closed_is_replaced() {
    let sessions = one_connection();
    let pid = "SELECT pg_backend_pid()::bigint AS n";
    let first = sessions.run(move |conn| conn.number(pid)).await.unwrap();
    let mut administrator = PgConnection::establish(&std::env::var("TEST_POSTGRES_URL").unwrap()).unwrap();
    administrator.batch_execute(&format!("SELECT pg_terminate_backend({first}, 5000)")).unwrap();
    assert_ne!(sessions.run(move |conn| conn.number(pid)).await.unwrap(), first);
}
