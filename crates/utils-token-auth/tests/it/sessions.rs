//! Sessions: the requirements S1 to S8, and the attacks on sessions.
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use utils_token_auth::{
    Client, Error, EventKind, MemoryStore, Policy, PolicyError, Severity, Sid, Stale, Store, TestClock,
    TokenAuth, Which, Why,
};

use crate::{
    hooked::Hooked,
    spy::Spy,
    support::{DAY, HOUR, MINUTE, SECOND, START, User, World, hex, keys},
};

/// OWASP Session Management: a session id that existed before the login is never taken over.
#[actix_web::test]
async fn s1_every_login_makes_a_new_session() {
    let world = World::new();
    let attackers = world.login("eve").await;
    let mut ids = vec![attackers.session];
    for _ in 0..20 {
        // the attacker planted their own tokens as the victim's data and device name; they stay text
        let client = Client::unknown().label(attackers.session.to_string());
        let pair = world.auth.login("ana", attackers.session, client).await.unwrap();
        assert_ne!(pair.refresh_token, attackers.refresh_token);
        ids.push(pair.session);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 21);
    assert_eq!(world.auth.list("eve", None).await.unwrap().len(), 1);
}

/// OWASP Session Management: time limits on the server, whatever the client still holds.
#[actix_web::test]
async fn s2_the_server_ends_sessions_by_idle_and_by_absolute_time() {
    let world = World::with(Policy::default().idle(HOUR).absolute(3 * HOUR));
    let idle = world.login("ana").await;
    let mut busy = world.refresh_token("ana").await;
    world.later(HOUR);
    busy = world.rotated(&busy).await;
    world.later(SECOND);
    assert!(matches!(world.auth.confirm(idle.session).await, Err(Error::Revoked)));
    assert_eq!(world.auth.list("ana", None).await.unwrap().len(), 1);
    world.refused(&idle.refresh_token.unwrap()).await;

    world.later(HOUR - MINUTE);
    busy = world.rotated(&busy).await;
    world.later(HOUR - MINUTE);
    let last = world.renew(&busy).await.unwrap();
    world.later(2 * MINUTE + 5 * SECOND);
    assert!(matches!(world.auth.verify(&last.token), Err(Error::Expired(_))));
    assert!(world.auth.list("ana", None).await.unwrap().is_empty());
}

/// OWASP Session Management: logging out ends the session on the server, not only in the browser.
#[actix_web::test]
async fn s3_logout_ends_the_session_on_the_server() {
    let world = World::new();
    for with_access_token in [true, false] {
        let pair = world.login("ana").await;
        let refresh = pair.refresh_token.unwrap();
        let token = if with_access_token { &pair.token } else { &refresh };
        assert!(world.auth.logout(token).await.unwrap());
        assert!(matches!(world.auth.verify(&pair.token), Err(Error::Revoked)));
        assert!(matches!(world.auth.confirm(pair.session).await, Err(Error::Revoked)));
        world.refused(&refresh).await;
        assert!(!world.auth.logout(token).await.unwrap(), "a second time is no error");
    }
    assert!(!world.auth.logout("garbage").await.unwrap());
}

#[actix_web::test]
async fn s3_after_the_access_token_has_expired_the_refresh_token_logs_out() {
    let world = World::new();
    let pair = world.login("ana").await;
    let refresh = pair.refresh_token.unwrap();
    world.later(HOUR);
    assert!(world.auth.logout(&refresh).await.unwrap());
    world.refused(&refresh).await;
    assert!(!world.auth.logout(&pair.token).await.unwrap());
}

#[actix_web::test]
async fn s3_an_access_token_that_has_expired_logs_out_while_its_session_could_be_renewed() {
    let world = World::new();
    for (later, ends) in [(HOUR, true), (13 * DAY, true), (15 * DAY, false)] {
        let pair = world.login("ana").await;
        world.later(later);
        assert!(matches!(world.auth.verify(&pair.token), Err(Error::Expired(_))));
        assert_eq!(world.auth.logout(&pair.token).await.unwrap(), ends, "{later:?}");
        world.refused(&pair.refresh_token.unwrap()).await;
    }
    let foreign = World::signing(
        utils_token_auth::Keys::hs256("1", b"another secret, of another service, 32 bytes").unwrap(),
        world.auth.store().clone(),
        Policy::default(),
        world.clock.clone(),
    );
    let pair = world.login("ana").await;
    world.later(HOUR);
    assert!(!foreign.auth.logout(&pair.token).await.unwrap(), "only by the key that signed it");
}

