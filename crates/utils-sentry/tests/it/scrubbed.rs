//! No secret leaves, wherever in a report it is.
use sentry::{
    Breadcrumb, Level,
    protocol::{Context, Event, Exception, LogEntry, Request, User},
};
use serde_json::json;

use crate::support::{Reports, settings};

#[test]
fn no_part_of_a_report_keeps_a_secret() {
    let secret_map =
        || [("password".to_owned(), json!("hunter2")), ("deep".to_owned(), json!([{"token": "hunter2"}]))];
    let request = Request {
        url: Some(
            "https://me:hunter2@shop.example/reset/eyJhbGciOiJIUzI1NiJ9.hunter2.c2ln?api_key=hunter2&n=1"
                .parse()
                .unwrap(),
        ),
        query_string: Some("api_key=hunter2&n=1".to_owned()),
        cookies: Some("id=hunter2".to_owned()),
        data: Some(r#"{"user":"me","password":"hunter2"}"#.to_owned()),
        headers: [
            ("Authorization", "Bearer hunter2"),
            ("Cookie", "id=hunter2"),
            ("X-Api-Key", "hunter2"),
            ("Referer", "https://shop.example/?token=hunter2"),
            ("Accept", "*/*"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        ..Request::default()
    };
    let error = "could not reach postgres://me:hunter2@db/x";
    let event = Event {
        message: Some("login failed: password=hunter2".to_owned()),
        logentry: Some(LogEntry {
            message: "token: hunter2".to_owned(),
            params: vec![json!({"secret": "hunter2"})],
        }),
        exception: vec![Exception {
            ty: "E".to_owned(),
            value: Some(error.to_owned()),
            ..Exception::default()
        }]
        .into(),
        breadcrumbs: vec![Breadcrumb {
            message: Some("Authorization: Bearer hunter2".to_owned()),
            data: secret_map().into(),
            ..Breadcrumb::default()
        }]
        .into(),
        tags: [
            ("csrf_token".to_owned(), "hunter2".to_owned()),
            ("kind".to_owned(), "pwd=hunter2".to_owned()),
        ]
        .into(),
        extra: secret_map().into(),
        contexts: [("state".to_owned(), Context::Other(secret_map().into()))].into(),
        user: Some(User { other: secret_map().into(), ..User::default() }),
        request: Some(request),
        ..Event::default()
    };
    let events = Reports::of(&settings()).during(|| {
        sentry::capture_event(event);
    });
    let report = serde_json::to_string_pretty(&events[0]).unwrap();
    assert!(!report.contains("hunter2"), "{report}");

    // and what is not secret is still there
    let request = events[0].request.as_ref().unwrap();
    assert_eq!(request.headers["Accept"], "*/*");
    assert_eq!(request.query_string.as_deref(), Some("api_key=[Filtered]&n=1"));
    assert_eq!(request.data.as_deref(), Some(r#"{"password":"[Filtered]","user":"me"}"#));
    assert_eq!(
        events[0].exception.values[0].value.as_deref(),
        Some("could not reach postgres://[Filtered]@db/x")
    );
    assert_eq!(events[0].message.as_deref(), Some("login failed: password=[Filtered]"));
    assert_eq!(events[0].level, Level::Error);
}
