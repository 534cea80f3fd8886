//! Tokens in cookies: what is set, what is believed, and what a forged request cannot do.
use actix_web::{
    App,
    dev::Service,
    http::{Method, StatusCode, header::HeaderValue},
    test::{self, TestRequest},
    web,
};
use utils_token_auth::{Client, Cookies, Error, Pair, PairInBody, Which, Why};

use crate::http_app::{Answer, Engine, Site, request, with_token};

fn site() -> Site {
    Site::new().over(|http| http.cookies(Cookies::new()))
}

fn own(request: TestRequest) -> TestRequest {
    request.insert_header(("Sec-Fetch-Site", "same-origin"))
}

/// The cookies that an answer sets, as a browser sends them back.
fn jar(answer: &Answer) -> String {
    let pairs: Vec<_> =
        answer.all("Set-Cookie").into_iter().map(|line| line.split(';').next().unwrap()).collect();
    pairs.join("; ")
}

async fn login(site: &Site) -> String {
    let answer = site.send(own(TestRequest::post().uri("/login"))).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    jar(&answer)
}

#[actix_rt::test]
async fn no_script_sees_a_token_from_login_to_logout() {
    let site = site();
    let login = site.send(own(TestRequest::post().uri("/login"))).await;
    assert_eq!(login.text, r#"{"expiresIn":900}"#);
    assert_eq!(login.header("Cache-Control"), "no-store");
    let cookies = jar(&login);
    let with = |request: TestRequest, cookies: &str| own(request).insert_header(("Cookie", cookies));

    site.later(60);
    let renewed = site.send(with(TestRequest::post().uri("/renew"), &cookies)).await;
    assert_eq!(renewed.text, r#"{"expiresIn":900}"#);
    let renewed = jar(&renewed);
    assert!(renewed.contains("__Host-token=") && renewed.contains("__Host-refresh=") && renewed != cookies);
    assert_eq!(site.send(with(TestRequest::post().uri("/protected"), &renewed)).await.text, "Welcome, ann");

    let young = site.send(with(TestRequest::post().uri("/renew"), &renewed)).await;
    assert_eq!(young.all("Set-Cookie").len(), 1, "the refresh cookie stays: {young:?}");

    let logout = site.send(with(TestRequest::post().uri("/logout"), &renewed)).await;
    assert_eq!(logout.text, r#"{"status":"success"}"#);
    for (line, name) in logout.all("Set-Cookie").iter().zip(["__Host-token", "__Host-refresh"]) {
        let mut parts: Vec<&str> = line.split("; ").collect();
        parts.sort_unstable();
        let value = format!("{name}=");
        assert_eq!(parts, ["HttpOnly", "Max-Age=0", "Path=/", "SameSite=Lax", "Secure", &value], "{line}");
    }
    let after = site.send(with(TestRequest::post().uri("/protected"), &renewed)).await;
    assert_eq!(after.status, StatusCode::UNAUTHORIZED);
    let again = site.send(with(TestRequest::post().uri("/logout"), &renewed)).await;
    assert_eq!(again.status, StatusCode::OK, "and once more");
}

#[actix_rt::test]
async fn a_request_that_changes_something_must_come_from_a_page_of_ours() {
    let site = Site::new().over(|http| {
        http.cookies(
            Cookies::new().trust_origin("https://app.example.com").trust_origin("HTTP://localhost:3000/"),
        )
    });
    let cookie = login(&site).await;
    let refused = 403;
    for (case, headers, expected) in [
        ("our page", &[("Sec-Fetch-Site", "same-origin")][..], 200),
        (
            "our page, with its origin",
            &[("Sec-Fetch-Site", "same-origin"), ("Origin", "https://site.example")],
            200,
        ),
        ("an older browser", &[("Origin", "https://site.example")], 200),
        (
            "an older browser, port named",
            &[("Origin", "https://site.example"), ("Host", "site.example:443")],
            200,
        ),
        ("another port", &[("Origin", "https://site.example:8443")], refused),
        ("that port", &[("Origin", "https://site.example:8443"), ("Host", "site.example:8443")], 200),
        ("this machine", &[("Origin", "http://localhost:8080"), ("Host", "localhost:8080")], 200),
        ("this machine by number", &[("Origin", "http://127.0.0.1:8080"), ("Host", "127.0.0.1:8080")], 200),
        ("this machine by IPv6", &[("Origin", "http://[::1]:8080"), ("Host", "[::1]:8080")], 200),
        (
            "another port of this machine",
            &[("Origin", "http://localhost:9"), ("Host", "localhost:8080")],
            refused,
        ),
        ("a trusted page", &[("Sec-Fetch-Site", "same-site"), ("Origin", "https://app.example.com")], 200),
        (
            "a trusted page on another site",
            &[("Sec-Fetch-Site", "cross-site"), ("Origin", "http://localhost:3000")],
            200,
        ),
        ("no sign of a page", &[], refused),
        ("a sibling", &[("Sec-Fetch-Site", "same-site")], refused),
        (
            "a sibling with our origin",
            &[("Sec-Fetch-Site", "same-site"), ("Origin", "https://site.example")],
            refused,
        ),
        ("a stranger", &[("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")], refused),
        ("a stranger in an older browser", &[("Origin", "https://evil.example")], refused),
        ("an opaque origin", &[("Origin", "null")], refused),
        ("an empty origin", &[("Origin", "")], refused),
        ("the same host by plain HTTP", &[("Origin", "http://site.example")], refused),
        ("a host that begins like ours", &[("Origin", "https://site.example.evil.example")], refused),
        ("a host that ends like ours", &[("Origin", "https://evil-site.example")], refused),
        ("a user part", &[("Origin", "https://site.example@evil.example")], refused),
        ("a path", &[("Origin", "https://evil.example/site.example")], refused),
        (
            "an origin that begins like a trusted one",
            &[("Origin", "https://app.example.com.evil.example")],
            refused,
        ),
        ("a trusted host by plain HTTP", &[("Origin", "http://app.example.com")], refused),
        ("typed into the address bar", &[("Sec-Fetch-Site", "none")], refused),
        ("an unknown word", &[("Sec-Fetch-Site", "same-origin, cross-site")], refused),
        ("the word in capitals", &[("Sec-Fetch-Site", "SAME-ORIGIN")], refused),
        ("a localhost of another's", &[("Origin", "http://localhost.evil.example")], refused),
    ] {
        for (method, path) in
            [(Method::POST, "/protected"), (Method::DELETE, "/tokens/others"), (Method::POST, "/area/me")]
        {
            let mut request = request(method, path).insert_header(("Cookie", &*cookie));
            if !headers.iter().any(|(name, _)| *name == "Host") {
                request = request.insert_header(("Host", "site.example"));
            }
            for header in headers {
                request = request.insert_header(*header);
            }
            let answer = site.send(request).await;
            assert_eq!(answer.status.as_u16(), expected, "{case} {path}: {answer:?}");
        }
    }
}

#[actix_rt::test]
async fn two_headers_of_one_kind_prove_nothing() {
    let site = site();
    let cookie = login(&site).await;
    for name in ["Sec-Fetch-Site", "Origin", "Host"] {
        let mut request = request(Method::POST, "/protected")
            .insert_header(("Cookie", &*cookie))
            .insert_header(("Host", "site.example"));
        if name != "Sec-Fetch-Site" {
            request = request.insert_header(("Origin", "https://site.example"));
        }
        let value = match name {
            "Sec-Fetch-Site" => "same-origin",
            "Origin" => "https://site.example",
            _ => "site.example",
        };
        let request = request.insert_header((name, value)).append_header((name, value));
        assert_eq!(site.send(request).await.status, StatusCode::FORBIDDEN, "{name}");
    }
}

#[actix_rt::test]
async fn a_forged_request_changes_nothing_and_learns_nothing() {
    let site = site();
    let cookie = login(&site).await;
    let forged = |method: Method, path: &str, cookie: &str| {
        request(method, path)
            .insert_header(("Cookie", cookie))
            .insert_header(("Sec-Fetch-Site", "cross-site"))
            .insert_header(("Origin", "https://evil.example"))
    };
    site.later(60);
    for (method, path) in [
        (Method::POST, "/renew"),
        (Method::POST, "/logout"),
        (Method::DELETE, "/tokens"),
        (Method::DELETE, "/tokens/others"),
        (Method::POST, "/protected"),
        (Method::POST, "/optional"),
    ] {
        let signed_in = site.send(forged(method.clone(), path, &cookie)).await;
        assert_eq!(signed_in.status, StatusCode::FORBIDDEN, "{method} {path}: {signed_in:?}");
        assert!(signed_in.all("Set-Cookie").is_empty(), "{path}");
        if path != "/logout" && path != "/renew" {
            let stale = site.send(forged(method, path, "__Host-token=x")).await;
            assert_eq!(stale.summary(), signed_in.summary(), "the same for a token that is not good: {path}");
        }
    }
    let still = own(TestRequest::post().uri("/renew")).insert_header(("Cookie", &*cookie));
    assert_eq!(site.send(still).await.status, StatusCode::OK);
}

#[actix_rt::test]
async fn a_websocket_is_opened_by_a_page_of_ours_alone() {
    let site = site();
    let cookie = login(&site).await;
    let proofs = [
        ("our page", &[("Sec-Fetch-Site", "same-origin"), ("Origin", "https://site.example")][..], 200),
        ("our page in an older browser", &[("Origin", "https://site.example")], 200),
        ("a sibling", &[("Sec-Fetch-Site", "same-site"), ("Origin", "https://a.site.example")], 403),
        ("a stranger in an older browser", &[("Origin", "https://evil.example")], 403),
        ("no sign of a page", &[], 403),
    ];
    for (case, headers, expected) in proofs {
        for path in ["/protected", "/area/me", "/optional"] {
            let mut handshake = request(Method::GET, path)
                .insert_header(("Host", "site.example"))
                .insert_header(("Connection", "Upgrade"))
                .insert_header(("Upgrade", "websocket"))
                .insert_header(("Cookie", &*cookie));
            for header in headers {
                handshake = handshake.insert_header(*header);
            }
            let answer = site.send(handshake).await;
            assert_eq!(answer.status.as_u16(), expected, "{case} {path}: {answer:?}");
        }
    }
    let native = with_token(Method::GET, "/protected", &site.login("ann").await.token);
    let native = native.insert_header(("Connection", "Upgrade")).insert_header(("Upgrade", "websocket"));
    assert_eq!(site.send(native).await.status, StatusCode::OK, "no browser sends a header of one's own");
}

#[actix_rt::test]
async fn nobody_is_signed_in_as_somebody_else_by_a_forged_login() {
    let site = site();
    for proof in [None, Some("cross-site"), Some("same-site")] {
        let login = TestRequest::post().uri("/login").set_payload("mallory");
        let login = match proof {
            Some(proof) => login.insert_header(("Sec-Fetch-Site", proof)),
            None => login,
        };
        let answer = site.send(login).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert!(answer.all("Set-Cookie").is_empty() && !answer.text.contains("ey"), "{answer:?}");
        actix_rt::task::yield_now().await;
        let left = site.auth.list("mallory", None).await.unwrap();
        assert!(left.is_empty(), "a session that nobody can use: {left:?}");
    }
    let answer = site.send(own(TestRequest::post().uri("/login").set_payload("mallory"))).await;
    assert_eq!(answer.status, StatusCode::OK);
    actix_rt::task::yield_now().await;
    assert_eq!(site.auth.list("mallory", None).await.unwrap().len(), 1, "the one that was answered");
}

#[actix_rt::test]
async fn a_forged_renewal_by_a_route_of_the_applications_own_ends_no_session() {
    async fn renew(auth: web::Data<Engine>, token: String) -> Result<Pair, Error> {
        auth.renew(&token, Client::unknown()).await
    }

    for later in [0, 60] {
        let site = site();
        let refresh = site.login("ann").await.refresh_token.unwrap();
        site.later(later);
        let app = App::new()
            .app_data(web::Data::new(site.auth.clone()))
            .configure(site.http.routes())
            .route("/again", web::post().to(renew));
        let app = test::init_service(app).await;
        let forged = TestRequest::post().uri("/again").set_payload(refresh).to_request();
        assert_eq!(Answer::of(app.call(forged).await).await.status, StatusCode::FORBIDDEN);
        actix_rt::task::yield_now().await;
        assert_eq!(site.auth.list("ann", None).await.unwrap().len(), 1, "after {later} s");
    }
}

#[actix_rt::test]
async fn a_session_whose_replacement_is_answered_to_nobody_is_ended() {
    async fn promote(auth: web::Data<Engine>, session: String) -> Result<Pair, Error> {
        auth.replace("ann", session.parse().map_err(|_| Error::NotFound)?, (), Client::unknown()).await
    }

    let site = site();
    let session = site.login("ann").await.session;
    site.later(60);
    let app = App::new()
        .app_data(web::Data::new(site.auth.clone()))
        .configure(site.http.routes())
        .route("/promote", web::post().to(promote));
    let app = test::init_service(app).await;
    let forged = TestRequest::post().uri("/promote").set_payload(session.to_string()).to_request();
    assert_eq!(Answer::of(app.call(forged).await).await.status, StatusCode::FORBIDDEN);
    actix_rt::task::yield_now().await;
    let left = site.auth.list("ann", None).await.unwrap();
    assert!(left.is_empty(), "a session that nobody can use: {left:?}");
}

#[actix_rt::test]
async fn a_cookie_is_read_only_when_asked_for_and_only_by_its_name() {
    let site = site();
    let cookie = login(&site).await;
    let (access, refresh) = cookie.split_once("; ").unwrap();
    let get = |cookie: &str| request(Method::GET, "/protected").insert_header(("Cookie", cookie));
    let value = access.split_once('=').unwrap().1;
    for (case, cookie, expected) in [
        ("ours", access.to_owned(), 200),
        ("among others", format!("a=b; {access}; c=d"), 200),
        ("without blanks", format!("a=b;{access};c"), 200),
        ("the refresh cookie alone", refresh.to_owned(), 401),
        ("without the prefix", format!("token={value}"), 401),
        ("another prefix", format!("__Secure-token={value}"), 401),
        ("the prefix in small letters", format!("__host-token={value}"), 401),
        ("empty", "__Host-token=".to_owned(), 401),
        ("quoted", format!("__Host-token=\"{value}\""), 401),
        ("twice", format!("{access}; {access}"), 400),
        ("a good one and a planted one", format!("__Host-token=x; {access}"), 400),
    ] {
        assert_eq!(site.send(get(&cookie)).await.status.as_u16(), expected, "{case}");
    }
    let by_header_only = site.clone().over(|_| site.auth.http());
    assert_eq!(by_header_only.send(get(access)).await.status, StatusCode::UNAUTHORIZED);
}

#[actix_rt::test]
async fn cookies_of_others_that_are_not_text_sign_nobody_out() {
    let site = site();
    let cookie = login(&site).await;
    site.later(60);
    let line = [b"theirs=\xff\xe9; ", cookie.as_bytes(), b"; more=\x80"].concat();
    let line = HeaderValue::from_bytes(&line).unwrap();
    let with = |request: TestRequest| own(request).insert_header(("Cookie", line.clone()));
    assert_eq!(site.send(with(request(Method::GET, "/protected"))).await.text, "Welcome, ann");
    assert_eq!(site.send(with(TestRequest::post().uri("/renew"))).await.status, StatusCode::OK);
    assert_eq!(site.send(with(TestRequest::post().uri("/logout"))).await.status, StatusCode::OK);

    let ours = HeaderValue::from_bytes(b"__Host-token=\xff").unwrap();
    let answer = site.send(request(Method::GET, "/protected").insert_header(("Cookie", ours))).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "not ours: {answer:?}");
}

#[actix_rt::test]
async fn a_refresh_token_in_the_body_and_one_in_a_cookie_are_400() {
    let site = site();
    let cookie = login(&site).await;
    let refresh = cookie.split("__Host-refresh=").nth(1).unwrap();
    let renew = |request: TestRequest| request.set_form([("refreshToken", refresh)]);
    let both = renew(own(TestRequest::post().uri("/renew")).insert_header(("Cookie", &*cookie)));
    assert_eq!(site.send(both).await.status, StatusCode::BAD_REQUEST);
    // a native client of the same application: tokens in, tokens out, and no page to come from
    site.later(60);
    let native = site.send(renew(TestRequest::post().uri("/renew"))).await;
    assert!(native.json()["token"].is_string() && native.all("Set-Cookie").is_empty());
    let header = with_token(Method::POST, "/protected", native.json()["token"].as_str().unwrap());
    assert_eq!(site.send(header).await.text, "Welcome, ann");
}

#[actix_rt::test]
async fn a_native_client_signs_in_renews_and_logs_out_where_browsers_have_cookies() {
    async fn native(auth: web::Data<Engine>, client: Client) -> Result<PairInBody, Error> {
        Ok(auth.login("ann", (), client).await?.in_body())
    }

    for (oauth, [access, refresh]) in
        [(false, ["token", "refreshToken"]), (true, ["access_token", "refresh_token"])]
    {
        let site = site().over(|http| if oauth { http.oauth_names() } else { http });
        let app = App::new()
            .app_data(web::Data::new(site.auth.clone()))
            .configure(site.http.routes())
            .route("/login/native", web::post().to(native));
        let app = test::init_service(app).await;
        let send = async |request: TestRequest| Answer::of(app.call(request.to_request()).await).await;
        let member = |answer: &Answer, name: &str| answer.json()[name].as_str().unwrap().to_owned();

        let login = send(TestRequest::post().uri("/login/native")).await;
        assert_eq!((login.status, login.header("Cache-Control")), (StatusCode::OK, "no-store"), "{login:?}");
        site.later(60);
        let form = [(refresh, member(&login, refresh))];
        let renewed = send(TestRequest::post().uri("/renew").set_form(form)).await;
        assert_eq!(renewed.status, StatusCode::OK, "{renewed:?}");
        let token = member(&renewed, access);
        assert_eq!(site.get("/protected", &token).await.text, "Welcome, ann");
        let form = [(refresh, member(&renewed, refresh))];
        let logout = send(TestRequest::post().uri("/logout").set_form(form)).await;
        assert_eq!(logout.text, r#"{"status":"success"}"#);
        assert!(site.auth.list("ann", None).await.unwrap().is_empty());
        for answer in [login, renewed, logout] {
            assert!(answer.all("Set-Cookie").is_empty(), "{answer:?}");
        }
    }
}

#[actix_rt::test]
async fn ending_the_own_session_clears_the_cookies_and_ending_others_does_not() {
    let site = site();
    for (path, cleared) in [("/tokens/others", false), ("/tokens", true)] {
        let cookie = login(&site).await;
        let answer = site.send(own(request(Method::DELETE, path)).insert_header(("Cookie", &*cookie))).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.all("Set-Cookie").len(), if cleared { 2 } else { 0 }, "{path}");
    }
    let pair = site.login("ann").await;
    assert!(site.delete("/tokens", &pair.token).await.all("Set-Cookie").is_empty(), "it came by the header");
}

#[actix_rt::test]
async fn a_refused_cookie_is_forgotten_and_one_that_may_be_good_yet_is_not() {
    let renew = |proof: &str, cookie: &str| {
        let renew = TestRequest::post().uri("/renew").insert_header(("Cookie", cookie));
        renew.insert_header(("Sec-Fetch-Site", proof))
    };
    for (oauth, expected) in [
        (false, r#"401: {"_errors":["The provided token was invalid."]}"#),
        (true, r#"400: {"error":"invalid_grant"}"#),
    ] {
        let site = site().over(|http| if oauth { http.oauth_names() } else { http });
        let cookie = login(&site).await;
        let forged = site.send(renew("cross-site", "__Host-refresh=x")).await;
        assert!(forged.status == StatusCode::FORBIDDEN && forged.all("Set-Cookie").is_empty(), "{forged:?}");
        site.store.break_down(true);
        let down = site.send(renew("same-origin", &cookie)).await;
        assert!(down.status.is_server_error() && down.all("Set-Cookie").is_empty(), "{down:?}");
        site.store.break_down(false);
        let body =
            TestRequest::post().uri("/renew").set_form([("refreshToken", "x"), ("refresh_token", "x")]);
        assert!(site.send(body).await.all("Set-Cookie").is_empty(), "it came in the body");

        let which = Which::All { user: "ann" };
        site.auth.revoke(which, Why::Admin).await.unwrap();
        let refused = site.send(renew("same-origin", &cookie)).await;
        assert!(refused.summary().starts_with(expected), "{refused:?}");
        let lines = refused.all("Set-Cookie");
        assert_eq!(lines.len(), 2, "{refused:?}");
        assert!(lines.iter().all(|line| line.contains("Max-Age=0") && line.contains("Secure")), "{lines:?}");
        assert!(lines[0].starts_with("__Host-token=;") && lines[1].starts_with("__Host-refresh=;"));
    }
}

#[actix_rt::test]
async fn names_and_same_site_are_as_chosen() {
    for (cookies, name, same_site) in [
        (Cookies::new().names("shop", "shop-refresh"), "__Host-shop=", "SameSite=Lax"),
        (Cookies::new().strict(), "__Host-token=", "SameSite=Strict"),
        (Cookies::new().cross_site(), "__Host-token=", "SameSite=None"),
    ] {
        let site = Site::new().over(|http| http.cookies(cookies));
        let answer = site.send(own(TestRequest::post().uri("/login"))).await;
        let line = answer.header("Set-Cookie");
        assert!(line.starts_with(name) && line.contains(same_site) && line.contains("Secure"), "{line}");
    }
}

#[actix_rt::test]
async fn oauth_names_change_nothing_in_cookies() {
    let site = Site::new().over(|http| http.cookies(Cookies::new()).oauth_names());
    let login = site.send(own(TestRequest::post().uri("/login"))).await;
    assert_eq!(login.text, r#"{"expiresIn":900}"#);
}
