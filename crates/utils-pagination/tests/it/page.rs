//! Pages of what is at hand, and pages on the wire.
use serde_json::json;
use utils_pagination::{Page, PageParams, Slice};

fn check(offset: i64, limit: i64, expected: &[i64]) {
    let params: PageParams = PageParams::new(offset, limit).unwrap();
    let page = Page::of(0..57, &params);
    assert_eq!(page, Page { offset, limit, total_items: 57, items: expected.to_vec() });
}

#[test]
fn a_list_at_hand_is_cut_like_one_in_a_database() {
    check(0, 3, &[0, 1, 2]);
    check(55, 3, &[55, 56]);
    check(56, 1, &[56]);
    check(57, 3, &[]);
    check(i64::MAX, 100, &[]);
}

#[test]
fn pages_have_the_names_that_clients_know() {
    let params: PageParams = PageParams::new(1, 2).unwrap();
    let page = Page::of(["a", "b", "c", "d"], &params).map(str::to_uppercase);
    assert_eq!(json!(page), json!({"offset": 1, "limit": 2, "totalItems": 4, "items": ["B", "C"]}));
    let slice = Slice { offset: 1, limit: 2, has_more: true, items: vec!["b", "c"] }.map(str::to_uppercase);
    assert_eq!(json!(slice), json!({"offset": 1, "limit": 2, "hasMore": true, "items": ["B", "C"]}));
    assert_eq!(slice.with_total(4), page);
}
