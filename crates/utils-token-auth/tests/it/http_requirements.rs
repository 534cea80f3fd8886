//! What the standards ask of the HTTP surface: one test for each requirement, H1 to H13.
use actix_web::{
    ResponseError,
    http::{Method, StatusCode},
    test::TestRequest,
};
use utils_token_auth::{Cookies, Error};

use crate::http_app::{Answer, Site, request, with_token};

const REQUIRED: &str = r#"{"_errors":["A valid token is required to access this resource"]}"#;
const INVALID: &str = r#"{"_errors":["The provided token was invalid."]}"#;

/// Status, body and challenge.
fn check(answer: &Answer, status: u16, text: &str, challenge: &str) {
    assert_eq!((answer.status.as_u16(), &*answer.text, answer.challenge()), (status, text, challenge));
}

/// RFC 6750 section 2.1, RFC 9110 section 11.1.
#[actix_rt::test]
async fn h1_the_bearer_header_is_read_in_any_case_and_with_any_number_of_blanks() {
    let site = Site::new();
    let token = site.login("ann").await.token;
    let hundred = " ".repeat(100);
    for scheme in ["Bearer ", "bearer ", "BEARER ", "bEaReR ", "Bearer  ", &format!("Bearer{hundred}")] {
        let request =
            request(Method::GET, "/protected").insert_header(("Authorization", format!("{scheme}{token}")));
        let answer = site.send(request).await;
        check(&answer, 200, "Welcome, ann", "");
    }
}

