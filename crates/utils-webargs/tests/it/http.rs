//! The extractors: each request is answered with what the handler got, or with the faults.
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use actix_web::{
    App, FromRequest, HttpResponse,
    dev::ServiceResponse,
    test::{TestRequest, call_service, init_service, read_body},
    web::{Data, PayloadConfig, resource, to},
};
use expect_test::{Expect, expect};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utils_webargs::{Cookies, ERRORS, Form, Headers, Json, Path, Query, between};

#[derive(Serialize, Deserialize, Validate)]
#[serde(rename_all = "camelCase")]
struct Post {
    #[garde(length(min = 3))]
    post_title: String,
    #[garde(custom(between(1, 5)))]
    stars: u8,
    #[garde(skip)]
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
struct Search {
    #[garde(skip)]
    q: String,
    #[garde(skip)]
    #[serde(default)]
    ids: Vec<u32>,
    #[garde(range(min = 1))]
    page: Option<u32>,
    #[garde(skip)]
    exact: Option<bool>,
}

#[derive(Serialize, Deserialize, Validate)]
struct Item {
    #[garde(length(min = 2))]
    shelf: String,
    #[garde(skip)]
    id: u64,
}

#[derive(Serialize, Deserialize, Validate)]
struct Head {
    #[garde(skip)]
    x_count: u8,
    #[garde(skip)]
    #[serde(rename = "X-Names", default)]
    names: Vec<String>,
    #[garde(skip)]
    accept_language: Option<String>,
}

#[derive(Serialize, Deserialize, Validate)]
struct Jar {
    #[garde(length(min = 2))]
    sid: String,
    #[garde(skip)]
    theme: Option<String>,
}

#[derive(Default)]
struct Most(u32);

#[derive(Serialize, Deserialize, Validate)]
#[garde(context(Most))]
struct Limited {
    #[garde(custom(|count: &u32, most: &Most| if *count > most.0 { Err(garde::Error::new("Too many.")) } else { Ok(()) }))]
    count: u32,
}

async fn answer(request: TestRequest) -> String {
    macro_rules! echo {
        ($extractor:ident, $argument:ty) => {
            to(|$extractor(value): $extractor<$argument>| async { HttpResponse::Ok().json(value) })
        };
    }
    let app = App::new()
        .app_data(PayloadConfig::new(1_000))
        .app_data(Data::new(Most(7)))
        .service(resource("/json").route(echo!(Json, Post)))
        .service(resource("/optional").route(echo!(Json, Option<Post>)))
        .service(resource("/form").route(echo!(Form, Post)))
        .service(resource("/query").route(echo!(Query, Search)))
        .service(resource("/headers").route(echo!(Headers, Head)))
        .service(resource("/cookies").route(echo!(Cookies, Jar)))
        .service(resource("/limited").route(echo!(Query, Limited)))
        .service(resource("/items/{shelf}/{id}").route(echo!(Path, Item)));
    let app = init_service(app).await;
    let response: ServiceResponse = call_service(&app, request.to_request()).await;
    let status = response.status().as_u16();
    format!("{status} {}", String::from_utf8_lossy(&read_body(response).await))
}

async fn check(request: TestRequest, expected: Expect) {
    expected.assert_eq(&answer(request).await);
}

fn json(body: &str) -> TestRequest {
    let request =
        TestRequest::post().uri("/json").insert_header(("content-type", "Application/JSON; charset=utf-8"));
    request.set_payload(body.to_owned())
}

#[actix_rt::test]
async fn a_good_json_body_reaches_the_handler() {
    let good = r#"{"postTitle": "One", "stars": 5, "tags": ["a"], "unknown": null}"#;
    check(json(good), expect![[r#"200 {"postTitle":"One","stars":5,"tags":["a"]}"#]]).await;
    let vendor = json(good).insert_header(("content-type", "application/vnd.api+json"));
    check(vendor, expect![[r#"200 {"postTitle":"One","stars":5,"tags":["a"]}"#]]).await;
}

#[actix_rt::test]
async fn every_fault_of_a_json_body_comes_in_one_answer() {
    check(
        json(r#"{"postTitle": "a", "stars": "many", "tags": ["a", 1]}"#),
        expect![[r#"422 {"postTitle":["Shorter than minimum length 3."],"stars":["Not a valid integer."],"tags[1]":["Not a valid string."]}"#]],
    )
    .await;
    check(
        json(r#"{"postTitle": "a", "stars": 9}"#),
        expect![[
            r#"422 {"postTitle":["Shorter than minimum length 3."],"stars":["Must be between 1 and 5."]}"#
        ]],
    )
    .await;
}

#[derive(Debug, Serialize, Deserialize, Validate)]
struct Numbers {
    #[garde(inner(range(min = 5)))]
    items: Vec<u32>,
}

#[actix_rt::test]
async fn the_answer_to_a_long_list_that_breaks_a_rule_everywhere_stays_short() {
    let handler = |Json(value): Json<Numbers>| async { HttpResponse::Ok().json(value) };
    let app = init_service(App::new().service(resource("/json").route(to(handler)))).await;
    let body = format!("{{\"items\": [{}1]}}", "1,".repeat(130_000));
    let response: ServiceResponse = call_service(&app, json(&body).to_request()).await;
    assert_eq!(response.status(), 422);
    let answer = read_body(response).await;
    assert!(answer.len() < 5_000, "{} bytes", answer.len());
}

#[actix_rt::test]
async fn no_json_is_no_arguments() {
    let missing = r#"422 {"postTitle":["Missing data for required field."],"stars":["Missing data for required field."]}"#;
    for body in ["", " \n", "null", "{}"] {
        assert_eq!(answer(json(body)).await, missing, "{body:?}");
    }
    assert_eq!(answer(TestRequest::post().uri("/json")).await, missing);
    check(json("null").uri("/optional"), expect!["200 null"]).await;
}

#[actix_rt::test]
async fn malformed_json_is_an_error_of_its_own() {
    check(
        json(r#"{"a":"#),
        expect![[r#"400 {"_errors":["malformed JSON: EOF while parsing a value at line 1 column 5"]}"#]],
    )
    .await;
    check(
        json(r#"{"stars": NaN}"#),
        expect![[r#"400 {"_errors":["malformed JSON: expected value at line 1 column 11"]}"#]],
    )
    .await;
    // The type is wrong before the syntax is.
    check(
        json(r#"{"stars": "x", "#),
        expect![[r#"400 {"_errors":["malformed JSON: EOF while parsing a value at line 1 column 15"]}"#]],
    )
    .await;
    let deep = format!("{}1", "[".repeat(500));
    check(
        json(&deep),
        expect![[r#"400 {"_errors":["malformed JSON: recursion limit exceeded at line 1 column 128"]}"#]],
    )
    .await;
}

#[actix_rt::test]
async fn json_of_another_shape_and_double_keys_are_refused() {
    for body in ["[1]", "\"a\"", "5"] {
        assert_eq!(answer(json(body)).await, r#"422 {"_errors":["Invalid input type."]}"#, "{body}");
    }
    check(
        json(r#"{"postTitle": "One", "stars": 1, "stars": 2}"#),
        expect![[r#"422 {"stars":["Duplicate field."]}"#]],
    )
    .await;
    let many = format!(
        r#"{{"postTitle": "One", "stars": 1, "stars": 2, "{}": [{}0]}}"#,
        "k".repeat(300),
        "0,".repeat(150)
    );
    check(json(&many), expect![[r#"422 {"stars":["Duplicate field."]}"#]]).await;
    check(
        json(
            r#"{"postTitle": "One", "stars": 1, "postTitle": "Two", "x": {"y": [{"z": 1, "z": 2, "z": 3}]}}"#,
        ),
        expect![[r#"422 {"postTitle":["Duplicate field."],"x.y[0].z":["Duplicate field."]}"#]],
    )
    .await;
}

#[actix_rt::test]
async fn a_body_of_another_type_or_beyond_the_limit_is_refused() {
    check(
        json("{}").insert_header(("content-type", "text/plain")),
        expect![[r#"400 {"_errors":["the content type must be application/json"]}"#]],
    )
    .await;
    check(json(&" ".repeat(2_000)), expect![[r#"413 {"_errors":["the body is too large"]}"#]]).await;
}

#[actix_rt::test]
async fn a_query_string_is_read_as_the_types_want_it() {
    let query = |query: &str| TestRequest::with_uri(&format!("/query?{query}"));
    check(
        query(
            "q=a%20b+c%26&ids=1&ids=2&page=+3&&exact=t".replace('+', "%2B").replace("b%2Bc", "b+c").as_str(),
        ),
        expect![[r#"200 {"q":"a b c&","ids":[1,2],"page":3,"exact":true}"#]],
    )
    .await;
    check(query("q&ids=7"), expect![[r#"200 {"q":"","ids":[7],"page":null,"exact":null}"#]]).await;
    check(query("q=1&q=2&page=1&page=x"), expect![[r#"200 {"q":"1","ids":[],"page":1,"exact":null}"#]]).await;
    check(
        query("ids=1&ids=x&ids=1,2&page=0&exact=yes&zzz=1"),
        expect![[r#"422 {"exact":["Not a valid boolean."],"ids[1]":["Not a valid integer."],"ids[2]":["Not a valid integer."],"page":["Must be at least 1."],"q":["Missing data for required field."],"zzz":["Unknown field."]}"#]],
    )
    .await;
    check(query("q=%ff"), expect![[r#"400 {"_errors":["the query string is not valid UTF-8"]}"#]]).await;
    check(TestRequest::with_uri("/query"), expect![[r#"422 {"q":["Missing data for required field."]}"#]])
        .await;
}

#[actix_rt::test]
async fn a_form_is_read_as_a_query_string_is() {
    let form = |form: &str| {
        let request = TestRequest::post()
            .uri("/form")
            .insert_header(("content-type", "application/x-www-form-urlencoded"));
        request.set_payload(form.to_owned())
    };
    check(
        form("postTitle=x+y%26z&stars=1&tags=a"),
        expect![[r#"200 {"postTitle":"x y&z","stars":1,"tags":["a"]}"#]],
    )
    .await;
    check(
        form("postTitle=x"),
        expect![[r#"422 {"postTitle":["Shorter than minimum length 3."],"stars":["Missing data for required field."]}"#]],
    )
    .await;
    check(form("postTitle=%ff"), expect![[r#"400 {"_errors":["the form is not valid UTF-8"]}"#]]).await;
    check(
        json("{}").uri("/form"),
        expect![[r#"400 {"_errors":["the content type must be application/x-www-form-urlencoded"]}"#]],
    )
    .await;
}

#[actix_rt::test]
async fn the_segments_of_a_path_are_decoded_and_judged() {
    let path = |path: &str| TestRequest::with_uri(path);
    check(path("/items/a%2Fb%C3%A9%2541/5"), expect![[r#"200 {"shelf":"a/bé%41","id":5}"#]]).await;
    check(
        path("/items/a/x"),
        expect![[r#"422 {"id":["Not a valid integer."],"shelf":["Shorter than minimum length 2."]}"#]],
    )
    .await;
    check(path("/items/%ff%ff/5"), expect![[r#"200 {"shelf":"��","id":5}"#]]).await;
}

#[actix_rt::test]
async fn headers_are_found_by_the_names_of_the_fields() {
    let request = TestRequest::with_uri("/headers")
        .append_header(("x-COUNT", "3"))
        .append_header(("X-Names", "a"))
        .append_header(("x-names", "b"))
        .append_header(("Accept-Language", "de"));
    check(request, expect![[r#"200 {"x_count":3,"X-Names":["a","b"],"accept_language":"de"}"#]]).await;
    let request = TestRequest::with_uri("/headers").append_header(("x-count", "300"));
    check(request, expect![[r#"422 {"x_count":["Must be between 0 and 255."]}"#]]).await;
    check(
        TestRequest::with_uri("/headers"),
        expect![[r#"422 {"x_count":["Missing data for required field."]}"#]],
    )
    .await;
}

#[actix_rt::test]
async fn cookies_are_found_by_name_and_the_first_counts() {
    let cookies =
        |cookies: &str| TestRequest::with_uri("/cookies").insert_header(("cookie", cookies.to_owned()));
    check(
        cookies("other=1; sid=abc; sid=zzz; theme=\"d%C3%A9\""),
        expect![[r#"200 {"sid":"abc","theme":"dé"}"#]],
    )
    .await;
    check(cookies("sid=a;theme=%ff;broken"), expect![[r#"422 {"sid":["Shorter than minimum length 2."]}"#]])
        .await;
    check(
        TestRequest::with_uri("/cookies"),
        expect![[r#"422 {"sid":["Missing data for required field."]}"#]],
    )
    .await;
}

#[derive(Debug, Deserialize, Validate)]
struct Everything {
    #[garde(skip)]
    #[serde(flatten)]
    all: HashMap<String, String>,
}

/// How long it takes to read this many values; the shortest of a few times, since the machine may be busy.
async fn time_to_read<T: FromRequest>(
    request: TestRequest,
    read: impl Fn(&T) -> usize,
    expected: usize,
) -> Duration {
    let request = request.to_http_request();
    let mut shortest = Duration::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        let values = T::extract(&request).await.map_err(Into::into).unwrap();
        shortest = shortest.min(start.elapsed());
        assert_eq!(read(&values), expected);
    }
    shortest
}

#[actix_rt::test]
async fn eight_times_the_cookies_or_arguments_do_not_take_sixty_times_as_long() {
    let pairs = |many: usize, separator: &str| {
        (0..many).map(|number| format!("{number:x}=")).collect::<Vec<_>>().join(separator)
    };
    let cookies = async |many| {
        let request = TestRequest::default().insert_header(("cookie", pairs(many, ";")));
        time_to_read(request, |Cookies(found): &Cookies<Everything>| found.all.len(), many).await
    };
    let query = async |many| {
        let request = TestRequest::with_uri(&format!("/?{}", pairs(many, "&")));
        time_to_read(request, |Query(found): &Query<Everything>| found.all.len(), many).await
    };
    // On a busy machine one measurement says little; where the time is quadratic, none is good.
    let mut is_linear = (false, false);
    for _ in 0..8 {
        is_linear.0 |= cookies(20_000).await < cookies(2_500).await * 30;
        is_linear.1 |= query(10_400).await < query(1_300).await * 30;
        if is_linear == (true, true) {
            return;
        }
    }
    panic!("cookies and query are read in linear time: {is_linear:?}");
}

#[actix_rt::test]
async fn the_rules_get_the_context_of_the_application() {
    check(TestRequest::with_uri("/limited?count=7"), expect![[r#"200 {"count":7}"#]]).await;
    check(TestRequest::with_uri("/limited?count=8"), expect![[r#"422 {"count":["Too many."]}"#]]).await;
}

#[test]
fn the_codes_of_the_errors_are_different_from_each_other() {
    let mut codes: Vec<_> = ERRORS.iter().map(|kind| kind.code).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), ERRORS.len());
}
