//! Stores, applications and clocks that are slow, fail in the middle, or jump: nobody honest pays for it, and no
//! revocation is lost.
use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use utils_token_auth::{
    BuildError, Client, Error, EventKind, Keys, MemoryStore, Policy, Refusal, Session, Store, TestClock,
    TokenAuth, Which, Why,
};

use crate::{
    hooked::Hooked,
    support::{Claims, HOUR, MINUTE, SECOND, START, World, keys},
};

#[actix_web::test]
async fn a_revocation_that_waited_for_a_lock_is_heard_within_a_minute() {
    for waited in [15 * SECOND, 50 * SECOND] {
        let world = World::new();
        world.auth.sync().await.unwrap();
        world.later(2 * MINUTE);
        world.auth.sync().await.unwrap();
        let pair = world.login("ana").await;
        let asked_for = world.auth.now();
        for _ in 0..waited.as_secs() {
            world.later(SECOND);
            world.auth.sync().await.unwrap();
        }
        let which = Which::One { user: "ana", id: pair.session };
        world.auth.store().revoke(which, Why::Admin, asked_for).await.unwrap();
        for _ in 0..60 {
            world.later(SECOND);
            world.auth.sync().await.unwrap();
        }
        assert!(world.auth.revocations().contains(pair.session), "after {waited:?}");
    }
}

#[actix_web::test]
async fn a_revocation_that_waited_for_a_lock_is_kept_until_the_last_token_has_ended() {
    let world = World::new();
    let refresh = world.refresh_token("ana").await;
    let asked_for = world.auth.now();
    world.later(50 * SECOND);
    let last = world.renew(&refresh).await.unwrap();
    let which = Which::One { user: "ana", id: last.session };
    world.auth.store().revoke(which, Why::Admin, asked_for).await.unwrap();
    let mut accepted = 0;
    for _ in 0..1_000 {
        world.later(SECOND);
        world.auth.sync().await.unwrap();
        accepted += usize::from(world.auth.verify(&last.token).is_ok());
    }
    assert_eq!(accepted, 0);
}

/// An engine whose application takes a while, by the test's clock, over the claims of every session but new ones.
fn slow_claims(clock: &TestClock, takes: Duration, waits: bool) -> TokenAuth<Claims, MemoryStore> {
    let time = clock.clone();
    let claims = move |session: Session| {
        let time = time.clone();
        async move {
            if waits {
                tokio::task::yield_now().await;
            }
            if session.generation == 0 && session.created_at < time_of(&time) {
                time.advance(takes);
            }
            Ok::<_, Refusal>(Claims { scopes: Vec::new() })
        }
    };
    TokenAuth::new(keys(), MemoryStore::new(), claims).clock(clock.clone()).events(|_| {}).build().unwrap()
}

fn time_of(clock: &TestClock) -> i64 {
    utils_token_auth::Clock::now_ms(clock)
}

#[actix_web::test]
async fn a_retry_counts_from_the_rotation_and_not_from_the_request_before_it() {
    for waits in [false, true] {
        let clock = TestClock::at(START);
        let auth = slow_claims(&clock, 21 * SECOND, waits);
        let first = auth.login("ana", (), Client::unknown()).await.unwrap().refresh_token.unwrap();
        clock.advance(MINUTE);
        let lost = auth.renew(&first, Client::unknown()).await.unwrap();
        let issued = auth.verify(&lost.token).unwrap().issued_at;
        assert_eq!(issued, (START + 81_000) / 1000, "the token is as old as its signature");
        clock.advance(SECOND);
        let retry = auth.renew(&first, Client::unknown()).await.unwrap();
        assert_eq!(retry.refresh_token, lost.refresh_token);
    }
}

#[actix_web::test]
async fn a_session_begins_when_the_claims_are_there() {
    let clock = TestClock::at(START);
    let time = clock.clone();
    let claims = move |_| {
        time.advance(30 * SECOND);
        async { Ok::<_, Refusal>(Claims { scopes: Vec::new() }) }
    };
    let auth =
        TokenAuth::new(keys(), MemoryStore::new(), claims).clock(clock).events(|_| {}).build().unwrap();
    let pair = auth.login("ana", (), Client::unknown()).await.unwrap();
    assert_eq!(auth.list("ana", None).await.unwrap()[0].created_at, START + 30_000);
    assert_eq!(auth.verify(&pair.token).unwrap().issued_at, (START + 30_000) / 1000);
}

