use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Barrier, task::JoinSet};
use utils_token_auth::{Client, Error, Purge, Rotate, Session, Sid, Store, TestClock, TokenAuth, Which, Why};

use super::{
    HOUR, LIVE, NOW, done, found, new_id, new_user,
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
    /// Rounds in which renewals met the end of their session (it, all others, or all were revoked, or it was purged), and
    /// as many in which rotations did.
    pub revocations: usize,
    /// How long it took.
    pub took: Duration,
}

/// Many callers at once: exactly one rotation a round, every honest caller gets the same working pair, and nothing is
/// renewed after its session was revoked or purged.
pub async fn check_races<S, Open, Opening>(open: &Open, callers: usize, rounds: usize) -> RaceReport
where
    S: Store,
    Open: Fn() -> Opening,
    Opening: Future<Output = S>,
{
    let started = Instant::now();
    one_of_many_rotations_wins(open().await, callers, rounds.div_ceil(5)).await;
    let (renewals, rotations) = every_honest_caller_gets_the_same_pair(open().await, callers, rounds).await;
    let revocations = rounds.div_ceil(5).max(Ending::EACH.len());
    nothing_is_renewed_after_its_end(open().await, callers, revocations).await;
    nothing_moves_after_its_end(open().await, callers, revocations).await;
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

/// How a session of a user who has one other ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    One,
    Others,
    All,
    /// It is deleted, as one that was idle for long.
    Purge,
}

impl Ending {
    const EACH: [Self; 4] = [Self::One, Self::Others, Self::All, Self::Purge];

    /// Which sessions to revoke, and how many these are.
    fn which(self, user: &str, id: Sid, other: Sid) -> Option<(Which<'_>, usize)> {
        match self {
            Self::One => Some((Which::One { user, id }, 1)),
            Self::Others => Some((Which::Others { user, keep: other }, 1)),
            Self::All => Some((Which::All { user }, 2)),
            Self::Purge => None,
        }
    }

    fn spares_the_other(self) -> bool {
        matches!(self, Self::One | Self::Others)
    }
}

