//! What flask-utils 1.2.4 answered, case by case, in `cases/flask_utils.json`.
//!
//! A case with a `quirk` is one where the original was wrong; what we answer is in `BETTER`. Cases without a
//! counterpart (Python's types and calling conventions) are in `NOT_OURS` with the reason.
use std::collections::BTreeSet;

use actix_web::{
    App, HttpResponse,
    http::header::{HeaderName, HeaderValue},
    test::{self, TestRequest},
    web,
};
use serde::Deserialize;
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};
use utils_restful::{ApiError, Exact, ExpectedJson, Restful, StatusCode, message, output_json};

use crate::application::{Answer, read};

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    given: Box<RawValue>,
    expect: Box<RawValue>,
    quirk: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Output {
    data: Box<RawValue>,
    code: Option<u16>,
}

#[derive(Debug, Deserialize)]
struct Exchange {
    resource: Option<String>,
    request: Request,
}

#[derive(Debug, Deserialize)]
struct Request {
    method: String,
    path: String,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    body: Option<String>,
    body_base64: Option<String>,
    body_repeat: Option<Vec<(String, usize)>>,
}

#[derive(Debug, Deserialize)]
struct Expected {
    status: Option<u16>,
    body: Option<String>,
    extra_headers: Option<Vec<(String, String)>>,
}

/// Cases that only Python has.
const NOT_OURS: &[(&str, &str)] = &[
    ("output_json_set_200", "serde writes a set as a list"),
    ("output_json_datetime", "how a time is written is its own type's choice"),
    ("output_json_date_400", "how a date is written is its own type's choice"),
    ("output_json_dict_0", "there is no status 0"),
    ("output_json_dict_None", "a status is not optional"),
    ("output_json_dict_message_0", "there is no status 0"),
];

