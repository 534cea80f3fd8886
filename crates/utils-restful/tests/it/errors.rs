//! `ApiError` as a value.
use actix_web::{
    HttpResponse, ResponseError,
    error::{self, InternalError},
    http::header::{HeaderValue, WWW_AUTHENTICATE},
};
use serde_json::json;
use utils_restful::{ApiError, ErrorBody, OrRespond, Result, StatusCode, ensure};

use crate::application::read;

#[test]
fn question_mark_hides_what_it_met_and_keeps_it_for_the_log() {
    fn read_it() -> Result<String> {
        Ok(std::fs::read_to_string("/srv/private/of/the/server")?)
    }
    let error = read_it().unwrap_err();
    assert_eq!(error.status(), 500);
    assert_eq!(error.to_string(), "Internal Server Error");
    assert!(error.body().is_empty());
    assert!(error.cause().unwrap().is::<std::io::Error>());
}

#[test]
fn ensure_takes_a_name_or_an_expression_and_a_message_or_none() {
    fn all(step: u8) -> Result<()> {
        ensure!(step != 0, FORBIDDEN);
        ensure!(step != 1, FORBIDDEN, "Not you, number {step}.");
        ensure!(step != 2, StatusCode::CONFLICT, "Not now.");
        ensure!(step != 3, StatusCode::GONE,);
        ensure!(step != 4, FORBIDDEN, "{} {}", "Not", "here");
        Ok(())
    }
    let said: Vec<_> =
        (0..5).map(|step| all(step).map_err(|error| (error.status().as_u16(), error.to_string()))).collect();
    let expected = [
        (403, "Forbidden"),
        (403, "Not you, number 1."),
        (409, "Not now."),
        (410, "Gone"),
        (403, "Not here"),
    ];
    assert_eq!(said, expected.map(|(status, text)| Err((status, text.to_owned()))));
    assert!(all(5).is_ok());
}

async fn check(error: impl Into<actix_web::Error>, expected: &str) {
    let error = Err::<(), _>(error).or_respond().unwrap_err();
    assert_eq!(read(error.error_response()).await.line(), expected);
}

#[actix_rt::test]
async fn an_error_that_answers_for_itself_can_keep_its_answer() {
    check(error::ErrorGone("It was here."), r#"410 application/json {"_errors":["It was here."]}"#).await;
    check(ApiError::invalid().field("title", "is taken"), r#"422 application/json {"title":["is taken"]}"#)
        .await;
    check(
        InternalError::from_response("x", HttpResponse::Conflict().json(json!({"mine": 1}))),
        r#"409 application/json {"mine":1}"#,
    )
    .await;
    // a server's fault stays hidden here too
    check(
        error::ErrorInternalServerError("hunter2"),
        r#"500 application/json {"_errors":["Internal Server Error"]}"#,
    )
    .await;
}

#[actix_rt::test]
async fn the_headers_of_such_an_answer_are_kept() {
    let response = HttpResponse::Unauthorized().insert_header((WWW_AUTHENTICATE, "Bearer")).finish();
    let error = ApiError::from_response(InternalError::from_response("x", response));
    let answer = read(error.error_response()).await;
    assert_eq!(answer.headers.get(WWW_AUTHENTICATE), Some(&HeaderValue::from_static("Bearer")));
    assert_eq!(answer.line(), r#"401 application/json {"_errors":["Unauthorized"]}"#);
}

#[test]
fn error_reporters_find_the_cause_in_the_response() {
    type Cause = std::sync::Arc<dyn std::error::Error + Send + Sync>;
    let error = ApiError::from(std::io::Error::other("disk full"));
    let wrapped = ApiError::from_response(ApiError::from(std::io::Error::other("disk full")));
    for error in [error, wrapped] {
        let response = error.error_response();
        let cause = response.extensions().get::<Cause>().unwrap().to_string();
        assert_eq!(cause, "disk full");
    }
}

#[test]
fn an_error_can_travel_between_threads() {
    fn check<T: Send>() {}
    check::<ApiError>();
}

#[test]
fn a_body_reads_the_same_as_it_is_sent() {
    let body = ErrorBody::message("All of it is odd.").with_field("a", "is odd").with_field("a", "is small");
    assert_eq!(json!(body), json!({"_errors": ["All of it is odd."], "a": ["is odd", "is small"]}));
    assert_eq!(json!(ErrorBody::field("_errors", "no such field")), json!({"_errors": ["no such field"]}));
    assert_eq!(json!(ErrorBody::default()), json!({}));
}

#[test]
fn every_kind_of_the_catalogue_is_named_once_and_helps() {
    let mut codes = std::collections::HashSet::new();
    for kind in utils_restful::ERRORS {
        assert!(codes.insert(kind.code), "{} appears twice", kind.code);
        assert!(kind.code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", kind.code);
        assert!(kind.help.ends_with('.'), "{}", kind.code);
        assert!(kind.status.is_client_error() || kind.status.is_server_error(), "{}", kind.code);
    }
}
