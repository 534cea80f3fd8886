//! Attacks over HTTP, in the bytes an attacker would send: each is refused, none is a panic, none asks the store.
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use actix_web::{
    http::{Method, StatusCode},
    test::TestRequest,
    web,
};

use utils_token_auth::{Cookies, Store};

use crate::http_app::{Site, request, with_token};

/// Sends these bytes over a connection of its own and answers the status line and body of the first answer.
pub(crate) async fn raw(address: SocketAddr, bytes: impl Into<Vec<u8>>) -> String {
    let bytes = bytes.into();
    web::block(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        // a server that hangs up in the middle of a huge header has answered all the same
        let _ = stream.write_all(&bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    })
    .await
    .unwrap()
}

fn http(target: &str, headers: &[u8]) -> Vec<u8> {
    let mut bytes = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n").into_bytes();
    bytes.extend_from_slice(headers);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

#[actix_rt::test]
async fn a_header_that_is_not_to_the_letter_is_refused() {
    let site = Site::new();
    let token = site.login("ann").await.token;
    let (address, server) = site.serve();
    let before = site.store.calls("get");
    let line = |value: &[u8]| [b"Authorization: ", value, b"\r\n"].concat();
    let plain = |value: String| line(value.as_bytes());
    for (case, headers, statuses) in [
        ("as it should be", plain(format!("Bearer {token}")), &[200][..]),
        ("leading blank", plain(format!("   Bearer {token}")), &[200]),
        ("trailing blanks", plain(format!("Bearer {token}   ")), &[200]),
        ("header name in capitals", format!("AUTHORIZATION: Bearer {token}\r\n").into_bytes(), &[200]),
        ("the scheme alone", plain("Bearer".to_owned()), &[400]),
        ("the scheme and a blank", plain("Bearer ".to_owned()), &[400]),
        ("a tab", plain(format!("Bearer\t{token}")), &[400]),
        ("a no-break space in Latin-1", line(&[b"Bearer\xa0", token.as_bytes()].concat()), &[400]),
        ("a no-break space in UTF-8", line(&[b"Bearer\xc2\xa0", token.as_bytes()].concat()), &[400]),
        ("two words", plain(format!("Bearer {token} {token}")), &[401]),
        ("more behind the token", plain(format!("Bearer {token} x")), &[401]),
        ("a comma", plain("Bearer,x".to_owned()), &[400]),
        ("a list of tokens", plain(format!("Bearer {token}, Bearer {token}")), &[401]),
        ("the scheme twice", plain(format!("Bearer Bearer {token}")), &[401]),
        ("quotes", plain(format!("Bearer \"{token}\"")), &[401]),
        ("as a parameter", plain(format!("Bearer token={token}")), &[401]),
        ("without a scheme", plain(token.clone()), &[401]),
        ("another scheme", plain(format!("Token {token}")), &[401]),
        ("Basic and Bearer in one value", plain(format!("Basic dTpw, Bearer {token}")), &[401]),
        ("nothing", plain(String::new()), &[401]),
        ("bytes that are not ASCII", line(b"Bearer \xff\xfe.\x80.\xc3\x28"), &[401]),
        ("letters that are not ASCII", plain("Bearer éé.é.é".to_owned()), &[401]),
        ("NUL", line(b"Bearer a\0b"), &[400]),
        ("a folded line", format!("Authorization: Bearer\r\n {token}\r\n").into_bytes(), &[400]),
        (
            "a bare line feed",
            format!("Authorization: Bearer {token}\nX-Admin: 1\r\n").into_bytes(),
            &[200, 400],
        ),
        ("two headers", plain(format!("Bearer {token}")).repeat(2), &[400]),
        ("a blank before the colon", format!("Authorization : Bearer {token}\r\n").into_bytes(), &[400]),
        ("a look-alike header", format!("X-Authorization: Bearer {token}\r\n").into_bytes(), &[401]),
        ("with an underscore", format!("HTTP_AUTHORIZATION: Bearer {token}\r\n").into_bytes(), &[401]),
        ("a proxy's header", format!("Proxy-Authorization: Bearer {token}\r\n").into_bytes(), &[401]),
        ("a cookie", format!("Cookie: __Host-token={token}; token={token}\r\n").into_bytes(), &[401]),
        ("4097 bytes", plain(format!("Bearer {}", "a".repeat(4097))), &[401]),
        ("a megabyte", plain(format!("Bearer {}", "a".repeat(1 << 20))), &[400, 408, 413, 431, 0]),
    ] {
        let answer = raw(address, http("/protected", &headers)).await;
        assert!(statuses.contains(&status(&answer)), "{case}: {answer}");
        if status(&answer) == 401 {
            assert!(
                answer.to_lowercase().contains("www-authenticate: bearer realm=\"api\""),
                "{case}: {answer}"
            );
        }
    }
    assert_eq!(site.store.calls("get"), before, "none of it reached the store");
    let alive =
        raw(address, http("/protected", format!("Authorization: Bearer {token}\r\n").as_bytes())).await;
    assert_eq!(status(&alive), 200, "and the server is well: {alive}");
    server.stop(false).await;
}

#[actix_rt::test]
async fn tokens_in_the_address() {
    let site = Site::new();
    let token = site.login("ann").await.token;
    for (case, on, query, expected) in [
        ("off", false, format!("token={token}"), 401),
        ("on", true, format!("token={token}"), 200),
        ("on, among others", true, format!("a=b&token={token}&c=%zz"), 200),
        ("percent-encoded", true, format!("%74oken=%{:02x}{}", token.as_bytes()[0], &token[1..]), 200),
        ("twice", true, format!("token={token}&token={token}"), 400),
        ("twice, once encoded", true, format!("token={token}&%74oken={token}"), 400),
        ("a good and a bad one", true, format!("token={token}&token=x"), 400),
        ("empty", true, "token=".to_owned(), 401),
        ("without a value", true, "token".to_owned(), 401),
        ("in capitals", true, format!("TOKEN={token}"), 401),
        ("as a list", true, format!("token[]={token}"), 401),
        ("behind a semicolon", true, format!("a=b;token={token}"), 401),
        ("with a blank", true, format!("token={token}%20"), 401),
        ("with NUL", true, format!("token={token}%00"), 401),
        ("with the scheme", true, format!("token=Bearer%20{token}"), 401),
        ("another name", true, format!("access_token={token}"), 401),
    ] {
        let site = if on { site.clone().over(|http| http.query_param("token")) } else { site.clone() };
        let answer = site.send(request(Method::GET, &format!("/protected?{query}"))).await;
        assert_eq!(answer.status.as_u16(), expected, "{case}: {answer:?}");
    }
}

#[actix_rt::test]
async fn a_token_in_the_body_of_a_request_is_not_read() {
    let site = Site::new();
    let token = site.login("ann").await.token;
    for method in [Method::GET, Method::POST] {
        let request = request(method, "/protected").set_form([("access_token", &*token), ("token", &*token)]);
        assert_eq!(site.send(request).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[actix_rt::test]
async fn no_method_gets_past_a_protected_scope() {
    let site = Site::new();
    for method in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "get"] {
        for path in ["/area/me", "/area/nowhere", "/area//me", "/protected"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = site.send(request(method.clone(), path)).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        }
    }
}

#[actix_rt::test]
async fn an_access_token_does_not_renew_and_a_refresh_token_opens_nothing() {
    let site = Site::new();
    let pair = site.login("ann").await;
    let refresh = pair.refresh_token.unwrap();
    assert_eq!(site.renew(&pair.token).await.status, StatusCode::UNAUTHORIZED);
    for path in ["/protected", "/optional", "/area/me", "/tokens"] {
        assert_eq!(site.get(path, &refresh).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    assert!(site.opens(&pair.token).await, "and the session is none the worse");
}

#[actix_rt::test]
async fn a_login_never_adopts_what_the_client_brings() {
    for by_cookie in [false, true] {
        let site = Site::new().over(|http| if by_cookie { http.cookies(Cookies::new()) } else { http });
        let mallory = site.login("mallory").await;
        let planted = mallory.refresh_token.clone().unwrap();
        let login = if by_cookie {
            let cookies = format!("__Host-token={}; __Host-refresh={planted}", mallory.token);
            let login = request(Method::POST, "/login").insert_header(("Sec-Fetch-Site", "same-origin"));
            login.insert_header(("Cookie", cookies))
        } else {
            let login = with_token(Method::POST, "/login", &mallory.token);
            login.insert_header(("Cookie", format!("__Host-refresh={planted}")))
        };
        let login = site.send(login.set_payload("ann")).await;
        let (token, refresh) = if by_cookie {
            let value = |name: &str| {
                let lines = login.all("Set-Cookie");
                let line = lines.iter().find_map(|line| line.strip_prefix(name)).unwrap();
                line.split(';').next().unwrap().to_owned()
            };
            assert_eq!(login.all("Set-Cookie").len(), 2, "both are replaced: {login:?}");
            (value("__Host-token="), value("__Host-refresh="))
        } else {
            let text = |name: &str| login.json()[name].as_str().unwrap().to_owned();
            (text("token"), text("refreshToken"))
        };
        assert!(token != mallory.token && refresh != planted);
        assert_eq!(site.get("/protected", &token).await.text, "Welcome, ann");
        assert_eq!(site.get("/protected", &mallory.token).await.text, "Welcome, mallory");
        let ids = async |user: &str| {
            let list = site.auth.list(user, None).await.unwrap();
            list.into_iter().map(|session| session.id).collect::<Vec<_>>()
        };
        assert_eq!(ids("mallory").await, [mallory.session], "the victim's session is not the attacker's");
        let anns = ids("ann").await;
        assert!(anns.len() == 1 && anns[0] != mallory.session, "nor the other way round");
        let session = site.auth.store().get(mallory.session).await.unwrap().unwrap();
        assert_eq!((session.user.as_str(), session.generation, session.revoked), ("mallory", 0, None));
        site.later(60);
        for (user, token) in [("mallory", planted), ("ann", refresh)] {
            let renewed = site.renew(&token).await.json();
            let renewed = site.get("/protected", renewed["token"].as_str().unwrap()).await;
            assert_eq!(renewed.text, format!("Welcome, {user}"), "each goes on with their own");
        }
    }
}

#[actix_rt::test]
async fn another_users_session_is_404_and_nothing_changes() {
    let site = Site::new();
    let (ann, mallory) = (site.login("ann").await, site.login("mallory").await);
    let theirs = site.delete(&format!("/tokens/{}", ann.session), &mallory.token).await;
    let unknown = site.delete("/tokens/AAAAAAAAAAAAAAAAAAAAAA", &mallory.token).await;
    assert_eq!(theirs.summary(), r#"404: {"_errors":["there is no such session"]}"#);
    assert_eq!(theirs.summary(), unknown.summary(), "nothing tells that it exists");
    for id in ["x", "..", "%00", "0", "-1", "1%20OR%201=1", &"A".repeat(23), &"0".repeat(32), "%F0%9F%92%A9"]
    {
        let answer = site.delete(&format!("/tokens/{id}"), &mallory.token).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{id}: {answer:?}");
    }
    assert!(site.opens(&ann.token).await);
    assert_eq!(site.renew(&ann.refresh_token.unwrap()).await.status, StatusCode::OK);
}

#[actix_rt::test]
async fn a_revoked_session_is_refused_at_once_in_this_process() {
    let site = Site::new();
    for how in ["/logout", "/tokens", "/tokens/others", "one"] {
        let (gone, other) = (site.login("ann").await, site.login("ann").await);
        let ended = match how {
            "/logout" => site.post(how, &gone.token).await,
            "one" => site.delete(&format!("/tokens/{}", gone.session), &other.token).await,
            _ => site.delete(how, &other.token).await,
        };
        assert_eq!(ended.status, StatusCode::OK, "{how}");
        for path in ["/protected", "/optional", "/area/me", "/sure", "/vault/me", "/tokens"] {
            assert_eq!(site.get(path, &gone.token).await.status, StatusCode::UNAUTHORIZED, "{how} {path}");
        }
    }
}

#[actix_rt::test]
async fn logging_out_twice_is_200_twice() {
    let site = Site::new();
    let pair = site.login("ann").await;
    for token in [&pair.token, pair.refresh_token.as_ref().unwrap()] {
        for _ in 0..2 {
            assert_eq!(site.post("/logout", token).await.summary(), r#"200: {"status":"success"}"#);
        }
    }
}

#[actix_rt::test]
async fn the_list_holds_no_secret() {
    let site = Site::new();
    let pair = site.login("ann").await;
    let list = site.get("/tokens", &pair.token).await;
    let refresh = pair.refresh_token.unwrap();
    assert!(!list.text.contains(&refresh) && !list.text.contains(&pair.token));
    let names: Vec<String> = list.json()["tokens"][0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["createdAt", "current", "expiresAt", "id", "ip", "label", "renewedAt", "userAgent"]);
}

#[actix_rt::test]
async fn a_store_that_is_down_is_503_and_never_200() {
    let site = Site::new().over(|http| http.revocation().introspection(|_| true));
    let pair = site.login("ann").await;
    let refresh = pair.refresh_token.unwrap();
    site.store.break_down(true);
    let token = || [("token", &*pair.token)];
    for (case, request) in [
        ("login", TestRequest::post().uri("/login")),
        ("renew", TestRequest::post().uri("/renew").set_form([("refreshToken", &*refresh)])),
        ("logout", with_token(Method::POST, "/logout", &pair.token)),
        ("logout by refresh token", with_token(Method::POST, "/logout", &refresh)),
        ("list", with_token(Method::GET, "/tokens", &pair.token)),
        ("end all", with_token(Method::DELETE, "/tokens", &pair.token)),
        ("end others", with_token(Method::DELETE, "/tokens/others", &pair.token)),
        ("end one", with_token(Method::DELETE, &format!("/tokens/{}", pair.session), &pair.token)),
        ("confirm", with_token(Method::GET, "/sure", &pair.token)),
        ("confirmed scope", with_token(Method::GET, "/vault/me", &pair.token)),
        ("revoke", TestRequest::post().uri("/revoke").set_form(token())),
        ("introspect", TestRequest::post().uri("/introspect").set_form(token())),
    ] {
        let answer = site.send(request).await;
        let summary = answer.summary();
        assert_eq!(summary, r#"503: {"_errors":["sessions are not available at the moment"]}"#, "{case}");
        assert_eq!(answer.header("Retry-After"), "1", "{case}");
    }
    assert!(site.opens(&pair.token).await, "verification needs no store");
    site.store.break_down(false);
    assert_eq!(site.renew(&refresh).await.status, StatusCode::OK, "the client's retry works");
}

#[actix_rt::test]
async fn answers_with_tokens_are_not_stored_and_no_answer_repeats_a_bad_token() {
    let site = Site::new();
    let login = site.send(TestRequest::post().uri("/login")).await;
    let renewed = site.renew(login.json()["refreshToken"].as_str().unwrap()).await;
    for answer in [&login, &renewed] {
        assert_eq!((answer.header("Cache-Control"), answer.header("Pragma")), ("no-store", "no-cache"));
    }
    let secret = "sesame-sesame-sesame";
    for answer in
        [site.get("/protected", secret).await, site.renew(secret).await, site.post("/logout", secret).await]
    {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert!(!format!("{answer:?}").contains("sesame"), "{answer:?}");
    }
}

#[actix_rt::test]
async fn every_refused_refresh_token_gets_the_same_answer() {
    let site = Site::new();
    let ended = site.login("ann").await;
    site.post("/logout", &ended.token).await;
    let reused = site.login("ann").await.refresh_token.unwrap();
    site.later(60);
    let next = site.renew(&reused).await.json()["refreshToken"].as_str().unwrap().to_owned();
    site.later(60);
    assert_eq!(site.renew(&next).await.status, StatusCode::OK);
    let last = if next.ends_with('A') { 'Q' } else { 'A' };
    let forged = format!("{}{last}", &next[..next.len() - 1]);
    let expected = site.renew("x").await.summary();
    for (case, token) in [
        ("of the length of a token", &*"A".repeat(71)),
        ("forged", &*forged),
        ("revoked", ended.refresh_token.as_deref().unwrap()),
        ("used before", &*reused),
        ("of a stolen session", &*next),
    ] {
        assert_eq!(site.renew(token).await.summary(), expected, "{case}");
    }
    let idle = site.login("ann").await.refresh_token.unwrap();
    site.later(15 * 24 * 3600);
    assert_eq!(site.renew(&idle).await.summary(), expected, "idle");
}