#[actix_web::test]
async fn a_refresh_token_is_said_to_end_when_it_does() {
    let world = World::with(Policy::default().idle(10 * DAY).absolute(25 * DAY));
    let mut refresh = world.refresh_token("ana").await;
    for (ends, later) in [(10, 9 * DAY), (19, 7 * DAY), (25, DAY)] {
        let said = world.auth.introspect(&refresh).await.unwrap().exp;
        assert_eq!(said, Some(START / 1000 + ends * 86_400));
        world.later(later);
        refresh = world.rotated(&refresh).await;
    }
}

/// OWASP Session Management: users see their sessions and end each.
#[actix_web::test]
async fn s4_a_user_sees_the_devices_and_ends_each() {
    let world = World::new();
    let phone = Client::unknown().ip([192, 0, 2, 1].into()).user_agent("Phone/1").label("Ana's phone");
    let phone = world.auth.login("ana", (), phone).await.unwrap();
    world.later(HOUR);
    let laptop = world.login("ana").await;
    let renewed = Client::unknown().ip([192, 0, 2, 9].into()).user_agent("Phone/2");
    world.later(SECOND);
    let phone = world.auth.renew(&phone.refresh_token.unwrap(), renewed).await.unwrap();

    let list = world.auth.list("ana", Some(laptop.session)).await.unwrap();
    let json = serde_json::to_value(&list).unwrap();
    assert_eq!(
        json,
        serde_json::json!([
            {
                "id": phone.session.to_string(),
                "createdAt": "2027-01-15T08:00:00Z",
                "renewedAt": "2027-01-15T09:00:01Z",
                "expiresAt": "2027-04-15T08:00:00Z",
                "ip": "192.0.2.9",
                "userAgent": "Phone/2",
                "label": "Ana's phone",
                "current": false
            },
            {
                "id": laptop.session.to_string(),
                "createdAt": "2027-01-15T09:00:00Z",
                "renewedAt": "2027-01-15T09:00:00Z",
                "expiresAt": "2027-04-15T09:00:00Z",
                "ip": null,
                "userAgent": null,
                "label": null,
                "current": true
            }
        ])
    );

    let which = Which::One { user: "ana", id: phone.session };
    assert_eq!(world.auth.revoke(which, Why::User).await.unwrap(), 1);
    assert_eq!(world.auth.list("ana", None).await.unwrap().len(), 1);
    assert!(matches!(world.auth.verify(&phone.token), Err(Error::Revoked)));
}

/// OWASP Logging: the life of a session in the log, its id never in clear.
#[actix_web::test]
async fn s5_the_life_of_a_session_is_logged_without_its_id() {
    let world = World::with(Policy::default().max_sessions(1));
    let first = world.login("ana").await;
    let refresh = first.refresh_token.clone().unwrap();
    let second = world.rotated(&refresh).await;
    world.later(MINUTE);
    world.refused(&refresh).await;
    world.refused(&second).await;
    world.login("ana").await;
    world.login("ana").await;
    world.later(200 * DAY);
    world.auth.purge().await.unwrap();

    let other_key = World::signing(
        utils_token_auth::Keys::hs256("1", &[9; 32]).unwrap(),
        MemoryStore::new(),
        Policy::default(),
        TestClock::at(START),
    );
    other_key.login("ana").await;

    let events = world.events.lock().unwrap();
    let names: Vec<_> = events.iter().map(|event| (event.name(), event.severity())).collect();
    assert_eq!(
        names,
        [
            ("authn_token_created", Severity::Info),
            ("session_renewed", Severity::Info),
            ("authn_token_reuse", Severity::Critical),
            ("authn_token_revoked", Severity::Info),
            ("session_use_after_expire", Severity::Warn),
            ("authn_token_created", Severity::Info),
            ("authn_token_created", Severity::Info),
            ("authn_token_revoked", Severity::Info),
            ("authn_token_delete", Severity::Info),
        ]
    );
    let id = first.session;
    let hex = hex(id.as_bytes());
    let written = format!("{events:?}");
    for secret in [id.to_string(), hex[..16].to_owned(), first.token, refresh, second] {
        assert!(!written.contains(&secret), "{secret} is in {written}");
    }
    let of_first: Vec<_> = events.iter().map(|event| event.session.as_str()).take(5).collect();
    assert!(of_first.iter().all(|session| *session == of_first[0] && session.len() == 16), "{of_first:?}");

    assert_ne!(other_key.events.lock().unwrap()[0].session, events[0].session);
}

