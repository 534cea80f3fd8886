//! What flask-utils 1.2.4 answered, case by case, in `cases/flask_utils.json`.
//!
//! A case with a `quirk` is one where the original was wrong: `REFUSED` and `OTHER_PAGE` say what is answered
//! here.
use std::sync::Mutex;

use actix_web::{
    App, HttpResponse, ResponseError,
    test::{self, TestRequest},
    web,
};
use diesel::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};
use utils_pagination::{Page, PageError, PageParams, Paginate};

use crate::{
    schema::{Item, items},
    sqlite::{Database, connect},
};

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    given: Given,
    expect: Expected,
    quirk: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Given {
    basequery: String,
    request: Request,
    offset_argument: Option<i64>,
    limit_argument: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct Request {
    method: String,
    path: String,
    query: String,
    json: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Expected {
    status: u16,
    json: Option<Value>,
}

/// What the original did, and what is refused here: the fields that the answer names.
///
/// A page has at least one item and at most the maximum, negative numbers never reach the database, and a
/// number is ASCII digits. `;` separates no parameters (WHATWG URL standard).
const REFUSED: &[(&str, &[&str])] = &[
    ("limit_0", &["limit"]),
    ("limit_0_offset_10", &["limit"]),
    ("limit_minus_zero", &["limit"]),
    ("limit_minus_1", &["limit"]),
    ("offset_minus_1", &["offset"]),
    ("offset_minus_100_limit_5", &["offset"]),
    ("both_negative", &["limit", "offset"]),
    ("limit_huge_1e6", &["limit"]),
    ("limit_i64_max", &["limit"]),
    ("limit_i64_max_plus_1", &["limit"]),
    ("offset_i64_max_plus_1", &["offset"]),
    ("offset_i64_min_minus_1", &["offset"]),
    ("limit_not_integer", &["limit"]),
    ("offset_not_integer", &["offset"]),
    ("both_not_integer", &["limit", "offset"]),
    ("limit_exponent", &["limit"]),
    ("limit_hex", &["limit"]),
    ("limit_empty", &["limit"]),
    ("offset_empty", &["offset"]),
    ("limit_key_only", &["limit"]),
    ("limit_blank", &["limit"]),
    ("limit_with_spaces", &["limit"]),
    ("limit_underscore", &["limit"]),
    ("limit_unicode_digits", &["limit"]),
    ("limit_plus_as_space", &["limit"]),
    ("limit_null_byte", &["limit"]),
    ("semicolon_separator", &["offset"]),
    ("not_integer_handler_registered", &["limit"]),
    ("not_integer_restful", &["limit"]),
    ("i64_overflow_restful", &["limit"]),
    ("arg_limit_only_bad_query_limit", &["limit"]),
    ("arg_limit_negative", &["limit"]),
];

/// Another page than the original's, as offset and limit: only the query string is read, and every row can be
/// written.
const OTHER_PAGE: &[(&str, i64, i64)] = &[
    ("json_body_limit", 0, 20),
    ("query_wins_over_json", 0, 1),
    ("json_body_limit_float", 0, 20),
    ("json_body_limit_true", 0, 20),
    ("schema_field_validation_not_applied", 0, 1),
    ("schema_dump_error", 0, 2),
];

/// Wrong in the original for a reason that cannot arise here: the order is required, and so the page is
/// right.
const SAME_ALL_THE_SAME: &str = "unordered";

fn refusal(fields: &[&str]) -> Value {
    let range = |field: &&str| match *field {
        "limit" => "must be one whole number from 1 to 100",
        _ => "must be one whole number, 0 or more",
    };
    fields
        .iter()
        .map(|field| (field.to_string(), json!([range(field)])))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn page_of_items(offset: i64, limit: i64) -> Value {
    let item = |id: i64| json!({"id": id, "name": format!("item-{id:02}")});
    let items: Vec<_> = (offset + 1..=offset + limit).map(item).collect();
    json!({"offset": offset, "limit": limit, "totalItems": 57, "items": items})
}

async fn list(
    req: actix_web::HttpRequest,
    given: web::Data<Given>,
    database: web::Data<Mutex<Database>>,
) -> HttpResponse {
    let params = match (given.offset_argument, given.limit_argument) {
        (Some(offset), Some(limit)) => PageParams::<20, 100>::new(offset, limit),
        (offset, limit) => PageParams::parse(req.query_string()).and_then(|params| {
            let params = offset.map_or(Ok(params), |offset| params.with_offset(offset))?;
            limit.map_or(Ok(params), |limit| params.with_limit(limit))
        }),
    };
    match params.map(|params| load(params, &given.basequery, &mut database.lock().unwrap())) {
        Ok(page) => HttpResponse::Ok().json(page.unwrap()),
        Err(error) => PageError::error_response(&error),
    }
}

fn load(params: PageParams, basequery: &str, conn: &mut SqliteConnection) -> QueryResult<Page<Item>> {
    let mut query = items::table.into_boxed();
    if basequery.contains("grp = 1") {
        query = query.filter(items::grp.eq(1));
    } else if basequery.contains("id < 0") {
        query = query.filter(items::id.lt(0));
    }
    query.paginate(params).order_by(items::id).load(conn)
}

#[actix_rt::test]
async fn pages_are_as_the_original_or_better() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("cases/flask_utils.json")).unwrap();
    let mut checked = Vec::new();
    for Case { name, given, expect, quirk } in cases {
        let request = TestRequest::with_uri(&format!("{}?{}", given.request.path, given.request.query))
            .method(given.request.method.parse().unwrap());
        let request = match &given.request.json {
            Some(body) => request.set_json(body),
            None => request,
        };
        let app = App::new()
            .app_data(web::Data::new(given))
            .app_data(web::Data::new(Mutex::new(connect())))
            .route("/items", web::route().to(list));
        let app = test::init_service(app).await;
        let response = test::call_service(&app, request.to_request()).await;
        let status = response.status().as_u16();
        let body: Value = test::read_body_json(response).await;

        let refused = REFUSED.iter().find(|(refused, _)| *refused == name);
        let other_page = OTHER_PAGE.iter().find(|(other, ..)| *other == name);
        let expected = match (refused, other_page, expect.json) {
            (Some((_, fields)), None, _) => (422, refusal(fields)),
            (None, Some((_, offset, limit)), _) => (200, page_of_items(*offset, *limit)),
            (None, None, Some(page)) => {
                assert!(quirk.is_none() || name == SAME_ALL_THE_SAME, "{name}: {quirk:?}");
                (expect.status, page)
            }
            _ => panic!("{name}: no answer is expected, or two"),
        };
        assert_eq!((status, body), expected, "{name}: {quirk:?}");
        checked.push(name);
    }
    for known in REFUSED.iter().map(|(name, _)| name).chain(OTHER_PAGE.iter().map(|(name, ..)| name)) {
        assert!(checked.iter().any(|name| name == known), "{known} is no case");
    }
}
