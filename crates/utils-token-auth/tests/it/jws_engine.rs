//! The requirements on access tokens that only the whole engine can show: A15, A18, A21.
use std::rc::Rc;

use utils_token_auth::{Error, Keys, MemoryStore, Policy, TestClock, Which, Why};

use crate::support::{MINUTE, START, User, World};

fn world_with_public_keys() -> World {
    let keys = Keys::ed25519("1", include_str!("vectors/keys/ed25519.pem")).unwrap();
    World::signing(keys, MemoryStore::new(), Policy::default(), TestClock::at(START))
}

#[actix_rt::test]
async fn a15_a_refresh_token_is_no_access_token_and_the_other_way_round() {
    for world in [World::new(), world_with_public_keys()] {
        let pair = world.login("alice").await;
        let refresh_token = pair.refresh_token.unwrap();
        assert!(world.auth.verify(&refresh_token).is_err());
        assert!(world.auth.verify_shared(&refresh_token).is_err());
        world.refused(&pair.token).await;
        // neither attempt cost the session anything
        world.verify(&pair.token);
        world.later(MINUTE);
        world.rotated(&refresh_token).await;
    }
}

#[actix_rt::test]
async fn a18_the_application_is_asked_again_at_every_renewal() {
    let world = World::new();
    let refresh_token = world.refresh_token("alice").await;
    world.later(MINUTE);
    let refresh_token = world.rotated(&refresh_token).await;
    world.users.put("alice", User::Disabled);
    world.later(MINUTE);
    world.refused(&refresh_token).await;
}

#[actix_rt::test]
async fn a_revoked_session_is_refused_although_its_token_was_kept() {
    for world in [World::new(), world_with_public_keys()] {
        let pair = world.login("alice").await;
        world.auth.verify_shared(&pair.token).unwrap();
        let kept = world.auth.verify_shared(&pair.token).unwrap();
        assert!(Rc::ptr_eq(&kept, &world.auth.verify_shared(&pair.token).unwrap()));
        world.auth.revoke(Which::All { user: "alice" }, Why::Password).await.unwrap();
        assert!(matches!(world.auth.verify_shared(&pair.token), Err(Error::Revoked)));
    }
}

#[actix_rt::test]
async fn no_token_is_kept_when_the_engines_policy_says_so() {
    let keys = Keys::ed25519("1", include_str!("vectors/keys/ed25519.pem")).unwrap();
    let policy = Policy::default().cached_tokens(0);
    let world = World::signing(keys, MemoryStore::new(), policy, TestClock::at(START));
    let pair = world.login("alice").await;
    let first = world.auth.verify_shared(&pair.token).unwrap();
    assert!(!Rc::ptr_eq(&first, &world.auth.verify_shared(&pair.token).unwrap()));
}

#[actix_rt::test]
async fn a21_neither_debug_nor_errors_nor_events_show_a_token_or_a_secret() {
    let world = World::new();
    let pair = world.login("alice").await;
    let refresh_token = pair.refresh_token.clone().unwrap();
    let session = pair.session.to_string();
    world.later(MINUTE);
    let renewed = world.renew(&refresh_token).await.unwrap();
    world.later(MINUTE);
    let reused = world.renew(&refresh_token).await.unwrap_err();
    let expired = world.auth.verify(&format!("{}A", pair.token)).unwrap_err();
    let events = format!("{:?}", world.events.lock().unwrap());
    assert!(!events.is_empty());
    let shown = [
        format!("{pair:?}{renewed:?}"),
        format!("{reused} {reused:?} {expired} {expired:?}"),
        format!("{:?}", world.auth),
        events,
    ];
    let signature = pair.token.rsplit_once('.').unwrap().1;
    for text in shown {
        for secret in [&*pair.token, signature, &refresh_token, &session, "a secret of the tests"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

/// Comparing a secret with `==` stops at the first byte that differs, and tells by its time which one that was.
#[test]
fn secrets_are_compared_in_constant_time() {
    let source = |file: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
        std::fs::read_to_string(path).unwrap()
    };
    // where a computed tag or hash meets one that came from outside
    for (file, comparison) in [
        ("keys/hmac.rs", ".verify_slice("),
        ("refresh.rs", ".verify_truncated_left("),
        ("refresh.rs", ".ct_eq("),
    ] {
        assert!(source(file).contains(comparison), "{file} has no {comparison}");
    }
    for file in ["keys/hmac.rs", "keys/pair.rs", "jws.rs", "refresh.rs", "renew.rs"] {
        for (number, line) in source(file).lines().enumerate() {
            let compares = line.contains("==") || line.contains("!=");
            let secret = ["tag", "secret", "hash", "signature)"].iter().any(|name| line.contains(name));
            let length = line.contains(".len()");
            assert!(!(compares && secret) || length, "{file}:{}: {line}", number + 1);
        }
    }
}
