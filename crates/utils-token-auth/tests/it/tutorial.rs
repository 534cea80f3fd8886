//! The recorded answers of the tutorial flask_cybermooc, whose users list and revoke their tokens, asked again of ours.
//!
//! `cases/tokens.json` holds what its version 9 answered at a frozen clock; each case begins with an
//! empty database. Its requests are translated like this, and [`DIFFERENT`] says what is answered otherwise on purpose:
//!
//! - `Authorization: <token>` is sent as `Authorization: Bearer <token>`.
//! - The token of a login is our access token, and the id `n` is that of the session of the `n`th login.
//! - Tokens that nobody handed out are made anew: the same claims and fault in our format, under our key.
//! - `DELETE FROM users` is what an application does when it deletes a user.
use std::time::Duration;

use actix_web::{
    http::{Method, StatusCode, header::AUTHORIZATION},
    test::TestRequest,
};
use serde_json::{Value, json};
use utils_token_auth::{MemoryStore, Store};

use self::{
    app::{LIFE, Site},
    cases::{cases, made_anew},
    replay::Replay,
};
use crate::{
    http_app::{START, request, with_token},
    spy::Spy,
};

mod app;
mod cases;
mod replay;

/// What is answered otherwise than by the tutorial: the status of each request, and why. A case with the
/// recorded statuses differs in what is said or kept.
const DIFFERENT: &[(&str, &[u16], &str)] = &[
    ("signup_missing_username", &[422], "one shape of errors, by field, in the whole API"),
    ("signup_empty_username", &[422], "as above"),
    ("signup_missing_email", &[422], "as above"),
    ("signup_empty_email", &[422], "as above"),
    ("signup_missing_password", &[422], "as above"),
    ("login_empty_password", &[422], "as above"),
    ("signup_no_body", &[400], "a missing body is the client's fault, not a 500"),
    (
        "login_twice_same_second",
        &[200, 200, 200],
        "a session has an id of its own, so no two tokens are equal",
    ),
    (
        "login_twice_next_second",
        &[200, 200, 200, 401],
        "the clock went back: a token from the future is refused",
    ),
    (
        "list_without_authorization",
        &[401],
        "missing credentials are 401 with a challenge (RFC 9110 section 15.5.2)",
    ),
    ("delete_all_without_authorization", &[401], "as above"),
    ("list_token_in_query", &[200, 200, 401], "as above: the query is not read"),
    ("list_garbage", &[401], "one text for every bad token; what the parser thought of it stays here"),
    ("list_bearer_prefix", &[200, 200, 200], "the scheme of RFC 6750 section 2.1"),
    ("list_expired", &[200, 200, 401], "sessions that are over are purged"),
    (
        "list_expiry_boundary",
        &[200, 200, 200, 401, 401],
        "`exp` is the first second of refusal (RFC 7519 section 4.1.4)",
    ),
    ("list_shows_expired_other_token", &[200, 200, 200, 200], "a session that is over is not listed"),
    (
        "list_signed_but_never_stored",
        &[200, 200, 200],
        "a signature is the proof, without a look into the store; `confirm()` looks",
    ),
    ("list_no_user_id_claim", &[401], "a token that lacks a claim is a bad token"),
    ("delete_leading_zeros", &[200, 200, 404], "an id has one spelling"),
    ("delete_negative", &[200, 200, 404], "a refusal is JSON, also of a path that does not exist"),
    ("delete_trailing_slash", &[200, 200, 404], "as above"),
    ("get_single_token_not_allowed", &[200, 200, 405], "as above, and of a wrong method"),
    (
        "delete_all_ten_tokens",
        &[
            200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 401, 401, 401, 401, 401, 401, 401,
            401, 401, 401,
        ],
        "all sessions end in one step of the store",
    ),
    (
        "logout_twice",
        &[200, 200, 200, 200],
        "whoever is signed out already is signed out (RFC 7009 section 2.2)",
    ),
    ("admin_route_without_role", &[200, 200, 403], "a missing scope is 403 (RFC 6750 section 3.1)"),
    ("user_deleted_meanwhile", &[200, 200, 401], "a session that was ended is 401, and is purged"),
    (
        "tutorial_test_6",
        &[200, 200, 200, 200, 404, 200, 401],
        "the latest session is listed first, so the first of the list is that of the second token",
    ),
];

#[actix_rt::test]
async fn the_recorded_cases_of_the_tutorial_are_answered_alike() {
    check(|| async { MemoryStore::new() }).await;
}

#[cfg(feature = "sqlite")]
#[actix_rt::test]
async fn the_recorded_cases_of_the_tutorial_are_answered_alike_on_sqlite() {
    use utils_token_auth::DieselStore;

    let directory = tempfile::tempdir().unwrap();
    let files = std::cell::Cell::new(0);
    check(|| async {
        let file = directory.path().join(format!("{}.sqlite", files.replace(files.get() + 1)));
        let store = DieselStore::<diesel::SqliteConnection>::open(&file.display().to_string()).unwrap();
        store.migrate().await.unwrap();
        store
    })
    .await;
}

