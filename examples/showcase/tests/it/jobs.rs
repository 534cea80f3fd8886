use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Nullable, Text},
};
use serde_json::{Value, json};

use crate::support::{Showcase, User};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Nullable<BigInt>)]
    items: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    quantity: Option<i64>,
}

#[test]
fn a_report_is_made_in_the_background() {
    let showcase = Showcase::start();
    let demo = showcase.log_in("demo");
    let id = enqueue(&demo, 20);
    let done = wait(&demo, &id, |job| job["state"] == "done");
    assert_eq!(done["result"], json!({"items": 5, "quantity": 51}));
    assert_eq!(done["attempts"], 1);
    assert_eq!(demo.send("GET", "/jobs").expect(200).json()["items"][0], done);
    demo.send("GET", "/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV").expect(404);
}

#[test]
fn its_progress_can_be_watched() {
    let showcase = Showcase::start();
    let demo = showcase.log_in("demo");
    let id = enqueue(&demo, 300);
    let halfway =
        wait(&demo, &id, |job| job["progress"].as_f64().is_some_and(|part| part > 0.0 && part < 1.0));
    assert_eq!(halfway["state"], "running");
    wait(&demo, &id, |job| job["state"] == "done");
}

#[test]
fn a_job_that_was_running_when_the_process_was_killed_is_done_once_by_the_next() {
    let showcase = Showcase::start();
    let demo = showcase.log_in("demo");
    let id = enqueue(&demo, 1_000);
    wait(&demo, &id, |job| job["state"] == "running");
    let waiting = enqueue(&demo, 0); // and one more, which may have run or not
    let refresh = demo.refresh.clone();

    let showcase = showcase.kill_and_start_again();
    let pair =
        showcase.program.post("/api/v1/renew", &[], &json!({ "refreshToken": refresh })).expect(200).json();
    let demo = User::with(&showcase.program, &pair);
    let again = wait(&demo, &id, |job| job["state"] == "done");
    assert_eq!(again["attempts"], 2, "the killed attempt and the one that ended");
    assert_eq!(again["result"], json!({"items": 5, "quantity": 51}));
    // what the job wrote into the application's own table, in the transaction that ended it
    let mut conn =
        SqliteConnection::establish(&showcase.directory.path().join("showcase.sqlite").to_string_lossy());
    let row: Row = sql_query("SELECT items, quantity FROM reports WHERE job_id = ?")
        .bind::<Text, _>(&id)
        .get_result(conn.as_mut().unwrap())
        .unwrap();
    assert_eq!((row.items, row.quantity), (Some(5), Some(51)));
    wait(&demo, &waiting, |job| job["state"] == "done");
    assert_eq!(demo.send("GET", "/jobs").expect(200).json()["totalItems"], 2);
}

#[test]
fn a_wrong_request_leaves_no_job() {
    let showcase = Showcase::start();
    let demo = showcase.log_in("demo");
    let faults = demo.send_json("POST", "/jobs", &json!({"pause": -1})).expect(422).json();
    assert!(faults["pause"].is_array(), "{faults}");
    assert_eq!(demo.send("GET", "/jobs").expect(200).json()["totalItems"], 0);
}

fn enqueue(user: &User<'_>, pause: u64) -> String {
    let accepted = user.send_json("POST", "/jobs", &json!({ "pause": pause })).expect(202);
    let id = accepted.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(accepted.header("location"), Some(&*format!("/api/v1/jobs/{id}")));
    id
}

/// The job, as soon as it is as wanted.
fn wait(user: &User<'_>, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let job = user.send("GET", &format!("/jobs/{id}")).expect(200).json();
        if wanted(&job) {
            return job;
        }
        assert!(Instant::now() < end, "the job stays {job}");
        sleep(Duration::from_millis(20));
    }
}