#[actix_web::test]
async fn a_request_that_waited_for_its_connection_is_no_thief() {
    // while it waits, the other tab's renewal is done
    let clock = TestClock::at(START);
    let hold = Arc::new(AtomicBool::new(false));
    for rotated_after in [SECOND, 24 * SECOND] {
        let store = {
            let (clock, hold) = (clock.clone(), Arc::clone(&hold));
            let arrived = Arc::new(AtomicUsize::new(0));
            Hooked::before(move |method| {
                let (clock, hold, arrived) = (clock.clone(), Arc::clone(&hold), Arc::clone(&arrived));
                async move {
                    if method == "get" && hold.load(Ordering::SeqCst) {
                        if arrived.fetch_add(1, Ordering::SeqCst) == 0 {
                            // the first one waits until the second is done
                            for _ in 0..20 {
                                tokio::task::yield_now().await;
                            }
                            clock.advance(25 * SECOND - rotated_after);
                        } else {
                            clock.advance(rotated_after);
                        }
                    }
                    Ok(())
                }
            })
        };
        let world = World::signing(keys(), store, Policy::default(), clock.clone());
        let first = world.refresh_token("ana").await;
        world.later(MINUTE);
        hold.store(true, Ordering::SeqCst);
        let (slow, quick) = tokio::join!(world.renew(&first), world.renew(&first));
        hold.store(false, Ordering::SeqCst);
        let next = quick.unwrap().refresh_token.unwrap();
        slow.unwrap();
        assert!(!world.kinds().contains(&EventKind::Reused), "rotated after {rotated_after:?}");
        world.later(MINUTE);
        world.rotated(&next).await;
    }
}

#[actix_web::test]
async fn two_logins_at_once_do_not_end_each_other() {
    for max in [1, 2, 3] {
        let store = {
            let counted = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
            Hooked::before(move |method| {
                let counted = Arc::clone(&counted);
                async move {
                    let [inserted, listed] = &*counted;
                    match method {
                        "insert" => inserted.fetch_add(1, Ordering::SeqCst),
                        "list" => listed.fetch_add(1, Ordering::SeqCst),
                        _ => 0,
                    };
                    // each looks at the list when all sessions are in it, and ends some when all have looked
                    while method == "list" && inserted.load(Ordering::SeqCst) < 5
                        || method == "revoke" && listed.load(Ordering::SeqCst) < 5
                    {
                        tokio::task::yield_now().await;
                    }
                    if method == "revoke" {
                        for _ in 0..20 {
                            tokio::task::yield_now().await;
                        }
                    }
                    Ok(())
                }
            })
        };
        let world = World::on(store, Policy::default().max_sessions(max));
        let login = || world.login("ana");
        tokio::join!(login(), login(), login(), login(), login());
        let live = world.auth.list("ana", None).await.unwrap().len();
        assert_eq!(live, usize::try_from(max).unwrap());
    }
}

#[actix_web::test]
async fn a_predecessor_is_not_answered_for_an_hour_when_the_clock_was_set_back() {
    let world = World::new();
    let first = world.refresh_token("ana").await;
    world.later(2 * HOUR);
    world.rotated(&first).await;
    world.clock.set(world.auth.now() - 3_600_000);
    world.refused(&first).await;
    assert!(world.kinds().contains(&EventKind::Reused));
}

#[actix_web::test]
async fn revocations_are_heard_while_a_purge_hangs() {
    let heard = Arc::new(AtomicUsize::new(0));
    let store = {
        let heard = Arc::clone(&heard);
        Hooked::before(move |method| {
            let heard = Arc::clone(&heard);
            async move {
                match method {
                    "purge" => std::future::pending().await,
                    "revoked_since" => heard.fetch_add(1, Ordering::SeqCst),
                    _ => 0,
                };
                Ok(())
            }
        })
    };
    let often = Duration::from_millis(2);
    let world = World::on(store, Policy::default().sync(often).purge(often));
    let _upkeep = world.auth.start().await.unwrap();
    reaches(&heard, 50).await;
}

