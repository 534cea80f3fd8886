//! The extractors and `protect()`: whose token it is, how often it is verified, and what an application may get wrong.
use std::time::Duration;

use actix_web::{
    App, HttpResponse,
    dev::Service,
    http::{Method, StatusCode},
    test::{self, TestRequest},
    web,
};
use serde::{Deserialize, Serialize};
use utils_token_auth::{Auth, Client, Error, Keys, MaybeAuth, Protect, Proxies};

use crate::http_app::{Answer, Claims, Site, request, with_token};

#[actix_rt::test]
async fn a_handler_may_ask_twice_for_the_token() {
    let site = Site::new();
    let token = site.login("ann").await.token;
    assert_eq!(site.get("/both", &token).await.text, "ann ann");
    assert_eq!(site.send(request(Method::GET, "/both")).await.status, StatusCode::UNAUTHORIZED);
}

#[actix_rt::test]
async fn behind_protect_a_request_is_verified_once_whoever_asks() {
    let site = Site::new();
    let token = site.login("ann").await.token;
    let count = |auth: Auth<Claims>, again: MaybeAuth<Claims>| async move {
        // the very same verified token, not an equal one
        std::ptr::eq::<utils_token_auth::Token<Claims>>(&*auth, &**again.0.as_ref().unwrap()).to_string()
    };
    let app = test::init_service(
        App::new()
            .configure(site.http.routes())
            .service(web::scope("/a").wrap(site.http.protect()).route("/me", web::get().to(count)))
            .service(
                web::scope("/b")
                    .wrap(site.http.protect().scope("read"))
                    .wrap(site.http.protect())
                    .route("/me", web::get().to(count)),
            ),
    )
    .await;
    for path in ["/a/me", "/b/me"] {
        let answer = Answer::of(app.call(with_token(Method::GET, path, &token).to_request()).await).await;
        assert_eq!(answer.text, "true", "{path}");
    }
}

fn other_site() -> Site {
    Site::with_keys(Keys::hs256("1", b"another secret of at least 32 bytes").unwrap())
}

#[actix_rt::test]
async fn two_engines_with_the_same_claims_are_not_mixed_up() {
    let (customers, staff) = (Site::new(), other_site());
    let (customer, member) = (customers.login("ann").await.token, staff.login("root").await.token);
    let who = |auth: Auth<Claims>| async move { auth.user.clone() };
    let me = |path: &str| web::scope(path).route("/me", web::get().to(who));
    let app = test::init_service(
        App::new()
            .configure(customers.http.routes())
            .route("/me", web::get().to(who))
            .service(me("/staff").configure(staff.http.routes()))
            .service(me("/area").wrap(staff.http.protect()).configure(staff.http.extractors()))
            .service(me("/half").wrap(staff.http.protect()))
            .service(
                web::scope("/outer")
                    .wrap(customers.http.protect())
                    .service(me("/inner").configure(staff.http.extractors())),
            ),
    )
    .await;
    for (path, token, expected) in [
        ("/me", &customer, "ann"),
        ("/me", &member, "401"),
        ("/staff/me", &member, "root"),
        ("/staff/me", &customer, "401"),
        ("/area/me", &member, "root"),
        ("/area/me", &customer, "401"),
        ("/half/me", &member, "401"), // it pleases the scope, and not the engine that the handler asks
        ("/half/me", &customer, "401"),
        ("/outer/inner/me", &customer, "401"),
        ("/outer/inner/me", &member, "401"),
    ] {
        let answer = Answer::of(app.call(with_token(Method::GET, path, token).to_request()).await).await;
        let found = if answer.status == StatusCode::OK { &*answer.text } else { answer.status.as_str() };
        assert_eq!(found, expected, "{path}");
    }
}

#[actix_rt::test]
async fn a_protected_scope_alone_is_enough_for_its_handlers() {
    let site = Site::new();
    let token = site.login("ann").await.token;
    let who = |auth: Auth<Claims>, maybe: MaybeAuth<Claims>| async move {
        format!("{} {}", auth.user, maybe.0.is_some())
    };
    let app =
        App::new().service(web::scope("/area").wrap(site.http.protect()).route("/me", web::get().to(who)));
    let app = test::init_service(app).await;
    let answer = Answer::of(app.call(with_token(Method::GET, "/area/me", &token).to_request()).await).await;
    assert_eq!(answer.text, "ann true");
}

