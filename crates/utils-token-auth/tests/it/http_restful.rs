//! Inside of `Restful`: the same refusals as problem details, with the challenge, and from handlers of its own kind.
use std::time::Duration;

use actix_web::{
    App,
    dev::Service,
    http::{Method, StatusCode},
    test::{self, TestRequest},
    web,
};
use utils_restful::{ApiError, OrRespond, Restful};
use utils_token_auth::{Auth, Client, Cookies, Keys, MemoryStore, Refusal, Session, TokenAuth};

use crate::http_app::{Answer, Claims, SECRET, Site, request, with_token};

async fn send(site: &Site, request: TestRequest) -> Answer {
    let write = |auth: Auth<Claims>| async move {
        auth.require("write").or_respond()?;
        Ok::<_, ApiError>("written")
    };
    let fresh = |auth: Auth<Claims>| async move {
        auth.fresh(Duration::ZERO).or_respond()?;
        Ok::<_, ApiError>("fresh")
    };
    let sure = |auth: Auth<Claims>| async move {
        auth.confirm().await.or_respond()?;
        Ok::<_, ApiError>("sure")
    };
    let app = App::new()
        .configure(site.http.routes())
        .route("/write", web::get().to(write))
        .route("/fresh", web::get().to(fresh))
        .route("/sure", web::get().to(sure))
        .service(web::scope("/area").wrap(site.http.protect()).route("/me", web::get().to(|| async { "in" })))
        .wrap(Restful::new());
    let app = test::init_service(app).await;
    Answer::of(app.call(request.to_request()).await).await
}

#[actix_rt::test]
async fn a_refusal_is_a_problem_with_a_code_and_keeps_its_challenge() {
    let site = Site::new();
    let token = site.login("ann").await.token;
    let ended = site.login("ann").await.token;
    site.post("/logout", &ended).await;
    site.later(1);
    let problem = |request: TestRequest| request.insert_header(("Accept", "application/problem+json"));
    for (request, status, code, challenge) in [
        (request(Method::GET, "/tokens"), 401, "token_missing", "Bearer realm=\"api\""),
        (request(Method::GET, "/area/me"), 401, "token_missing", "Bearer realm=\"api\""),
        (with_token(Method::GET, "/area/me", "x"), 401, "token_invalid", "invalid_token"),
        (with_token(Method::GET, "/area/me", &ended), 401, "token_revoked", "invalid_token"),
        (with_token(Method::GET, "/write", &token), 403, "insufficient_scope", "scope=\"write\""),
        (with_token(Method::GET, "/fresh", &token), 401, "sign_in_too_old", "max_age=\"0\""),
        (
            with_token(Method::GET, "/tokens?", "").append_header(("Authorization", "Bearer x")),
            400,
            "credentials_malformed",
            "invalid_request",
        ),
        (with_token(Method::DELETE, "/tokens/x", &token), 404, "session_not_found", ""),
        (
            TestRequest::post().uri("/renew").set_form([("refreshToken", "x")]),
            401,
            "refresh_token_invalid",
            "invalid_token",
        ),
        (TestRequest::post().uri("/renew"), 401, "refresh_token_missing", "Bearer realm=\"api\""),
        (TestRequest::post().uri("/logout"), 401, "token_missing", "Bearer realm=\"api\""),
        (TestRequest::patch().uri("/renew"), 405, "", ""),
    ] {
        let answer = send(&site, problem(request)).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        assert_eq!(answer.header("Content-Type"), "application/problem+json", "{answer:?}");
        assert_eq!(answer.json()["code"].as_str().unwrap_or_default(), code, "{answer:?}");
        assert!(answer.challenge().contains(challenge), "{answer:?}");
    }
}

#[actix_rt::test]
async fn a_refused_cookie_is_a_problem_that_clears_the_cookies() {
    let site = Site::new().over(|http| http.cookies(Cookies::new()));
    let renew = TestRequest::post()
        .uri("/renew")
        .insert_header(("Accept", "application/problem+json"))
        .insert_header(("Sec-Fetch-Site", "same-origin"))
        .insert_header(("Cookie", "__Host-refresh=x"));
    let refused = send(&site, renew).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (401, &"refresh_token_invalid".into()));
    assert!(refused.challenge().contains("invalid_token"));
    assert_eq!(refused.all("Set-Cookie").len(), 2, "{refused:?}");
}

#[actix_rt::test]
async fn an_outage_is_503_without_a_word_about_the_database() {
    let site = Site::new();
    let token = site.login("ann").await.token;
    site.store.break_down(true);
    for path in ["/sure", "/tokens"] {
        let answer = send(&site, with_token(Method::GET, path, &token)).await;
        assert_eq!(answer.text, r#"{"_errors":["sessions are not available at the moment"]}"#);
        assert_eq!((answer.status, answer.header("Retry-After")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    }
}

/// What a claims function may fail with: Diesel's errors have a status of their own elsewhere.
fn no_such_row() -> Result<Claims, Refusal> {
    #[cfg(feature = "sqlite")]
    Err(diesel::result::Error::NotFound)?;
    Err(std::io::Error::other("no such row"))?
}

#[actix_rt::test]
async fn a_row_that_the_claims_function_missed_is_503_and_never_404() {
    let keys = Keys::hs256("1", SECRET).unwrap();
    let auth =
        TokenAuth::new(keys, MemoryStore::new(), |_: Session| async { no_such_row() }).build().unwrap();
    let hidden = {
        let auth = auth.clone();
        move || {
            let auth = auth.clone();
            async move { Ok::<_, ApiError>(auth.login("ann", (), Client::unknown()).await?) }
        }
    };
    let kept = move || {
        let auth = auth.clone();
        async move { auth.login("ann", (), Client::unknown()).await.or_respond() }
    };
    let app = App::new()
        .route("/hidden", web::post().to(hidden))
        .route("/kept", web::post().to(kept))
        .wrap(Restful::new());
    let app = test::init_service(app).await;
    for path in ["/hidden", "/kept"] {
        let request = TestRequest::post().uri(path).insert_header(("Accept", "application/problem+json"));
        let answer = Answer::of(app.call(request.to_request()).await).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {answer:?}");
        assert_eq!(answer.json()["code"], "sessions_unavailable", "{path}");
        assert!(!answer.text.contains("row"), "{path}: {answer:?}");
    }
}
