#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub(crate) mod diesel;
pub(crate) mod memory;

use std::{
    fmt,
    future::Future,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{HeaderValue, RETRY_AFTER},
    },
};
use sha2::{Digest, Sha256};
use utils_restful::{CauseOf, ErrorKind};

use crate::clock::{Clock, SystemClock};

/// Slows down whoever guesses passwords, by account and by address.
///
/// An attempt is counted *before* the password is looked at and given back when it succeeds, so a hundred guesses
/// sent at once do not get past a limit of five. Three counters are kept:
///
/// - **account and address together**, the tightest: one address that guesses is stopped here, before it could use
///   up the allowance of the account and so lock its owner out;
/// - **the account**, whatever the addresses: for guesses that come from many machines;
/// - **the address**, whatever the accounts: for one password tried on many names. A success gives back only its
///   own attempt, so an attacker's own account does not clear the counter. Of IPv6 the first 64 bits count,
///   because one customer has them all.
///
/// Names that differ only in case or in outer blanks share a counter. Where one account has several names (a mail
/// address with and without dots, an alias, a phone number), look the user up first and give the attempt the id of the
/// account, or each name has an allowance of its own; a name that nobody has is given as it was typed. Stores see a hash
/// of name and address.
///
/// # Examples
/// ```
/// use actix_web::{HttpResponse, web};
/// use utils_token_auth::{Client, MemoryThrottle, Passwords, Throttle, ThrottlePolicy};
///
/// # #[derive(serde::Deserialize)] struct Login { username: String, password: String }
/// # async fn stored_hash(_: &str) -> Option<String> { None }
/// async fn login(
///     client: Client, // its address, which a proxy of yours may have to tell: see `HttpAuth::proxies`
///     form: web::Form<Login>,
///     throttle: web::Data<Throttle<MemoryThrottle>>,
///     passwords: web::Data<Passwords>,
/// ) -> actix_web::Result<HttpResponse> {
///     let attempt = throttle.attempt(&form.username, client.ip).await?; // 429 with Retry-After
///     let stored = stored_hash(&form.username).await;
///     let verified = match passwords.verify(&form.password, stored.as_deref()).await {
///         Ok(verified) => verified,
///         Err(error) => {
///             attempt.cancel().await?; // nobody looked at the password, so it was no wrong one
///             return Err(error.into());
///         }
///     };
///     if !verified.ok {
///         return Ok(HttpResponse::Unauthorized().finish()); // counted
///     }
///     attempt.succeeded().await?;
///     Ok(HttpResponse::Ok().finish())
/// }
/// # let _ = Throttle::new(MemoryThrottle::new(), ThrottlePolicy::default());
/// ```
pub struct Throttle<S> {
    inner: Arc<Inner<S>>,
}

/// How many failed attempts are borne.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThrottlePolicy {
    /// For one account from one address. Default: 5, then one every 2 minutes.
    pub pair: Allowance,
    /// For one account, from anywhere. Default: 30, then one a minute.
    pub account: Allowance,
    /// For one address, on any account. Default: 60, then one every 10 seconds.
    pub address: Allowance,
}

/// So many at once, then one more each time `every` has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// How many failures in a row are free; 0 is taken as 1.
    pub burst: u32,
    /// How long until one more is allowed.
    pub every: Duration,
}

/// A login that was allowed to try. Dropped, it stays counted as a failure.
#[must_use = "call `succeeded` or `cancel` unless the password was wrong, or the attempt counts as a failure"]
pub struct Attempt<S: ThrottleStore> {
    inner: Arc<Inner<S>>,
    keys: Vec<(Scope, ThrottleKey)>,
}

/// Why a login may not try.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ThrottleError {
    /// Too many attempts failed; the next one is allowed after this time.
    #[error("too many failed logins, try again in {} s", whole_seconds(*.retry_after))]
    TooMany {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The store of the counters failed. Nobody is let in unseen.
    #[error("logins cannot be counted at the moment")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a counter is kept under: a hash of what is counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ThrottleKey([u8; 32]);

/// One attempt to be counted under a key.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Charge {
    /// What it is counted under.
    pub key: ThrottleKey,
    /// Now, in Unix milliseconds.
    pub now: i64,
    /// By how many milliseconds the attempt moves the key's `free_at`.
    pub step: i64,
    /// The attempt is allowed while the key's `free_at` is at most this, in Unix milliseconds.
    pub latest: i64,
}

