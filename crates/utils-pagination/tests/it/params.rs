//! What may be asked for.
use actix_web::{
    App,
    http::StatusCode,
    test::{self, TestRequest},
    web,
};
use utils_pagination::{PageError, PageParams};

fn check<const DEFAULT: u32, const MAX: u32>(query: &str, expected: Result<(i64, i64), PageError>) {
    let params = PageParams::<DEFAULT, MAX>::parse(query);
    assert_eq!(params.map(|params| (params.offset(), params.limit())), expected, "{query}");
}

#[test]
fn the_defaults_and_the_limits_of_the_limits() {
    check::<20, 100>("", Ok((0, 20)));
    check::<20, 100>("limit=1", Ok((0, 1)));
    check::<20, 100>("limit=100&offset=5", Ok((5, 100)));
    check::<20, 100>("offset=9223372036854775807", Ok((i64::MAX, 20)));
    check::<50, 500>("", Ok((0, 50)));
    check::<50, 500>("limit=500", Ok((0, 500)));
    check::<1, 1>("", Ok((0, 1)));
    check::<20, 100>("color=red&limit%5B%5D=3&page=2", Ok((0, 20)));
}

#[test]
fn a_limit_outside_its_range_is_refused() {
    for query in
        ["limit=0", "limit=-1", "limit=101", "limit=9223372036854775808", "limit=", "limit", "limit=abc"]
    {
        check::<20, 100>(query, Err(PageError::Limit(100)));
    }
    check::<50, 500>("limit=501", Err(PageError::Limit(500)));
}

#[test]
fn an_offset_outside_its_range_is_refused() {
    for query in ["offset=-1", "offset=9223372036854775808", "offset=", "offset", "offset=1.0", "offset=1e3"]
    {
        check::<20, 100>(query, Err(PageError::Offset));
    }
}

#[test]
fn a_parameter_given_twice_is_refused_even_with_one_value() {
    check::<20, 100>("limit=5&limit=5", Err(PageError::Limit(100)));
    check::<20, 100>("offset=5&limit=5&offset=6", Err(PageError::Offset));
    check::<20, 100>("offset=-5&limit=0", Err(PageError::OffsetAndLimit(100)));
}

#[test]
fn a_page_of_the_applications_choice_keeps_the_ranges() {
    assert_eq!(PageParams::<20, 100>::new(3, 5), PageParams::parse("offset=3&limit=5"));
    assert_eq!(PageParams::<20, 100>::new(-1, 5), Err(PageError::Offset));
    assert_eq!(PageParams::<20, 100>::new(0, 101), Err(PageError::Limit(100)));
    let own_limit = PageParams::<20, 100>::parse("offset=7&limit=7").and_then(|params| params.with_limit(5));
    assert_eq!(own_limit, PageParams::new(7, 5));
}

async fn ask(query: &str) -> (StatusCode, String) {
    let app = App::new().route(
        "/",
        web::get().to(async |params: PageParams| format!("{} {}", params.offset(), params.limit())),
    );
    let app = test::init_service(app).await;
    let response = test::call_service(&app, TestRequest::with_uri(&format!("/?{query}")).to_request()).await;
    let status = response.status();
    (status, String::from_utf8(test::read_body(response).await.to_vec()).unwrap())
}

#[actix_rt::test]
async fn a_refusal_names_every_field_and_its_range() {
    let limit = r#""limit":["must be one whole number from 1 to 100"]"#;
    let offset = r#""offset":["must be one whole number, 0 or more"]"#;
    for (query, body) in [
        ("limit=101", format!("{{{limit}}}")),
        ("offset=x", format!("{{{offset}}}")),
        ("offset=x&limit=y", format!("{{{limit},{offset}}}")),
    ] {
        assert_eq!(ask(query).await, (StatusCode::UNPROCESSABLE_ENTITY, body), "{query}");
    }
    assert_eq!(ask("offset=4&limit=2").await, (StatusCode::OK, "4 2".to_owned()));
}

#[test]
fn every_kind_of_the_catalogue_is_named_once() {
    let codes: Vec<_> = utils_pagination::ERRORS.iter().map(|kind| kind.code).collect();
    assert_eq!(codes, ["offset_out_of_range", "limit_out_of_range", "page_out_of_range"]);
    assert_eq!(
        PageError::OffsetAndLimit(7).to_string(),
        "the offset must be one whole number, 0 or more, and the limit must be one whole number from 1 to 7"
    );
}
