//! Reports as they arrive at a server that speaks Sentry's envelope protocol.
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener},
    sync::Arc,
    thread,
    time::Duration,
};

use sentry::{Hub, Level};
use serde_json::Value;
use utils_sentry::SentrySettings;

/// One request: its first line, its headers in lower case, its body.
fn receive(listener: &TcpListener) -> (String, Vec<String>, String) {
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_ascii_lowercase());
    }
    let length = lines.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}").unwrap();
    (lines.remove(0), lines, String::from_utf8(body).unwrap())
}

#[test]
fn a_report_arrives_as_an_envelope_with_one_event() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let dsn = format!("http://key@{}/42", listener.local_addr().unwrap());
    let server = thread::spawn(move || receive(&listener));

    let settings = SentrySettings::new().dsn(&dsn).unwrap().release("shop@1.2.3").site("berlin");
    Hub::run(Arc::new(Hub::new(None, Arc::default())), || {
        let guard = utils_sentry::init(&settings).unwrap();
        sentry::capture_message("password=hunter2", Level::Fatal);
        assert!(guard.flush(Duration::from_secs(10)));
    });

    let (first, headers, body) = server.join().unwrap();
    assert_eq!(first, "post /api/42/envelope/ http/1.1");
    let auth = headers.iter().find_map(|line| line.strip_prefix("x-sentry-auth: ")).unwrap();
    assert!(auth.contains("sentry_key=key"), "{auth}");
    let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [envelope, item, event] = &lines[..] else { panic!("{body}") };
    let id = envelope["event_id"].as_str().unwrap();
    assert_eq!(event["event_id"], id.replace('-', ""));
    assert_eq!(item["type"], "event");
    assert_eq!(event["message"], "password=[Filtered]");
    assert_eq!(event["release"], "shop@1.2.3");
    assert_eq!(event["tags"]["site"], "berlin");
    assert_eq!(event["level"], "fatal");
    assert!(event["contexts"]["os"].is_object());
    assert!(event.get("server_name").is_none(), "{event}");
}
