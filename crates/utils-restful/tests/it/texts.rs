//! Strings that handlers return.
use utils_restful::Restful;

use crate::application::{ask, request};

async fn check(line: &str, expected: &str) {
    let answer = ask(Restful::new(), request(line)).await;
    assert_eq!(answer.line(), expected, "{line}");
    assert!(!answer.headers.contains_key("vary"), "{line}: a success does not depend on `Accept`");
}

#[actix_rt::test]
async fn a_text_of_a_success_or_a_redirect_is_a_message() {
    check("GET /text", r#"200 application/json {"message":"hello"}"#).await;
    check("GET /text/empty", r#"200 application/json {"message":""}"#).await;
    check("GET /text/201", r#"201 application/json {"message":"made"}"#).await;
    check("GET /text/301", r#"301 application/json {"message":"moved"}"#).await;
    check("GET /path/5", r#"200 application/json {"message":"number 5"}"#).await;
    check(r#"POST /age application/json {"age":7}"#, r#"200 application/json {"message":"7 years"}"#).await;
    check("GET /message", r#"201 application/json {"message":"made"}"#).await;
}

#[actix_rt::test]
async fn an_answer_without_a_body_stays_without_one() {
    check("GET /text/204", "204  ").await;
}