/// Where the counters are.
///
/// A key has one number, `free_at`: the time in Unix milliseconds when all its attempts are forgiven. A key that is
/// not there is the same as one whose time has passed.
pub trait ThrottleStore: Send + Sync + 'static {
    /// Why the store failed.
    type Error: std::error::Error + Send + Sync + 'static;

    /// In one atomic step: when `free_at <= latest`, sets it to `max(free_at, now) + step` and answers `None`;
    /// otherwise leaves it and answers `free_at`.
    fn charge(&self, charge: Charge) -> impl Future<Output = Result<Option<i64>, Self::Error>> + Send;

    /// Takes `step` milliseconds off the key's `free_at`, if it has one.
    fn refund(&self, key: ThrottleKey, step: i64) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Removes the key.
    fn forget(&self, key: ThrottleKey) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Removes at most `limit` keys with `free_at <= now`; answers how many.
    fn purge(&self, now: i64, limit: u32) -> impl Future<Output = Result<usize, Self::Error>> + Send;
}

/// Too many failed logins.
pub(crate) static TOO_MANY_LOGINS: ErrorKind = ErrorKind::new(
    "too_many_logins",
    StatusCode::TOO_MANY_REQUESTS,
    "Wait as long as Retry-After says. Logins that succeed are not counted.",
);
/// The counters cannot be reached.
pub(crate) static LOGIN_THROTTLE_DOWN: ErrorKind = ErrorKind::new(
    "login_throttle_down",
    StatusCode::SERVICE_UNAVAILABLE,
    "The store of the login counters does not answer; the server's log says why.",
);

impl<S: ThrottleStore> Throttle<S> {
    /// Counts in `store` by the system's clock.
    #[must_use]
    pub fn new(store: S, policy: ThrottlePolicy) -> Self {
        Self::with_clock(store, policy, SystemClock)
    }

    /// As [`new`](Self::new), by another clock.
    #[must_use]
    pub fn with_clock(store: S, policy: ThrottlePolicy, clock: impl Clock) -> Self {
        let next_purge = AtomicI64::new(clock.now_ms() + PURGE_EVERY_MS);
        Self { inner: Arc::new(Inner { store, policy, clock: Box::new(clock), next_purge }) }
    }

    /// Counts an attempt to log in as `account` from `address`, and refuses it when there were too many.
    ///
    /// Without an address only the account is counted. Once a minute an attempt also removes up to 1,000 counters
    /// that have run out.
    ///
    /// # Errors
    /// [`ThrottleError::TooMany`]; such an attempt is not counted itself. [`ThrottleError::Store`].
    pub async fn attempt(&self, account: &str, address: Option<IpAddr>) -> Result<Attempt<S>, ThrottleError> {
        let inner = &self.inner;
        let now = inner.clock.now_ms();
        inner.purge_when_due(now).await;
        let mut attempt = Attempt { inner: inner.clone(), keys: Vec::with_capacity(3) };
        for (scope, key) in keys(account, address) {
            let charge = inner.charge(scope, key, now);
            match inner.store.charge(charge).await.map_err(store_error)? {
                None => attempt.keys.push((scope, key)),
                Some(free_at) => {
                    attempt.give_back().await?;
                    let wait = u64::try_from(free_at - charge.latest).unwrap_or(0);
                    return Err(ThrottleError::TooMany { retry_after: Duration::from_millis(wait) });
                }
            }
        }
        Ok(attempt)
    }

    /// Removes the counters of `account`, as after a password reset. Those of addresses stay.
    ///
    /// # Errors
    /// [`ThrottleError::Store`].
    pub async fn forgive(&self, account: &str, address: Option<IpAddr>) -> Result<(), ThrottleError> {
        for (scope, key) in keys(account, address) {
            if scope != Scope::Address {
                self.inner.store.forget(key).await.map_err(store_error)?;
            }
        }
        Ok(())
    }
}

impl<S: ThrottleStore> Attempt<S> {
    /// The password was right: the attempt is not counted, and the failures of this account *from this address*
    /// are forgiven.
    ///
    /// # Errors
    /// [`ThrottleError::Store`].
    pub async fn succeeded(self) -> Result<(), ThrottleError> {
        for &(scope, key) in &self.keys {
            match scope {
                // with it goes this attempt: to give it back as well would forgive whoever fails meanwhile
                Scope::Pair => self.inner.store.forget(key).await.map_err(store_error)?,
                Scope::Account | Scope::Address => self.refund(scope, key).await?,
            }
        }
        Ok(())
    }

    /// The password was not looked at, because passwords could not be checked or users not be read: the attempt is
    /// not counted, and nothing else changes.
    ///
    /// # Errors
    /// [`ThrottleError::Store`].
    pub async fn cancel(self) -> Result<(), ThrottleError> {
        self.give_back().await
    }

    async fn give_back(&self) -> Result<(), ThrottleError> {
        for &(scope, key) in &self.keys {
            self.refund(scope, key).await?;
        }
        Ok(())
    }

    async fn refund(&self, scope: Scope, key: ThrottleKey) -> Result<(), ThrottleError> {
        let step = millis(self.inner.allowance(scope).every);
        self.inner.store.refund(key, step).await.map_err(store_error)
    }
}

