//! Whatever leaves an application has one shape.
use actix_web::{
    http::header,
    test::{self, TestRequest},
    web,
};
use expect_test::{Expect, expect};
use utils_restful::Restful;

use crate::application::{SECRETS, ask, read, request, routes};

/// Every way of failing, each as `METHOD path [content type] [body]`.
const FAILURES: &[&str] = &[
    "GET /nowhere",
    "GET /only-post",
    "DELETE /json",
    "POST /json",
    "POST /json text/plain {}",
    "POST /json application/json {",
    r#"POST /json application/json {"age":300}"#,
    r#"POST /json application/json {"age":3,"padding":"00000000000000000000000000000000000000000000000"}"#,
    "GET /query?age=x",
    "GET /query",
    "POST /form",
    "POST /form application/x-www-form-urlencoded age=x",
    "GET /path/abc",
    "GET /header",
    "GET /fs",
    "GET /io/500",
    "GET /io/404",
    "GET /std/503",
    "GET /text/500",
    "GET /text/503",
    "GET /text/403",
    "GET /body/400",
    "GET /bare/410",
    "GET /panic",
    "GET /panic/at-once",
    "GET /gate/401",
    "GET /gate/response",
    "GET /gate/500",
    "GET /gate/io",
    "GET /gate/panic",
    "GET /api/403",
    "GET /api/500",
    "GET /api/429",
    "GET /api/kind",
    "GET /api/none",
    "GET /api/fields",
    "GET /api/mixed",
    "GET /kind",
    "GET /kind/fields",
    "GET /message/500",
];

async fn check(restful: Restful, accept: &str, expected: Expect) {
    let mut table = String::new();
    for failure in FAILURES {
        let answer = ask(restful, request(failure).insert_header((header::ACCEPT, accept))).await;
        assert!(answer.status.is_client_error() || answer.status.is_server_error(), "{failure}: {answer:?}");
        assert_eq!(answer.header("x-request-id"), "req-1", "{failure}");
        assert_eq!(answer.header("vary"), "accept", "{failure}");
        assert!(!SECRETS.iter().any(|secret| answer.body.contains(secret)), "{failure}: {}", answer.body);
        let body = answer.json();
        let is_shaped = match answer.header("content-type") {
            "application/json" => body.as_object().unwrap().values().all(|messages| {
                let messages = messages.as_array().unwrap();
                !messages.is_empty() && messages.iter().all(|message| message.is_string())
            }),
            "application/problem+json" => {
                body["status"] == answer.status.as_u16() && body["title"].is_string()
            }
            _ => false,
        };
        assert!(is_shaped, "{failure}: {answer:?}");
        let what: Vec<_> = failure.split(' ').take(2).collect();
        table += &format!("{:<20} {} {}\n", what.join(" "), answer.status.as_u16(), answer.body);
    }
    expected.assert_eq(&table);
}