/// OWASP, JSON Web Token sheet: a list of revoked tokens would miss the same token written in another way.
#[actix_web::test]
async fn s6_a_revocation_meets_every_token_of_the_session() {
    let world = World::new();
    let pair = world.login("ana").await;
    let mut tokens = vec![pair.token];
    let mut refresh = pair.refresh_token.unwrap();
    for _ in 0..3 {
        world.later(3 * MINUTE);
        let pair = world.renew(&refresh).await.unwrap();
        tokens.push(pair.token);
        refresh = pair.refresh_token.unwrap();
    }
    let other = world.login("ana").await;
    world.auth.logout(&refresh).await.unwrap();
    for token in &tokens {
        assert!(matches!(world.auth.verify(token), Err(Error::Revoked)));
    }
    world.verify(&other.token);
    assert_eq!(world.auth.revocations().len(), 1);
}

/// RFC 9470: a token says when its user last proved who they are; renewing does not make it younger.
#[actix_web::test]
async fn s7_renewing_does_not_make_a_login_fresh() {
    let world = World::new();
    let refresh = world.refresh_token("ana").await;
    world.later(HOUR);
    let renewed = world.renew(&refresh).await.unwrap();
    let token = world.verify(&renewed.token);
    assert_eq!(token.auth_time, Some(START / 1000));
    assert_eq!(token.issued_at, START / 1000 + 3_600);

    let again = world.login("ana").await;
    assert_eq!(world.verify(&again.token).auth_time, Some(START / 1000 + 3_600));
}

/// OWASP Session Management: a new id after a change of privileges.
#[actix_web::test]
async fn s8_a_session_gets_a_new_id_when_privileges_change() {
    let world = World::new();
    let before = world.login("ana").await;
    world.users.set("ana", &["read", "admin"]);
    let after = world.auth.replace("ana", before.session, (), Client::unknown()).await.unwrap();
    assert_ne!(after.session, before.session);
    assert_eq!(world.verify(&after.token).claims.scopes, ["read", "admin"]);
    assert!(matches!(world.auth.verify(&before.token), Err(Error::Revoked)));
    world.refused(&before.refresh_token.unwrap()).await;
    assert_eq!(world.auth.list("ana", None).await.unwrap().len(), 1);
}

/// RFC 9470: nobody proved anything anew, so the sign-in is as old as it was, and it ends when it would have ended.
#[actix_web::test]
async fn s8_a_session_that_is_replaced_is_no_younger_and_lives_no_longer() {
    let world = World::with(Policy::default().idle(2 * DAY).absolute(10 * DAY));
    let mut session = world.login("ana").await.session;
    let ends = world.auth.list("ana", None).await.unwrap()[0].expires_at;
    for _ in 0..5 {
        world.later(DAY);
        let pair = world.auth.replace("ana", session, (), Client::unknown()).await.unwrap();
        session = pair.session;
        let token = world.verify(&pair.token);
        assert_eq!(token.auth_time, Some(START / 1000));
        assert_eq!(token.issued_at, world.auth.now() / 1000);
        let kept = world.auth.store().get(session).await.unwrap().unwrap();
        assert_eq!((kept.created_at, kept.expires_at), (START, ends));
        assert_eq!(kept.renewed_at, world.auth.now(), "and it is not idle");
    }
    world.later(DAY);
    let last = world.auth.replace("ana", session, (), Client::unknown()).await.unwrap();
    world.later(DAY);
    let mut refresh = world.rotated(&last.refresh_token.unwrap()).await;
    for _ in 0..2 {
        world.later(DAY);
        refresh = world.rotated(&refresh).await;
    }
    world.later(DAY);
    world.refused(&refresh).await;
}

