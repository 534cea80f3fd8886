//! The attacks on refresh tokens that no requirement is named after.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use utils_testing::token_auth::check_races;
use utils_token_auth::{
    Client, Error, Keys, LiveAt, MemoryStore, Pair, Policy, Purge, Rotate, Session, Store, TestClock,
    TokenAuth, Which, Why,
};

use crate::{
    spy::Spy,
    support::{DAY, HOUR, MINUTE, SECOND, START, User, World},
};

#[actix_web::test]
async fn another_sessions_id_or_generation_cannot_be_spliced_in() {
    let world = World::on(Spy::default(), Policy::default());
    let (ana, eve) = (world.refresh_token("ana").await, world.refresh_token("eve").await);
    let decode = |token: &str| base64_simd::URL_SAFE_NO_PAD.decode_to_vec(token).unwrap();
    let (ana_bytes, eve_bytes) = (decode(&ana), decode(&eve));
    for part in [1..17, 17..21, 21..37, 37..53, 1..21, 21..53, 1..37, 0..1] {
        let mut spliced = eve_bytes.clone();
        spliced[part.clone()].copy_from_slice(&ana_bytes[part.clone()]);
        if spliced != eve_bytes {
            world.refused(&base64_simd::URL_SAFE_NO_PAD.encode_to_string(&spliced)).await;
        }
    }
    assert_eq!(world.auth.store().calls("get"), 0, "refused without asking the store");
    world.rotated(&ana).await;
    world.rotated(&eve).await;
}

#[actix_web::test]
async fn an_access_token_is_no_refresh_token_and_the_other_way_round() {
    let world = World::new();
    let pair = world.login("ana").await;
    let refresh = pair.refresh_token.unwrap();
    world.refused(&pair.token).await;
    assert!(matches!(world.auth.verify(&refresh), Err(Error::Invalid(_))));
    world.rotated(&refresh).await;
}

#[actix_web::test]
async fn a_new_token_renewed_at_once_stays_and_the_old_one_still_works_a_little_later() {
    let world = World::new();
    let old = world.refresh_token("ana").await;
    let new = world.rotated(&old).await;
    world.later(5 * SECOND);
    assert_eq!(world.renew(&new).await.unwrap().refresh_token, None);
    world.later(5 * SECOND);
    assert_eq!(world.rotated(&old).await, new, "a delayed request with the old token at 10 s");
    world.later(11 * SECOND);
    world.rotated(&new).await;
}

#[actix_web::test]
async fn a_client_that_renews_in_a_loop_causes_no_writes() {
    for rotate in [true, false] {
        let world = World::on(Spy::default(), Policy::default().rotate(rotate));
        let mut token = world.refresh_token("ana").await;
        for _ in 0..100 {
            if let Some(next) = world.renew(&token).await.unwrap().refresh_token {
                token = next;
            }
            world.later(Duration::from_millis(100));
        }
        assert_eq!(world.auth.store().calls("rotate"), usize::from(rotate), "rotate({rotate})");
    }
}

#[actix_web::test]
async fn two_eight_and_sixty_four_callers_at_once_get_the_same_pair() {
    for callers in [2, 8, 64] {
        let store = MemoryStore::new();
        let report = check_races(&|| async { store.clone() }, callers, 10).await;
        assert_eq!((report.renewals, report.rotations), (callers * 10, 10));
    }
}

#[actix_web::test]
async fn a_crash_after_the_update_and_before_the_answer_costs_nothing() {
    let world = World::new();
    let login = world.login("ana").await;
    let refresh = login.refresh_token.unwrap();
    // what the dying process had done: the generation moved, and nobody heard of it
    let live = LiveAt { now: START, idle_since: START - HOUR.as_millis() as i64 };
    let moved = Rotate { id: login.session, from: 0, to: 1, live, client: Client::unknown() };
    assert!(world.auth.store().rotate(moved).await.unwrap());
    world.later(10 * SECOND);
    let next = world.rotated(&refresh).await;
    world.later(MINUTE);
    world.rotated(&next).await;
}

#[actix_web::test]
async fn what_is_over_in_any_way_cannot_be_renewed() {
    let policy = || Policy::default().idle(DAY).absolute(10 * DAY);
    let idle = World::with(policy());
    let refresh = idle.refresh_token("ana").await;
    idle.later(DAY + SECOND);
    idle.refused(&refresh).await;

    let expired = World::with(policy());
    let mut refresh = expired.refresh_token("ana").await;
    for _ in 0..9 {
        expired.later(DAY);
        refresh = expired.rotated(&refresh).await;
    }
    expired.later(DAY);
    expired.refused(&refresh).await;

    let purged = World::with(policy());
    let refresh = purged.refresh_token("ana").await;
    let everything = Purge { ended_before: i64::MAX, idle_before: i64::MAX, limit: 10 };
    assert_eq!(purged.auth.store().purge(everything).await.unwrap(), 1);
    purged.refused(&refresh).await;

    let deleted_user = World::with(policy());
    let refresh = deleted_user.refresh_token("ana").await;
    deleted_user.auth.revoke(Which::All { user: "ana" }, Why::Admin).await.unwrap();
    deleted_user.refused(&refresh).await;
}

