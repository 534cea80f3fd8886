//! A real server on a real socket.
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

use actix_web::{App, HttpServer, web};
use utils_restful::Restful;

use crate::application::routes;

fn start() -> (SocketAddr, actix_web::dev::ServerHandle) {
    let server = HttpServer::new(|| App::new().configure(routes).wrap(Restful::new()))
        .workers(1)
        .disable_signals()
        .bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    (address, handle)
}

/// The whole answer as it is on the wire.
async fn exchange(address: SocketAddr, line: &'static str) -> String {
    web::block(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "{line} HTTP/1.1\r\nhost: x\r\nx-request-id: req-1\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    })
    .await
    .unwrap()
}

#[actix_rt::test]
async fn errors_panics_and_head_are_proper_http() {
    let (address, handle) = start();
    for (line, status, length, body) in [
        ("GET /nowhere", 404, 25, r#"{"_errors":["Not Found"]}"#),
        ("GET /panic", 500, 53, r#"{"_errors":["Internal Server Error (request req-1)"]}"#),
        ("GET /text", 200, 19, r#"{"message":"hello"}"#),
        // RFC 9110, 9.3.2: the headers of a GET, and no body
        ("HEAD /nowhere", 404, 25, ""),
        ("HEAD /text", 200, 19, ""),
    ] {
        let answer = exchange(address, line).await;
        let (head, sent) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
        assert!(head.contains(&format!("content-length: {length}")), "{line}: {answer}");
        assert_eq!(head.matches("content-length").count(), 1, "{line}: {answer}");
        assert!(head.contains("content-type: application/json"), "{line}: {answer}");
        assert!(head.contains("x-request-id: req-1"), "{line}: {answer}");
        assert_eq!(sent, body, "{line}");
    }
    handle.stop(false).await;
}
