//! Both programs, sharing a file.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::{Value, json};
use utils_testing::Program;

const WEB: &str = env!("CARGO_BIN_EXE_web");
const ALL: &str = env!("CARGO_BIN_EXE_all");

/// A program that keeps its queue in this directory.
fn command(program: &str, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).env_remove("DATABASE_URL").env("LISTEN", "127.0.0.1:0");
    command.stderr(Stdio::null());
    command
}

/// Sends `SIGTERM` and waits for the end, which must be one in order.
#[track_caller]
fn ends_in_order(program: Program) {
    let pid = Pid::from_raw(i32::try_from(program.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let sent = Instant::now();
    // NOWAIT: the program's owner waits for it as well
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    let status = loop {
        if let Some(status) = waitid(WaitId::Pid(pid), options).unwrap() {
            break status;
        }
        assert!(sent.elapsed() < Duration::from_secs(10), "it does not end");
        sleep(Duration::from_millis(10));
    };
    assert_eq!(status.exit_status(), Some(0));
}

#[test]
fn a_letter_waits_for_a_worker_and_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let command = |program: &str| command(program, directory.path());
    let web = Program::start(&mut command(WEB));
    let letter = web.post("/letters", &[], &json!({"to": "Ada"})).expect(202).json();
    let path = format!("/letters/{}", letter["id"].as_str().unwrap());
    let state = || -> Value { web.send("GET", &path, &[]).expect(200).json() };
    assert_eq!(state()["state"], "waiting");

    let mut worker = command(env!("CARGO_BIN_EXE_worker")).spawn().unwrap();
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
    ends_in_order(web);
}

#[test]
fn one_process_serves_and_works_and_is_stopped_as_one() {
    let directory = tempfile::tempdir().unwrap();
    let state =
        |program: &Program, path: &str| -> Value { program.send("GET", path, &[]).expect(200).json() };
    let write = |program: &Program, to: &str| {
        let letter = program.post("/letters", &[], &json!({ "to": to })).expect(202).json();
        format!("/letters/{}", letter["id"].as_str().unwrap())
    };
    let until = |program: &Program, path: &str, wanted: &str| {
        let end = Instant::now() + Duration::from_secs(30);
        while state(program, path)["state"] != wanted {
            assert!(Instant::now() < end, "{}", state(program, path));
            sleep(Duration::from_millis(5));
        }
    };
    let all = Program::start(&mut command(ALL, directory.path()));
    until(&all, &write(&all, "Ada"), "done");

    // stopped while it writes, it writes to the end, and no more than that
    let last = write(&all, "Grace");
    until(&all, &last, "running");
    ends_in_order(all);
    let web = Program::start(&mut command(WEB, directory.path()));
    assert_eq!(state(&web, &last)["state"], "done");
}
