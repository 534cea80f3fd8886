use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The time that jobs go by: the system's, or one that a test moves by hand.
///
/// On PostgreSQL and MySQL the system's time is that of the database server: it is asked before the first job is enqueued,
/// and again now and then, so that a host whose clock is wrong enqueues and runs jobs at the right time.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use utils_jobs::Clock;
///
/// let clock = Clock::manual();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(3_600));
/// assert_eq!(clock.now().duration_since(before)?.as_secs(), 3_600);
/// # Ok::<(), std::time::SystemTimeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Clock {
    /// `None`: the system's time.
    fixed: Option<i64>,
    /// Milliseconds on top: moved by hand, or the difference to the database server's clock.
    offset: Arc<AtomicI64>,
    /// When it was last compared with the server's.
    compared: Arc<Mutex<Option<Instant>>>,
}

/// How often it is compared with the server's by those who only enqueue; workers do so with each heartbeat.
const COMPARE_EVERY: Duration = Duration::from_secs(60);

impl Clock {
    /// The system's time.
    #[must_use]
    pub fn system() -> Self {
        Self { fixed: None, offset: Arc::default(), compared: Arc::default() }
    }

    /// A clock that stands still at 2026-01-01 00:00:00 UTC until it is [moved](Self::advance).
    #[must_use]
    pub fn manual() -> Self {
        Self { fixed: Some(1_767_225_600_000), offset: Arc::default(), compared: Arc::default() }
    }

    /// Moves this clock and all its clones forward.
    pub fn advance(&self, by: Duration) {
        self.offset.fetch_add(millis(by), Ordering::SeqCst);
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(u64::try_from(self.millis()).unwrap_or(0))
    }

    /// Milliseconds since 1970.
    pub(crate) fn millis(&self) -> i64 {
        self.fixed.unwrap_or_else(system_millis) + self.offset.load(Ordering::SeqCst)
    }

    /// Whether no time passes by itself.
    pub(crate) fn is_moved_by_hand(&self) -> bool {
        self.fixed.is_some()
    }

    /// Follows the clock of a database server, so that the leases of several machines compare.
    pub(crate) fn follow(&self, server: i64) {
        if self.fixed.is_none() {
            self.offset.store(server - system_millis(), Ordering::SeqCst);
            *self.compared.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }

    /// Whether it follows the server's clock, once it was told of it.
    pub(crate) fn follows(&self) -> bool {
        self.fixed.is_some() || self.compared.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether it is time to ask the server again. Says so to one of those who ask.
    pub(crate) fn is_due(&self) -> bool {
        if self.fixed.is_some() {
            return false;
        }
        let mut compared = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *compared {
            None => true,
            Some(last) if last.elapsed() >= COMPARE_EVERY => {
                *last = Instant::now();
                true
            }
            Some(_) => false,
        }
    }

    /// The milliseconds on top.
    pub(crate) fn offset(&self) -> i64 {
        self.offset.load(Ordering::SeqCst)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

/// Milliseconds since 1970 by the system's clock.
fn system_millis() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

/// A duration in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

/// A time in milliseconds since 1970; before that, 0.
pub(crate) fn time_millis(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, millis)
}