#[actix_web::test]
async fn a_session_that_is_over_or_another_users_is_not_replaced() {
    let world = World::with(Policy::default().idle(DAY).absolute(3 * DAY));
    let revoked = world.login("ana").await;
    world.auth.revoke(Which::One { user: "ana", id: revoked.session }, Why::Admin).await.unwrap();
    let victims = world.login("eve").await;
    let unknown = World::new().login("ana").await;
    for (case, session) in
        [("revoked", revoked.session), ("another user's", victims.session), ("unknown", unknown.session)]
    {
        not_replaced(&world, case, session).await;
    }
    world.verify(&victims.token);
    world.rotated(&victims.refresh_token.unwrap()).await;

    let (idle, expired) = (world.login("ana").await, world.login("ana").await);
    let mut refresh = expired.refresh_token.unwrap();
    for _ in 0..2 {
        world.later(DAY);
        refresh = world.rotated(&refresh).await;
    }
    not_replaced(&world, "idle", idle.session).await;
    world.later(DAY);
    not_replaced(&world, "expired", expired.session).await;
}

async fn not_replaced(world: &World, case: &str, session: Sid) {
    let before = world.auth.store().len();
    let refused = world.auth.replace("ana", session, (), Client::unknown()).await;
    assert!(matches!(refused, Err(Error::Revoked)), "{case}: {refused:?}");
    assert_eq!(world.auth.store().len(), before, "{case}: nothing was made");
}

#[actix_web::test]
async fn a_session_that_ends_while_it_is_replaced_stays_ended() {
    // an administrator ends all sessions of the user after the old one was read, and before the new one is there
    let sessions = Arc::new(std::sync::OnceLock::<MemoryStore>::new());
    let armed = Arc::new(AtomicBool::new(false));
    let store = {
        let (sessions, armed) = (Arc::clone(&sessions), Arc::clone(&armed));
        Hooked::before(move |method| {
            let sessions = Arc::clone(&sessions);
            let now = method == "insert" && armed.load(Ordering::SeqCst);
            async move {
                if now {
                    let all = Which::All { user: "ana" };
                    sessions.get().unwrap().revoke(all, Why::Admin, START).await.map_err(io::Error::other)?;
                }
                Ok(())
            }
        })
    };
    sessions.set(store.store.clone()).unwrap();
    let world = World::on(store, Policy::default());
    let before = world.login("ana").await;
    armed.store(true, Ordering::SeqCst);
    let refused = world.auth.replace("ana", before.session, (), Client::unknown()).await;
    assert!(matches!(refused, Err(Error::Revoked)), "{refused:?}");
    assert!(world.auth.list("ana", None).await.unwrap().is_empty(), "the user has no session");
}

#[actix_web::test]
async fn replacing_a_session_ends_no_other_of_the_user() {
    let world = World::with(Policy::default().max_sessions(2));
    let older = world.login("ana").await;
    world.later(MINUTE);
    let newer = world.login("ana").await;
    world.later(MINUTE);
    let replaced = world.auth.replace("ana", newer.session, (), Client::unknown()).await.unwrap();
    world.verify(&older.token);
    world.verify(&replaced.token);
    assert_eq!(world.auth.list("ana", None).await.unwrap().len(), 2);
    assert!(!world.kinds().contains(&EventKind::Revoked { why: Why::Evicted, sessions: 1 }));
}