/// Where the original was wrong: the end of the case's name, and the answer that is right.
const BETTER: &[(&str, &str)] = &[
    // a string is an error only with an error's status
    ("output_json_str_201", r#"201 {"message":"hello"}"#),
    ("output_json_str_empty_201", r#"201 {"message":""}"#),
    ("output_json_str_unicode_201", r#"201 {"message":"héllo ☃ <b>&"}"#),
    ("output_json_str_301", r#"301 {"message":"hello"}"#),
    ("output_json_dict_message_201", r#"201 {"message":"msg","other":1}"#),
    ("output_json_dict_message_202", r#"202 {"message":"msg","other":1}"#),
    ("output_json_dict_message_301", r#"301 {"message":"msg","other":1}"#),
    ("output_json_dict_message_only_201", r#"201 {"message":"msg"}"#),
    ("output_json_dict_message_null_201", r#"201 {"message":null}"#),
    ("output_json_dict_message_dict_201", r#"201 {"message":{"field":["bad"]}}"#),
    ("restful_resource_dict_message_201", r#"201 {"id":1,"message":"made"}"#),
    // the other keys stay, a list is not nested, null is no message
    ("output_json_dict_message_400", r#"400 {"_errors":["msg"],"other":1}"#),
    ("output_json_dict_message_403", r#"403 {"_errors":["msg"],"other":1}"#),
    ("output_json_dict_message_404", r#"404 {"_errors":["msg"],"other":1}"#),
    ("output_json_dict_message_500", r#"500 {"_errors":["msg"],"other":1}"#),
    ("output_json_dict_message_list_500", r#"500 {"_errors":["a","b"]}"#),
    ("output_json_dict_message_null_400", r#"400 {"_errors":["Bad Request"]}"#),
    ("output_json_dict_message_null_500", r#"500 {"_errors":["Internal Server Error"]}"#),
    ("output_json_dict_subclass_message_400", r#"400 {"_errors":["msg"]}"#),
    ("output_json_str_subclass_200", r#"200 {"message":"hello"}"#),
    ("output_json_str_subclass_400", r#"400 {"_errors":["hello"]}"#),
    ("output_json_bytes_200", r#"200 {"message":"hello"}"#),
    ("output_json_bytes_400", r#"400 {"_errors":["hello"]}"#),
    // 204 has no body, NaN is not JSON
    ("_204", "204 "),
    ("output_json_nan_200", "200 null"),
    // decimals have every digit always
    ("output_json_dict_decimal_200", r#"200 {"amount":1.10}"#),
    ("output_json_dict_decimal_201", r#"201 {"amount":1.10}"#),
    ("output_json_dict_decimal_403", r#"403 {"amount":1.10}"#),
    ("output_json_dict_decimal_500", r#"500 {"amount":1.10}"#),
    ("output_json_decimal_403", "403 12345678901234567890.123456789"),
    ("output_json_decimal_404", "404 12345678901234567890.123456789"),
    ("output_json_decimal_500", "500 12345678901234567890.123456789"),
    // headers
    ("headers_content_type_added_not_replaced", r#"200 {"a":1}"#),
    ("headers_omitted", r#"200 {"a":1}"#),
    ("headers_none", r#"400 {"_errors":["x"]}"#),
    // one shape, and our own words for a status
    ("restful_unknown_route", r#"404 {"_errors":["Not Found"]}"#),
    ("restful_method_not_allowed", r#"405 {"_errors":["Method Not Allowed"]}"#),
    ("restful_resource_abort_403", r#"403 {"_errors":["Forbidden"]}"#),
    ("restful_resource_abort_404", r#"404 {"_errors":["Not Found"]}"#),
    ("restful_resource_raise", r#"500 {"_errors":["Internal Server Error (request req-1)"]}"#),
    // what is no JSON gets the same answer always, and the place of the fault
    ("json_missing_body_json_type", MISSING),
    ("json_missing_body", MISSING),
    ("json_empty_body_json_type", MISSING),
    ("json_whitespace_only", MISSING),
    ("json_handler_not_registered", MISSING),
    ("json_wrong_type_text", MISSING),
    ("restful_get_and_expect_json_wrong_type", MISSING),
    ("get_and_expect_json_malformed", "400 …EOF while parsing a value at line 1 column 5"),
    ("json_malformed_trailing", "400 …trailing characters at line 1 column 9"),
    ("json_malformed_single_quotes", "400 …key must be a string at line 1 column 2"),
    ("json_invalid_utf8", "400 …invalid unicode code point at line 1 column 7"),
    ("json_utf16", "400 …expected value at line 1 column 1"),
    ("json_duplicate_keys", "400 …the key \"a\" appears twice at line 1 column 10"),
    ("json_nan", "400 …expected value at line 1 column 6"),
    ("json_comment", "400 …expected value at line 1 column 1"),
    ("json_deep_nesting_5000", "400 …recursion limit exceeded at line 1 column 128"),
    ("json_lone_surrogate", "400 …unexpected end of hex escape at line 1 column 13"),
    ("restful_get_and_expect_json_malformed", "400 …EOF while parsing an object at line 1 column 1"),
];

const MISSING: &str = r#"400 {"_errors":["Resource expected a JSON payload to be provided."]}"#;

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("cases/flask_utils.json")).unwrap()
}

/// The longest matching end of a name decides, so that `_204` can stand for all of them.
fn better(name: &str) -> Option<&'static str> {
    BETTER
        .iter()
        .filter(|(end, _)| name.ends_with(end))
        .max_by_key(|(end, _)| end.len())
        .map(|(_, line)| *line)
}

fn check(case: &Case, answer: &Answer) {
    let line = format!("{} {}", answer.status.as_u16(), answer.body);
    let Some(expected) = better(&case.name) else {
        assert!(case.quirk.is_none(), "{}: no better answer is given for: {:?}", case.name, case.quirk);
        let expected: Expected = serde_json::from_str(case.expect.get()).unwrap();
        let body = expected.body.unwrap();
        assert_eq!(answer.status.as_u16(), expected.status.unwrap(), "{}: {line}", case.name);
        assert_eq!(answer.header("content-type"), "application/json", "{}: {line}", case.name);
        // the same value; Python escapes other letters and ends the line
        assert_eq!(answer.json(), serde_json::from_str::<Value>(&body).unwrap(), "{}", case.name);
        for (name, value) in expected.extra_headers.unwrap_or_default() {
            assert_eq!(answer.header(&name), value, "{}", case.name);
        }
        return;
    };
    if let Some((status, fault)) = expected.split_once('…') {
        assert!(line.starts_with(status), "{}: {line}", case.name);
        let malformed = format!("malformed JSON: {fault}");
        let sentence = "Resource expected a JSON payload to be provided.";
        assert_eq!(answer.json(), json!({"_errors": [sentence, malformed]}), "{}", case.name);
    } else if case.name.contains("decimal") || answer.body.is_empty() {
        assert_eq!(line, expected, "{}", case.name); // every digit counts
    } else {
        let (status, body) = expected.split_once(' ').unwrap();
        assert_eq!(answer.status.as_str(), status, "{}: {line}", case.name);
        assert_eq!(answer.json(), serde_json::from_str::<Value>(body).unwrap(), "{}", case.name);
    }
}

/// Python's values as JSON text.
fn json_of(data: &RawValue) -> Box<RawValue> {
    let Ok(value) = serde_json::from_str::<Value>(data.get()) else { unreachable!() };
    let as_object = value.as_object().and_then(|object| object.iter().next());
    match as_object.map(|(key, inner)| (key.as_str(), inner)) {
        Some(("$decimal", digits)) => {
            to_raw_value(&digits.as_str().unwrap().parse::<Exact>().unwrap()).unwrap()
        }
        Some(("$float", _)) => to_raw_value(&f64::NAN).unwrap(),
        Some(("$tuple" | "$ordered_dict" | "$str_subclass" | "$bytes", inner)) => {
            to_raw_value(inner).unwrap()
        }
        Some(("$pairs", pairs)) => {
            let pairs: Vec<(i32, String)> = serde_json::from_value(pairs.clone()).unwrap();
            to_raw_value(&pairs.into_iter().collect::<std::collections::BTreeMap<_, _>>()).unwrap()
        }
        Some(("amount" | "u", inner)) => {
            let (key, _) = as_object.unwrap();
            let text = inner.get("$uuid").map(|uuid| uuid.to_string());
            let text = text.unwrap_or_else(|| json_of(&to_raw_value(inner).unwrap()).get().to_owned());
            RawValue::from_string(format!(r#"{{"{key}":{text}}}"#)).unwrap()
        }
        _ => data.to_owned(),
    }
}

#[actix_rt::test]
async fn output_json_answers_as_the_original_or_better() {
    let mut checked = 0;
    for case in cases().iter().filter(|case| case.given.get().contains(r#""op": "output_json""#)) {
        if NOT_OURS.iter().any(|(name, _)| case.name.starts_with(name)) {
            continue;
        }
        let headers = serde_json::from_str::<Value>(case.given.get()).unwrap()["headers"].clone();
        let headers = headers.as_object().cloned().unwrap_or_default(); // left out in two cases
        let given: Output = serde_json::from_str(case.given.get()).unwrap();
        let status = StatusCode::from_u16(given.code.unwrap()).unwrap();
        let mut response = output_json(json_of(&given.data), status).unwrap();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            response.headers_mut().insert(name, HeaderValue::from_str(value.as_str().unwrap()).unwrap());
        }
        let answer = read(response).await;
        if case.name == "headers_content_type_added_not_replaced" {
            assert_eq!(answer.headers.get_all("content-type").count(), 1);
            assert_eq!(answer.header("content-type"), "application/problem+json");
        }
        check(case, &answer);
        checked += 1;
    }
    assert_eq!(checked, 92);
}

/// The resources of the cases, as one writes them with actix.
fn resources(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/j").route(web::post().to(echo)))
        .service(web::resource("/r/x").route(web::post().to(echo)))
        .service(
            web::resource("/r/str")
                .route(web::get().to(async || "hello"))
                .route(web::post().to(async || "hello")),
        )
        .route("/r/str_400", web::get().to(async || message("bad").with_status(StatusCode::BAD_REQUEST)))
        .route("/r/dict_201", web::get().to(async || HttpResponse::Created().json(json!({"id": 1}))))
        .route(
            "/r/dict_message_201",
            web::get().to(async || HttpResponse::Created().json(json!({"id": 1, "message": "made"}))),
        )
        .route("/r/none", web::get().to(async || web::Json(())))
        .route("/r/none_204", web::get().to(async || HttpResponse::NoContent()))
        .route(
            "/r/headers",
            web::get().to(async || HttpResponse::Ok().insert_header(("X-A", "b")).json(json!({"a": 1}))),
        )
        .route("/r/abort_403", web::get().to(async || refuse(ApiError::from_status(StatusCode::FORBIDDEN))))
        .route("/r/abort_404", web::get().to(async || refuse(ApiError::from_status(StatusCode::NOT_FOUND))))
        .route(
            "/r/abort_400_desc",
            web::get().to(async || refuse(ApiError::new(StatusCode::BAD_REQUEST, "custom description"))),
        )
        .route(
            "/r/restful_abort_message",
            web::get().to(async || refuse(ApiError::new(StatusCode::CONFLICT, "conflict here"))),
        )
        .route(
            "/r/restful_abort_no_message",
            web::get().to(async || output_json(json!({"detail": "d"}), StatusCode::BAD_REQUEST)),
        )
        .route(
            "/r/raise",
            web::get().to(async || Err::<String, ApiError>(std::io::Error::other("division by zero").into())),
        )
        .route("/r/expected_json_exc", web::get().to(echo));
}

/// As text, because a `Value` would round the big number of one case.
async fn echo(ExpectedJson(got): ExpectedJson<Box<RawValue>>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(format!(r#"{{"got":{got}}}"#))
}

fn refuse(error: ApiError) -> Result<String, ApiError> {
    Err(error)
}

#[actix_rt::test]
async fn resources_answer_as_the_original_or_better() {
    let app = test::init_service(App::new().configure(resources).wrap(Restful::new())).await;
    let mut seen = BTreeSet::new();
    for case in cases().iter().filter(|case| !case.given.get().contains(r#""op": "output_json""#)) {
        let given: Exchange = serde_json::from_str(case.given.get()).unwrap();
        let body = match (&given.request.body, &given.request.body_base64, &given.request.body_repeat) {
            (Some(text), ..) => text.clone().into_bytes(),
            (_, Some(encoded), _) => decode(encoded),
            (.., Some(parts)) => {
                parts.iter().map(|(text, times)| text.repeat(*times)).collect::<String>().into_bytes()
            }
            _ => Vec::new(),
        };
        let mut request = TestRequest::with_uri(&given.request.path)
            .method(given.request.method.parse().unwrap())
            .insert_header(("x-request-id", "req-1"))
            .set_payload(body);
        for (name, value) in &given.request.headers {
            request = request.insert_header((name.as_str(), value.as_str()));
        }
        let response = test::call_service(&app, request.to_request()).await;
        let answer = read(response.into_parts().1).await;
        if given.resource.as_deref() == Some("headers") {
            assert_eq!(answer.header("x-a"), "b");
        }
        if case.name == "restful_method_not_allowed" {
            let allowed: BTreeSet<_> = answer.header("allow").split(", ").collect();
            assert_eq!(allowed, BTreeSet::from(["GET", "POST"])); // HEAD and OPTIONS have no route here
        }
        check(case, &answer);
        seen.insert(case.name.clone());
    }
    assert_eq!(seen.len(), 51);
}

#[test]
fn every_better_answer_belongs_to_a_case() {
    let cases = cases();
    for (end, _) in BETTER {
        assert!(cases.iter().any(|case| case.name.ends_with(end)), "{end}");
    }
    for (start, _) in NOT_OURS {
        assert!(cases.iter().any(|case| case.name.starts_with(start)), "{start}");
    }
}

/// Base64, as far as the two cases need it.
fn decode(encoded: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = encoded.bytes().filter_map(|digit| ALPHABET.iter().position(|known| *known == digit));
    let bits: String = digits.map(|digit| format!("{digit:06b}")).collect();
    bits.as_bytes()
        .chunks_exact(8)
        .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
        .collect()
}
