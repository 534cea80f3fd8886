//! `Link` headers.
use actix_web::{HttpResponse, test::TestRequest};
use utils_pagination::{Page, PageParams, Slice};

fn check(query: &str, expected: &str) {
    let req = TestRequest::with_uri(&format!("/items?{query}")).to_http_request();
    let params: PageParams = PageParams::parse(query).unwrap();
    assert_eq!(Page::of(0..57, &params).links(&req).as_str(), expected, "{query}");
}

#[test]
fn a_page_links_to_the_first_previous_next_and_last_one() {
    check(
        "",
        r#"<?offset=0&limit=20>; rel="first", <?offset=20&limit=20>; rel="next", <?offset=40&limit=20>; rel="last""#,
    );
    check(
        "offset=20&limit=20",
        r#"<?offset=0&limit=20>; rel="first", <?offset=0&limit=20>; rel="prev", <?offset=40&limit=20>; rel="next", <?offset=40&limit=20>; rel="last""#,
    );
    check(
        "offset=40",
        r#"<?offset=0&limit=20>; rel="first", <?offset=20&limit=20>; rel="prev", <?offset=40&limit=20>; rel="last""#,
    );
    // the last page is full
    check(
        "offset=38&limit=19",
        r#"<?offset=0&limit=19>; rel="first", <?offset=19&limit=19>; rel="prev", <?offset=38&limit=19>; rel="last""#,
    );
}

#[test]
fn a_page_between_two_others_or_beyond_the_end_finds_back() {
    check(
        "offset=5&limit=20",
        r#"<?offset=0&limit=20>; rel="first", <?offset=0&limit=20>; rel="prev", <?offset=25&limit=20>; rel="next", <?offset=40&limit=20>; rel="last""#,
    );
    check(
        "offset=9223372036854775807",
        r#"<?offset=0&limit=20>; rel="first", <?offset=40&limit=20>; rel="prev", <?offset=40&limit=20>; rel="last""#,
    );
}

#[test]
fn the_other_parameters_stay_and_cannot_break_the_header() {
    check(
        "q=a%20b%3E%3B%22%0D%0Ac&limit=57&tag=x&tag=y",
        r#"<?q=a+b%3E%3B%22%0D%0Ac&tag=x&tag=y&offset=0&limit=57>; rel="first", <?q=a+b%3E%3B%22%0D%0Ac&tag=x&tag=y&offset=0&limit=57>; rel="last""#,
    );
}

#[test]
fn a_slice_knows_no_last_page() {
    let req = TestRequest::with_uri("/items?offset=20&limit=20").to_http_request();
    let mut slice = Slice::<u8> { offset: 20, limit: 20, has_more: true, items: vec![] };
    assert_eq!(
        slice.links(&req).as_str(),
        r#"<?offset=0&limit=20>; rel="first", <?offset=0&limit=20>; rel="prev", <?offset=40&limit=20>; rel="next""#
    );
    slice.has_more = false;
    assert!(!slice.links(&req).as_str().contains("next"));
}

#[test]
fn links_go_into_a_response_as_a_header() {
    let req = TestRequest::with_uri("/items").to_http_request();
    let params: PageParams = PageParams::default();
    let page = Page::of(0..3, &params);
    let response = HttpResponse::Ok().insert_header(page.links(&req)).finish();
    assert_eq!(response.headers().get("link").unwrap(), page.links(&req).as_str());
}
