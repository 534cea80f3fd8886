//! The routes of a user's sessions.
use actix_web::{
    App,
    dev::Service,
    http::{Method, StatusCode},
    test::{self, TestRequest},
    web,
};
use serde_json::json;
use utils_token_auth::{Keys, Policy};

use crate::{
    attacks_http::raw,
    http_app::{Answer, Http, SECRET, Site, request, with_token},
};

#[actix_rt::test]
async fn the_way_from_login_to_logout_is_that_of_the_original() {
    let site = Site::with_policy(Policy::default().rotate(false));
    let login = site.send(TestRequest::post().uri("/login").set_payload("test")).await;
    let (token, refresh) = (login.json()["token"].clone(), login.json()["refreshToken"].clone());
    let (token, refresh) = (token.as_str().unwrap(), refresh.as_str().unwrap());
    assert_eq!(login.json().as_object().unwrap().len(), 2);
    assert_eq!(site.post("/protected", token).await.text, "Welcome, test");

    site.later(60);
    let renewed = site.renew(refresh).await;
    assert_eq!(renewed.status, StatusCode::OK);
    assert_eq!(renewed.json().as_object().unwrap().keys().collect::<Vec<_>>(), ["token"]);
    let renewed = renewed.json()["token"].as_str().unwrap().to_owned();
    assert!(site.opens(&renewed).await);

    let logout = site.post("/logout", &renewed).await;
    assert_eq!(logout.summary(), r#"200: {"status":"success"}"#);
    assert_eq!(
        site.renew(refresh).await.summary(),
        "401: {\"_errors\":[\"The provided token was invalid.\"]} \
         [Bearer realm=\"api\", error=\"invalid_token\", error_description=\"the refresh token is not good\"]"
    );
    assert!(
        !site.opens(&renewed).await && !site.opens(token).await,
        "the access tokens end with the session"
    );
}

#[actix_rt::test]
async fn a_renewal_takes_json_and_forms_and_hands_out_the_new_refresh_token() {
    let site = Site::new();
    let pair = site.login("ann").await;
    let refresh = pair.refresh_token.unwrap();
    site.later(60);
    let by_json =
        site.send(TestRequest::post().uri("/renew").set_json(json!({ "refreshToken": refresh }))).await;
    assert_eq!(by_json.status, StatusCode::OK, "{by_json:?}");
    let by_form = site.renew(&refresh).await;
    assert_eq!(
        by_json.json()["refreshToken"],
        by_form.json()["refreshToken"],
        "the same successor within the grace"
    );
    assert_ne!(by_json.json()["refreshToken"], json!(refresh));
}

#[actix_rt::test]
async fn a_renewal_without_a_refresh_token_is_401_and_with_a_malformed_body_400() {
    let site = Site::new();
    let refresh = site.login("ann").await.refresh_token.unwrap();
    let renew = || TestRequest::post().uri("/renew");
    for (case, request, status) in [
        ("nothing", renew(), 401),
        ("an empty form", renew().set_form([("x", "y")]), 401),
        ("an empty token", renew().set_form([("refreshToken", "")]), 401),
        ("an empty text", renew().set_json(json!({ "refreshToken": "" })), 401),
        ("another name", renew().set_form([("refresh_token", &*refresh)]), 401),
        ("null", renew().set_json(json!({ "refreshToken": null })), 401),
        ("in the address", TestRequest::post().uri(&format!("/renew?refreshToken={refresh}")), 401),
        ("as a bearer token", with_token(Method::POST, "/renew", &refresh), 401),
        ("plain text", renew().set_payload(format!("refreshToken={refresh}")), 401),
        ("a number", renew().set_json(json!({ "refreshToken": 5 })), 400),
        ("a list", renew().set_json(json!([refresh])), 400),
        ("no JSON", renew().insert_header(("Content-Type", "application/json")).set_payload("{"), 400),
        ("twice", renew().set_form([("refreshToken", &*refresh), ("refreshToken", &*refresh)]), 400),
        (
            "twice in JSON",
            renew()
                .insert_header(("Content-Type", "application/json"))
                .set_payload(format!(r#"{{"refreshToken":"{refresh}","refreshToken":"{refresh}"}}"#)),
            400,
        ),
        ("17 KiB", renew().set_form([("refreshToken", "x".repeat(17 * 1024))]), 413),
    ] {
        let answer = site.send(request).await;
        assert_eq!(answer.status.as_u16(), status, "{case}: {answer:?}");
        assert_eq!(answer.challenge().is_empty(), status == 413, "{case}: {answer:?}");
        if status == 401 {
            assert!(
                answer.text.contains("A valid token is required"),
                "nothing was sent: {case}: {answer:?}"
            );
        }
    }
    assert_eq!(site.renew(&refresh).await.status, StatusCode::OK, "none of it did any harm");
}

#[actix_rt::test]
async fn oauth_names_change_fields_and_errors() {
    let site = Site::new().over(|http| http.oauth_names());
    let login = site.send(TestRequest::post().uri("/login")).await.json();
    assert_eq!(login["token_type"], "Bearer");
    assert_eq!(login["expires_in"], 900);
    let refresh = login["refresh_token"].as_str().unwrap();
    assert!(site.opens(login["access_token"].as_str().unwrap()).await);

    site.later(60);
    let form = |token: &str| {
        TestRequest::post()
            .uri("/renew")
            .set_form([("grant_type", "refresh_token"), ("refresh_token", token)])
    };
    let renewed = site.send(form(refresh)).await.json();
    let names: Vec<_> = renewed.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["access_token", "expires_in", "refresh_token", "token_type"]);
    assert_eq!(site.send(form("x")).await.summary(), r#"400: {"error":"invalid_grant"}"#);
    assert_eq!(
        site.send(TestRequest::post().uri("/renew")).await.summary(),
        r#"400: {"error":"invalid_request"}"#
    );
}

#[actix_rt::test]
async fn where_oauth_is_spoken_a_body_that_cannot_be_read_is_an_invalid_request() {
    let all = |http: Http| http.oauth_names().revocation().introspection(|_| true);
    let site = Site::new().over(all);
    for path in ["/renew", "/introspect", "/revoke"] {
        for (case, kind, body, status) in [
            ("no JSON", "application/json", "{".to_owned(), 400),
            ("a list", "application/json", "[]".to_owned(), 400),
            ("17 KiB", "application/x-www-form-urlencoded", "x".repeat(17 * 1024), 413),
        ] {
            let request =
                TestRequest::post().uri(path).insert_header(("Content-Type", kind)).set_payload(body);
            let answer = site.send(request).await;
            let expected = format!(r#"{status}: {{"error":"invalid_request"}}"#);
            assert_eq!(answer.summary(), expected, "{path} {case}");
        }
    }
}

#[actix_rt::test]
async fn a_logout_takes_either_token_from_either_place() {
    let site = Site::new();
    let form = |name: &'static str, token: &str| TestRequest::post().uri("/logout").set_form([(name, token)]);
    for case in 0..5 {
        let pair = site.login("ann").await;
        let (token, refresh) = (pair.token, pair.refresh_token.unwrap());
        let logout = match case {
            0 => with_token(Method::POST, "/logout", &token),
            1 => with_token(Method::POST, "/logout", &refresh),
            2 => form("refreshToken", &refresh),
            3 => form("token", &token),
            _ => TestRequest::post().uri("/logout").set_json(json!({ "refreshToken": refresh })),
        };
        assert_eq!(site.send(logout).await.summary(), r#"200: {"status":"success"}"#, "case {case}");
        assert!(!site.opens(&token).await, "case {case}");
        assert_eq!(site.renew(&refresh).await.status, StatusCode::UNAUTHORIZED, "case {case}");
    }
}

#[actix_rt::test]
async fn a_logout_with_an_access_and_a_refresh_token_ends_both_sessions() {
    let site = Site::new();
    let (one, other) = (site.login("ann").await, site.login("ann").await);
    let request = with_token(Method::POST, "/logout", &one.token)
        .set_form([("refreshToken", other.refresh_token.unwrap())]);
    assert_eq!(site.send(request).await.status, StatusCode::OK);
    assert!(!site.opens(&one.token).await && !site.opens(&other.token).await);
}

#[actix_rt::test]
async fn a_logout_with_an_expired_access_token_ends_the_session_too() {
    let site = Site::new();
    let pair = site.login("ann").await;
    site.later(3600);
    assert_eq!(site.post("/logout", &pair.token).await.status, StatusCode::OK);
    assert_eq!(site.renew(&pair.refresh_token.unwrap()).await.status, StatusCode::UNAUTHORIZED);
}

#[actix_rt::test]
async fn a_logout_without_a_token_or_with_a_made_up_one_is_401() {
    let site = Site::new();
    let nothing = site.send(TestRequest::post().uri("/logout")).await;
    assert_eq!(
        nothing.summary(),
        "401: {\"_errors\":[\"A valid token is required to access this resource\"]} [Bearer realm=\"api\"]"
    );
    let made_up = site.post("/logout", "x").await;
    assert_eq!(made_up.status, StatusCode::UNAUTHORIZED);
    assert_eq!(made_up.text, r#"{"_errors":["The provided token was invalid."]}"#);
}

#[actix_rt::test]
async fn the_list_shows_devices_and_marks_the_one_that_asks() {
    let site = Site::new();
    let login = TestRequest::post()
        .uri("/login")
        .peer_addr("192.0.2.7:4711".parse().unwrap())
        .insert_header(("User-Agent", "Firefox"))
        .insert_header(("X-Device-Label", "Ann's laptop"));
    let first = site.send(login).await.json();
    site.later(60);
    let second = site.login("ann").await;
    site.login("bob").await;

    let list = site.get("/tokens", &second.token).await;
    assert_eq!(list.header("Cache-Control"), "no-store");
    let tokens = list.json()["tokens"].as_array().unwrap().clone();
    assert_eq!(tokens.len(), 2, "only the user's own");
    assert_eq!(tokens[0]["id"], second.session.to_string());
    assert_eq!((&tokens[0]["current"], &tokens[1]["current"]), (&json!(true), &json!(false)));
    assert_eq!(tokens[1]["ip"], "192.0.2.7");
    assert_eq!(tokens[1]["userAgent"], "Firefox");
    assert_eq!(tokens[1]["label"], "Ann's laptop");
    assert_eq!(tokens[1]["createdAt"], "2023-11-14T22:13:20Z");
    let other = site.get("/tokens", first["token"].as_str().unwrap()).await.json();
    assert_eq!(other["tokens"][1]["current"], true);
}

/// RFC 9110 section 9.3.2.
#[actix_rt::test]
async fn head_says_of_the_list_what_get_says_and_leaves_the_body_out() {
    let site = Site::new();
    let token = site.login("ann").await.token;
    let (address, server) = site.serve();
    let ask = |method: &str, token: &str| {
        let authorization = format!("Authorization: Bearer {token}\r\n");
        format!("{method} /tokens HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{authorization}\r\n")
    };
    for (token, status) in [(&*token, "200"), ("x", "401")] {
        let get = raw(address, ask("GET", token)).await;
        let head = raw(address, ask("HEAD", token)).await;
        let headers = |answer: &str| {
            let head = answer.split("\r\n\r\n").next().unwrap_or_default();
            let mut lines: Vec<_> =
                head.lines().filter(|line| !line.starts_with("date:")).map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        assert_eq!(headers(&get), headers(&head));
        assert!(head.ends_with("\r\n\r\n") && !get.ends_with("\r\n\r\n"), "{head}");
    }
    server.stop(false).await;
}

#[actix_rt::test]
async fn one_session_is_ended_by_its_id() {
    let site = Site::new();
    let (one, other) = (site.login("ann").await, site.login("ann").await);
    let path = format!("/tokens/{}", other.session);
    let ended = site.delete(&path, &one.token).await;
    assert_eq!(ended.summary(), r#"200: {"message":"the token has been deleted"}"#);
    assert!(site.opens(&one.token).await && !site.opens(&other.token).await);
    assert_eq!(site.delete(&path, &one.token).await.status, StatusCode::NOT_FOUND, "it is gone");

    let own = format!("/tokens/{}", one.session);
    assert_eq!(site.delete(&own, &one.token).await.status, StatusCode::OK);
    assert!(!site.opens(&one.token).await);
}

#[actix_rt::test]
async fn the_others_are_ended_and_the_one_that_asks_stays() {
    let site = Site::new();
    let (one, other, bob) = (site.login("ann").await, site.login("ann").await, site.login("bob").await);
    let ended = site.delete("/tokens/others", &one.token).await;
    assert_eq!(ended.summary(), r#"200: {"message":"you are now disconnected on every other device"}"#);
    assert!(site.opens(&one.token).await && !site.opens(&other.token).await && site.opens(&bob.token).await);
    assert_eq!(
        site.delete("/tokens/others", &one.token).await.status,
        StatusCode::OK,
        "there are none: nothing to do"
    );
}

#[actix_rt::test]
async fn all_are_ended_the_one_that_asks_included() {
    let site = Site::new();
    let (one, other, bob) = (site.login("ann").await, site.login("ann").await, site.login("bob").await);
    let ended = site.delete("/tokens", &one.token).await;
    assert_eq!(ended.summary(), r#"200: {"message":"you are now disconnected on every device"}"#);
    assert!(!site.opens(&one.token).await && !site.opens(&other.token).await && site.opens(&bob.token).await);
}

#[actix_rt::test]
async fn the_routes_want_a_token_and_name_their_methods() {
    let site = Site::new();
    for (method, path) in [
        (Method::GET, "/tokens"),
        (Method::DELETE, "/tokens"),
        (Method::DELETE, "/tokens/others"),
        (Method::DELETE, "/tokens/x"),
    ] {
        let answer = site.send(request(method.clone(), path)).await;
        assert_eq!(
            (answer.status, answer.challenge()),
            (StatusCode::UNAUTHORIZED, "Bearer realm=\"api\""),
            "{method} {path}"
        );
    }
    for (path, allow) in [
        ("/renew", "POST"),
        ("/logout", "POST"),
        ("/tokens", "GET, HEAD, DELETE"),
        ("/tokens/others", "DELETE"),
        ("/tokens/x", "DELETE"),
        ("/.well-known/jwks.json", "GET, HEAD"),
    ] {
        for method in [Method::PATCH, Method::OPTIONS, Method::HEAD] {
            if allow.contains(method.as_str()) {
                continue;
            }
            let answer = site.send(request(method.clone(), path)).await;
            let said = (answer.status, answer.header("Allow"));
            assert_eq!(said, (StatusCode::METHOD_NOT_ALLOWED, allow), "{method} {path}");
        }
    }
    assert_eq!(
        site.send(TestRequest::post().uri("/introspect")).await.status,
        StatusCode::NOT_FOUND,
        "off unless asked for"
    );
    assert_eq!(
        site.send(TestRequest::post().uri("/revoke")).await.status,
        StatusCode::NOT_FOUND,
        "off unless asked for"
    );
}

#[actix_rt::test]
async fn the_key_set_has_the_public_keys_and_never_a_secret() {
    let path = "/.well-known/jwks.json";
    let site = Site::new();
    let secrets = site.send(TestRequest::get().uri(path)).await;
    assert_eq!(secrets.summary(), r#"200: {"keys":[]}"#);
    assert_eq!(secrets.header("Cache-Control"), "public, max-age=300");

    let private = include_str!("vectors/keys/ed25519.pem");
    let keys = Keys::ed25519("2026-11", private).unwrap().and_verify(Keys::hs256("old", SECRET).unwrap());
    let site = Site::with_keys(keys);
    let pair = site.login("ann").await;
    assert!(site.opens(&pair.token).await, "tokens are signed by it");
    let set = site.send(TestRequest::get().uri(path)).await.json();
    let keys = set["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 1, "{set}");
    let names: Vec<&String> = keys[0].as_object().unwrap().keys().collect();
    assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x"]);
    assert_eq!(keys[0]["kid"], "2026-11");
    let head = site.send(request(Method::HEAD, path)).await;
    assert_eq!(head.status, StatusCode::OK);
    assert_eq!(site.send(request(Method::POST, path)).await.header("Allow"), "GET, HEAD");
}

#[actix_rt::test]
async fn the_routes_work_in_a_scope_with_parameters_of_its_own() {
    let site = Site::new();
    let (one, other) = (site.login("ann").await, site.login("ann").await);
    let scope = web::scope("/{tenant}/v1").configure(site.http.routes());
    let app = test::init_service(App::new().service(scope)).await;
    let path = format!("/shop/v1/tokens/{}", other.session);
    let request = with_token(Method::DELETE, &path, &one.token).to_request();
    assert_eq!(Answer::of(app.call(request).await).await.status, StatusCode::OK);
    assert!(!site.opens(&other.token).await);
}
