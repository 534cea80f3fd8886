use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use utils_token_auth::{Client, Error, Keys, Pair, Store, TestClock, TokenAuth, Which, Why};

use super::{NOW, new_user};

/// The engine on the store: logins, renewals, restarts and clocks.
pub async fn check_renewals<S, Open, Opening>(open: &Open)
where
    S: Store,
    Open: Fn() -> Opening,
    Opening: Future<Output = S>,
{
    a_session_survives_a_restart(open).await;
    a_retry_in_another_process_gets_the_same_refresh_token(open).await;
    a_copied_token_ends_the_session_in_every_process(open).await;
    a_session_ends_with_its_time(open).await;
    a_clock_that_jumps_signs_nobody_out(open).await;
    a_revoked_session_is_refused_after_a_restart(open).await;
}

#[derive(Serialize, Deserialize)]
pub(super) struct Claims {}

/// One process of an application on this store. Every other time its claims function has something to wait for, because
/// a store may read and rotate in one go when it has not.
pub(super) fn process<S: Store>(store: S, clock: &TestClock) -> TokenAuth<Claims, S> {
    let asked = AtomicUsize::new(0);
    let claims = move |_| {
        let waits = asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        async move {
            if waits {
                tokio::task::yield_now().await;
            }
            Ok(Claims {})
        }
    };
    let keys = match Keys::hs256("1", b"the secret of a test, 32 bytes or more") {
        Ok(keys) => keys,
        Err(error) => panic!("{error}"),
    };
    match TokenAuth::new(keys, store, claims).clock(clock.clone()).events(|_| {}).build() {
        Ok(engine) => engine,
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
pub(super) fn worked(result: Result<Pair, Error>) -> Pair {
    match result {
        Ok(pair) => pair,
        Err(error) => panic!("an honest call was refused: {error} ({error:?})"),
    }
}

#[track_caller]
pub(super) fn refresh_token(pair: Pair) -> String {
    match pair.refresh_token {
        Some(token) => token,
        None => panic!("the answer has no refresh token"),
    }
}

#[track_caller]
pub(super) fn refused(result: Result<Pair, Error>) {
    assert!(matches!(result, Err(Error::Grant)), "a renewal that must be refused: {result:?}");
}

pub(super) async fn login<S: Store>(auth: &TokenAuth<Claims, S>) -> (String, Pair) {
    let user = new_user("engine");
    let pair = worked(auth.login(&user, (), Client::unknown()).await);
    (user, pair)
}

pub(super) async fn renew<S: Store>(auth: &TokenAuth<Claims, S>, token: &str) -> Result<Pair, Error> {
    auth.renew(token, Client::unknown()).await
}

async fn a_session_survives_a_restart<S, Open, Opening>(open: &Open)
where
    S: Store,
    Open: Fn() -> Opening,
    Opening: Future<Output = S>,
{
    let clock = TestClock::at(NOW);
    let (user, pair) = login(&process(open().await, &clock)).await;
    let mut token = refresh_token(pair);
    for _ in 0..3 {
        clock.advance(Duration::from_secs(900));
        token = refresh_token(worked(renew(&process(open().await, &clock), &token).await));
    }
    let listed = process(open().await, &clock).list(&user, None).await;
    assert_eq!(listed.map(|list| list.len()).ok(), Some(1));
}

async fn a_retry_in_another_process_gets_the_same_refresh_token<S, Open, Opening>(open: &Open)
where
    S: Store,
    Open: Fn() -> Opening,
    Opening: Future<Output = S>,
{
    let clock = TestClock::at(NOW);
    let (one, two) = (process(open().await, &clock), process(open().await, &clock));
    let first = refresh_token(login(&one).await.1);
    let lost = refresh_token(worked(renew(&one, &first).await));
    clock.advance(Duration::from_secs(10));
    assert_eq!(
        refresh_token(worked(renew(&two, &first).await)),
        lost,
        "a retry must get the same refresh token"
    );
    assert_eq!(worked(renew(&two, &lost).await).refresh_token, None, "a token that is so new stays");
}

async fn a_copied_token_ends_the_session_in_every_process<S, Open, Opening>(open: &Open)
where
    S: Store,
    Open: Fn() -> Opening,
    Opening: Future<Output = S>,
{
    let clock = TestClock::at(NOW);
    let (one, two) = (process(open().await, &clock), process(open().await, &clock));
    let copied = refresh_token(login(&one).await.1);
    let current = refresh_token(worked(renew(&one, &copied).await));
    clock.advance(Duration::from_secs(60));
    refused(renew(&two, &copied).await);
    refused(renew(&one, &current).await);
}

async fn a_session_ends_with_its_time<S, Open, Opening>(open: &Open)
where
    S: Store,
    Open: Fn() -> Opening,
    Opening: Future<Output = S>,
{
    let clock = TestClock::at(NOW);
    let auth = process(open().await, &clock);
    let idle = refresh_token(login(&auth).await.1);
    let mut busy = refresh_token(login(&auth).await.1);
    for _ in 0..8 {
        clock.advance(Duration::from_secs(10 * 86_400));
        busy = refresh_token(worked(renew(&auth, &busy).await));
    }
    refused(renew(&auth, &idle).await);
    clock.advance(Duration::from_secs(10 * 86_400));
    refused(renew(&auth, &busy).await);
}

async fn a_clock_that_jumps_signs_nobody_out<S, Open, Opening>(open: &Open)
where
    S: Store,
    Open: Fn() -> Opening,
    Opening: Future<Output = S>,
{
    let clock = TestClock::at(NOW);
    let auth = process(open().await, &clock);
    let mut token = refresh_token(login(&auth).await.1);
    for jump in [3_600, -7_200, 3_600, -10, 40, -3_600, 86_400] {
        clock.set(NOW + jump * 1_000);
        if let Some(next) = worked(renew(&auth, &token).await).refresh_token {
            token = next;
        }
    }
}

async fn a_revoked_session_is_refused_after_a_restart<S, Open, Opening>(open: &Open)
where
    S: Store,
    Open: Fn() -> Opening,
    Opening: Future<Output = S>,
{
    let clock = TestClock::at(NOW);
    let (one, two) = (process(open().await, &clock), process(open().await, &clock));
    let (user, pair) = login(&one).await;
    let session = pair.session;
    assert!(two.verify(&pair.token).is_ok());
    let ended = one.revoke(Which::One { user: &user, id: session }, Why::User).await;
    assert!(matches!(ended, Ok(1)), "{ended:?}");
    assert!(one.verify(&pair.token).is_err(), "the process that revoked refuses at once");
    let synced = two.sync().await;
    assert!(synced.is_ok(), "{synced:?}");
    assert!(two.verify(&pair.token).is_err(), "another process refuses once it has asked");
    let restarted = process(open().await, &clock);
    let synced = restarted.sync().await;
    assert!(synced.is_ok(), "{synced:?}");
    assert!(restarted.verify(&pair.token).is_err(), "a new process refuses once it has asked");
    refused(renew(&restarted, &refresh_token(pair)).await);
}
