//! What webargs answers, case by case, for the cases whose fields have a counterpart here: one field or a few of plain
//! types, in each place where arguments can be.
use std::collections::BTreeMap;

use actix_web::{
    App, HttpResponse,
    test::{TestRequest, call_service, init_service, read_body},
    web::{resource, to},
};
use garde::Validate;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use utils_webargs::{Cookies, Form, Headers, Json, Query, between, length_between, one_of};

/// Where we deviate from webargs on purpose: the status, and the body if it is not 200. The reasons are in
/// docs/guide/coming-from-flask-utils.md.
const BETTER: &[(&str, u16, &str)] = &[
    ("type_int_query_4_1_000", 422, r#"{"v":["Not a valid integer."]}"#),
    ("type_int_query_7__", 422, r#"{"v":["Not a valid integer."]}"#),
    ("type_int_query_9_99999999999999999999", 422, r#"{"v":["Not a valid integer."]}"#),
    ("type_float_query_2_nan", 422, r#"{"v":["Not a valid number."]}"#),
    ("type_float_query_4_1e400", 422, r#"{"v":["Not a valid number."]}"#),
    ("type_float_query_6__2_", 422, r#"{"v":["Not a valid number."]}"#),
    ("type_float_query_7_1_0_5", 422, r#"{"v":["Not a valid number."]}"#),
    ("type_time_query_0_10_00", 200, r#"{"v":"10:00:00"}"#),
    ("type_int_json_1_float", 422, r#"{"v":["Not a valid integer."]}"#),
    ("type_int_json_7_float", 422, r#"{"v":["Not a valid integer."]}"#),
    ("type_float_json_2_bool", 422, r#"{"v":["Not a valid number."]}"#),
    ("list_json_scalar_wrapped", 422, r#"{"l":["Not a valid list."]}"#),
    ("list_json_string_wrapped", 422, r#"{"l":["Not a valid list."]}"#),
    (
        "malformed_json_required",
        400,
        r#"{"_errors":["malformed JSON: EOF while parsing a value at line 1 column 5"]}"#,
    ),
    ("json_body_array", 422, r#"{"_errors":["Invalid input type."]}"#),
    ("json_body_string", 422, r#"{"_errors":["Invalid input type."]}"#),
    ("json_body_number", 422, r#"{"_errors":["Invalid input type."]}"#),
    ("json_nan", 400, r#"{"_errors":["malformed JSON: expected value at line 1 column 6"]}"#),
    ("json_duplicate_keys", 422, r#"{"a":["Duplicate field."]}"#),
    ("query_invalid_utf8", 400, r#"{"_errors":["the query string is not valid UTF-8"]}"#),
    // JSON has types of its own; these are no faults of the original.
    ("type_int_json_3_str", 422, r#"{"v":["Not a valid integer."]}"#),
    ("type_bool_json_2_int", 422, r#"{"v":["Not a valid boolean."]}"#),
    ("type_bool_json_3_int", 422, r#"{"v":["Not a valid boolean."]}"#),
    ("type_bool_json_4_str", 422, r#"{"v":["Not a valid boolean."]}"#),
    ("list_json", 422, r#"{"l[1]":["Not a valid integer."],"l[2]":["Not a valid integer."]}"#),
];

/// A field that may be absent but, as in webargs, not null.
struct Given<T>(Option<T>);

impl<T> Default for Given<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(|value| Self(Some(value)))
    }
}

impl<T: Serialize> Serialize for Given<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// The answer of a handler that takes these fields from where the case has them.
async fn answer<T: Serialize + utils_webargs::Arguments>(place: &str, request: TestRequest) -> (u16, Value) {
    macro_rules! echo {
        ($extractor:ident) => {
            to(|$extractor(value): $extractor<T>| async { HttpResponse::Ok().json(value) })
        };
    }
    let route = match place {
        "query" => echo!(Query),
        "form" => echo!(Form),
        "headers" => echo!(Headers),
        "cookies" => echo!(Cookies),
        _ => echo!(Json),
    };
    let app = init_service(App::new().service(resource("/").route(route))).await;
    let response = call_service(&app, request.to_request()).await;
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&read_body(response).await).unwrap())
}

/// Where the arguments of the case are, and the request; `None` when they are in several places.
fn request(given: &Value) -> Option<(&'static str, TestRequest)> {
    let location = |field: &Value| field["location"].as_str().map(str::to_owned);
    let locations: Vec<_> = given["fields"].as_object()?.values().map(location).collect();
    let parts = given["request"].as_object()?;
    let first = locations.first().cloned().flatten();
    if locations.iter().any(|other| *other != first) || given.get("locations").is_some() {
        return None;
    }
    let text = |part: &str| parts.get(part).and_then(Value::as_str).unwrap_or_default().to_owned();
    let has: Vec<&str> = parts.keys().map(String::as_str).collect();
    let post = TestRequest::post().uri("/");
    Some(match (first.as_deref(), has.as_slice()) {
        (Some("headers"), [] | ["headers"]) => {
            let headers = parts.get("headers").and_then(Value::as_object).cloned().unwrap_or_default();
            let request = headers.into_iter().fold(post, |request, (name, value)| {
                request.append_header((name, value.as_str().unwrap().to_owned()))
            });
            ("headers", request)
        }
        (Some("cookies"), ["cookies"]) => {
            let cookies = parts["cookies"].as_object()?.iter();
            let cookies: Vec<String> =
                cookies.map(|(name, value)| format!("{name}={}", value.as_str().unwrap())).collect();
            ("cookies", post.insert_header(("cookie", cookies.join("; "))))
        }
        (None, ["query"]) => ("query", TestRequest::with_uri(&format!("/?{}", text("query")))),
        (None, ["form"]) => (
            "form",
            post.insert_header(("content-type", "application/x-www-form-urlencoded"))
                .set_payload(text("form")),
        ),
        (None, ["json"]) => ("json", post.set_json(&parts["json"])),
        (None, ["body"] | ["body", "content_type"] | ["body", "method"]) => {
            let content_type =
                parts.get("content_type").and_then(Value::as_str).unwrap_or("application/json");
            let request = if has.contains(&"method") { TestRequest::get().uri("/") } else { post };
            (
                "json",
                request.insert_header(("content-type", content_type.to_owned())).set_payload(text("body")),
            )
        }
        _ => return None,
    })
}

/// Structs for the fields of the cases, by the fields' own text; `None` for what has no counterpart.
async fn answer_for(fields: &Value, place: &str, request: TestRequest) -> Option<(u16, Value)> {
    macro_rules! structs {
        ($( $fields:literal => { $( $(#[$rule:meta])* $field:ident : $kind:ty ),* } )*) => {
            $( if *fields == serde_json::from_str::<Value>($fields).unwrap() {
                #[derive(Serialize, Deserialize, Validate)]
                #[garde(allow_unvalidated)]
                struct Fields { $( $(#[$rule])* $field: $kind ),* }
                return Some(answer::<Fields>(place, request).await);
            } )*
        };
    }
    structs! {
        r#"{"name": {"type": "str", "required": true}}"# => { name: String }
        r#"{"name": {"type": "str"}}"# => { #[serde(default, skip_serializing_if = "is_absent")] name: Given<String> }
        r#"{"a": {"type": "str", "required": true}}"# => { a: String }
        r#"{"a": {"type": "str"}}"# => { #[serde(default)] a: Given<String> }
        r#"{"a": {"type": "int"}}"# => { #[serde(default)] a: Given<i64> }
        r#"{"a": {"type": "float"}}"# => { #[serde(default)] a: Given<f64> }
        r#"{"a": {"type": "str", "required": true}, "b": {"type": "int", "required": true}}"# => { a: String, b: i64 }
        r#"{"X-Name": {"type": "str", "required": true, "location": "headers"}}"# => { #[serde(rename = "X-Name")] name: String }
        r#"{"X-N": {"type": "int", "location": "headers"}}"# => { #[serde(rename = "X-N", default)] n: Given<i64> }
        r#"{"X-L": {"type": "list", "of": {"type": "str"}, "location": "headers"}}"# => { #[serde(rename = "X-L")] l: Vec<String> }
        r#"{"agent": {"type": "str", "required": true, "location": "headers", "load_from": "X-Agent"}}"# => { #[serde(rename(deserialize = "X-Agent"))] agent: String }
        r#"{"n": {"type": "int", "location": "headers", "load_from": "X-N"}}"# => { #[serde(rename = "X-N", default)] n: Given<i64> }
        r#"{"n": {"type": "int", "location": "cookies"}}"# => { #[serde(default)] n: Given<i64> }
        r#"{"v": {"type": "int"}}"# => { #[serde(default)] v: Given<i64> }
        r#"{"v": {"type": "float"}}"# => { #[serde(default)] v: Given<f64> }
        r#"{"v": {"type": "bool"}}"# => { #[serde(default)] v: Given<bool> }
        r#"{"v": {"type": "str"}}"# => { #[serde(default)] v: Given<String> }
        r#"{"v": {"type": "date"}}"# => { #[serde(default)] v: Given<chrono::NaiveDate> }
        r#"{"v": {"type": "time"}}"# => { #[serde(default)] v: Given<Clock> }
        r#"{"v": {"type": "dict"}}"# => { #[serde(default)] v: Given<Map<String, Value>> }
        r#"{"l": {"type": "list", "of": {"type": "int"}}}"# => { #[serde(default, skip_serializing_if = "is_absent")] l: Given<Vec<i64>> }
        r#"{"l": {"type": "list", "of": {"type": "str"}}}"# => { #[serde(default)] l: Given<Vec<String>> }
        r#"{"l": {"type": "list", "of": {"type": "list", "of": {"type": "int"}}}}"# => { l: Vec<Vec<i64>> }
        r#"{"l": {"type": "list", "of": {"type": "int", "required": true, "validate": {"range": [1, 10]}}}}"# => { #[garde(inner(custom(between(1, 10))))] l: Vec<i64> }
        r#"{"n": {"type": "int", "required": true, "validate": {"range": [1, 10]}}}"# => { #[garde(custom(between(1, 10)))] n: i64 }
        r#"{"n": {"type": "int", "validate": {"range": [1, null]}}}"# => { #[garde(range(min = 1))] n: i64 }
        r#"{"n": {"type": "int", "validate": {"range": [null, 10]}}}"# => { #[garde(range(max = 10))] n: i64 }
        r#"{"s": {"type": "str", "validate": {"length": [3, 5]}}}"# => { #[garde(custom(length_between(3, 5)))] s: String }
        r#"{"s": {"type": "str", "validate": {"length": [3, null]}}}"# => { #[garde(length(chars, min = 3))] s: String }
        r#"{"s": {"type": "str", "validate": {"length": [null, 3]}}}"# => { #[garde(length(chars, max = 3))] s: String }
        r#"{"s": {"type": "str", "validate": {"equal_length": 3}}}"# => { #[garde(custom(length_between(3, 3)))] s: String }
        r#"{"s": {"type": "str", "validate": {"one_of": ["a", "b"]}}}"# => { #[garde(custom(one_of(&["a", "b"])))] s: String }
        r#"{"a": {"type": "int", "required": true, "validate": {"range": [1, 10]}}, "b": {"type": "str", "required": true}, "c": {"type": "bool"}}"# => {
            #[garde(custom(between(1, 10)))] a: i64, b: String, #[serde(default)] c: Given<bool>
        }
        r#"{"addr": {"type": "nested", "required": true, "fields": {"street": {"type": "str", "required": true}, "zip": {"type": "int", "validate": {"range": [1, 99999]}}}}}"# => { addr: Address }
        r#"{"addr": {"type": "nested", "required": false, "fields": {"street": {"type": "str", "required": true}, "zip": {"type": "int", "validate": {"range": [1, 99999]}}}}}"# => { #[serde(default, skip_serializing_if = "is_absent")] addr: Given<Address> }
        r#"{"a": {"type": "nested", "fields": {"b": {"type": "nested", "fields": {"c": {"type": "int", "required": true}}}}}}"# => { a: BTreeMap<String, Inner> }
    }
    None
}

#[derive(Serialize, Deserialize)]
struct Address {
    street: String,
    #[serde(default, skip_serializing_if = "is_absent")]
    zip: Given<i64>,
}

#[derive(Serialize, Deserialize)]
struct Inner {
    c: i64,
}

/// A time with seconds.
struct Clock(chrono::NaiveTime);

impl<'de> Deserialize<'de> for Clock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        chrono::NaiveTime::deserialize(deserializer).map(Self)
    }
}

impl Serialize for Clock {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

fn is_absent<T>(field: &Given<T>) -> bool {
    field.0.is_none()
}

/// The body that we give for the one of webargs: nested errors get a path, typed values their JSON.
fn ours(expect: &Value) -> Value {
    if let Some(arguments) = expect.get("args") {
        return untyped(arguments);
    }
    let mut body = Map::new();
    flatten("", expect, &mut body);
    Value::Object(body)
}

fn flatten(path: &str, errors: &Value, body: &mut Map<String, Value>) {
    match errors {
        Value::Object(inner) => {
            for (key, errors) in inner {
                let path = match key.parse::<usize>() {
                    _ if key == "_schema" => path.to_owned(),
                    _ if path.is_empty() => key.clone(),
                    Ok(index) => format!("{path}[{index}]"),
                    Err(_) => format!("{path}.{key}"),
                };
                flatten(&path, errors, body);
            }
        }
        messages => _ = body.insert(path.to_owned(), messages.clone()),
    }
}

fn untyped(value: &Value) -> Value {
    match value {
        Value::Object(object) => match ["$date", "$time"].iter().find_map(|mark| object.get(*mark)) {
            Some(text) => text.clone(),
            None => object.iter().map(|(key, value)| (key.clone(), untyped(value))).collect(),
        },
        other => other.clone(),
    }
}

#[actix_rt::test]
async fn every_case_with_a_counterpart_is_answered_as_webargs_does_or_better() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("cases/webargs.json")).unwrap();
    let (mut replayed, mut deviations) = (0, 0);
    for case in &cases {
        let (name, given) = (case["name"].as_str().unwrap(), &case["given"]);
        let plain = [
            "kwargs",
            "restful",
            "schema_note",
            "schema_validate",
            "op",
            "register",
            "handler_registered_for",
        ];
        if plain.iter().any(|key| given.get(*key).is_some()) {
            continue;
        }
        let Some((place, request)) = request(given) else { continue };
        let Some((status, body)) = answer_for(&given["fields"], place, request).await else { continue };
        replayed += 1;
        let recorded = (case["expect"]["status"].clone(), ours(&case["expect"]["json"]));
        let answered = (json!(status), body);
        if let Some((_, better, body)) = BETTER.iter().find(|(better, _, _)| *better == name) {
            deviations += 1;
            assert_eq!(answered, (json!(better), serde_json::from_str(body).unwrap()), "{name}");
            assert_ne!(answered, recorded, "{name} is no deviation");
        } else {
            assert_eq!(answered, recorded, "{name}");
        }
    }
    assert_eq!(deviations, BETTER.len(), "a case of the table was not replayed");
    assert_eq!((replayed, cases.len()), (126, 194));
}
