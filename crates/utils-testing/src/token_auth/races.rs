use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Barrier, task::JoinSet};
use utils_token_auth::{Client, Error, Rotate, Sid, Store, TestClock, TokenAuth, Which, Why};

use super::{
    LIVE, NOW, done, found, new_user,
    renewals::{Claims, login, process, refresh_token, refused, renew, worked},
    session,
};

/// What a race did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RaceReport {
    /// Rounds in which all callers renewed the same refresh token at once.
    pub rounds: usize,
    /// Calls of all rounds that were answered with a working pair: all of them.
    pub renewals: usize,
    /// Rotations: one a round.
    pub rotations: usize,
    /// Rounds in which a revocation met renewals, and as many in which it met rotations.
    pub revocations: usize,
    /// How long it took.
    pub took: Duration,
}

/// Many callers at once: exactly one rotation a round, every honest caller gets the same working pair, and nothing is
/// renewed after a revocation was committed.
pub async fn check_races<S, Open, Opening>(open: &Open, callers: usize, rounds: usize) -> RaceReport
where
    S: Store,
    Open: Fn() -> Opening,
    Opening: Future<Output = S>,
{
    let started = Instant::now();
    one_of_many_rotations_wins(open().await, callers, rounds.div_ceil(5)).await;
    let (renewals, rotations) = every_honest_caller_gets_the_same_pair(open().await, callers, rounds).await;
    let revocations = rounds.div_ceil(5);
    nothing_is_renewed_after_a_revocation(open().await, callers, revocations).await;
    nothing_moves_after_a_revocation(open().await, callers, revocations).await;
    RaceReport { rounds, renewals, rotations, revocations, took: started.elapsed() }
}

/// The same call by many tasks that start together.
async fn together<T, Call, Calling>(callers: usize, call: Call) -> Vec<T>
where
    T: Send + 'static,
    Call: Fn(usize) -> Calling,
    Calling: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(callers));
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let (start, work) = (Arc::clone(&start), call(caller));
        tasks.spawn(async move {
            start.wait().await;
            work.await
        });
    }
    tasks.join_all().await
}

async fn one_of_many_rotations_wins<S: Store>(store: S, callers: usize, rounds: usize) {
    let store = Arc::new(store);
    let session = session(&new_user("race"));
    done(store.insert(session.clone()).await);
    for round in 0..rounds {
        let from = u32::try_from(round).unwrap_or(u32::MAX);
        let won = together(callers, |_| {
            let store = Arc::clone(&store);
            let rotate = Rotate { id: session.id, from, to: from + 1, live: LIVE, client: Client::unknown() };
            async move { done(store.rotate(rotate).await) }
        });
        let winners = won.await.into_iter().filter(|won| *won).count();
        assert_eq!(winners, 1, "of {callers} callers, {winners} moved generation {from}");
    }
}

async fn every_honest_caller_gets_the_same_pair<S: Store>(
    store: S,
    callers: usize,
    rounds: usize,
) -> (usize, usize) {
    let clock = TestClock::at(NOW);
    let auth = process(store, &clock);
    let pair = login(&auth).await.1;
    let session = pair.session;
    let mut token = refresh_token(pair);
    let mut renewals = 0;
    for round in 1..=rounds {
        // beyond the grace, so that a token of the round before would be a copy
        clock.advance(Duration::from_secs(60));
        let answers = together(callers, |_| {
            let (auth, token) = (auth.clone(), token.clone());
            async move { renew(&auth, &token).await }
        });
        let mut next = None;
        for answer in answers.await {
            let pair = worked(answer);
            assert!(auth.verify(&pair.token).is_ok(), "an access token that does not work");
            let refresh = refresh_token(pair);
            assert_eq!(*next.get_or_insert(refresh.clone()), refresh, "two callers got two refresh tokens");
            renewals += 1;
        }
        let generation = usize::try_from(found(auth.store(), session).await.generation).unwrap_or(0);
        assert_eq!(generation, round, "one rotation a round");
        token = next.unwrap_or_default();
    }
    (renewals, rounds)
}