#[actix_web::test]
async fn a_question_to_the_store_that_hangs_is_given_up_and_asked_again() {
    tokio::time::pause();
    let asked = Arc::new(AtomicUsize::new(0));
    let store = {
        let asked = Arc::clone(&asked);
        Hooked::before(move |method| {
            // the connection of the second question is gone, and nobody says so
            let hangs = method == "revoked_since" && asked.fetch_add(1, Ordering::SeqCst) == 1;
            async move { if hangs { std::future::pending().await } else { Ok(()) } }
        })
    };
    let world = World::on(store, Policy::default());
    let pair = world.login("ana").await;
    let messages = Arc::new(Mutex::new(Vec::new()));
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let _log = tracing::subscriber::set_default(Log(Arc::clone(&messages)));
    let _upkeep = world.auth.start().await.unwrap();
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!(asked.load(Ordering::SeqCst), 2, "a store may be slow");
    let elsewhere = Which::One { user: "ana", id: pair.session };
    world.auth.store().store.revoke(elsewhere, Why::Admin, START).await.unwrap();
    tokio::time::sleep(10 * SECOND).await;
    assert!(matches!(world.auth.verify(&pair.token), Err(Error::Revoked)), "it was asked again");
    let said = messages.lock().unwrap().join(" ");
    assert!(said.contains("no answer within 10s") && said.contains("are not heard"), "{said}");
}

#[actix_web::test]
async fn a_store_that_panics_does_not_end_the_background_work() {
    let asked = Arc::new(AtomicUsize::new(0));
    let store = {
        let asked = Arc::clone(&asked);
        Hooked::before(move |method| {
            let asked = Arc::clone(&asked);
            async move {
                if method == "revoked_since" {
                    let before = asked.fetch_add(1, Ordering::SeqCst);
                    assert_ne!(before, 1, "a panic of the test's, in the second question");
                }
                Ok(())
            }
        })
    };
    let world = World::on(store, Policy::default().sync(Duration::from_millis(2)));
    let _upkeep = world.auth.start().await.unwrap();
    reaches(&asked, 4).await;
}

async fn reaches(counter: &AtomicUsize, calls: usize) {
    let started = Instant::now();
    while counter.load(Ordering::SeqCst) < calls {
        assert!(started.elapsed() < 20 * SECOND, "the background work stands still");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[actix_web::test]
async fn sessions_that_were_ended_are_ended_though_the_store_then_failed() {
    let broken = Arc::new(AtomicBool::new(false));
    let store = {
        let broken = Arc::clone(&broken);
        Hooked::before(move |method| {
            let fails = method == "revoked_since" && broken.load(Ordering::SeqCst);
            async move { if fails { Err(io::Error::other("gone")) } else { Ok(()) } }
        })
    };
    let world = World::on(store, Policy::default());
    world.auth.sync().await.unwrap();
    let pair = world.login("ana").await;
    broken.store(true, Ordering::SeqCst);
    assert_eq!(world.auth.revoke(Which::All { user: "ana" }, Why::Admin).await.unwrap(), 1);
    assert!(world.kinds().contains(&EventKind::Revoked { why: Why::Admin, sessions: 1 }));
    broken.store(false, Ordering::SeqCst);
    world.auth.sync().await.unwrap();
    assert!(matches!(world.auth.verify(&pair.token), Err(Error::Revoked)));
}

#[test]
fn a_ring_whose_first_key_cannot_sign_builds_no_engine() {
    let public = include_str!("vectors/keys/ed25519.pub.pem");
    let ring = Keys::ed25519_public("2", public).unwrap().and_verify(keys());
    let claims = |_| async { Ok::<_, Refusal>(Claims { scopes: Vec::new() }) };
    let built = TokenAuth::new(ring, MemoryStore::new(), claims).build();
    assert!(matches!(built, Err(BuildError::NoSigningKey)), "{built:?}");
}

/// Collects the messages of the log.
struct Log(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::Id {
        tracing::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::Id, _: &tracing::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut |_: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            self.0.lock().unwrap().push(format!("{value:?}"));
        });
    }

    fn enter(&self, _: &tracing::Id) {}

    fn exit(&self, _: &tracing::Id) {}
}

#[actix_web::test]
async fn a_process_that_only_verifies_is_told_once_that_nobody_called_start() {
    let elsewhere = World::on(Hooked::before(|_| async { Ok(()) }), Policy::default());
    let pair = elsewhere.login("ana").await;
    let world = World::on(elsewhere.auth.store().clone(), Policy::default());
    let messages = Arc::new(Mutex::new(Vec::new()));
    // with one subscriber only, tracing remembers for all threads what the first thread that comes along thinks of an event
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    tracing::subscriber::with_default(Log(Arc::clone(&messages)), || {
        world.verify(&pair.token);
        world.verify(&pair.token);
    });
    let said = messages.lock().unwrap().iter().filter(|message| message.contains("call `start()`")).count();
    assert_eq!(said, 1);
}
