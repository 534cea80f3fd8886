//! Refresh tokens: the requirements R1 to R13.
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use utils_token_auth::{
    Client, Error, EventKind, Keys, MemoryStore, Policy, Purge, Refusal, Store, TestClock, TokenAuth, Which,
    Why,
};

use crate::spy::Spy;
use crate::support::{Claims, DAY, HOUR, MINUTE, SECOND, START, User, World, keys};

/// RFC 9700 section 4.14.2: a renewal replaces the refresh token.
#[actix_web::test]
async fn r1_a_renewal_replaces_the_refresh_token() {
    let world = World::new();
    let first = world.refresh_token("ana").await;
    world.later(15 * MINUTE);
    let second = world.rotated(&first).await;
    assert_ne!(first, second);
    assert_eq!(second.len(), 71);
}

/// The exception to R1: what is younger than the grace stays, so that a late answer overwrites nothing.
#[actix_web::test]
async fn r1_a_refresh_token_younger_than_the_grace_is_not_replaced() {
    let world = World::new();
    let second = world.rotated(&world.refresh_token("ana").await).await;
    world.later(5 * SECOND);
    let pair = world.renew(&second).await.unwrap();
    assert_eq!(pair.refresh_token, None);
    world.verify(&pair.token);
    world.later(16 * SECOND);
    world.rotated(&second).await;
}

/// RFC 9700 section 4.14.2: a replaced token that comes back ends the session, its access tokens included.
#[actix_web::test]
async fn r2_a_replaced_token_that_comes_back_ends_the_session_and_its_access_tokens() {
    let world = World::new();
    let first = world.refresh_token("ana").await;
    let pair = world.renew(&first).await.unwrap();
    world.later(21 * SECOND);

    world.refused(&first).await;
    assert!(matches!(world.auth.verify(&pair.token), Err(Error::Revoked)));
    world.refused(&pair.refresh_token.unwrap()).await;
    assert!(world.kinds().contains(&EventKind::Reused));
    assert!(world.kinds().contains(&EventKind::Revoked { why: Why::Reuse, sessions: 1 }));
}

/// RFC 9700 section 4.14.2: the relationship of the tokens of a session is kept, at any depth.
#[actix_web::test]
async fn r3_reuse_of_any_earlier_generation_is_recognised() {
    for age in 1..=5 {
        let world = World::new();
        let mut tokens = vec![world.refresh_token("ana").await];
        for _ in 0..5 {
            world.later(MINUTE);
            tokens.push(world.rotated(tokens.last().unwrap()).await);
        }
        world.later(MINUTE);
        world.refused(&tokens[5 - age]).await;
        world.refused(&tokens[5]).await;
        assert!(world.kinds().contains(&EventKind::Reused), "{age} generations old");
    }
}

#[actix_web::test]
async fn r3_a_generation_from_the_future_ends_the_session() {
    // the database was restored from a backup: the same session at an earlier generation
    let before = World::new();
    let login = before.login("ana").await;
    let backup = MemoryStore::new();
    let session = before.auth.store().get(login.session).await.unwrap().unwrap();
    backup.insert(session).await.unwrap();
    let first = login.refresh_token.unwrap();
    let second = before.rotated(&first).await;
    let after = World::on(backup, Policy::default());
    after.later(MINUTE);
    after.refused(&second).await;
    assert!(after.kinds().contains(&EventKind::Reused));
}

/// RFC 6749 section 6, RFC 9700 section 4.14.2.
#[actix_web::test]
async fn r4_a_renewed_token_never_has_more_scopes_than_the_first() {
    let world = World::new();
    world.users.set("ana", &["read", "write"]);
    let refresh = world.refresh_token("ana").await;

    world.users.set("ana", &["read", "write", "admin"]);
    let pair = world.renew(&refresh).await.unwrap();
    assert_eq!(world.verify(&pair.token).claims, scopes(&["read", "write"]));

    world.users.set("ana", &["write"]);
    let narrowed = world.renew(&pair.refresh_token.unwrap()).await.unwrap();
    assert_eq!(world.verify(&narrowed.token).claims, scopes(&["write"]));

    let new_login = world.login("ana").await;
    assert_eq!(world.verify(&new_login.token).claims, scopes(&["write"]));
}

#[actix_web::test]
async fn r4_a_login_without_scopes_gains_none_by_renewing() {
    let world = World::new();
    world.users.set("ana", &[]);
    let refresh = world.refresh_token("ana").await;
    world.users.set("ana", &["admin"]);
    let pair = world.renew(&refresh).await.unwrap();
    assert_eq!(world.verify(&pair.token).claims, scopes(&[]));
}