#[actix_rt::test]
async fn without_an_engine_for_these_claims_the_answer_is_500_and_never_a_stranger() {
    #[derive(Serialize, Deserialize)]
    struct OtherClaims {}

    let site = Site::new();
    let token = site.login("ann").await.token;
    let app = test::init_service(
        App::new()
            .configure(site.http.routes())
            .route("/auth", web::get().to(|_: Auth<OtherClaims>| async { "in" }))
            .route("/maybe", web::get().to(|_: MaybeAuth<OtherClaims>| async { "in" })),
    )
    .await;
    for path in ["/auth", "/maybe"] {
        for request in [with_token(Method::GET, path, &token), request(Method::GET, path)] {
            let answer = Answer::of(app.call(request.to_request()).await).await;
            assert_eq!(answer.summary(), r#"500: {"_errors":["authentication is not set up"]}"#);
        }
    }
}

#[actix_rt::test]
async fn protect_refuses_with_an_answer_that_middlewares_around_it_see() {
    let site = Site::new();
    let app = test::init_service(
        App::new().service(
            web::scope("/area")
                .wrap(site.http.protect())
                .wrap(actix_web::middleware::DefaultHeaders::new().add(("X-Outer", "seen")))
                .route("/me", web::get().to(HttpResponse::Ok)),
        ),
    )
    .await;
    let answer = Answer::of(app.call(TestRequest::get().uri("/area/me").to_request()).await).await;
    assert_eq!((answer.status, answer.header("X-Outer")), (StatusCode::UNAUTHORIZED, "seen"));
}

#[actix_rt::test]
async fn protect_asks_the_store_only_when_told_to() {
    let site = Site::new();
    let token = site.login("ann").await.token;
    let calls = site.store.calls("get");
    for path in ["/area/me", "/read/me", "/protected", "/optional"] {
        assert_eq!(site.get(path, &token).await.status, StatusCode::OK);
    }
    assert_eq!(site.store.calls("get"), calls);
    assert_eq!(site.get("/vault/me", &token).await.status, StatusCode::OK);
    assert_eq!(site.store.calls("get"), calls + 1);
}

#[actix_rt::test]
async fn protect_takes_a_check_of_the_applications_own() {
    let site = Site::new();
    let token = site.login("ann").await.token;
    let only = |name: &'static str| -> Protect<Claims> {
        site.http.protect().check(move |auth| {
            if auth.user == name { Ok(()) } else { Err(Error::Scope(format!("be:{name}"))) }
        })
    };
    let app = test::init_service(
        App::new()
            .service(web::scope("/ann").wrap(only("ann")).route("/", web::get().to(HttpResponse::Ok)))
            .service(web::scope("/bob").wrap(only("bob")).route("/", web::get().to(HttpResponse::Ok))),
    )
    .await;
    for (path, status) in [("/ann/", StatusCode::OK), ("/bob/", StatusCode::FORBIDDEN)] {
        let answer = Answer::of(app.call(with_token(Method::GET, path, &token).to_request()).await).await;
        assert_eq!(answer.status, status, "{path}");
    }
}

#[actix_rt::test]
async fn an_answer_keeps_the_cache_control_of_its_handler() {
    let site = Site::new().over(|http| http.query_param("token"));
    let token = site.login("ann").await.token;
    let app = test::init_service(App::new().service(web::scope("/area").wrap(site.http.protect()).route(
        "/me",
        web::get().to(|| async { HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).finish() }),
    )))
    .await;
    let answer = Answer::of(app.call(with_token(Method::GET, "/area/me", &token).to_request()).await).await;
    assert_eq!(answer.all("Cache-Control"), ["no-store"]);
}

#[actix_rt::test]
async fn freshness_is_measured_to_the_second_and_a_clock_that_runs_ahead_does_no_harm() {
    let site = Site::new();
    let token = site.login("ann").await.token;
    let is_fresh = async |seconds: u64| {
        let app = test::init_service(App::new().configure(site.http.extractors()).route(
            "/",
            web::get().to(move |auth: Auth<Claims>| async move {
                auth.fresh(Duration::from_secs(seconds)).map(|_| "fresh")
            }),
        ))
        .await;
        Answer::of(app.call(with_token(Method::GET, "/", &token).to_request()).await).await.status
            == StatusCode::OK
    };
    assert!(is_fresh(0).await);
    site.later(10);
    assert!(!is_fresh(9).await && is_fresh(10).await && is_fresh(u64::MAX).await);
    site.clock.set(crate::http_app::START - 4_000);
    assert!(is_fresh(0).await, "signed in 4 s from now, by the clock of another server");
}

#[actix_rt::test]
async fn the_client_is_who_the_proxies_say_if_they_are_known() {
    let who = |client: Client| async move {
        format!(
            "{} {} {}",
            client.ip.unwrap(),
            client.user_agent.unwrap_or_default(),
            client.label.unwrap_or_default()
        )
    };
    for (proxies, expected) in [
        (Proxies::none(), "10.0.0.5"),
        (Proxies::networks(["10.0.0.0/8"]).unwrap(), "203.0.113.9"),
        (Proxies::hops(2), "6.6.6.6"),
    ] {
        let http = Site::new().http.proxies(proxies);
        let app =
            test::init_service(App::new().configure(http.extractors()).route("/", web::get().to(who))).await;
        let request = TestRequest::get()
            .peer_addr("10.0.0.5:1".parse().unwrap())
            .insert_header(("X-Forwarded-For", "6.6.6.6"))
            .append_header(("X-Forwarded-For", "203.0.113.9"))
            .insert_header(("User-Agent", "curl"))
            .insert_header(("X-Device-Label", "a phone"));
        let answer = Answer::of(app.call(request.to_request()).await).await;
        assert_eq!(answer.text, format!("{expected} curl a phone"));
    }
}
