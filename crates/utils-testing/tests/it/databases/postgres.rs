use diesel::{Connection, PgConnection};
use utils_testing::Template;

use super::Sql;
use crate::failures::failure;

static TEMPLATE: Template<PgConnection> = Template::postgres(url, super::prepare);

fn url() -> String {
    std::env::var("TEST_POSTGRES_URL").expect("TEST_POSTGRES_URL must name a PostgreSQL database")
}

#[test]
fn every_test_starts_from_the_template() {
    super::every_test_starts_from_the_template(|| TEMPLATE.fresh());
}

#[test]
fn tests_run_side_by_side() {
    super::tests_run_side_by_side(&TEMPLATE);
}

#[test]
fn a_fresh_database_has_a_real_pool() {
    super::a_fresh_database_has_a_real_pool(&TEMPLATE);
}

#[test]
fn a_rolled_back_database_commits_nothing() {
    super::a_rolled_back_database_commits_nothing(&TEMPLATE);
}

#[test]
fn rolled_back_and_fresh_databases_of_one_template_get_along() {
    static BOTH: Template<PgConnection> = Template::postgres(url, super::prepare);
    let rolled_back = BOTH.rollback();
    super::write(&rolled_back);
    assert_eq!(super::posts(&BOTH.fresh()), 0);
    assert_eq!(super::posts(&rolled_back), 1);
    assert_eq!(super::posts(&BOTH.fresh()), 0);
}

#[test]
fn databases_are_removed_at_the_end_and_those_of_dead_processes_later() {
    let mut conn = PgConnection::establish(&url()).unwrap();
    let mut count = |name: &str| {
        conn.number(&format!("SELECT COUNT(*) AS n FROM pg_database WHERE datname = '{name}'")).unwrap()
    };
    let db = TEMPLATE.fresh();
    let clone = db.pool().clone();
    let _connected = clone.get().unwrap();
    let name = db.url().rsplit_once('/').unwrap().1.to_owned();
    assert_eq!(count(&name), 1);
    drop(db);
    assert_eq!(count(&name), 0, "also when the application still holds the pool");

    // a name whose lock nobody holds, as after SIGKILL
    let (place, _) = name.rsplit_once('_').and_then(|(owner, _)| owner.rsplit_once('_')).unwrap();
    let (place, _) = place.rsplit_once('_').unwrap();
    let dead = format!("{place}_{}_dead_0", std::process::id());
    let mut admin = PgConnection::establish(&url()).unwrap();
    diesel::connection::SimpleConnection::batch_execute(&mut admin, &format!("CREATE DATABASE \"{dead}\""))
        .unwrap();
    static NEXT: Template<PgConnection> = Template::postgres(url, super::prepare);
    let _next = NEXT.fresh();
    assert_eq!(count(&dead), 0);
    assert_eq!(super::posts(&TEMPLATE.fresh()), 0, "those of the living are still there");
}

#[test]
fn a_server_that_is_away_fails_the_test() {
    static AWAY: Template<PgConnection> =
        Template::postgres(|| "postgres://nobody@127.0.0.1:1/none".to_owned(), super::prepare);
    let failed = failure(|| AWAY.fresh());
    assert!(
        failed.message.starts_with("no database for this test: connecting to the server"),
        "{}",
        failed.message
    );
}
