//! Which answers are reported, and what a report says.
use std::{collections::BTreeMap, io, sync::Arc};

use actix_web::{
    App, Error, HttpResponse,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    error::{self, InternalError},
    http::StatusCode,
    middleware::{Next, from_fn},
    test::{self, TestRequest},
    web::{self, ServiceConfig},
};
use sentry::{Level, protocol::Event};
use utils_restful::{ApiError, Restful};

use crate::support::{Reports, settings};

fn routes(config: &mut ServiceConfig) {
    config
        .route("/ok", web::get().to(async || "ok"))
        .route("/io", web::get().to(async || Err::<String, ApiError>(io::Error::other("disk full").into())))
        .route("/bare", web::get().to(async || Err::<String, _>(io::Error::other("disk full"))))
        .route("/items/{id}", web::get().to(async || Err::<String, _>(io::Error::other("disk full"))))
        .route("/own/502", web::get().to(async || HttpResponse::BadGateway().finish()))
        .route("/maintenance", web::get().to(async || HttpResponse::ServiceUnavailable().finish()))
        .route(
            "/denied",
            web::get().to(async || Err::<String, _>(ApiError::new(StatusCode::FORBIDDEN, "no"))),
        )
        .route("/invalid", web::get().to(async || Err::<String, _>(ApiError::invalid().field("a", "is odd"))))
        .route("/number/{n}", web::get().to(async |_: web::Path<u8>| "ok"))
        .route("/panic", web::get().to(async || -> String { panic!("out of luck") }));
}

/// Another middleware, inside: it fails without asking the handlers.
async fn gate<B: MessageBody>(req: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    match req.path() {
        "/gate/500" => Err(error::ErrorInternalServerError("the gate is broken")),
        "/gate/401" => Err(error::ErrorUnauthorized("Sign in first.")),
        "/gate/response" => {
            Err(InternalError::from_response("x", HttpResponse::Forbidden().body("Not from here.")).into())
        }
        _ => next.call(req).await,
    }
}

/// The status and the body that a client gets, and what is reported.
async fn ask(reports: &Reports, path: &str) -> (u16, String, Vec<Event<'static>>) {
    let app = App::new()
        .configure(routes)
        .wrap(from_fn(gate))
        .wrap(utils_sentry::middleware().ignore(|status| status == 503).with_hub(Arc::clone(&reports.hub)))
        .wrap(Restful::new());
    let app = test::init_service(app).await;
    let request = TestRequest::with_uri(path)
        .insert_header(("x-request-id", "req-1"))
        .insert_header(("authorization", "Bearer hunter2"))
        .insert_header(("user-agent", "tests"));
    let response = match test::try_call_service(&app, request.to_request()).await {
        Ok(response) => response.into_parts().1,
        Err(error) => error.error_response(),
    };
    let status = response.status().as_u16();
    let Ok(body) = actix_web::body::to_bytes(response.into_body()).await else {
        panic!("the body broke off")
    };
    (status, String::from_utf8(body.to_vec()).unwrap(), reports.take())
}

#[actix_rt::test]
async fn one_failure_is_one_report_with_its_cause() {
    let reports = Reports::of(&settings());
    for (path, transaction, value) in [
        ("/io", "GET /io", "disk full"),
        ("/bare", "GET /bare", "disk full"),
        ("/items/5", "GET /items/{id}", "disk full"),
        ("/gate/500", "GET <none>", "the gate is broken"),
        ("/panic", "GET /panic", "out of luck"),
    ] {
        let (status, body, events) = ask(&reports, path).await;
        assert_eq!(
            (status, body.as_str()),
            (500, r#"{"_errors":["Internal Server Error (request req-1)"]}"#),
            "{path}"
        );
        assert_eq!(events.len(), 1, "{path}: {events:#?}");
        let event = &events[0];
        let values: Vec<_> =
            event.exception.values.iter().map(|error| error.value.clone().unwrap()).collect();
        assert_eq!(values, [value], "{path}");
        assert_eq!(event.transaction.as_deref(), Some(transaction), "{path}");
        assert_eq!(event.release.as_deref(), Some("shop@1.2.3"), "{path}");
        let request = event.request.as_ref().unwrap();
        assert_eq!(request.url.as_ref().unwrap().path(), path);
        assert_eq!(request.headers["user-agent"], "tests", "{path}");
        assert_eq!(request.headers["x-request-id"], "req-1", "{path}");
    }
}

#[actix_rt::test]
async fn an_answer_of_500_without_an_error_is_reported_too() {
    let reports = Reports::of(&settings());
    let (_, _, events) = ask(&reports, "/own/502").await;
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].message.as_deref(), events[0].level),
        (Some("answered 502 Bad Gateway"), Level::Error)
    );
    assert_eq!(events[0].tags["status"], "502");
    assert_eq!(events[0].tags["request_id"], "req-1");
}

