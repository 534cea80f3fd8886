//! The `/version` handler and the header.
use actix_web::{
    App,
    http::{Method, StatusCode},
    test::{TestRequest, call_service, init_service, read_body},
    web::{Data, to},
};
use serde_json::{Value, json};
use utils_release::{Compiled, Release, ReleaseSources, release_header};

fn release(name: &str, built: Option<&'static str>) -> Release {
    let compiled = Compiled { built, ..Compiled::default() };
    ReleaseSources::new().no_file().env_from([("RELEASE", name)]).compiled(compiled).find()
}

async fn ask(method: Method, release: Release) -> (StatusCode, Option<String>, Value) {
    let app = App::new()
        .wrap(release_header(&release))
        .app_data(Data::new(release))
        .configure(utils_release::routes)
        .route("/other", to(|| async { "other" }));
    let app = init_service(app).await;
    let response = call_service(&app, TestRequest::with_uri("/version").method(method).to_request()).await;
    let status = response.status();
    let header = response.headers().get("x-release").map(|value| value.to_str().unwrap().to_owned());
    (status, header, serde_json::from_slice(&read_body(response).await).unwrap_or_default())
}

#[actix_rt::test]
async fn the_release_is_answered_as_json_and_stands_in_the_header() {
    let (status, header, body) = ask(Method::GET, release("shop 1.2", None)).await;
    assert_eq!((status, header.as_deref()), (StatusCode::OK, Some("shop 1.2")));
    assert_eq!(body, json!({"release": "shop 1.2"}));
    let (_, _, body) = ask(Method::GET, release("1", Some("2026-11-23T21:00:00Z"))).await;
    assert_eq!(body, json!({"release": "1", "built": "2026-11-23T21:00:00Z"}));
}

#[actix_rt::test]
async fn head_is_answered_and_post_is_not_allowed() {
    assert_eq!(ask(Method::HEAD, release("1", None)).await.0, StatusCode::OK);
    assert_eq!(ask(Method::POST, release("1", None)).await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[actix_rt::test]
async fn a_release_that_no_header_can_carry_is_encoded_and_cut() {
    let (_, header, body) = ask(Method::GET, release("v1-é\u{0}☃", None)).await;
    assert_eq!(header.as_deref(), Some("v1-%C3%A9%00%E2%98%83"));
    assert_eq!(body["release"], "v1-é\u{0}☃");
    let (_, header, _) = ask(Method::GET, release(&format!("{}é", "x".repeat(255)), None)).await;
    assert_eq!(header, Some("x".repeat(255)));
}

#[actix_rt::test]
async fn without_data_of_its_own_the_handler_answers_the_release_of_the_process() {
    let app = init_service(App::new().configure(utils_release::routes)).await;
    let response = call_service(&app, TestRequest::with_uri("/version").to_request()).await;
    assert_eq!(response.headers().get("cache-control").unwrap(), "no-store");
    let body: Value = serde_json::from_slice(&read_body(response).await).unwrap();
    assert!(body["release"].is_string());
}