async fn nothing_is_renewed_after_a_revocation<S: Store>(store: S, callers: usize, rounds: usize) {
    let clock = TestClock::at(NOW);
    let auth = process(store, &clock);
    for round in 0..rounds {
        let (user, pair) = login(&auth).await;
        let session = pair.session;
        let tabs = Arc::new(Tabs {
            refresh_token: Mutex::new(refresh_token(pair)),
            renewals: AtomicUsize::new(0),
            revoked: AtomicBool::new(false),
        });
        let mut renewers = JoinSet::new();
        for _ in 0..callers {
            renewers.spawn(renew_until_refused(auth.clone(), clock.clone(), Arc::clone(&tabs)));
        }
        // at a different moment in each round
        while tabs.renewals.load(Ordering::SeqCst) < round * 3 % 20 {
            tokio::task::yield_now().await;
        }
        let ended = auth.revoke(Which::One { user: &user, id: session }, Why::User).await;
        tabs.revoked.store(true, Ordering::SeqCst);
        assert!(matches!(ended, Ok(1)), "the revocation failed: {ended:?}");
        let generation = found(auth.store(), session).await.generation;
        renewers.join_all().await;
        let after = found(auth.store(), session).await;
        assert_eq!(after.generation, generation, "a generation moved after the revocation was committed");
        assert!(after.revoked.is_some_and(|revoked| revoked.why == Why::User));
        refused(renew(&auth, &tabs.token()).await);
    }
}

/// Tabs of one browser: they share the refresh token.
struct Tabs {
    refresh_token: Mutex<String>,
    renewals: AtomicUsize,
    revoked: AtomicBool,
}

impl Tabs {
    fn token(&self) -> String {
        self.refresh_token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, token: String) {
        *self.refresh_token.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }
}

/// Renews in a loop, like an eager client; what begins after the revocation must be refused.
async fn renew_until_refused<S: Store>(auth: TokenAuth<Claims, S>, clock: TestClock, tabs: Arc<Tabs>) {
    loop {
        let begun_after = tabs.revoked.load(Ordering::SeqCst);
        match renew(&auth, &tabs.token()).await {
            Ok(pair) => {
                assert!(!begun_after, "a renewal that began after the revocation succeeded");
                if let Some(next) = pair.refresh_token {
                    tabs.replace(next);
                }
                tabs.renewals.fetch_add(1, Ordering::SeqCst);
            }
            Err(Error::Grant) => return,
            Err(error) => panic!("neither renewed nor refused: {error} ({error:?})"),
        }
        // so little that no call can be under way for as long as the grace, however unfair the pool is
        clock.advance(Duration::from_millis(5));
        tokio::task::yield_now().await;
    }
}

async fn nothing_moves_after_a_revocation<S: Store>(store: S, callers: usize, rounds: usize) {
    let store = Arc::new(store);
    for round in 0..rounds {
        let session = session(&new_user("race"));
        let (id, user) = (session.id, session.user.clone());
        done(store.insert(session).await);
        let moves = Arc::new(AtomicUsize::new(0));
        let mut movers = JoinSet::new();
        for _ in 0..callers {
            movers.spawn(move_until_refused(Arc::clone(&store), id, Arc::clone(&moves)));
        }
        while moves.load(Ordering::SeqCst) < round * 3 % 20 {
            tokio::task::yield_now().await;
        }
        assert_eq!(done(store.revoke(Which::One { user: &user, id }, Why::User, NOW).await), 1);
        let generation = found(&*store, id).await.generation;
        movers.join_all().await;
        let after = found(&*store, id).await.generation;
        assert_eq!(after, generation, "a generation moved after the revocation was committed");
        let moves = moves.load(Ordering::SeqCst);
        assert_eq!(usize::try_from(after).unwrap_or(0), moves, "as many moves as callers who were told so");
    }
}

/// Moves the generation in a loop until the session is over.
async fn move_until_refused<S: Store>(store: Arc<S>, id: Sid, moves: Arc<AtomicUsize>) {
    loop {
        let session = found(&*store, id).await;
        if !LIVE.holds(&session) {
            return;
        }
        let from = session.generation;
        let rotate = Rotate { id, from, to: from + 1, live: LIVE, client: Client::unknown() };
        if done(store.rotate(rotate).await) {
            moves.fetch_add(1, Ordering::SeqCst);
        }
        tokio::task::yield_now().await;
    }
}