#[actix_rt::test]
async fn a_token_without_the_scheme_is_no_token() {
    let site = Site::on(MemoryStore::new());
    let token = signed_in(&site, "al").await["token"].as_str().unwrap().to_owned();
    let raw = request(Method::GET, "/need_login").insert_header((AUTHORIZATION, token.clone()));
    assert_eq!(site.send(raw).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(site.get("/need_login", &token).await, 200);
}

#[actix_rt::test]
async fn a_token_that_was_never_stored_is_refused_where_the_store_is_asked() {
    let site = Site::on(MemoryStore::new());
    let stored = signed_in(&site, "al").await["token"].as_str().unwrap().to_owned();
    let cases = cases();
    let case = cases.iter().find(|case| case.name == "list_signed_but_never_stored").unwrap();
    let signed = made_anew(&case.given.tokens["x"]);
    assert_eq!((site.get("/certain", &stored).await, site.get("/certain", &signed).await), (200, 401));
    assert_eq!((site.get("/need_login", &stored).await, site.get("/need_login", &signed).await), (200, 200));
}

#[actix_rt::test]
async fn an_unknown_user_and_a_wrong_password_are_answered_alike() {
    let site = Site::on(MemoryStore::new());
    signed_in(&site, "al").await;
    let unknown = site.send(login("bo", "pw-al")).await;
    let wrong = site.send(login("al", "pw-bo")).await;
    assert_eq!(unknown.status, StatusCode::UNAUTHORIZED);
    assert_eq!(unknown.summary(), wrong.summary());
}

#[actix_rt::test]
async fn an_administrator_may_see_the_page_of_administrators() {
    let site = Site::on(MemoryStore::new());
    let before = signed_in(&site, "al").await;
    site.users.grant(1, "admin");
    let after = site.send(login("al", "pw-al")).await.json();
    let (before, after) = (before["token"].as_str().unwrap(), after["token"].as_str().unwrap());
    assert_eq!((site.get("/admin", before).await, site.get("/admin", after).await), (403, 200));
}

#[actix_rt::test]
async fn sessions_that_are_over_are_purged_and_so_are_those_of_deleted_users() {
    let site = Site::on(MemoryStore::new());
    signed_in(&site, "al").await;
    signed_in(&site, "bo").await;
    site.delete_user(2).await;
    assert_eq!((site.auth.purge().await.unwrap(), site.auth.store().len()), (0, 2));
    let keep = site.auth.policy().keep.max(LIFE);
    site.clock.advance(LIFE + keep + Duration::from_secs(120));
    assert_eq!((site.auth.purge().await.unwrap(), site.auth.store().len()), (2, 0));
}

#[actix_rt::test]
async fn a_user_deleted_behind_the_engines_back_keeps_the_access_token_and_cannot_renew() {
    let site = Site::on(MemoryStore::new());
    let pair = signed_in(&site, "al").await;
    let token = pair["token"].as_str().unwrap();
    site.users.delete(1);
    assert_eq!(site.get("/need_login", token).await, 200);
    let renew =
        request(Method::POST, "/api/v1/renew").set_json(json!({ "refreshToken": pair["refreshToken"] }));
    assert_eq!(site.send(renew).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(site.get("/need_login", token).await, 401);
}

#[actix_rt::test]
async fn all_sessions_of_a_user_end_in_one_step_of_the_store() {
    let spy = Spy::default();
    let site = Site::on(spy.clone());
    let token = signed_in(&site, "al").await["token"].as_str().unwrap().to_owned();
    for _ in 0..9 {
        assert_eq!(site.send(login("al", "pw-al")).await.status, StatusCode::OK);
    }
    let answer = site.send(with_token(Method::DELETE, "/api/v1/tokens", &token)).await;
    assert_eq!((answer.status, spy.calls("revoke")), (StatusCode::OK, 1));
    assert_eq!(site.auth.list("1", None).await.unwrap(), []);
}

/// Signs up and in; what the login answered.
async fn signed_in<S: Store>(site: &Site<S>, username: &str) -> Value {
    site.clock.set(START);
    let (email, password) = (format!("{username}@mail.com"), format!("pw-{username}"));
    let form = json!({ "username": username, "email": email, "password": password });
    let sign_up = request(Method::POST, "/api/v1/signup").set_json(form);
    assert_eq!(site.send(sign_up).await.status, StatusCode::OK);
    site.send(login(username, &password)).await.json()
}

fn login(username: &str, password: &str) -> TestRequest {
    let form = json!({ "username": username, "password": password });
    request(Method::POST, "/api/v1/login").set_json(form)
}

async fn check<S, Opening>(open: impl Fn() -> Opening)
where
    S: Store,
    Opening: Future<Output = S>,
{
    let cases = cases();
    assert_eq!(cases.len(), 48);
    let mut wrong = Vec::new();
    for case in &cases {
        let mut replay = Replay::of(case, open().await);
        let (mut asked, mut recorded) = (Vec::new(), Vec::new());
        for (step, expected) in case.given.steps.iter().zip(&case.expect.steps) {
            let Some(exchange) = replay.step(step).await else { continue };
            let status = exchange.answer.status.as_u16();
            let mut faults = replay.faults(&exchange);
            if Some(status) == expected.status {
                faults.extend(replay.departs(&exchange, expected));
            }
            wrong.extend(faults.into_iter().map(|fault| format!("{}: {fault}", case.name)));
            asked.push(status);
            recorded.extend(expected.status);
        }
        let different = DIFFERENT.iter().find(|(name, ..)| *name == case.name);
        let wanted = different.map_or(&*recorded, |(_, statuses, _)| statuses);
        if asked != wanted {
            wrong.push(format!("{}: {asked:?}, not {wanted:?}", case.name));
        }
        if different.is_some() != (case.quirk.is_some() || asked != recorded) {
            wrong.push(format!("{}: in the table of differences: {}", case.name, different.is_some()));
        }
    }
    assert!(wrong.is_empty(), "{} faults:\n{}", wrong.len(), wrong.join("\n"));
    for (name, ..) in DIFFERENT {
        assert!(cases.iter().any(|case| case.name == *name), "no case {name}");
    }
}
