//! Both programs, sharing a file.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use utils_testing::Program;

#[test]
fn a_letter_waits_for_a_worker_and_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let command = |program: &str| {
        let mut command = Command::new(program);
        command.current_dir(directory.path()).env_remove("DATABASE_URL").env("LISTEN", "127.0.0.1:0");
        command
    };
    let web = Program::start(&mut command(env!("CARGO_BIN_EXE_web")));
    let letter = web.post("/letters", &[], &json!({"to": "Ada"})).expect(202).json();
    let path = format!("/letters/{}", letter["id"].as_str().unwrap());
    let state = || -> Value { web.send("GET", &path, &[]).expect(200).json() };
    assert_eq!(state()["state"], "waiting");

    let mut worker = command(env!("CARGO_BIN_EXE_worker")).stderr(Stdio::null()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    while state()["state"] != "done" {
        assert!(Instant::now() < end, "{}", state());
        sleep(Duration::from_millis(20));
    }
    assert_eq!(state()["result"], "Dear Ada, greetings from letters.write");
    worker.kill().unwrap();
    worker.wait().unwrap();

    assert!(web.post("/letters", &[], &json!({"to": ""})).expect(422).json()["to"].is_array());
    web.send("GET", "/letters/unknown", &[]).expect(404);
}
