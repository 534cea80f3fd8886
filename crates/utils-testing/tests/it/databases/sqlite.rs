use std::path::PathBuf;

use diesel::SqliteConnection;
use utils_testing::Template;

use super::Sql;
use crate::failures::failure;

static TEMPLATE: Template<SqliteConnection> = Template::sqlite(super::prepare);

#[test]
fn every_test_starts_from_the_template() {
    super::every_test_starts_from_the_template(|| TEMPLATE.fresh());
    super::every_test_starts_from_the_template(|| TEMPLATE.rollback());
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
fn readers_do_not_wait_for_a_writer_as_in_production() {
    let db = TEMPLATE.fresh();
    let (mut writer, mut reader) = (db.conn(), db.conn());
    assert_eq!(writer.number("SELECT journal_mode = 'wal' AS n FROM pragma_journal_mode").unwrap(), 1);
    diesel::connection::SimpleConnection::batch_execute(
        &mut *writer,
        "BEGIN IMMEDIATE; INSERT INTO posts VALUES (1, 1)",
    )
    .unwrap();
    assert_eq!(reader.number("SELECT COUNT(*) AS n FROM posts").unwrap(), 0);
}

#[test]
fn the_file_goes_with_the_database() {
    let db = TEMPLATE.fresh();
    assert_eq!(super::posts(&db), 0);
    let file = PathBuf::from(db.url());
    assert!(file.exists());
    drop(db);
    assert!(!file.parent().unwrap().exists(), "{file:?}");
}

#[test]
fn a_template_that_cannot_be_prepared_fails_the_test_at_its_line() {
    static BROKEN: Template<SqliteConnection> = Template::sqlite(|_| Err("no such migration".into()));
    let (failed, line) = (failure(|| BROKEN.fresh()), line!());
    assert_eq!(failed.message, "no database for this test: preparing the template: no such migration");
    assert_eq!((failed.file.as_str(), failed.line), (file!(), line));
}

#[test]
fn an_empty_template_is_an_empty_database() {
    static EMPTY: Template<SqliteConnection> = Template::sqlite(|_| Ok(()));
    let db = EMPTY.fresh();
    assert_eq!(db.conn().number("SELECT COUNT(*) AS n FROM sqlite_schema").unwrap(), 0);
}