#[actix_web::test]
async fn a_session_that_could_not_be_replaced_is_the_only_one_still() {
    let revokes = Arc::new(AtomicUsize::new(0));
    let store = Hooked::before(move |method| {
        let first = method == "revoke" && revokes.fetch_add(1, Ordering::SeqCst) == 0;
        std::future::ready(if first { Err(io::Error::other("the store is away")) } else { Ok(()) })
    });
    let world = World::on(store, Policy::default());
    let before = world.login("ana").await;
    let refused = world.auth.replace("ana", before.session, (), Client::unknown()).await;
    assert!(matches!(refused, Err(Error::Store(_))), "{refused:?}");
    world.verify(&before.token);
    let sessions = world.auth.list("ana", None).await.unwrap();
    assert_eq!(sessions.iter().map(|session| session.id).collect::<Vec<_>>(), [before.session]);
}

#[actix_web::test]
async fn another_users_session_cannot_be_ended_by_its_id() {
    let world = World::new();
    let victim = world.login("ana").await;
    let which = Which::One { user: "eve", id: victim.session };
    assert_eq!(world.auth.revoke(which, Why::User).await.unwrap(), 0);
    world.verify(&victim.token);
    assert!(world.auth.revocations().is_empty());
    world.rotated(&victim.refresh_token.unwrap()).await;
}

#[actix_web::test]
async fn others_keeps_the_current_session_and_all_includes_it() {
    let world = World::new();
    let (one, two, three) = (world.login("ana").await, world.login("ana").await, world.login("ana").await);
    let bystander = world.login("bo").await;
    let others = Which::Others { user: "ana", keep: two.session };
    assert_eq!(world.auth.revoke(others, Why::User).await.unwrap(), 2);
    assert!(world.auth.verify(&one.token).is_err() && world.auth.verify(&three.token).is_err());
    world.verify(&two.token);
    assert_eq!(world.auth.revoke(Which::All { user: "ana" }, Why::User).await.unwrap(), 1);
    assert!(world.auth.verify(&two.token).is_err());
    world.verify(&bystander.token);
}

#[actix_web::test]
async fn a_list_never_shows_a_secret() {
    let world = World::new();
    let pair = world.login("ana").await;
    let stored = world.auth.store().get(pair.session).await.unwrap().unwrap();
    let refresh = pair.refresh_token.clone().unwrap();
    let secret = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(&refresh).unwrap()[21..37].to_vec();
    let written = format!(
        "{:?} {} {stored:?} {pair:?} {:?}",
        world.auth.list("ana", None).await.unwrap(),
        serde_json::to_string(&world.auth.list("ana", None).await.unwrap()).unwrap(),
        world.auth,
    );
    let spelled = |bytes: &[u8]| {
        [
            hex(bytes),
            base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes),
            format!("{bytes:?}").trim_matches(['[', ']']).to_owned(),
        ]
    };
    for text in spelled(&stored.secret_hash).into_iter().chain(spelled(&secret)).chain([pair.token, refresh])
    {
        assert!(!written.contains(&text), "{text} is in {written}");
    }
}

#[actix_web::test]
async fn a_login_above_the_limit_ends_the_session_renewed_longest_ago() {
    let world = World::with(Policy::default().max_sessions(3));
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(world.refresh_token("ana").await);
        world.later(MINUTE);
    }
    tokens[0] = world.rotated(&tokens[0]).await;
    world.later(MINUTE);
    let other_user = world.refresh_token("bo").await;
    let fourth = world.refresh_token("ana").await;

    world.refused(&tokens[1]).await;
    for kept in [&tokens[0], &tokens[2], &fourth, &other_user] {
        world.rotated(kept).await;
    }
    assert!(world.kinds().contains(&EventKind::Revoked { why: Why::Evicted, sessions: 1 }));
}

#[actix_web::test]
async fn logins_at_once_leave_no_more_sessions_than_allowed() {
    let world = World::with(Policy::default().max_sessions(2));
    let logins = (0..16).map(|_| {
        let world = world.clone();
        actix_web::rt::spawn(async move { world.login("ana").await })
    });
    for login in logins.collect::<Vec<_>>() {
        login.await.unwrap();
    }
    assert_eq!(world.auth.list("ana", None).await.unwrap().len(), 2);
}