async fn nothing_is_renewed_after_its_end<S: Store>(store: S, callers: usize, rounds: usize) {
    let clock = TestClock::at(NOW);
    let auth = process(store, &clock);
    for (round, ending) in (0..rounds).zip(Ending::EACH.into_iter().cycle()) {
        let (user, pair) = login(&auth).await;
        let session = pair.session;
        let other = worked(auth.login(&user, (), Client::unknown()).await);
        let tabs = Arc::new(Tabs {
            refresh_token: Mutex::new(refresh_token(pair)),
            renewals: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            tasks.spawn(renew_until_refused(auth.clone(), clock.clone(), Arc::clone(&tabs)));
        }
        tasks.spawn(purge_meanwhile(auth.clone(), Arc::clone(&tabs)));
        at_a_moment_of(round, &tabs.renewals).await;
        match ending.which(&user, session, other.session) {
            Some((which, count)) => {
                let ended = auth.revoke(which, Why::User).await;
                assert!(matches!(ended, Ok(ended) if ended == count), "{ending:?} failed: {ended:?}");
            }
            None => delete(auth.store(), session).await,
        }
        tabs.ended.store(true, Ordering::SeqCst);
        let at_its_end = done(auth.store().get(session).await);
        tasks.join_all().await;
        let after = done(auth.store().get(session).await);
        assert_eq!(
            after.as_ref().map(|after| after.generation),
            at_its_end.map(|session| session.generation),
            "a generation moved after the end was committed ({ending:?})"
        );
        let why = after.and_then(|after| after.revoked).map(|revoked| revoked.why);
        assert_eq!(why, (ending != Ending::Purge).then_some(Why::User), "{ending:?}");
        refused(renew(&auth, &tabs.token()).await);
        let of_the_other = renew(&auth, &refresh_token(other)).await;
        if ending.spares_the_other() {
            worked(of_the_other);
        } else {
            refused(of_the_other);
        }
    }
}

/// Waits until so much was done, which is different in each round, also for callers that go in step.
async fn at_a_moment_of(round: usize, done: &AtomicUsize) {
    while done.load(Ordering::SeqCst) < round * 3 % 20 {
        tokio::task::yield_now().await;
    }
    for _ in 0..round % 2 {
        tokio::task::yield_now().await;
    }
}

/// Deletes a session as a purge does that finds it idle. Nobody else's goes with it: none was renewed before 2001.
async fn delete<S: Store>(store: &S, id: Sid) {
    let purge = Purge { ended_before: 0, idle_before: NOW + 24 * HOUR, limit: 1_000 };
    while done(store.get(id).await).is_some() {
        done(store.purge(purge).await);
    }
}

/// Purges what has been over for long beside a session that is renewed: neither is in the way of the other.
async fn purge_meanwhile<S: Store>(auth: TokenAuth<Claims, S>, tabs: Arc<Tabs>) {
    let user = new_user("gone");
    for _ in 0..5 {
        let over = Session { expires_at: NOW - 1_000 * HOUR, ..session(&user) };
        let id = over.id;
        done(auth.store().insert(over).await);
        done(auth.purge().await);
        assert!(done(auth.store().get(id).await).is_none(), "a session that has been over for long stayed");
        if tabs.ended.load(Ordering::SeqCst) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Tabs of one browser: they share the refresh token.
struct Tabs {
    refresh_token: Mutex<String>,
    renewals: AtomicUsize,
    ended: AtomicBool,
}

impl Tabs {
    fn token(&self) -> String {
        self.refresh_token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, token: String) {
        *self.refresh_token.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }
}

/// Renews in a loop, like an eager client; what begins after the end of the session must be refused.
async fn renew_until_refused<S: Store>(auth: TokenAuth<Claims, S>, clock: TestClock, tabs: Arc<Tabs>) {
    loop {
        let begun_after = tabs.ended.load(Ordering::SeqCst);
        match renew(&auth, &tabs.token()).await {
            Ok(pair) => {
                assert!(!begun_after, "a renewal that began after the end of its session succeeded");
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

async fn nothing_moves_after_its_end<S: Store>(store: S, callers: usize, rounds: usize) {
    let store = Arc::new(store);
    for (round, ending) in (0..rounds).zip(Ending::EACH.into_iter().cycle()) {
        let session = session(&new_user("race"));
        let other = Session { id: new_id(), ..session.clone() };
        let (id, other_id, user) = (session.id, other.id, session.user.clone());
        done(store.insert(session).await);
        done(store.insert(other).await);
        let moves = Arc::new(AtomicUsize::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let mut movers = JoinSet::new();
        for _ in 0..callers {
            let (store, moves, over) = (Arc::clone(&store), Arc::clone(&moves), Arc::clone(&over));
            movers.spawn(move_until_refused(store, id, moves, over));
        }
        at_a_moment_of(round, &moves).await;
        match ending.which(&user, id, other_id) {
            Some((which, count)) => {
                let ended = done(store.revoke(which, Why::User, NOW).await);
                assert_eq!(ended, count, "{ending:?}: as many as are meant must end");
            }
            None => delete(&*store, id).await,
        }
        over.store(true, Ordering::SeqCst);
        let at_its_end = done(store.get(id).await).map(|session| session.generation);
        movers.join_all().await;
        let after = done(store.get(id).await).map(|session| session.generation);
        assert_eq!(after, at_its_end, "a generation moved after the end was committed ({ending:?})");
        if let Some(after) = after {
            let moves = moves.load(Ordering::SeqCst);
            assert_eq!(
                usize::try_from(after).unwrap_or(0),
                moves,
                "as many moves as callers who were told so"
            );
        }
        let other = done(store.get(other_id).await);
        assert_eq!(other.is_some_and(|other| LIVE.holds(&other)), ending.spares_the_other(), "{ending:?}");
    }
}

/// Moves the generation in a loop until the session is over.
async fn move_until_refused<S: Store>(
    store: Arc<S>,
    id: Sid,
    moves: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
) {
    loop {
        let begun_after = over.load(Ordering::SeqCst);
        let Some(session) = done(store.get(id).await).filter(|session| LIVE.holds(session)) else { return };
        let from = session.generation;
        let rotate = Rotate { id, from, to: from + 1, live: LIVE, client: Client::unknown() };
        if done(store.rotate(rotate).await) {
            assert!(!begun_after, "a step that began after the end of its session was made");
            moves.fetch_add(1, Ordering::SeqCst);
        }
        tokio::task::yield_now().await;
    }
}