/// What happens to a session in the middle of a renewal: the claims function is where that can be staged.
#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    Revoked,
    Purged,
    Expired,
    /// The client renewed with the refresh token that came after.
    Renewed,
}

/// Renews while something happens to the session, with a refresh token that is due, young or replaced just now.
async fn renewed_meanwhile(standing: &str, waits: bool, happens: Meanwhile) -> Result<Pair, Error> {
    let store = MemoryStore::new();
    let clock = TestClock::at(START);
    let armed = Arc::new(AtomicBool::new(false));
    let hook = (store.clone(), clock.clone(), Arc::clone(&armed));
    let auth = TokenAuth::new(crate::support::keys(), store.clone(), move |session: Session| {
        let (store, clock, armed) = hook.clone();
        async move {
            if armed.load(Ordering::SeqCst) {
                if waits {
                    tokio::task::yield_now().await;
                }
                match happens {
                    Meanwhile::Revoked => {
                        let which = Which::One { user: &session.user, id: session.id };
                        store.revoke(which, Why::Admin, START).await?;
                    }
                    Meanwhile::Purged => {
                        store.purge(Purge { ended_before: i64::MAX, idle_before: 0, limit: 9 }).await?;
                    }
                    Meanwhile::Expired => clock.advance(400 * DAY),
                    Meanwhile::Renewed => {
                        let live = LiveAt { now: START + 30_000, idle_since: 0 };
                        let (from, client) = (session.generation, Client::unknown());
                        store.rotate(Rotate { id: session.id, from, to: from + 1, live, client }).await?;
                    }
                }
            }
            Ok(serde_json::Map::new())
        }
    });
    let auth = auth.clock(clock.clone()).events(|_| {}).build().unwrap();
    let renew = |token: String| {
        let auth = auth.clone();
        async move { auth.renew(&token, Client::unknown()).await }
    };
    let first = auth.login("ana", (), Client::unknown()).await.unwrap().refresh_token.unwrap();
    let token = match standing {
        "due" => first,
        "young" => renew(first).await.unwrap().refresh_token.unwrap(),
        _ => {
            renew(first.clone()).await.unwrap();
            first
        }
    };
    armed.store(true, Ordering::SeqCst);
    renew(token).await
}

#[actix_web::test]
async fn a_session_that_ends_while_it_is_renewed_is_refused() {
    for (standing, waits) in [("due", false), ("due", true), ("young", true), ("replaced just now", true)] {
        for ending in [Meanwhile::Revoked, Meanwhile::Purged, Meanwhile::Expired] {
            let renewed = renewed_meanwhile(standing, waits, ending).await;
            assert!(matches!(renewed, Err(Error::Grant)), "{standing}, {ending:?}: {renewed:?}");
        }
    }
}

#[actix_web::test]
async fn a_retry_that_was_slower_than_the_next_renewal_brings_no_old_refresh_token_back() {
    for standing in ["young", "replaced just now"] {
        let renewed = renewed_meanwhile(standing, true, Meanwhile::Renewed).await.unwrap();
        assert_eq!(renewed.refresh_token, None, "{standing}");
    }
}

#[actix_web::test]
async fn a_request_that_was_slower_than_the_grace_ends_nothing() {
    // its claims function hung while the client gave up, renewed anew, and again: no thief is here
    let store = MemoryStore::new();
    let clock = TestClock::at(START);
    let auth = |slow: bool| {
        let (hook_store, hook_clock) = (store.clone(), clock.clone());
        let engine =
            utils_token_auth::TokenAuth::new(crate::support::keys(), store.clone(), move |session| {
                let (store, clock) = (hook_store.clone(), hook_clock.clone());
                async move {
                    if slow {
                        for from in 0..2 {
                            clock.advance(MINUTE);
                            let now = utils_token_auth::Clock::now_ms(&clock);
                            let live = LiveAt { now, idle_since: 0 };
                            let client = Client::unknown();
                            store.rotate(Rotate { id: session.id, from, to: from + 1, live, client }).await?;
                        }
                    }
                    Ok(serde_json::Map::new())
                }
            });
        engine.clock(clock.clone()).events(|_| {}).build().unwrap()
    };
    let pair = auth(false).login("ana", (), Client::unknown()).await.unwrap();
    let late = auth(true).renew(&pair.refresh_token.unwrap(), Client::unknown()).await.unwrap();
    assert_eq!(late.refresh_token, None, "it must not bring an old refresh token back");
    assert!(auth(false).confirm(pair.session).await.is_ok());
}

