//! What OAuth's clients may ask of a renewal.
use actix_web::{http::StatusCode, test::TestRequest};
use utils_token_auth::Policy;

use crate::http_app::{Answer, Site};

fn site() -> Site {
    allowed(Policy::default())
}

fn allowed(policy: Policy) -> Site {
    let site = Site::with_policy(policy).over(|http| http.oauth_names());
    site.allow(&["read", "write"]);
    site
}

async fn renew(site: &Site, refresh_token: &str, fields: &[(&str, &str)]) -> Answer {
    let form: Vec<_> = [("refresh_token", refresh_token)].iter().chain(fields).copied().collect();
    site.send(TestRequest::post().uri("/renew").set_form(form)).await
}

async fn refresh_token(site: &Site) -> String {
    let refresh = site.login("ann").await.refresh_token.unwrap();
    site.later(60);
    refresh
}

fn member(answer: &Answer, name: &str) -> String {
    answer.json()[name].as_str().unwrap_or_else(|| panic!("no {name}: {answer:?}")).to_owned()
}

/// The scopes in the access token of an answer.
fn scopes(site: &Site, answer: &Answer) -> Vec<String> {
    site.auth.verify(&member(answer, "access_token")).unwrap().claims.scopes
}

/// RFC 6749 section 6: no scope that the refresh token was not granted.
#[actix_rt::test]
async fn a_renewal_that_asks_for_more_scopes_is_refused() {
    let site = site();
    let refresh = refresh_token(&site).await;
    site.allow(&["read", "write", "admin"]);
    for scope in ["admin", "read admin", "read write admin", "READ", "read,write", "rea", " ", "read\twrite"]
    {
        let refused = renew(&site, &refresh, &[("scope", scope)]).await;
        assert_eq!(refused.summary(), r#"400: {"error":"invalid_scope"}"#, "{scope:?}");
        assert_eq!(refused.header("Cache-Control"), "no-store");
    }
    assert_eq!(site.store.calls("rotate"), 0, "nothing moved");
    assert_eq!(site.store.calls("revoke"), 0, "nothing ended");
    let renewed = renew(&site, &refresh, &[]).await;
    assert_eq!(scopes(&site, &renewed), ["read", "write"], "and the token is good as before");
    member(&renewed, "refresh_token");
}

/// RFC 6749 sections 5.1 and 6: the access token is narrowed, the grant stays.
#[actix_rt::test]
async fn a_renewal_that_asks_for_fewer_scopes_narrows_this_access_token_only() {
    let site = site();
    let mut refresh = refresh_token(&site).await;
    for (asked, given) in [("read", "read"), ("write  write", "write"), ("write read", "read write")] {
        let narrowed = renew(&site, &refresh, &[("scope", asked)]).await;
        assert_eq!(scopes(&site, &narrowed).join(" "), given);
        assert_eq!(member(&narrowed, "scope"), given);
        // an answer that was lost, and a token that is new
        let next = member(&narrowed, "refresh_token");
        for token in [&refresh, &next] {
            let again = renew(&site, token, &[("scope", "read")]).await;
            assert_eq!(scopes(&site, &again), ["read"], "{again:?}");
        }
        site.later(60);
        refresh = next;
    }
    let all = renew(&site, &refresh, &[("scope", "")]).await;
    assert_eq!(scopes(&site, &all), ["read", "write"], "an empty parameter asks for nothing");
    assert_eq!(all.json().get("scope"), None, "they are those that were granted");
}

#[actix_rt::test]
async fn an_answer_says_which_scopes_the_user_has_lost() {
    let site = site();
    let refresh = refresh_token(&site).await;
    site.allow(&["read"]);
    let refused = renew(&site, &refresh, &[("scope", "write")]).await;
    assert_eq!(refused.summary(), r#"400: {"error":"invalid_scope"}"#, "nothing would be left");
    let renewed = renew(&site, &refresh, &[("scope", "read write")]).await;
    assert_eq!(
        (scopes(&site, &renewed).join(" "), member(&renewed, "scope")),
        ("read".into(), "read".into())
    );
    let renewed = renew(&site, &refresh, &[]).await;
    assert_eq!(member(&renewed, "scope"), "read", "RFC 6749 section 5.1: fewer than were asked for");
}

#[actix_rt::test]
async fn where_no_claim_has_scopes_none_can_be_asked_for() {
    let site = allowed(Policy::default().scope_claims(&[]));
    let refresh = refresh_token(&site).await;
    let refused = renew(&site, &refresh, &[("scope", "read")]).await;
    assert_eq!(refused.summary(), r#"400: {"error":"invalid_scope"}"#);
    let renewed = renew(&site, &refresh, &[]).await;
    assert_eq!(scopes(&site, &renewed), ["read", "write"]);
    assert_eq!(renewed.json().get("scope"), None);
}

#[actix_rt::test]
async fn a_refresh_token_that_is_not_good_is_an_invalid_grant_whatever_scope_it_asks_for() {
    let site = site();
    let first = refresh_token(&site).await;
    let next = member(&renew(&site, &first, &[]).await, "refresh_token");
    site.later(60);
    for token in ["x", &first, &next] {
        let refused = renew(&site, token, &[("scope", "admin")]).await;
        assert_eq!(refused.summary(), r#"400: {"error":"invalid_grant"}"#, "{token}");
    }
    assert!(site.auth.list("ann", None).await.unwrap().is_empty(), "a copy ends the session as ever");
}

/// RFC 6749 section 5.2.
#[actix_rt::test]
async fn another_grant_than_a_refresh_token_is_not_supported() {
    let site = site();
    let refresh = refresh_token(&site).await;
    for grant in ["password", "authorization_code", "REFRESH_TOKEN", "refresh_token "] {
        let refused = renew(&site, &refresh, &[("grant_type", grant)]).await;
        assert_eq!(refused.summary(), r#"400: {"error":"unsupported_grant_type"}"#, "{grant}");
    }
    let twice =
        renew(&site, &refresh, &[("grant_type", "refresh_token"), ("grant_type", "refresh_token")]).await;
    assert_eq!(twice.summary(), r#"400: {"error":"invalid_request"}"#);
    let twice = renew(&site, &refresh, &[("scope", "read"), ("scope", "write")]).await;
    assert_eq!(twice.summary(), r#"400: {"error":"invalid_request"}"#);
    assert_eq!(site.store.calls("rotate"), 0);
    for grant in [&[][..], &[("grant_type", "")], &[("grant_type", "refresh_token")]] {
        assert_eq!(renew(&site, &refresh, grant).await.status, StatusCode::OK, "{grant:?}");
    }
}

#[actix_rt::test]
async fn with_the_names_of_our_own_neither_is_looked_at() {
    let site = Site::new();
    let refresh = refresh_token(&site).await;
    let form = [("refreshToken", &*refresh), ("grant_type", "password"), ("scope", "admin")];
    let renewed = site.send(TestRequest::post().uri("/renew").set_form(form)).await;
    assert_eq!(renewed.status, StatusCode::OK, "{renewed:?}");
    assert_eq!(renewed.json().as_object().unwrap().keys().collect::<Vec<_>>(), ["refreshToken", "token"]);
}