#[actix_web::test]
async fn the_purge_keeps_what_other_processes_must_still_hear_of() {
    let world = World::with(Policy::default().keep(Duration::ZERO).access(HOUR));
    let revoked = world.login("ana").await;
    world.auth.logout(&revoked.token).await.unwrap();
    let other_process = World { auth: rebuilt(&world, Policy::default().access(HOUR)), ..world.clone() };

    // as long as an access token of the session could still be accepted, the row is there
    world.later(HOUR + 64 * SECOND);
    assert_eq!(world.auth.purge().await.unwrap(), 0);
    other_process.auth.sync().await.unwrap();
    assert!(other_process.auth.revocations().contains(revoked.session));

    world.later(12 * SECOND);
    assert_eq!(world.auth.purge().await.unwrap(), 1);
    assert!(world.auth.store().is_empty());
}

#[actix_web::test]
async fn the_purge_goes_on_until_nothing_is_left_to_delete() {
    let world = World::with(Policy::default());
    for _ in 0..2_500 {
        world.login("ana").await;
    }
    let live = world.login("bo").await;
    let mut refresh = live.refresh_token.unwrap();
    for _ in 0..2 {
        world.later(8 * DAY);
        refresh = world.rotated(&refresh).await;
    }
    assert_eq!(world.auth.purge().await.unwrap(), 2_500);
    assert_eq!(world.auth.store().len(), 1);
    world.later(MINUTE);
    world.rotated(&refresh).await;
}

#[actix_web::test]
async fn a_clock_that_jumps_brings_no_revoked_session_back() {
    for jump in [-3_600_000, 3_600_000, -60_000, 60_000] {
        let world = World::new();
        let revoked = world.login("ana").await;
        let kept = world.login("ana").await;
        world.auth.logout(&revoked.token).await.unwrap();
        world.auth.sync().await.unwrap();
        world.clock.set(START + jump);
        world.auth.sync().await.unwrap();
        assert!(world.auth.verify(&revoked.token).is_err(), "jump by {jump} ms");
        world.clock.set(START + SECOND.as_millis() as i64);
        world.auth.sync().await.unwrap();
        assert!(
            matches!(world.auth.verify(&revoked.token), Err(Error::Revoked)),
            "jump by {jump} ms and back"
        );
        world.verify(&kept.token);
        world.refused(&revoked.refresh_token.unwrap()).await;
        world.rotated(&kept.refresh_token.unwrap()).await;
    }
}

#[actix_web::test]
async fn a_user_id_must_be_one_that_every_database_can_hold() {
    let world = World::new();
    for user in ["", "a\0b", &"é".repeat(128)] {
        let login = world.auth.login(user, (), Client::unknown()).await;
        assert!(matches!(login, Err(Error::UserId)), "{user:?}");
    }
    world.login(&"u".repeat(255)).await;
    assert_eq!(world.auth.store().len(), 1);
}

#[actix_web::test]
async fn nothing_is_stored_when_a_login_fails() {
    let world = World::new();
    world.users.put("ana", User::Disabled);
    assert!(world.auth.login("ana", (), Client::unknown()).await.is_err());
    world.users.put("ana", User::DatabaseDown);
    assert!(matches!(world.auth.login("ana", (), Client::unknown()).await, Err(Error::Claims(_))));
    assert!(world.auth.store().is_empty());

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Clash {
        exp: u64,
    }
    let store = MemoryStore::new();
    let clash = TokenAuth::new(keys(), store.clone(), |_| async { Ok(Clash { exp: 1 }) }).build().unwrap();
    assert!(matches!(clash.login("ana", (), Client::unknown()).await, Err(Error::Internal(_))));
    assert!(store.is_empty());
}

