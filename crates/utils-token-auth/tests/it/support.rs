//! An engine whose clock, users and events are in the test's hands.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use utils_token_auth::{
    Builder, Client, Error, Event, EventKind, Keys, MemoryStore, Pair, Policy, Refusal, Session, Store,
    TestClock, Token, TokenAuth,
};

pub(crate) const START: i64 = 1_800_000_000_000;
pub(crate) const SECRET: &[u8] = b"a secret of the tests, 32 bytes or more";

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) scopes: Vec<String>,
}

/// What the application's user table says of a user.
#[derive(Clone)]
pub(crate) enum User {
    Scopes(Vec<String>),
    Disabled,
    DatabaseDown,
}

#[derive(Clone, Default)]
pub(crate) struct Users(Arc<Mutex<HashMap<String, User>>>);

impl Users {
    pub(crate) fn set(&self, user: &str, scopes: &[&str]) {
        self.put(user, User::Scopes(scopes.iter().map(|&scope| scope.to_owned()).collect()));
    }

    pub(crate) fn put(&self, user: &str, state: User) {
        self.0.lock().unwrap().insert(user.to_owned(), state);
    }

    fn claims(&self, session: &Session) -> Result<Claims, Refusal> {
        let known = self.0.lock().unwrap().get(&session.user).cloned();
        match known.unwrap_or(User::Scopes(vec!["read".to_owned()])) {
            User::Scopes(scopes) => Ok(Claims { scopes }),
            User::Disabled => Err(Refusal::Denied),
            User::DatabaseDown => Err(std::io::Error::other("the users' database is down"))?,
        }
    }
}

/// One process of an application.
#[derive(Clone)]
pub(crate) struct World<S = MemoryStore> {
    pub(crate) auth: TokenAuth<Claims, S>,
    pub(crate) clock: TestClock,
    pub(crate) users: Users,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
}

pub(crate) fn keys() -> Keys {
    Keys::hs256("1", SECRET).unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Policy::default())
    }

    pub(crate) fn with(policy: Policy) -> Self {
        Self::on(MemoryStore::new(), policy)
    }
}

impl<S: Store> World<S> {
    pub(crate) fn on(store: S, policy: Policy) -> Self {
        Self::signing(keys(), store, policy, TestClock::at(START))
    }

    pub(crate) fn signing(keys: Keys, store: S, policy: Policy, clock: TestClock) -> Self {
        let users = Users::default();
        let events = Arc::new(Mutex::new(Vec::new()));
        let auth = engine(keys, store, users.clone())
            .policy(policy)
            .clock(clock.clone())
            .events({
                let events = Arc::clone(&events);
                move |event| events.lock().unwrap().push(event.clone())
            })
            .build()
            .unwrap();
        Self { auth, clock, users, events }
    }

    pub(crate) async fn login(&self, user: &str) -> Pair {
        self.auth.login(user, (), Client::unknown()).await.unwrap()
    }

    /// Signs in; the refresh token.
    pub(crate) async fn refresh_token(&self, user: &str) -> String {
        self.login(user).await.refresh_token.unwrap()
    }

    pub(crate) async fn renew(&self, refresh_token: &str) -> Result<Pair, Error> {
        self.auth.renew(refresh_token, Client::unknown()).await
    }

    /// Renews; the new refresh token.
    pub(crate) async fn rotated(&self, refresh_token: &str) -> String {
        self.renew(refresh_token).await.unwrap().refresh_token.expect("a new refresh token")
    }

    /// Renewing is refused, in the way that tells nothing.
    pub(crate) async fn refused(&self, refresh_token: &str) {
        match self.renew(refresh_token).await {
            Err(Error::Grant) => {}
            other => panic!("not refused: {other:?}"),
        }
    }

    pub(crate) fn verify(&self, token: &str) -> Token<Claims> {
        self.auth.verify(token).unwrap()
    }

    pub(crate) fn later(&self, by: Duration) {
        self.clock.advance(by);
    }

    pub(crate) fn kinds(&self) -> Vec<EventKind> {
        self.events.lock().unwrap().iter().map(|event| event.kind).collect()
    }
}

fn engine<S: Store>(keys: Keys, store: S, users: Users) -> Builder<Claims, S> {
    TokenAuth::new(keys, store, move |session| {
        let claims = users.claims(&session);
        async move { claims }
    })
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
