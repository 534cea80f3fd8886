use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The time that jobs go by: the system's, or one that a test moves by hand.
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
}

impl Clock {
    /// The system's time.
    #[must_use]
    pub fn system() -> Self {
        Self { fixed: None, offset: Arc::default() }
    }

    /// A clock that stands still at 2026-01-01 00:00:00 UTC until it is [moved](Self::advance).
    #[must_use]
    pub fn manual() -> Self {
        Self { fixed: Some(1_767_225_600_000), offset: Arc::default() }
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
        }
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