/// RFC 6750 sections 2 and 3.1.
#[actix_rt::test]
async fn h2_a_token_in_two_places_is_400() {
    let site = Site::new().over(|http| http.query_param("token").cookies(Cookies::new()));
    let token = site.login("ann").await.token;
    let in_query = format!("/protected?token={token}");
    let cookie = format!("__Host-token={token}");
    for (case, request) in [
        ("header and query", with_token(Method::GET, &in_query, &token)),
        ("header and another in the query", with_token(Method::GET, "/protected?token=x", &token)),
        ("header and an empty one in the query", with_token(Method::GET, "/protected?token=", &token)),
        ("query and query", request(Method::GET, &format!("{in_query}&token={token}"))),
        (
            "header and cookie",
            with_token(Method::GET, "/protected", &token).insert_header(("Cookie", &*cookie)),
        ),
        ("query and cookie", request(Method::GET, &in_query).insert_header(("Cookie", &*cookie))),
        (
            "cookie and cookie",
            request(Method::GET, "/protected").insert_header(("Cookie", format!("{cookie}; {cookie}"))),
        ),
    ] {
        let answer = site.send(request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{case}: {answer:?}");
        assert_eq!(answer.challenge(), r#"Bearer realm="api", error="invalid_request""#, "{case}");
        assert_eq!(answer.text, r#"{"_errors":["the request's credentials are malformed"]}"#, "{case}");
    }
}

/// RFC 9110 section 5.3: `Authorization` is not a list.
#[actix_rt::test]
async fn h3_two_authorization_headers_are_400() {
    let site = Site::new();
    let token = site.login("ann").await.token;
    for other in [format!("Bearer {token}"), "Bearer x".to_owned(), "Basic dTpw".to_owned(), String::new()] {
        for path in ["/protected", "/optional"] {
            let two = with_token(Method::GET, path, &token).append_header(("Authorization", &*other));
            assert_eq!(site.send(two).await.status, StatusCode::BAD_REQUEST, "{path} {other}");
        }
    }
}

/// RFC 6750 section 2.3, RFC 9700 section 4.3.2.
#[actix_rt::test]
async fn h4_the_query_is_read_only_when_asked_for_and_answers_are_then_private() {
    let site = Site::new();
    let token = site.login("ann").await.token;
    let path = format!("/area/me?x=1&token={token}&y=2");
    check(&site.send(request(Method::GET, &path)).await, 401, REQUIRED, r#"Bearer realm="api""#);
    let answer = site.send(with_token(Method::GET, "/protected?token=x", &token)).await;
    assert_eq!(answer.status, StatusCode::OK, "it is ignored, not even a second source");

    let site = site.over(|http| http.query_param("token"));
    let answer = site.send(request(Method::GET, &path)).await;
    check(&answer, 200, "Welcome, ann", "");
    assert_eq!(answer.header("Cache-Control"), "private");
    assert_eq!(
        site.send(with_token(Method::GET, "/area/me", &token)).await.header("Cache-Control"),
        "private"
    );
    // whatever a handler says, when the token is in the address
    for (said, becomes) in [
        (&["public"][..], "private"),
        (&["public, max-age=60"], "private, max-age=60"),
        (&["PUBLIC , S-MaxAge=9,no-cache"], "private, no-cache"),
        (&["max-age=60"], "private, max-age=60"),
        (&["max-age=60", "public"], "private, max-age=60"),
        (&["private=\"set-cookie, x-user\", max-age=60"], "private"),
        (&["private, max-age=60"], "private, max-age=60"),
        (&["no-store"], "no-store"),
        (&["no-store, public"], "private, no-store"),
        (&[], "private"),
    ] {
        for (in_address, expected) in [(true, becomes), (false, said.first().copied().unwrap_or("private"))] {
            let mut request = if in_address {
                request(Method::GET, &format!("/kept/me?token={token}"))
            } else {
                with_token(Method::GET, "/kept/me", &token)
            };
            for value in said {
                request = request.append_header(("X-Cache-Control", *value));
            }
            let answer = site.send(request).await;
            assert_eq!((answer.header("Cache-Control"), &*answer.text), (expected, "ann"), "{said:?}");
            assert_eq!(answer.all("Cache-Control").len(), if in_address { 1 } else { said.len().max(1) });
        }
    }
    for (query, text) in
        [("token=", INVALID), ("token", INVALID), ("token=x", INVALID), ("TOKEN=x", REQUIRED), ("", REQUIRED)]
    {
        let answer = site.send(request(Method::GET, &format!("/protected?{query}"))).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (401, text), "{query}");
    }
}

/// RFC 6750 section 3.1.
#[actix_rt::test]
async fn h5_missing_credentials_are_401_with_a_challenge_and_no_error_code() {
    let site = Site::new();
    for path in ["/protected", "/area/me", "/tokens"] {
        check(&site.send(request(Method::GET, path)).await, 401, REQUIRED, r#"Bearer realm="api""#);
    }
    let basic = request(Method::GET, "/protected").insert_header(("Authorization", "Basic dTpw"));
    check(&site.send(basic).await, 401, REQUIRED, r#"Bearer realm="api""#);
}

/// RFC 6750 section 3.1.
#[actix_rt::test]
async fn h6_a_bad_token_is_401_invalid_token() {
    let site = Site::new();
    let pair = site.login("ann").await;
    for path in ["/protected", "/area/me", "/tokens"] {
        let answer = site.get(path, "x").await;
        check(&answer, 401, INVALID, r#"Bearer realm="api", error="invalid_token""#);
    }
    let other = site.login("ann").await;
    site.post("/logout", &other.token).await;
    let challenge = r#"Bearer realm="api", error="invalid_token", error_description="the session has ended""#;
    check(&site.get("/protected", &other.token).await, 401, INVALID, challenge);
    site.later(3600);
    let challenge =
        r#"Bearer realm="api", error="invalid_token", error_description="the access token has expired""#;
    check(&site.get("/protected", &pair.token).await, 401, INVALID, challenge);
}

/// RFC 6750 section 3.1.
#[actix_rt::test]
async fn h7_a_missing_scope_is_403_insufficient_scope() {
    let site = Site::new();
    let token = site.login("ann").await.token;
    let text = r#"{"_errors":["the token does not allow this"]}"#;
    let challenge = |scope| format!(r#"Bearer realm="api", error="insufficient_scope", scope="{scope}""#);
    check(&site.get("/write", &token).await, 403, text, &challenge("write"));
    check(&site.get("/admin/me", &token).await, 403, text, &challenge("admin"));
    check(&site.get("/read/me", &token).await, 200, "Welcome, ann", "");
    check(&site.get("/admin/me", "x").await, 401, INVALID, r#"Bearer realm="api", error="invalid_token""#);
}

/// RFC 9470 section 3.
#[actix_rt::test]
async fn h8_a_sign_in_too_long_ago_is_401_insufficient_user_authentication() {
    let site = Site::new();
    let pair = site.login("ann").await;
    assert_eq!(site.get("/fresh", &pair.token).await.text, "fresh");
    site.later(300);
    assert_eq!(site.get("/fresh", &pair.token).await.text, "fresh", "to the second");
    assert_eq!(site.get("/vault/me", &pair.token).await.status, StatusCode::OK);
    site.later(1);
    let renewed = site.renew(&pair.refresh_token.unwrap()).await.json();
    let challenge = "Bearer realm=\"api\", error=\"insufficient_user_authentication\", \
                     error_description=\"a more recent sign-in is required\", max_age=\"300\"";
    let text = r#"{"_errors":["a more recent sign-in is required"]}"#;
    for token in [&*pair.token, renewed["token"].as_str().unwrap()] {
        for path in ["/fresh", "/vault/me"] {
            check(&site.get(path, token).await, 401, text, challenge); // a renewal is no sign-in
        }
        assert!(site.opens(token).await);
    }
    let again = site.login("ann").await;
    assert_eq!(site.get("/fresh", &again.token).await.text, "fresh");
}

/// RFC 6750 section 3.
#[test]
fn h9_quoted_values_hold_nothing_that_ends_them() {
    for (scope, shown) in [
        ("a b:c/d", "a b:c/d"),
        ("a\"b", "ab"),
        ("a\\b", "ab"),
        ("a\r\nSet-Cookie: x=y", "aSet-Cookie: x=y"),
        ("a\0b\u{7f}c\u{e9}d\u{202e}", "abcd"),
        ("", ""),
    ] {
        let answer = Error::Scope(scope.to_owned()).error_response();
        let challenge = answer.headers().get("WWW-Authenticate").unwrap().to_str().unwrap();
        assert_eq!(challenge, format!(r#"Bearer realm="api", error="insufficient_scope", scope="{shown}""#));
    }
}

/// RFC 7009 section 2.2.
#[actix_rt::test]
async fn h10_the_revocation_endpoint_answers_200_for_unknown_tokens() {
    let site = Site::new().over(|http| http.revocation());
    let revoke = |token: &str| {
        TestRequest::post().uri("/revoke").set_form([("token", token), ("token_type_hint", "nonsense")])
    };
    for token in ["x", "a.b.c", &"A".repeat(71)] {
        check(&site.send(revoke(token)).await, 200, "", "");
    }
    check(&site.send(revoke("")).await, 400, r#"{"error":"invalid_request"}"#, "");
    let pair = site.login("ann").await;
    check(&site.send(revoke(&pair.refresh_token.unwrap())).await, 200, "", "");
    assert!(!site.opens(&pair.token).await);
    check(&site.send(revoke(&pair.token)).await, 200, "", "");
    let nothing = site.send(TestRequest::post().uri("/revoke")).await;
    check(&nothing, 400, r#"{"error":"invalid_request"}"#, "");
}

/// RFC 7662 section 2.2.
#[actix_rt::test]
async fn h11_introspection_says_of_an_inactive_token_that_and_nothing_else() {
    let site = Site::new().over(|http| {
        http.introspection(|request| request.headers().get("x-service").is_some_and(|key| key == "secret"))
    });
    let ask = |token: &str| {
        TestRequest::post()
            .uri("/introspect")
            .insert_header(("x-service", "secret"))
            .set_form([("token", token)])
    };
    let pair = site.login("ann").await;
    let refresh = pair.refresh_token.unwrap();
    let active = site.send(ask(&pair.token)).await;
    assert_eq!(active.json()["active"], true);
    assert_eq!(active.json()["sub"], "ann");
    assert_eq!(active.json()["scope"], "read");
    assert_eq!(active.header("Cache-Control"), "no-store");
    assert_eq!(site.send(ask(&refresh)).await.json()["token_type"], "refresh_token");

    site.post("/logout", &pair.token).await;
    for token in ["x", &pair.token, &refresh] {
        check(&site.send(ask(token)).await, 200, r#"{"active":false}"#, "");
    }
    check(&site.send(ask("")).await, 400, r#"{"error":"invalid_request"}"#, "");
    // who asks must be known, or everyone could try tokens here
    for asking in [
        TestRequest::post().uri("/introspect").set_form([("token", &*pair.token)]),
        with_token(Method::POST, "/introspect", &pair.token).set_form([("token", &*pair.token)]),
    ] {
        check(&site.send(asking).await, 401, REQUIRED, r#"Bearer realm="api""#);
    }
    let nothing = TestRequest::post().uri("/introspect").insert_header(("x-service", "secret"));
    check(&site.send(nothing).await, 400, r#"{"error":"invalid_request"}"#, "");
}

/// OWASP Session Management and Cross-Site Request Forgery Prevention cheat sheets; more in `cookies`.
#[actix_rt::test]
async fn h12_cookies_are_host_only_and_changes_need_proof_of_the_same_origin() {
    let site = Site::new().over(|http| http.cookies(Cookies::new()));
    let login = TestRequest::post().uri("/login").insert_header(("Sec-Fetch-Site", "same-origin"));
    let login = site.send(login).await;
    let cookies = login.all("Set-Cookie");
    assert_eq!(cookies.len(), 2);
    for (cookie, name) in cookies.iter().zip(["__Host-token=", "__Host-refresh="]) {
        let mut parts: Vec<&str> = cookie.split("; ").collect();
        let value = parts.remove(0);
        parts.sort_unstable();
        assert!(value.starts_with(name), "{cookie}");
        assert_eq!(
            parts[..2],
            ["HttpOnly", if name.contains("token") { "Max-Age=900" } else { "Max-Age=7776000" }]
        );
        assert_eq!(parts[2..], ["Path=/", "SameSite=Lax", "Secure"]);
    }
    let cookie = cookies[0].split(';').next().unwrap();
    let with = |method: Method, site: Option<&str>| {
        let request = request(method, "/protected").insert_header(("Cookie", cookie));
        match site {
            Some(site) => request.insert_header(("Sec-Fetch-Site", site)),
            None => request,
        }
    };
    check(&site.send(with(Method::POST, Some("same-origin"))).await, 200, "Welcome, ann", "");
    check(&site.send(with(Method::GET, None)).await, 200, "Welcome, ann", "");
    let text = r#"{"_errors":["the request does not come from this site"]}"#;
    for from in [None, Some("cross-site"), Some("same-site"), Some("none"), Some("")] {
        check(&site.send(with(Method::POST, from)).await, 403, text, "");
    }
}

/// Nobody is taken for a stranger because their token is bad.
#[actix_rt::test]
async fn h13_an_invalid_token_on_an_optional_route_is_401() {
    let site = Site::new();
    let token = site.login("ann").await.token;
    assert_eq!(site.send(request(Method::GET, "/optional")).await.text, "Welcome, stranger");
    assert_eq!(site.get("/optional", &token).await.text, "Welcome, ann");
    let basic = request(Method::GET, "/optional").insert_header(("Authorization", "Basic dTpw"));
    assert_eq!(
        site.send(basic).await.text,
        "Welcome, stranger",
        "somebody else's credentials are none of ours"
    );
    for bad in ["x", "a.b.c", &format!("{token}x"), &token[1..]] {
        let answer = site.get("/optional", bad).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (401, INVALID), "{bad}");
    }
    for malformed in ["Bearer", "Bearer ", "Bearer\tx", "Bearer,x"] {
        let request = request(Method::GET, "/optional").insert_header(("Authorization", malformed));
        assert_eq!(site.send(request).await.status, StatusCode::BAD_REQUEST, "{malformed:?}");
    }
    site.later(3600);
    assert_eq!(site.get("/optional", &token).await.status, StatusCode::UNAUTHORIZED);
}