impl Default for ThrottlePolicy {
    fn default() -> Self {
        Self {
            // refills more slowly than the account's, so that one address cannot use up the account's
            pair: Allowance { burst: 5, every: Duration::from_secs(120) },
            account: Allowance { burst: 30, every: Duration::from_secs(60) },
            address: Allowance { burst: 60, every: Duration::from_secs(10) },
        }
    }
}

impl ThrottlePolicy {
    /// Sets the allowance of one account from one address.
    #[must_use]
    pub fn pair(mut self, burst: u32, every: Duration) -> Self {
        self.pair = Allowance { burst, every };
        self
    }

    /// Sets the allowance of one account, whatever the address.
    #[must_use]
    pub fn account(mut self, burst: u32, every: Duration) -> Self {
        self.account = Allowance { burst, every };
        self
    }

    /// Sets the allowance of one address, whatever the account.
    #[must_use]
    pub fn address(mut self, burst: u32, every: Duration) -> Self {
        self.address = Allowance { burst, every };
        self
    }
}

impl ThrottleKey {
    /// The bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl ThrottleError {
    fn kind(&self) -> &'static ErrorKind {
        match self {
            Self::TooMany { .. } => &TOO_MANY_LOGINS,
            Self::Store(_) => &LOGIN_THROTTLE_DOWN,
        }
    }
}

impl ResponseError for ThrottleError {
    fn status_code(&self) -> StatusCode {
        self.kind().status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = self.kind().respond(self);
        if let Self::TooMany { retry_after } = self {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole_seconds(*retry_after)));
        }
        response
    }
}

impl<S> Clone for Throttle<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<S> fmt::Debug for Throttle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle").field("policy", &self.inner.policy).finish_non_exhaustive()
    }
}

impl<S: ThrottleStore> fmt::Debug for Attempt<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").finish_non_exhaustive()
    }
}

impl fmt::Debug for ThrottleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ThrottleKey(..)")
    }
}

const PURGE_EVERY_MS: i64 = 60_000;
const PURGE_LIMIT: u32 = 1_000;

struct Inner<S> {
    store: S,
    policy: ThrottlePolicy,
    clock: Box<dyn Clock>,
    next_purge: AtomicI64,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Pair,
    Account,
    Address,
}

impl<S: ThrottleStore> Inner<S> {
    fn allowance(&self, scope: Scope) -> Allowance {
        match scope {
            Scope::Pair => self.policy.pair,
            Scope::Account => self.policy.account,
            Scope::Address => self.policy.address,
        }
    }

    fn charge(&self, scope: Scope, key: ThrottleKey, now: i64) -> Charge {
        let Allowance { burst, every } = self.allowance(scope);
        let step = millis(every);
        let ahead = step.saturating_mul(i64::from(burst.max(1)) - 1);
        Charge { key, now, step, latest: now.saturating_add(ahead) }
    }

    async fn purge_when_due(&self, now: i64) {
        let due = self.next_purge.load(Ordering::Relaxed);
        let mine = now >= due
            && self
                .next_purge
                .compare_exchange(due, now + PURGE_EVERY_MS, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if mine && let Err(error) = self.store.purge(now, PURGE_LIMIT).await {
            // the login itself is not at fault
            tracing::warn!(error = &error as &dyn std::error::Error, "old login counters were not removed");
        }
    }
}

/// The widest net first, so that a flood from one address writes one row.
fn keys(account: &str, address: Option<IpAddr>) -> Vec<(Scope, ThrottleKey)> {
    let account = account.trim().to_lowercase();
    let mut keys = Vec::with_capacity(3);
    if let Some(network) = address.map(network) {
        keys.push((Scope::Address, key(b"address", &[&network])));
        keys.push((Scope::Pair, key(b"pair", &[&network, account.as_bytes()])));
    }
    keys.push((Scope::Account, key(b"account", &[account.as_bytes()])));
    keys
}

fn key(scope: &[u8], parts: &[&[u8]]) -> ThrottleKey {
    let mut hash = Sha256::new();
    for part in [scope].iter().chain(parts) {
        // with its length, so that no two lists of parts are the same bytes
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    ThrottleKey(hash.finalize().into())
}

/// The part of an address that one customer cannot change at will.
fn network(address: IpAddr) -> [u8; 16] {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => (u128::from(v6) >> 64 << 64).to_be_bytes(),
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).max(1)
}

/// Rounded up: one who waits as long as told is let in.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX).max(1)
}

fn store_error(error: impl std::error::Error + Send + Sync + 'static) -> ThrottleError {
    ThrottleError::Store(Box::new(CauseOf::new(&LOGIN_THROTTLE_DOWN, error)))
}