#[test]
fn a_policy_that_makes_no_sense_is_refused_when_the_engine_is_built() {
    let refused = |policy: Policy| {
        let builder = TokenAuth::new(keys(), MemoryStore::new(), |_| async { Ok(serde_json::Map::new()) });
        match builder.policy(policy).build() {
            Err(utils_token_auth::BuildError::Policy(error)) => Some(error),
            Ok(_) => None,
            Err(other) => panic!("{other:?}"),
        }
    };
    let policy = Policy::default;
    assert_eq!(refused(policy()), None);
    assert_eq!(refused(policy().grace(MINUTE)), None);
    assert_eq!(refused(policy().grace(MINUTE + SECOND)), Some(PolicyError::Grace));
    assert_eq!(refused(policy().access(Duration::ZERO)), Some(PolicyError::TooShort("access")));
    assert_eq!(refused(policy().sync(Duration::ZERO)), Some(PolicyError::NoInterval("sync")));
    assert_eq!(refused(policy().purge(Duration::ZERO)), Some(PolicyError::NoInterval("purge")));
    assert_eq!(refused(policy().purge(Duration::MAX)), Some(PolicyError::TooLong("purge")));
    assert_eq!(refused(policy().sync(Duration::MAX)), Some(PolicyError::TooLong("sync")));
    assert_eq!(refused(policy().leeway(HOUR)), Some(PolicyError::Leeway));
    assert_eq!(refused(policy().max_token(255)), Some(PolicyError::MaxToken));
    let denies = Stale::Deny { after: Duration::from_millis(999) };
    assert_eq!(refused(policy().stale(denies)), Some(PolicyError::Stale));
    assert_eq!(refused(policy().idle(MINUTE)), Some(PolicyError::Idle));
    assert_eq!(refused(policy().absolute(Duration::MAX)), Some(PolicyError::TooLong("absolute")));
    assert_eq!(refused(policy().max_sessions(0)), Some(PolicyError::MaxSessions));
}

#[actix_web::test]
async fn introspection_says_what_a_token_is_worth_and_changes_nothing() {
    let world = World::with(Policy::default().issuer("https://id.example"));
    world.users.set("ana", &["read", "write"]);
    let pair = world.login("ana").await;
    let refresh = pair.refresh_token.unwrap();
    let access = serde_json::to_value(world.auth.introspect(&pair.token).await.unwrap()).unwrap();
    let now = START / 1000;
    assert_eq!(
        access,
        serde_json::json!({
            "active": true, "scope": "read write", "token_type": "Bearer", "sub": "ana",
            "exp": now + 900, "iat": now, "iss": "https://id.example",
        })
    );
    let of_refresh = world.auth.introspect(&refresh).await.unwrap();
    assert!(of_refresh.active);
    assert_eq!(of_refresh.token_type, Some("refresh_token"));

    let next = world.rotated(&refresh).await;
    let inactive = serde_json::json!({"active": false});
    for token in [&refresh, "garbage", &next[1..]] {
        let answer = world.auth.introspect(token).await.unwrap();
        assert_eq!(serde_json::to_value(answer).unwrap(), inactive);
    }
    world.later(MINUTE);
    world.rotated(&next).await;
    world.auth.logout(&pair.token).await.unwrap();
    for token in [&pair.token, &next] {
        let answer = world.auth.introspect(token).await.unwrap();
        assert_eq!(serde_json::to_value(answer).unwrap(), inactive);
    }
}

#[actix_web::test]
async fn a_stale_list_of_revocations_is_borne_or_refused_as_the_policy_says() {
    let world = World::on(Spy::default(), Policy::default());
    let pair = world.login("ana").await;
    world.auth.sync().await.unwrap();
    world.auth.store().break_down(true);
    world.later(10 * MINUTE);
    assert!(matches!(world.auth.sync().await, Err(Error::Store(_))));
    world.verify(&pair.token);

    let world = World::on(Spy::default(), Policy::default().stale(Stale::Deny { after: 5 * SECOND }));
    let pair = world.login("ana").await;
    assert!(matches!(world.auth.verify(&pair.token), Err(Error::Stale)), "never loaded");
    world.auth.sync().await.unwrap();
    world.later(5 * SECOND);
    world.verify(&pair.token);
    world.auth.store().break_down(true);
    assert!(world.auth.sync().await.is_err());
    world.later(SECOND);
    let error = world.auth.verify(&pair.token).unwrap_err();
    assert!(matches!(error, Error::Stale) && error.kind().status == 503);
    world.auth.store().break_down(false);
    world.auth.sync().await.unwrap();
    world.verify(&pair.token);
}

fn rebuilt(world: &World, policy: Policy) -> TokenAuth<crate::support::Claims, MemoryStore> {
    World::signing(keys(), world.auth.store().clone(), policy, world.clock.clone()).auth
}