#[actix_web::test]
async fn r4_an_application_may_let_renewals_take_what_the_claims_function_says() {
    let world = World::with(Policy::default().scope_claims(&[]));
    world.users.set("ana", &["read"]);
    let refresh = world.refresh_token("ana").await;
    world.users.set("ana", &["read", "admin"]);
    let pair = world.renew(&refresh).await.unwrap();
    assert_eq!(world.verify(&pair.token).claims, scopes(&["read", "admin"]));
}

#[actix_web::test]
async fn r4_scopes_that_cannot_be_compared_are_not_signed() {
    let claims = Arc::new(Mutex::new(json!({"scopes": ["read"]})));
    let asked = Arc::clone(&claims);
    let auth = TokenAuth::new(keys(), MemoryStore::new(), move |_| {
        let claims = asked.lock().unwrap().clone();
        async move { Ok::<Value, Refusal>(claims) }
    });
    let clock = TestClock::at(START);
    let auth = auth.clock(clock.clone()).events(|_| {}).build().unwrap();
    let granted = auth.login("ana", (), Client::unknown()).await.unwrap();
    clock.advance(MINUTE);
    let good = auth.store().len();
    for (name, shape) in [
        ("scopes", json!(7)),
        ("scopes", json!(true)),
        ("scopes", json!({"admin": true})),
        ("scopes", json!(["read", 7])),
        ("scopes", json!([["admin"]])),
        ("scopes", json!(["read", null])),
        ("scopes", json!([{"admin": true}])),
        ("scope", json!({"admin": {}})),
        ("scope", json!(1.5)),
    ] {
        *claims.lock().unwrap() = json!({ name: shape });
        let login = auth.login("ana", (), Client::unknown()).await;
        let renewal = auth.renew(granted.refresh_token.as_ref().unwrap(), Client::unknown()).await;
        for refused in [login, renewal] {
            let Err(error) = refused else { panic!("{name}: {shape} was signed") };
            assert!(matches!(error, Error::Internal(_)), "{error:?}");
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains(&format!("`{name}`")), "the log names the claim: {cause}");
            assert_eq!(error.to_string(), "the token could not be made", "and the answer does not");
        }
    }
    assert_eq!(auth.store().len(), good, "no session was opened");
    for fine in [json!({"scopes": null}), json!({}), json!({"scope": "read", "scopes": []})] {
        *claims.lock().unwrap() = fine;
        auth.login("ana", (), Client::unknown()).await.unwrap();
    }
    *claims.lock().unwrap() = json!({"scopes": ["read", "admin"]});
    let renewed = auth.renew(&granted.refresh_token.unwrap(), Client::unknown()).await.unwrap();
    assert_eq!(auth.verify(&renewed.token).unwrap().claims["scopes"], json!(["read"]));
}

/// RFC 9700 section 4.14.2.
#[actix_web::test]
async fn r5_a_session_that_is_not_renewed_ends() {
    let world = World::with(Policy::default().idle(DAY));
    let mut refresh = world.refresh_token("ana").await;
    for _ in 0..10 {
        world.later(DAY);
        refresh = world.rotated(&refresh).await;
    }
    world.later(DAY + Duration::from_millis(1));
    world.refused(&refresh).await;
    assert_eq!(world.kinds().last(), Some(&EventKind::UsedAfterEnd));
}

#[actix_web::test]
async fn r5_renewing_keeps_a_session_alive_without_rotation_too() {
    let world = World::with(Policy::default().idle(DAY).rotate(false));
    let refresh = world.refresh_token("ana").await;
    for _ in 0..10 {
        world.later(DAY);
        assert_eq!(world.renew(&refresh).await.unwrap().refresh_token, None);
    }
    world.later(DAY + Duration::from_millis(1));
    world.refused(&refresh).await;
}

/// OWASP Session Management: an absolute time-out.
#[actix_web::test]
async fn r6_renewing_never_extends_the_absolute_lifetime() {
    let world = World::with(Policy::default().idle(2 * HOUR).absolute(5 * HOUR));
    let mut refresh = world.refresh_token("ana").await;
    for _ in 0..4 {
        world.later(HOUR);
        refresh = world.rotated(&refresh).await;
    }
    world.later(HOUR - MINUTE);
    let last = world.renew(&refresh).await.unwrap();
    assert_eq!(last.expires_in, 60, "the last access token ends with its session");
    world.later(MINUTE);
    world.refused(&last.refresh_token.unwrap()).await;
}

/// RFC 9700 section 4.14.2, OWASP Session Management.
#[actix_web::test]
async fn r7_logout_and_a_password_change_end_sessions() {
    let world = World::new();
    let phone = world.refresh_token("ana").await;
    let laptop = world.refresh_token("ana").await;
    let tablet = world.login("ana").await;
    let other_user = world.refresh_token("bo").await;

    assert!(world.auth.logout(&phone).await.unwrap());
    world.refused(&phone).await;
    world.rotated(&laptop).await;

    let which = Which::Others { user: "ana", keep: tablet.session };
    assert_eq!(world.auth.revoke(which, Why::Password).await.unwrap(), 1);
    world.refused(&laptop).await;
    world.verify(&tablet.token);
    world.rotated(&tablet.refresh_token.unwrap()).await;
    world.rotated(&other_user).await;
}