#[actix_rt::test]
async fn every_error_has_one_shape() {
    check(Restful::new(), "*/*", expect![[r#"
        GET /nowhere         404 {"_errors":["Not Found"]}
        GET /only-post       405 {"_errors":["Method Not Allowed"]}
        DELETE /json         404 {"_errors":["Not Found"]}
        POST /json           400 {"_errors":["Resource expected a JSON payload to be provided."]}
        POST /json           400 {"_errors":["Resource expected a JSON payload to be provided."]}
        POST /json           400 {"_errors":["Json deserialize error: EOF while parsing an object at line 1 column 1"]}
        POST /json           400 {"_errors":["Json deserialize error: invalid value: integer `300`, expected u8 at line 1 column 10"]}
        POST /json           413 {"_errors":["JSON payload (69 bytes) is larger than allowed (limit: 64 bytes)."]}
        GET /query?age=x     400 {"_errors":["Query deserialize error: invalid digit found in string"]}
        GET /query           400 {"_errors":["Query deserialize error: missing field `age`"]}
        POST /form           415 {"_errors":["Content type error."]}
        POST /form           400 {"_errors":["Parse error: invalid digit found in string."]}
        GET /path/abc        404 {"_errors":["can not parse \"abc\" to a u8"]}
        GET /header          400 {"_errors":["invalid Header provided"]}
        GET /fs              500 {"_errors":["Internal Server Error (request req-1)"]}
        GET /io/500          500 {"_errors":["Internal Server Error (request req-1)"]}
        GET /io/404          404 {"_errors":["Not Found"]}
        GET /std/503         503 {"_errors":["Service Unavailable (request req-1)"]}
        GET /text/500        500 {"_errors":["Internal Server Error (request req-1)"]}
        GET /text/503        503 {"_errors":["Back at noon."]}
        GET /text/403        403 {"_errors":["That is not yours."]}
        GET /body/400        400 {"_errors":["What?"]}
        GET /bare/410        410 {"_errors":["Gone"]}
        GET /panic           500 {"_errors":["Internal Server Error (request req-1)"]}
        GET /panic/at-once   500 {"_errors":["Internal Server Error (request req-1)"]}
        GET /gate/401        401 {"_errors":["Sign in first."]}
        GET /gate/response   403 {"_errors":["Not from here."]}
        GET /gate/500        500 {"_errors":["Internal Server Error (request req-1)"]}
        GET /gate/io         404 {"_errors":["Not Found"]}
        GET /gate/panic      500 {"_errors":["Internal Server Error (request req-1)"]}
        GET /api/403         403 {"_errors":["Forbidden"]}
        GET /api/500         500 {"_errors":["The printer is on fire."]}
        GET /api/429         429 {"_errors":["Slow down."]}
        GET /api/kind        409 {"_errors":["No tickets left."]}
        GET /api/none        404 {"_errors":["Not Found"]}
        GET /api/fields      422 {"age":["must be 18 or more","must be even"],"tags[1]":["is empty"]}
        GET /api/mixed       422 {"_errors":["All of it is odd.","no such field"],"a":["is odd"]}
        GET /kind            409 {"_errors":["No tickets left."]}
        GET /kind/fields     409 {"seat":["is taken"]}
        GET /message/500     500 {"_errors":["The printer is on fire."]}
    "#]]).await;
}

#[actix_rt::test]
async fn a_client_that_reads_problem_details_gets_them_for_every_error() {
    check(Restful::new(), "application/problem+json", expect![[r#"
        GET /nowhere         404 {"type":"about:blank","title":"Not Found","status":404,"instance":"urn:request:req-1"}
        GET /only-post       405 {"type":"about:blank","title":"Method Not Allowed","status":405,"instance":"urn:request:req-1"}
        DELETE /json         404 {"type":"about:blank","title":"Not Found","status":404,"instance":"urn:request:req-1"}
        POST /json           400 {"type":"about:blank","title":"Bad Request","status":400,"detail":"Resource expected a JSON payload to be provided.","instance":"urn:request:req-1"}
        POST /json           400 {"type":"about:blank","title":"Bad Request","status":400,"detail":"Resource expected a JSON payload to be provided.","instance":"urn:request:req-1"}
        POST /json           400 {"type":"about:blank","title":"Bad Request","status":400,"detail":"Json deserialize error: EOF while parsing an object at line 1 column 1","instance":"urn:request:req-1"}
        POST /json           400 {"type":"about:blank","title":"Bad Request","status":400,"detail":"Json deserialize error: invalid value: integer `300`, expected u8 at line 1 column 10","instance":"urn:request:req-1"}
        POST /json           413 {"type":"about:blank","title":"Payload Too Large","status":413,"detail":"JSON payload (69 bytes) is larger than allowed (limit: 64 bytes).","instance":"urn:request:req-1"}
        GET /query?age=x     400 {"type":"about:blank","title":"Bad Request","status":400,"detail":"Query deserialize error: invalid digit found in string","instance":"urn:request:req-1"}
        GET /query           400 {"type":"about:blank","title":"Bad Request","status":400,"detail":"Query deserialize error: missing field `age`","instance":"urn:request:req-1"}
        POST /form           415 {"type":"about:blank","title":"Unsupported Media Type","status":415,"detail":"Content type error.","instance":"urn:request:req-1"}
        POST /form           400 {"type":"about:blank","title":"Bad Request","status":400,"detail":"Parse error: invalid digit found in string.","instance":"urn:request:req-1"}
        GET /path/abc        404 {"type":"about:blank","title":"Not Found","status":404,"detail":"can not parse \"abc\" to a u8","instance":"urn:request:req-1"}
        GET /header          400 {"type":"about:blank","title":"Bad Request","status":400,"detail":"invalid Header provided","instance":"urn:request:req-1"}
        GET /fs              500 {"type":"about:blank","title":"Internal Server Error","status":500,"detail":"Internal Server Error (request req-1)","instance":"urn:request:req-1","code":"internal"}
        GET /io/500          500 {"type":"about:blank","title":"Internal Server Error","status":500,"detail":"Internal Server Error (request req-1)","instance":"urn:request:req-1"}
        GET /io/404          404 {"type":"about:blank","title":"Not Found","status":404,"instance":"urn:request:req-1"}
        GET /std/503         503 {"type":"about:blank","title":"Service Unavailable","status":503,"detail":"Service Unavailable (request req-1)","instance":"urn:request:req-1"}
        GET /text/500        500 {"type":"about:blank","title":"Internal Server Error","status":500,"detail":"Internal Server Error (request req-1)","instance":"urn:request:req-1"}
        GET /text/503        503 {"type":"about:blank","title":"Service Unavailable","status":503,"detail":"Back at noon.","instance":"urn:request:req-1"}
        GET /text/403        403 {"type":"about:blank","title":"Forbidden","status":403,"detail":"That is not yours.","instance":"urn:request:req-1"}
        GET /body/400        400 {"type":"about:blank","title":"Bad Request","status":400,"detail":"What?","instance":"urn:request:req-1"}
        GET /bare/410        410 {"type":"about:blank","title":"Gone","status":410,"instance":"urn:request:req-1"}
        GET /panic           500 {"type":"about:blank","title":"Internal Server Error","status":500,"detail":"Internal Server Error (request req-1)","instance":"urn:request:req-1","code":"internal"}
        GET /panic/at-once   500 {"type":"about:blank","title":"Internal Server Error","status":500,"detail":"Internal Server Error (request req-1)","instance":"urn:request:req-1","code":"internal"}
        GET /gate/401        401 {"type":"about:blank","title":"Unauthorized","status":401,"detail":"Sign in first.","instance":"urn:request:req-1"}
        GET /gate/response   403 {"type":"about:blank","title":"Forbidden","status":403,"detail":"Not from here.","instance":"urn:request:req-1"}
        GET /gate/500        500 {"type":"about:blank","title":"Internal Server Error","status":500,"detail":"Internal Server Error (request req-1)","instance":"urn:request:req-1"}
        GET /gate/io         404 {"type":"about:blank","title":"Not Found","status":404,"instance":"urn:request:req-1"}
        GET /gate/panic      500 {"type":"about:blank","title":"Internal Server Error","status":500,"detail":"Internal Server Error (request req-1)","instance":"urn:request:req-1","code":"internal"}
        GET /api/403         403 {"type":"about:blank","title":"Forbidden","status":403,"instance":"urn:request:req-1"}
        GET /api/500         500 {"type":"about:blank","title":"Internal Server Error","status":500,"detail":"The printer is on fire.","instance":"urn:request:req-1"}
        GET /api/429         429 {"type":"about:blank","title":"Too Many Requests","status":429,"detail":"Slow down.","instance":"urn:request:req-1"}
        GET /api/kind        409 {"type":"about:blank","title":"Conflict","status":409,"detail":"No tickets left.","instance":"urn:request:req-1","code":"sold_out"}
        GET /api/none        404 {"type":"about:blank","title":"Not Found","status":404,"instance":"urn:request:req-1","code":"not_found"}
        GET /api/fields      422 {"type":"about:blank","title":"Unprocessable Entity","status":422,"instance":"urn:request:req-1","code":"invalid","errors":{"age":["must be 18 or more","must be even"],"tags[1]":["is empty"]}}
        GET /api/mixed       422 {"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"All of it is odd.","instance":"urn:request:req-1","code":"invalid","errors":{"_errors":["no such field"],"a":["is odd"]}}
        GET /kind            409 {"type":"about:blank","title":"Conflict","status":409,"detail":"No tickets left.","instance":"urn:request:req-1","code":"sold_out"}
        GET /kind/fields     409 {"type":"about:blank","title":"Conflict","status":409,"instance":"urn:request:req-1","code":"sold_out","errors":{"seat":["is taken"]}}
        GET /message/500     500 {"type":"about:blank","title":"Internal Server Error","status":500,"detail":"The printer is on fire.","instance":"urn:request:req-1"}
    "#]]).await;
}

#[actix_rt::test]
async fn an_application_may_send_problem_details_to_everybody() {
    let answer = ask(Restful::new().problem_json_by_default(true), request("GET /nowhere")).await;
    expect![[r#"404 application/problem+json {"type":"about:blank","title":"Not Found","status":404,"instance":"urn:request:req-1"}"#]].assert_eq(&answer.line());
}

#[actix_rt::test]
async fn what_a_handler_shaped_itself_is_left_alone() {
    let untouched = [
        ("GET /own/json", "409 application/json {\"mine\":1}"),
        ("GET /own/html", "404 text/html <h1>no</h1>"),
        ("GET /own/stream", "502 application/octet-stream one two"),
        ("GET /own/packed", "404  packed"),
        ("GET /page", "200 text/html <h1>yes</h1>"),
        ("GET /text/metrics", "200 text/plain; version=0.0.4 up 1\n"),
        ("GET /text/download", "200 text/plain rows"),
        ("GET /text/stream", "200 text/plain; charset=utf-8 one two"),
        ("GET /text/plain", "200 text/plain; charset=utf-8 as it is"),
    ];
    for (line, expected) in untouched {
        for accept in ["*/*", "application/problem+json"] {
            let answer = ask(Restful::new(), request(line).insert_header((header::ACCEPT, accept))).await;
            assert_eq!(answer.line(), expected, "{line}");
            assert_eq!(answer.header("x-request-id"), "req-1", "{line}");
        }
    }
}

#[actix_rt::test]
async fn a_body_that_is_not_text_is_no_message() {
    let app = test::init_service(actix_web::App::new().configure(routes).wrap(Restful::new())).await;
    let response = test::call_service(&app, TestRequest::with_uri("/bytes/400").to_request()).await;
    assert_eq!(test::read_body(response).await, &b"\xff\xfe"[..]);
}

#[actix_rt::test]
async fn the_headers_of_an_error_stay() {
    let kept = [
        ("GET /only-post", "allow", "POST"),
        ("GET /api/429", "retry-after", "7"),
        ("GET /gate/401", "www-authenticate", "Bearer"),
        ("GET /vary", "vary", "origin, Accept"),
    ];
    for (line, name, value) in kept {
        for accept in ["*/*", "application/problem+json"] {
            let answer = ask(Restful::new(), request(line).insert_header((header::ACCEPT, accept))).await;
            assert_eq!(answer.header(name), value, "{line}: {answer:?}");
            assert_eq!(answer.headers.get_all(name).count(), 1, "{line}");
        }
    }
}

#[actix_rt::test]
async fn the_error_stays_attached_for_loggers() {
    let app = test::init_service(actix_web::App::new().configure(routes).wrap(Restful::new())).await;
    let response = test::call_service(&app, TestRequest::with_uri("/io/500").to_request()).await;
    let error = response.response().error().unwrap();
    assert_eq!(error.to_string(), "password=hunter2");
    assert!(error.as_error::<std::io::Error>().is_some());
}

#[actix_rt::test]
async fn an_application_may_keep_panics_to_itself() {
    let app = actix_web::App::new().configure(routes).wrap(Restful::new().catch_panics(false));
    let app = test::init_service(app).await;
    let call = test::try_call_service(&app, TestRequest::with_uri("/panic").to_request());
    let outcome = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(call)).await;
    assert!(outcome.is_err());
}

#[actix_rt::test]
async fn the_application_works_on_after_a_panic() {
    let app = test::init_service(actix_web::App::new().configure(routes).wrap(Restful::new())).await;
    for _ in 0..3 {
        let error =
            test::try_call_service(&app, TestRequest::with_uri("/panic").to_request()).await.unwrap_err();
        assert_eq!(read(error.error_response()).await.status, 500);
        let response = test::call_service(&app, TestRequest::with_uri("/path/5").to_request()).await;
        assert_eq!(test::read_body(response).await, r#"{"message":"number 5"}"#);
    }
}

#[actix_rt::test]
async fn a_request_without_an_id_gets_one_that_nobody_else_has() {
    let app = test::init_service(actix_web::App::new().configure(routes).wrap(Restful::new())).await;
    let mut seen = std::collections::HashSet::new();
    for sent in [None, None, Some(""), Some("two words"), Some("line\tbreak"), Some("\"quoted\"")] {
        let mut request = TestRequest::with_uri("/id");
        if let Some(sent) = sent {
            request = request.insert_header(("x-request-id", sent));
        }
        let response = test::call_service(&app, request.to_request()).await;
        let id = response.headers().get("x-request-id").unwrap().to_str().unwrap().to_owned();
        assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert_eq!(test::read_body(response).await, format!(r#"{{"message":"{id}"}}"#));
        assert!(seen.insert(id));
    }
}

#[actix_rt::test]
async fn without_the_middleware_a_handler_still_gets_an_id() {
    let app =
        test::init_service(actix_web::App::new().route(
            "/",
            web::get().to(async |one: utils_restful::RequestId, two: utils_restful::RequestId| {
                format!("{one} {two}")
            }),
        ))
        .await;
    let body = test::call_and_read_body(&app, TestRequest::get().to_request()).await;
    let body = String::from_utf8(body.to_vec()).unwrap();
    let (one, two) = body.split_once(' ').unwrap();
    assert_eq!((one, one.len()), (two, 16));
}