#[actix_rt::test]
async fn what_clients_do_wrong_is_not_reported() {
    let reports = Reports::of(&settings());
    for (path, expected) in [
        ("/ok", 200),
        ("/nowhere", 404),
        ("/denied", 403),
        ("/invalid", 422),
        ("/number/x", 404),
        ("/gate/401", 401),
        ("/gate/response", 403),
        ("/maintenance", 503), // by `ignore`
    ] {
        let (status, _, events) = ask(&reports, path).await;
        assert_eq!((status, events.len()), (expected, 0), "{path}");
    }
}

#[actix_rt::test]
async fn an_error_that_has_its_response_only_once_keeps_it_for_the_client() {
    let (status, body, _) = ask(&Reports::of(&settings()), "/gate/response").await;
    assert_eq!((status, body.as_str()), (403, r#"{"_errors":["Not from here."]}"#));
}

#[actix_rt::test]
async fn nothing_secret_of_a_request_is_reported() {
    let (_, _, events) = ask(&Reports::of(&settings()), "/io?token=hunter2&color=red").await;
    let event = serde_json::to_string(&events[0]).unwrap();
    assert!(!event.contains("hunter2"), "{event}");
    assert_eq!(
        events[0].request.as_ref().unwrap().url.as_ref().unwrap().query(),
        Some("token=[Filtered]&color=red")
    );
}

#[actix_rt::test]
async fn the_body_of_a_request_is_not_reported_and_still_reaches_the_handler() {
    let reports = Reports::of(&settings());
    let login =
        web::post().to(async |body: String| Err::<String, _>(io::Error::other(body.len().to_string())));
    let app =
        App::new().route("/login", login).wrap(utils_sentry::middleware().with_hub(Arc::clone(&reports.hub)));
    let app = test::init_service(app).await;
    let body = r#"{"username":"me","pin":"hunter2"}"#;
    let request = TestRequest::post()
        .uri("/login")
        .insert_header(("content-type", "application/json"))
        .insert_header(("content-length", body.len().to_string()))
        .set_payload(body);
    test::call_service(&app, request.to_request()).await;
    let events = reports.take();
    assert_eq!(events[0].exception.values[0].value, Some(body.len().to_string()));
    assert_eq!(events[0].request.as_ref().unwrap().data, None);
}

#[test]
fn every_report_has_the_site_and_the_environment_and_no_server_name() {
    let reports = Reports::of(&settings().site("berlin").environment("staging"));
    let events = reports.during(|| {
        sentry::capture_message("a", Level::Info);
        sentry::with_scope(
            |scope| scope.set_tag("site", "own"),
            || sentry::capture_message("b", Level::Info),
        );
    });
    let said: BTreeMap<_, _> = events.iter().map(|event| (event.message.clone().unwrap(), event)).collect();
    assert_eq!(said["a"].tags["site"], "berlin");
    assert_eq!(said["b"].tags["site"], "own");
    assert_eq!(said["a"].environment.as_deref(), Some("staging"));
    assert_eq!(said["a"].server_name, None);

    let events = Reports::of(&settings().server_name("web-1")).during(|| {
        sentry::capture_message("a", Level::Info);
    });
    assert_eq!(events[0].server_name.as_deref(), Some("web-1"));
}