/// RFC 9700 section 4.14.2: what is encoded in the token is signed.
#[actix_web::test]
async fn r8_an_altered_token_is_refused_without_asking_the_store() {
    let world = World::on(Spy::default(), Policy::default());
    let genuine = world.refresh_token("ana").await;

    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for position in 0..genuine.len() {
        let digit = alphabet.find(genuine.as_bytes()[position] as char).unwrap();
        for bit in 0..6 {
            let mut altered = genuine.clone().into_bytes();
            altered[position] = alphabet.as_bytes()[digit ^ (1 << bit)];
            world.refused(&String::from_utf8(altered).unwrap()).await;
        }
    }
    for length in 0..genuine.len() {
        world.refused(&genuine[..length]).await;
    }
    for garbage in
        [format!("{genuine}="), format!("{genuine}\n"), format!(" {genuine}"), "é".repeat(71), "A".repeat(71)]
    {
        world.refused(&garbage).await;
    }
    assert_eq!(world.auth.store().calls("get"), 0);
    world.rotated(&genuine).await;
}

/// RFC 6749 section 10.10.
#[actix_web::test]
async fn r9_each_session_has_an_id_and_a_secret_of_128_random_bits() {
    let world = World::new();
    let mut seen = std::collections::HashSet::new();
    let mut ones = [0_u32; 256];
    for _ in 0..1_000 {
        let bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(world.refresh_token("ana").await).unwrap();
        let random = [&bytes[1..17], &bytes[21..37]].concat();
        for (bit, count) in ones.iter_mut().enumerate() {
            *count += u32::from(random[bit / 8] >> (bit % 8) & 1);
        }
        assert!(seen.insert(random[..16].to_vec()) && seen.insert(random[16..].to_vec()));
    }
    // 1,000 throws of a coin: 500 ± 16; seven deviations away is no coin
    assert!(ones.iter().all(|count| (390..=610).contains(count)), "{ones:?}");
}

/// FAPI 2.0 Security Profile: a retry with the previous refresh token succeeds.
#[actix_web::test]
async fn r11_a_retry_after_a_lost_answer_gets_the_same_refresh_token() {
    let world = World::on(Spy::default(), Policy::default());
    let first = world.refresh_token("ana").await;
    let lost = world.rotated(&first).await;
    for _ in 0..4 {
        world.later(5 * SECOND);
        assert_eq!(world.rotated(&first).await, lost);
    }
    assert_eq!(world.auth.store().calls("rotate"), 1, "a retry writes nothing");
    world.later(MINUTE);
    world.rotated(&lost).await;
}

#[actix_web::test]
async fn r12_the_grace_covers_the_immediate_predecessor_only() {
    let world = World::new();
    let first = world.refresh_token("ana").await;
    world.later(MINUTE);
    let second = world.rotated(&first).await;
    world.later(21 * SECOND);
    let third = world.rotated(&second).await;
    world.later(SECOND);
    assert_eq!(world.rotated(&second).await, third);
    world.refused(&first).await;
    world.refused(&third).await;
}

#[actix_web::test]
async fn r12_the_grace_ends_to_the_millisecond() {
    let world = World::new();
    let first = world.refresh_token("ana").await;
    world.rotated(&first).await;
    world.later(20 * SECOND);
    world.rotated(&first).await;
    world.later(Duration::from_millis(1));
    world.refused(&first).await;
}

#[actix_web::test]
async fn r13_every_refusal_looks_the_same() {
    let world = World::with(Policy::default().idle(DAY).absolute(2 * DAY));
    let garbage = "garbage".to_owned();
    // genuine by its MAC, and of a session that this store never had
    let unknown = World::new().refresh_token("ana").await;
    let revoked = world.refresh_token("ana").await;
    world.auth.logout(&revoked).await.unwrap();
    let replayed = world.refresh_token("ana").await;
    world.rotated(&replayed).await;
    let denied = world.refresh_token("bo").await;

    // a backup was restored: the client is further on than the store
    let login = world.login("eve").await;
    let backup = MemoryStore::new();
    backup.insert(world.auth.store().get(login.session).await.unwrap().unwrap()).await.unwrap();
    let future = world.rotated(&login.refresh_token.unwrap()).await;
    let restored = World::signing(keys(), backup, Policy::default(), world.clock.clone());

    world.later(MINUTE);
    world.users.put("bo", User::Disabled);
    let mut answers = Vec::new();
    for token in [&garbage, &unknown, &revoked, &replayed, &denied] {
        answers.push(world.renew(token).await);
    }
    answers.push(restored.renew(&future).await);

    let idle = world.refresh_token("ana").await;
    let mut expired = world.refresh_token("ana").await;
    world.later(DAY);
    expired = world.rotated(&expired).await;
    world.later(DAY);
    answers.push(world.renew(&idle).await);
    answers.push(world.renew(&expired).await);

    let purged = world.refresh_token("ana").await;
    let everything = Purge { ended_before: i64::MAX, idle_before: i64::MAX, limit: 100 };
    assert!(world.auth.store().purge(everything).await.unwrap() > 0);
    answers.push(world.renew(&purged).await);

    assert_eq!(answers.len(), 9);
    for (case, answer) in answers.iter().enumerate() {
        assert!(matches!(answer, Err(Error::Grant)), "case {case}: {answer:?}");
    }
}

