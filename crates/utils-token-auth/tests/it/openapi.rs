//! The security schemes of an OpenAPI document.
use serde_json::{Value, json};
use utils_token_auth::Cookies;
use utoipa::{Modify, openapi::OpenApi};

use crate::http_app::{Http, Site};

fn check(change: impl FnOnce(Http) -> Http, expected: Value) {
    let mut document = OpenApi::default();
    Site::new().over(change).http.security_schemes().modify(&mut document);
    assert_eq!(serde_json::to_value(&document).unwrap()["components"]["securitySchemes"], expected);
}

#[actix_rt::test]
async fn the_document_names_the_ways_that_are_open() {
    let bearer = json!({ "type": "http", "scheme": "bearer", "bearerFormat": "JWT" });
    check(|http| http, json!({ "bearer": bearer }));
    check(
        |http| http.query_param("token").cookies(Cookies::new()),
        json!({
            "bearer": bearer,
            "token_query": { "type": "apiKey", "in": "query", "name": "token" },
            "token_cookie": { "type": "apiKey", "in": "cookie", "name": "__Host-token" },
        }),
    );
}