#[actix_web::test]
async fn users_that_changed_between_login_and_renewal_get_what_they_are_now() {
    let world = World::new();
    world.users.set("ana", &["read", "write"]);
    let refresh = world.refresh_token("ana").await;
    world.users.set("ana", &["read"]);
    let pair = world.renew(&refresh).await.unwrap();
    assert_eq!(world.verify(&pair.token).claims.scopes, ["read"]);
    world.users.put("ana", User::Disabled);
    world.refused(&pair.refresh_token.unwrap()).await;
    assert!(world.auth.verify(&pair.token).is_err());
}

#[actix_web::test]
async fn rotation_can_be_switched_off_and_on() {
    let store = MemoryStore::new();
    let clock = TestClock::at(START);
    let world = |rotate| {
        let policy = Policy::default().rotate(rotate);
        World::signing(crate::support::keys(), store.clone(), policy, clock.clone())
    };
    let refresh = world(false).refresh_token("ana").await;
    for _ in 0..3 {
        clock.advance(HOUR);
        assert_eq!(world(false).renew(&refresh).await.unwrap().refresh_token, None);
    }
    clock.advance(HOUR);
    let next = world(true).rotated(&refresh).await;
    clock.advance(HOUR);
    assert_eq!(world(false).renew(&next).await.unwrap().refresh_token, None);
    clock.advance(MINUTE);
    world(false).refused(&refresh).await;
    world(false).refused(&next).await;
}

#[actix_web::test]
async fn a_refresh_token_needs_the_secret_of_its_key_and_not_only_its_name() {
    let store = MemoryStore::new();
    let clock = TestClock::at(START);
    let world = |secret: u8| {
        let keys = Keys::hs256("1", &[secret; 32]).unwrap();
        World::signing(keys, store.clone(), Policy::default(), clock.clone())
    };
    let refresh = world(1).refresh_token("ana").await;
    // 300 keys: some of them have the same key byte
    for secret in 2..=255 {
        world(secret).refused(&refresh).await;
    }
    world(1).rotated(&refresh).await;
}

/// Secrets are compared in constant time: only `verify_*` and `ct_eq` may look at them.
#[test]
fn nothing_but_constant_time_comparisons_touches_a_secret() {
    let source = include_str!("../../src/refresh.rs");
    assert!(source.contains(".verify_truncated_left(") && source.contains(".ct_eq("));
    for line in source.lines().filter(|line| !line.trim_start().starts_with("//")) {
        let compares = line.contains("==") || line.contains("!=") || line.contains("PartialEq");
        let about_secrets = ["secret", "tag", "hash", "mac"].iter().any(|name| line.contains(name));
        assert!(!(compares && about_secrets), "compares a secret in varying time: {line}");
    }
    let engine = [include_str!("../../src/engine.rs"), include_str!("../../src/renew.rs")].concat();
    let compared = engine.lines().filter(|line| line.contains("secret_hash"));
    for line in compared {
        assert!(!line.contains("==") && !line.contains("!="), "{line}");
    }
}

/// The statistical counterpart, for a quiet machine: Welch's t of 200,000 comparisons of right and wrong tags.
#[test]
#[ignore = "needs a quiet machine"]
fn a_wrong_tag_takes_as_long_as_another_wrong_tag() {
    let keys = || Keys::hs256("1", &[1; 32]).unwrap();
    let world = World::signing(keys(), Spy::default(), Policy::default(), TestClock::at(START));
    let runtime = actix_web::rt::System::new();
    let genuine = runtime.block_on(world.refresh_token("ana"));
    let wrong_in = |position: usize| {
        let mut bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(&genuine).unwrap();
        bytes[position] ^= 1;
        base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes)
    };
    // wrong in the first byte of the tag, and in the last
    let tokens = [wrong_in(37), wrong_in(52)];
    let mut samples = [Vec::new(), Vec::new()];
    for round in 0..200_000_u64 {
        let which = (round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63) as usize;
        let started = std::time::Instant::now();
        let refused = runtime.block_on(world.renew(&tokens[which]));
        let took = started.elapsed().as_nanos() as f64;
        assert!(refused.is_err());
        samples[which].push(took);
    }
    let t = welch(&mut samples);
    assert!(t.abs() < 10.0, "t = {t}");
}

/// Welch's t over the faster 90 % of each side; interrupts are in the rest.
fn welch(samples: &mut [Vec<f64>; 2]) -> f64 {
    let moments = samples.each_mut().map(|side| {
        side.sort_by(f64::total_cmp);
        side.truncate(side.len() * 9 / 10);
        let count = side.len() as f64;
        let mean = side.iter().sum::<f64>() / count;
        let variance = side.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    });
    (moments[0].0 - moments[1].0) / (moments[0].1 + moments[1].1).sqrt()
}
