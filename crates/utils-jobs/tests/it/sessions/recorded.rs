//! `create_db_session` of the Python library, as it was recorded.
use std::time::Duration;

use diesel::SqliteConnection;
use serde_json::Value;
use utils_jobs::{PoolSettings, SessionConn, Sessions, SessionsError};

use super::Sql;

#[tokio::test]
async fn a_session_is_made_from_the_same_settings() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../cases/celery.json")).unwrap();
    let cases: Vec<_> = cases.iter().filter(|case| case["given"]["op"] == "create_db_session").collect();
    assert!(cases.len() >= 4, "{} cases", cases.len());
    for case in cases {
        let (name, config) = (case["name"].as_str().unwrap(), &case["given"]["config"]);
        let Some(url) = config["SQLALCHEMY_DATABASE_URI"].as_str() else {
            // an attribute of `None` that is missing, there
            assert!(case["expect"]["error"].is_string(), "{name}");
            assert!(
                matches!(Sessions::<SqliteConnection>::new(""), Err(SessionsError::Url("SQLite"))),
                "{name}"
            );
            continue;
        };
        assert_eq!(SqliteConnection::driver_url(url).as_deref(), Some("x.db"), "{name}");
        let folder = tempfile::tempdir().unwrap();
        let here = url.replace("x.db", folder.path().join("x.db").to_str().unwrap());

        let mut settings = PoolSettings::default();
        if let Some(seconds) = config["SQLALCHEMY_POOL_RECYCLE"].as_u64() {
            settings.pool_recycle = Some(Duration::from_secs(seconds));
        }
        let sessions = Sessions::<SqliteConnection>::builder(here).settings(settings).build().unwrap();
        let recycle = match case["expect"]["pool_recycle"].as_i64().unwrap() {
            // recycling was off when nobody set it, which is marked there as wrong
            -1 if config.get("SQLALCHEMY_POOL_RECYCLE").is_none() => PoolSettings::default().pool_recycle,
            -1 => None,
            seconds => Some(Duration::from_secs(seconds.try_into().unwrap())),
        };
        assert_eq!(sessions.pool().max_lifetime(), recycle, "{name}");
        let one = sessions.run(|conn| conn.number("SELECT 1 AS n")).await;
        assert_eq!(one.unwrap(), case["expect"]["select_1"].as_i64().unwrap(), "{name}");
    }
}
