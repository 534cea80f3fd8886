use std::future::IntoFuture;

use actix_web::{
    App, HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{Method, StatusCode, header},
    web::{self, Bytes},
};
use expect_test::{Expect, expect};
use serde::Deserialize;
use serde_json::json;
use utils_restful::{ApiError, Restful};
use utils_testing::{Client, Reply, TestApp};

use crate::failures::failure;

/// Says what came in.
async fn echo(request: HttpRequest, body: Bytes) -> HttpResponse {
    let header = |name| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    HttpResponse::Ok().json(json!({
        "method": request.method().as_str(),
        "query": request.query_string(),
        "content_type": header("content-type"),
        "authorization": header("authorization"),
        "cookie": header("cookie"),
        "x": header("x"),
        "peer": request.peer_addr().map(|peer| peer.to_string()),
        "body": String::from_utf8(body.to_vec()).unwrap(),
    }))
}

/// Answers with the status in the path, and a body.
async fn status(code: web::Path<u16>, body: String) -> HttpResponse {
    HttpResponseBuilder::new(StatusCode::from_u16(*code).unwrap()).insert_header(("x-note", "one")).body(body)
}

/// Refuses with the body that came in, as it is.
async fn json_as_it_is(body: Bytes) -> HttpResponse {
    HttpResponse::BadRequest().content_type("application/json").body(body)
}

async fn cookies() -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.append_header(("set-cookie", "a=1; Path=/; HttpOnly")).append_header(("set-cookie", "b=2=3"));
    response.finish()
}

async fn refuse() -> Result<HttpResponse, ApiError> {
    Err(ApiError::invalid().field("title", "is taken").field("tags[1]", "is empty"))
}

async fn break_off() -> HttpResponse {
    let parts = [Ok(Bytes::from("half")), Err(std::io::Error::other("the disk is gone"))];
    HttpResponse::Ok().streaming(futures_util::stream::iter(parts))
}

async fn client() -> Client {
    let app = App::new()
        .route("/echo", web::route().to(echo))
        .route("/status/{code}", web::post().to(status))
        .route("/json", web::post().to(json_as_it_is))
        .route("/cookies", web::get().to(cookies))
        .route("/refuse", web::get().to(refuse))
        .route("/break-off", web::get().to(break_off))
        .wrap(Restful::new());
    TestApp::new(app).await.client()
}

fn check(reply: &Reply, expected: Expect) {
    let mut said = reply.value();
    said.as_object_mut().unwrap().retain(|_, value| !value.is_null() && value != "");
    expected.assert_eq(&said.to_string());
}

