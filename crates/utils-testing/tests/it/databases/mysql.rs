use diesel::{Connection, MysqlConnection};
use utils_testing::Template;

use super::Sql;

static TEMPLATE: Template<MysqlConnection> = Template::mysql(url, super::prepare);

fn url() -> String {
    std::env::var("TEST_MYSQL_URL").expect("TEST_MYSQL_URL must name a MySQL or MariaDB database")
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
fn databases_are_removed_at_the_end_and_those_of_dead_processes_later() {
    let mut conn = MysqlConnection::establish(&url()).unwrap();
    let mut count = |name: &str| {
        let query = "SELECT COUNT(*) AS n FROM information_schema.schemata WHERE schema_name";
        conn.number(&format!("{query} = '{name}'")).unwrap()
    };
    let db = TEMPLATE.fresh();
    let name = db.url().rsplit_once('/').unwrap().1.to_owned();
    assert_eq!(count(&name), 1);
    drop(db);
    assert_eq!(count(&name), 0);

    let dead = format!("webutils_test_mysql_{}_dead_0", std::process::id());
    let mut admin = MysqlConnection::establish(&url()).unwrap();
    diesel::connection::SimpleConnection::batch_execute(&mut admin, &format!("CREATE DATABASE `{dead}`"))
        .unwrap();
    static NEXT: Template<MysqlConnection> = Template::mysql(url, super::prepare);
    let _next = NEXT.fresh();
    assert_eq!(count(&dead), 0);
    assert_eq!(super::posts(&TEMPLATE.fresh()), 0, "those of the living are still there");
}
