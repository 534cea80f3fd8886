//! `ExpectedJson`, alone: no middleware shapes these answers.
use actix_web::{
    App,
    test::{self, TestRequest},
    web,
};
use serde::{Deserialize, Serialize};
use utils_restful::{ExpectedJson, ExpectedJsonConfig};

use crate::application::{Answer, read};

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    title: String,
    stars: Option<u8>,
}

async fn send(content_type: &str, body: &str) -> Answer {
    let app = App::new()
        .app_data(ExpectedJsonConfig::default().limit(100))
        .route("/", web::post().to(async |ExpectedJson(note): ExpectedJson<Note>| web::Json(note)));
    let app = test::init_service(app).await;
    let request =
        TestRequest::post().insert_header(("content-type", content_type)).set_payload(body.to_owned());
    read(test::call_service(&app, request.to_request()).await.into_parts().1.map_into_boxed_body()).await
}

async fn check(body: &str, expected: &str) {
    assert_eq!(send("application/json", body).await.line(), expected, "{body}");
}

const EXPECTED: &str = "Resource expected a JSON payload to be provided.";

#[actix_rt::test]
async fn every_json_type_is_taken() {
    for content_type in [
        "application/json",
        "APPLICATION/JSON",
        "application/json;charset=utf-8",
        "application/vnd.api+json; v=1",
    ] {
        let answer = send(content_type, r#"{"title":"a"}"#).await;
        assert_eq!(answer.line(), r#"200 application/json {"title":"a","stars":null}"#, "{content_type}");
    }
}

#[actix_rt::test]
async fn other_types_are_no_json() {
    for content_type in
        ["", "text/plain", "text/x+json", "application/jsonx", "application/x-www-form-urlencoded"]
    {
        let answer = send(content_type, r#"{"title":"a"}"#).await;
        assert_eq!(
            answer.line(),
            format!(r#"400 application/json {{"_errors":["{EXPECTED}"]}}"#),
            "{content_type}"
        );
    }
}

#[actix_rt::test]
async fn nothing_and_null_are_no_json() {
    for body in ["", " \r\n", "null", " null\n"] {
        check(body, &format!(r#"400 application/json {{"_errors":["{EXPECTED}"]}}"#)).await;
    }
}

#[actix_rt::test]
async fn malformed_json_says_where() {
    for (body, fault) in [
        ("{\n \"title\" 1}", "expected `:` at line 2 column 10"),
        (r#"{"title":"a"} x"#, "trailing characters at line 1 column 15"),
        (r#"{"title":NaN}"#, "expected value at line 1 column 10"),
        (r#"{"title":"a","title":"b"}"#, "the key \\\"title\\\" appears twice at line 1 column 20"),
        (r#"{"title":"a","x":{"y":1,"y":1}}"#, "the key \\\"y\\\" appears twice at line 1 column 27"),
    ] {
        check(
            body,
            &format!(r#"400 application/json {{"_errors":["{EXPECTED}","malformed JSON: {fault}"]}}"#),
        )
        .await;
    }
}

#[actix_rt::test]
async fn json_of_another_form_says_what_was_expected() {
    check(
        r#"{"title":7}"#,
        r#"422 application/json {"_errors":["invalid type: integer `7`, expected a string at line 1 column 10"]}"#,
    )
    .await;
    check("[]", r#"422 application/json {"_errors":["invalid length 0, expected struct Note with 2 elements at line 1 column 2"]}"#).await;
    check(
        r#"{"stars":1}"#,
        r#"422 application/json {"_errors":["missing field `title` at line 1 column 11"]}"#,
    )
    .await;
}

#[actix_rt::test]
async fn a_body_above_the_limit_is_refused() {
    let body = |length: usize| format!(r#"{{"title":"{}"}}"#, "a".repeat(length - 12));
    assert_eq!(body(100).len(), 100);
    assert_eq!(send("application/json", &body(100)).await.status, 200);
    check(
        &body(101),
        r#"413 application/json {"_errors":["the JSON payload is larger than the limit of 100 bytes"]}"#,
    )
    .await;
}