#[actix_rt::test]
async fn the_methods_send_what_they_say() {
    let me = client().await;
    check(&me.get("/echo").await, expect![[r#"{"method":"GET"}"#]]);
    check(&me.delete("/echo").await, expect![[r#"{"method":"DELETE"}"#]]);
    check(
        &me.post("/echo", json!({"a": 1})).await,
        expect![[r#"{"body":"{\"a\":1}","content_type":"application/json","method":"POST"}"#]],
    );
    check(
        &me.put("/echo", false).await,
        expect![[r#"{"body":"false","content_type":"application/json","method":"PUT"}"#]],
    );
    check(
        &me.patch("/echo", None::<u8>).await,
        expect![[r#"{"body":"null","content_type":"application/json","method":"PATCH"}"#]],
    );
    check(&me.request(Method::OPTIONS, "/echo").await, expect![[r#"{"method":"OPTIONS"}"#]]);
    check(
        &me.request(Method::POST, "/echo").form([("a", "1 &"), ("b", "é")]).await,
        expect![[
            r#"{"body":"a=1+%26&b=%C3%A9","content_type":"application/x-www-form-urlencoded","method":"POST"}"#
        ]],
    );
    check(
        &me.request(Method::PUT, "/echo").body("text/csv", "1;2").await,
        expect![[r#"{"body":"1;2","content_type":"text/csv","method":"PUT"}"#]],
    );
    check(
        &me.get("/echo?a=1").query([("b", "x y")]).await,
        expect![[r#"{"method":"GET","query":"a=1&b=x+y"}"#]],
    );
}

#[actix_rt::test]
async fn the_headers_of_a_client_are_in_all_its_requests() {
    let me = client().await.bearer("abc").header("X", 1).cookie("a", "1").cookie("b", "2");
    let me = me.peer("10.1.2.3:80".parse().unwrap());
    check(
        &me.get("/echo").await,
        expect![[
            r#"{"authorization":"Bearer abc","cookie":"a=1; b=2","method":"GET","peer":"10.1.2.3:80","x":"1"}"#
        ]],
    );
    let me = me.without_header("Cookie");
    check(
        &me.get("/echo").header("x", 2).await,
        expect![[r#"{"authorization":"Bearer abc","method":"GET","peer":"10.1.2.3:80","x":"2"}"#]],
    );
    check(
        &me.bearer("def").get("/echo").await,
        expect![[r#"{"authorization":"Bearer def","method":"GET","peer":"10.1.2.3:80","x":"1"}"#]],
    );
}

#[actix_rt::test]
async fn a_reply_is_read_in_many_ways() {
    #[derive(Debug, Deserialize, PartialEq)]
    struct Echo {
        method: String,
    }
    let me = client().await;
    let reply =
        me.get("/echo").await.expect(200).expect_success().expect_header("content-type", "application/json");
    assert_eq!(reply.json::<Echo>(), Echo { method: "GET".to_owned() });
    assert_eq!(reply.header("Content-Type"), Some("application/json"));
    assert!(reply.headers().contains_key(header::CONTENT_TYPE));
    let reply = me.request(Method::POST, "/status/202").body("text/html", "<p>").await;
    assert_eq!((reply.status(), reply.text(), &reply.bytes()[..]), (202, "<p>", &b"<p>"[..]));
}

#[actix_rt::test]
async fn a_failed_check_shows_the_whole_exchange_at_the_line_of_the_test() {
    let me = client().await.bearer("abc");
    let reply = me.post("/status/418", json!({"title": "x"})).header("x", "y").await;
    let (failed, line) = (failure(|| reply.expect(201)), line!());
    assert_eq!((failed.file.as_str(), failed.line), (file!(), line));
    let message = failed.message.lines().filter(|line| !line.contains("request-id"));
    expect![[r#"
        expected 201, got 418 I'm a teapot
          > POST /status/418
          > authorization: Bearer abc
          > content-type: application/json
          > x: y
          > {"title":"x"}
          < 418 I'm a teapot
          < content-type: application/json
          < vary: accept
          < x-note: one
          < {"_errors":["{\"title\":\"x\"}"]}"#]]
    .assert_eq(&message.collect::<Vec<_>>().join("\n"));
}

#[actix_rt::test]
async fn every_kind_of_check_says_what_it_expected() {
    let me = client().await;
    let teapot = me.post("/status/418", 1).await;
    let fine = me.request(Method::POST, "/status/200").body("text/html", "<p>").await;
    let said = |failed: crate::failures::Failure| failed.message.lines().next().unwrap().to_owned();
    let check = |said: String, expected: &str| assert_eq!(said, expected);
    check(said(failure(|| teapot.clone().expect_success())), "expected success, got 418 I'm a teapot");
    check(said(failure(|| fine.clone().expect_header("x-note", "two"))), "expected the header x-note: two");
    check(said(failure(|| fine.json::<u8>())), "expected the JSON of u8: expected value at line 1 column 1");
    check(said(failure(|| fine.clone().expect_errors(&["a"]))), r#"expected errors of ["a"], got 200 OK"#);
    check(
        said(failure(|| teapot.clone().expect_errors(&["a"]))),
        r#"expected errors of {"a"}, got errors of {"_errors"}"#,
    );
    let broken = me.get("/break-off").await;
    check(said(failure(|| broken.clone().expect(200))), "the body broke off");
    assert!(failure(|| broken.expect(200)).message.contains("the disk is gone"));
    check(said(failure(|| me.get("no slash"))), r#"this is not a path, or not percent-encoded: "no slash""#);
    check(said(failure(|| me.clone().header("a b", 1))), r#"this cannot be a header: "a b": "1""#);
}

#[actix_rt::test]
async fn the_refused_fields_are_named_in_both_error_shapes() {
    let me = client().await;
    me.get("/refuse").await.expect(422).expect_errors(&["title", "tags[1]"]);
    me.get("/nowhere").await.expect(404).expect_errors(&["_errors"]);
    let failed = failure(|| {
        futures_util::FutureExt::now_or_never(me.get("/refuse").into_future())
            .unwrap()
            .expect_errors(&["title"])
    });
    assert!(
        failed.message.starts_with(r#"expected errors of {"title"}, got errors of {"tags[1]", "title"}"#)
    );

    let me = me.header("accept", "application/problem+json");
    let refused = me.get("/refuse").await.expect(422).expect_errors(&["title", "tags[1]"]).errors();
    assert_eq!(
        (&refused.fields["title"][0], &refused.fields["tags[1]"][0]),
        (&"is taken".into(), &"is empty".into())
    );
    let nowhere = me.get("/nowhere").await.expect(404).expect_errors(&["_errors"]).errors();
    assert_eq!(nowhere.errors, ["Not Found"]);
}

#[actix_rt::test]
async fn a_body_that_holds_no_errors_is_said_to_hold_none() {
    let me = client().await;
    for body in ["<p>", "[]", "{}", r#"{"_errors": 1}"#, r#"{"id": 7}"#] {
        let reply = me.request(Method::POST, "/json").body("application/json", body).await.expect(400);
        let failed = failure(|| reply.errors());
        assert!(failed.message.starts_with("expected errors, got a body that holds none"), "{body}");
    }
}

#[actix_rt::test]
async fn cookies_of_an_answer_can_be_read() {
    let reply = client().await.get("/cookies").await;
    assert_eq!(reply.cookie("a"), Some("1"));
    assert_eq!(reply.cookie("b"), Some("2=3"));
    assert_eq!(reply.cookie("c"), None);
}
