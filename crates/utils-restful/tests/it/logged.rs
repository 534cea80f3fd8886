//! What the log says, which the client is not told.
use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use tracing_subscriber::fmt::MakeWriter;
use utils_restful::Restful;

use crate::application::{ask, request};

#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// What is logged while a request is answered.
async fn logged(line: &str) -> String {
    let lines = Lines::default();
    let subscriber =
        tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).without_time().finish();
    // with one subscriber only, tracing remembers for all threads what the first thread that comes along thinks of an event
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let guard = tracing::subscriber::set_default(subscriber);
    ask(Restful::new(), request(line)).await;
    drop(guard);
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

async fn check(line: &str, cause: &str) {
    let log = logged(line).await;
    assert_eq!(log.matches("request failed").count(), 1, "{line}: {log}");
    for part in ["ERROR", cause, "request_id=\"req-1\"", "method=\"GET\""] {
        assert!(log.contains(part), "{line}: {part} is missing in {log}");
    }
}

#[actix_rt::test]
async fn a_servers_fault_is_logged_once_with_its_cause_and_the_request_id() {
    check("GET /fs", "Internal Server Error: No such file or directory").await;
    check("GET /io/500", "password=hunter2").await;
    check("GET /text/500", "password=hunter2").await;
    check("GET /std/503", "hunter2").await;
    check("GET /gate/500", "password=hunter2").await;
    // 404 for the client, but what is missing is the server's
    check("GET /io/404", "/srv/private/x is not there").await;
    check("GET /gate/io", "/srv/private/x is not there").await;
    check("GET /panic", "panic: panic text").await;
    check("GET /gate/panic", "panic: panic text").await;
    check("GET /message/500", "The printer is on fire.").await;
    check("GET /own/stream", "status=502").await;
}

#[actix_rt::test]
async fn of_a_long_body_the_beginning_is_logged() {
    check("GET /own/long", "long long long").await;
    let log = logged("GET /own/long").await;
    assert!(log.len() < 1500 && log.contains('…'), "{} bytes: {log:.2000}", log.len());
}

#[actix_rt::test]
async fn what_the_client_did_wrong_is_not() {
    for line in ["GET /nowhere", "GET /api/fields", "POST /json", "GET /gate/401", "GET /text"] {
        assert_eq!(logged(line).await, "", "{line}");
    }
}

#[actix_rt::test]
async fn the_query_stays_out_of_the_log() {
    let log = logged("GET /fs?token=abc").await;
    assert!(log.contains("path=\"/fs\"") && !log.contains("abc"), "{log}");
}
