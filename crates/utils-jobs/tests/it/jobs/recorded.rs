//! What flask-utils' `create_celery` did, case by case. Its brokers are Redis; ours refuses them, see the guide.
use serde_json::Value;
use utils_jobs::{BrokerError, Jobs, JobsError};
use utils_release::ReleaseSources;

/// The release that the original finds beside a case's `version.txt`.
fn release_of(given: &Value) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("version.txt");
    if let Some(text) = given["version.txt"].as_str() {
        std::fs::write(&file, text).unwrap();
    }
    ReleaseSources::new().file(file).env_from::<String, String>([]).find().to_string()
}

#[test]
fn the_cases_of_create_celery_keep_the_release_and_name_the_broker_that_is_refused() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../cases/celery.json")).unwrap();
    let mut releases = 0;
    let mut brokers = 0;
    for case in cases.iter().filter(|case| case["given"]["op"] == "create_celery") {
        let (name, given) = (&case["name"], &case["given"]);
        if let Some(version) = case["expect"]["version"].as_str() {
            let jobs = Jobs::builder().release(release_of(given)).open("memory:").unwrap();
            assert_eq!(jobs.release(), version, "{name}");
            releases += 1;
        }
        let url = &given["config"]["CELERY_BROKER_URL"];
        let error = match url.as_str() {
            Some(url) => Jobs::open(url).unwrap_err(),
            // The original would go on with Celery's default; here, no URL is no broker.
            None if url.is_null() => Jobs::open("").unwrap_err(),
            None => continue,
        };
        let JobsError::Broker(error) = error else { panic!("{name}: {error:?}") };
        match url.as_str() {
            Some(_) => assert!(
                matches!(&error, BrokerError::Unfit { scheme, .. } if scheme == "redis"),
                "{name}: {error:?}"
            ),
            None => assert_eq!(error, BrokerError::NoScheme, "{name}"),
        }
        brokers += 1;
    }
    assert!(releases >= 5 && brokers >= 6, "{releases} releases and {brokers} brokers were looked at");
}
