use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Where the time comes from.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The time now, in milliseconds since 1970-01-01 00:00 UTC.
    fn now_ms(&self) -> i64;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => whole_ms(since),
            Err(before) => -whole_ms(before.duration()),
        }
    }
}

/// A clock that stands still until it is told to move, so that a test waits for nothing.
///
/// Its clones show the same time.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use utils_token_auth::{Clock, TestClock};
///
/// let clock = TestClock::at(1_700_000_000_000);
/// let of_the_server = clock.clone();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(of_the_server.now_ms(), 1_700_000_060_000);
/// ```
#[derive(Clone, Debug)]
pub struct TestClock(Arc<AtomicI64>);

impl TestClock {
    /// A clock that shows this time, in milliseconds since 1970.
    #[must_use]
    pub fn at(unix_ms: i64) -> Self {
        Self(Arc::new(AtomicI64::new(unix_ms)))
    }

    /// Moves the clock forward, to the millisecond.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(whole_ms(by), Ordering::SeqCst);
    }

    /// Sets the clock, back or forward, in milliseconds since 1970.
    pub fn set(&self, unix_ms: i64) {
        self.0.store(unix_ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A duration in whole milliseconds; beyond 292 million years it stays there.
pub(crate) fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
