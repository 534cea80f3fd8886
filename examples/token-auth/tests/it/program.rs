use std::process::Command;

use serde_json::{Value, json};
use utils_testing::{Answer, Program};

fn start() -> Program {
    Program::start(Command::new(env!("CARGO_BIN_EXE_token-auth")).env("PORT", "0"))
}

fn log_in(program: &Program) -> (String, String) {
    let answer = program.post("/login", &[], &json!({"username": "test", "password": "test"})).expect(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let text = |name: &str| answer.json()[name].as_str().unwrap().to_owned();
    (format!("Bearer {}", text("token")), text("refreshToken"))
}

#[track_caller]
fn refused(answer: Answer) {
    let answer = answer.expect(401);
    assert!(answer.header("www-authenticate").is_some_and(|text| text.starts_with("Bearer ")), "{answer}");
    assert!(answer.json()["_errors"][0].is_string(), "{answer}");
}

#[test]
fn a_session_from_log_in_to_log_out() {
    let program = start();
    let form = [("content-type", "application/x-www-form-urlencoded")];

    let (token, refresh) = log_in(&program);
    let auth: &[(&str, &str)] = &[("authorization", &token)];
    assert_eq!(program.send("POST", "/protected", auth).expect(200).text(), "Welcome, test");
    let by_query = format!("/protected?token={}", &token["Bearer ".len()..]);
    assert_eq!(program.send("POST", &by_query, &[]).expect(200).text(), "Welcome, test");

    let renewed = program.post("/renew", &[], &json!({ "refreshToken": refresh })).expect(200).json();
    assert_eq!(renewed.as_object().unwrap().keys().collect::<Vec<_>>(), ["token"]);

    let (_, other_refresh) = log_in(&program);
    let sessions = program.send("GET", "/tokens", auth).expect(200).json();
    let sessions = sessions["tokens"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    let other = sessions.iter().find(|session| session["current"] == false).unwrap();
    let path = format!("/tokens/{}", other["id"].as_str().unwrap());
    assert_eq!(program.send("DELETE", &path, auth).status / 100, 2);
    refused(program.post("/renew", &[], &json!({ "refreshToken": other_refresh })));

    assert_eq!(program.send("POST", "/logout", auth).expect(200).json(), json!({"status": "success"}));
    refused(program.send("POST", "/protected", auth));
    refused(program.post("/renew", &[], &json!({ "refreshToken": refresh })));
    refused(program.post("/renew", &form, &json!({})));
}

#[test]
fn every_refusal_is_401_with_a_challenge() {
    let program = start();
    let forged = [("authorization", "Bearer a.b.c")];
    for path in ["/protected", "/logout", "/renew", "/login"] {
        refused(program.send("POST", path, &[]));
    }
    for path in ["/protected", "/logout"] {
        refused(program.send("POST", path, &forged));
    }
    for wrong in [json!({"username": "test", "password": "x"}), json!({"username": "test"}), json!(7)] {
        refused(program.post("/login", &[], &wrong));
    }
    refused(program.post("/renew", &[], &json!({"refreshToken": "x"})));
}

#[test]
fn a_port_that_is_none_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_token-auth")).env("PORT", "http").output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("PORT") && said.contains("http"), "{said}");
    let none: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    assert_eq!(none, None);
}
