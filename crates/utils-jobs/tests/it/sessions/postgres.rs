use std::time::Duration;

use diesel::PgConnection;
use utils_jobs::{Sessions, SessionsBuilder};

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