#[actix_web::test]
async fn a_retired_key_is_good_for_refresh_tokens_while_it_is_listed() {
    let old = || Keys::hs256("old", &[1; 32]).unwrap();
    let new = || Keys::hs256("new", &[2; 32]).unwrap();
    let store = MemoryStore::new();
    let world = |keys| World::signing(keys, store.clone(), Policy::default(), TestClock::at(START));

    let first = world(old()).refresh_token("ana").await;
    let second = world(new().and_verify(old())).rotated(&first).await;
    world(new()).refused(&first).await;
    assert_eq!(world(new().and_verify(old())).rotated(&first).await, second);
    let later = world(new());
    later.later(MINUTE);
    later.rotated(&second).await;
}

#[actix_web::test]
async fn a_denial_ends_the_session_and_an_outage_does_not() {
    let world = World::new();
    let pair = world.login("ana").await;
    let refresh = pair.refresh_token.unwrap();

    world.users.put("ana", User::DatabaseDown);
    assert!(matches!(world.renew(&refresh).await, Err(Error::Claims(_))));
    world.users.set("ana", &["read"]);
    let refresh = world.rotated(&refresh).await;

    world.users.put("ana", User::Disabled);
    world.refused(&refresh).await;
    assert!(matches!(world.auth.verify(&pair.token), Err(Error::Revoked)));
    world.users.set("ana", &["read"]);
    world.refused(&refresh).await;

    world.users.put("ana", User::Disabled);
    let login = world.auth.login("ana", (), utils_token_auth::Client::unknown()).await;
    assert!(matches!(login, Err(Error::Grant)));
}

fn scopes(scopes: &[&str]) -> Claims {
    Claims { scopes: scopes.iter().map(|&scope| scope.to_owned()).collect() }
}

#[actix_web::test]
async fn a_store_that_is_down_is_503_and_the_same_token_works_afterwards() {
    let world = World::on(Spy::default(), Policy::default());
    let refresh = world.refresh_token("ana").await;
    world.auth.store().break_down(true);
    let error = world.renew(&refresh).await.unwrap_err();
    assert_eq!(error.kind().status, 503);
    assert_eq!(error.to_string(), "sessions are not available at the moment");
    world.auth.store().break_down(false);
    world.rotated(&refresh).await;
}

/// RFC 6749 section 5.1.
#[actix_web::test]
async fn r14_answers_with_tokens_are_not_stored_and_say_when_the_token_ends() {
    use crate::http_app::Site;
    let oauth = Site::new().over(|http| http.oauth_names());
    let form = [("refresh_token", oauth.login("ana").await.refresh_token.unwrap())];
    let renewed = oauth.send(actix_web::test::TestRequest::post().uri("/renew").set_form(form)).await;
    assert_eq!(renewed.header("Cache-Control"), "no-store");
    let json = renewed.json();
    assert_eq!((json["token_type"].as_str(), json["expires_in"].as_u64()), (Some("Bearer"), Some(900)));

    let site = Site::new();
    let renewed = site.renew(&site.login("ana").await.refresh_token.unwrap()).await;
    assert_eq!(renewed.header("Cache-Control"), "no-store");
}

/// RFC 6749 section 3.2, RFC 9700 section 4.3.2.
#[actix_web::test]
async fn r15_a_refresh_token_in_the_address_is_not_taken() {
    let site = crate::http_app::Site::new().over(|http| http.query_param("token"));
    let refresh = site.login("ana").await.refresh_token.unwrap();
    for name in ["refreshToken", "refresh_token", "token"] {
        let address = format!("/renew?{name}={refresh}");
        let answer = site.send(actix_web::test::TestRequest::post().uri(&address)).await;
        assert!(!answer.status.is_success(), "{name}: {answer:?}");
        assert!(!answer.text.contains(&refresh));
    }
    assert!(site.renew(&refresh).await.status.is_success(), "nothing has happened to it");
}
