use std::{
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The time that jobs go by: the system's, or one that a test moves by hand.
///
/// On PostgreSQL and MySQL the system's time is that of the database server: it is asked before the first job is enqueued,
/// and again now and then, so that a host whose clock is wrong, or is set, enqueues and runs jobs at the right time.
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
    /// Milliseconds that it was moved by hand.
    moved: Arc<AtomicI64>,
    server: Arc<Mutex<Option<Server>>>,
}

/// What is known of the database server's clock.
#[derive(Debug, Clone, Copy)]
struct Server {
    /// The server's time, and when that was heard: from then on the time passes as by a stop watch, so that nobody who sets
    /// the host's clock moves it.
    time: i64,
    heard: Instant,
    /// How far the host's clock was from the stop watch, by which one sees that the host slept or its clock was set.
    drift: i64,
    /// When it was last compared, or somebody began to.
    compared: Instant,
}

/// How often it is compared with the server's by those who only enqueue; workers do so with each heartbeat.
const COMPARE_EVERY: Duration = Duration::from_secs(60);
/// An answer may be wrong by half the time that it took; by more than this it is not believed where a better one is known.
const VAGUE: Duration = Duration::from_millis(100);
/// Clocks are set right by less than this without anybody noticing, in milliseconds.
const LEAP: u64 = 1_000;

impl Clock {
    /// The system's time.
    #[must_use]
    pub fn system() -> Self {
        Self { fixed: None, moved: Arc::default(), server: Arc::default() }
    }

    /// A clock that stands still at 2026-01-01 00:00:00 UTC until it is [moved](Self::advance).
    #[must_use]
    pub fn manual() -> Self {
        Self { fixed: Some(1_767_225_600_000), ..Self::system() }
    }

    /// Moves this clock and all its clones forward. One that goes by the server's time stays with it, as it does when
    /// the clock of its host is set.
    pub fn advance(&self, by: Duration) {
        self.moved.fetch_add(millis(by), Ordering::SeqCst);
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(u64::try_from(self.millis()).unwrap_or(0))
    }

    /// Milliseconds since 1970.
    pub(crate) fn millis(&self) -> i64 {
        match *self.server() {
            Some(server) => server.time.saturating_add(millis(server.heard.elapsed())),
            None => self.own(),
        }
    }

    /// Whether no time passes by itself.
    pub(crate) fn is_moved_by_hand(&self) -> bool {
        self.fixed.is_some()
    }

    /// Asks a database server for its time, and follows its clock if it has one.
    pub(crate) fn compare<E>(&self, ask: impl FnOnce() -> Result<Option<i64>, E>) -> Result<(), E> {
        let asked = Instant::now();
        if let Some(time) = ask()? {
            self.follow(time, asked);
        }
        Ok(())
    }

    /// Follows the clock of a database server, so that the leases of several machines compare: it was asked then, and has
    /// said this.
    ///
    /// It has said so at some moment since, taken to be the middle. An answer that took long says little, and what is
    /// known from an earlier one is better.
    fn follow(&self, time: i64, asked: Instant) {
        if self.fixed.is_some() {
            return;
        }
        let (now, drift) = (Instant::now(), self.drift());
        let half = now.saturating_duration_since(asked) / 2;
        let mut server = self.server();
        let is_good_yet = |known: &Server| {
            half > VAGUE && known.heard.elapsed() < COMPARE_EVERY && known.drift.abs_diff(drift) <= LEAP
        };
        if !server.as_ref().is_some_and(is_good_yet) {
            *server =
                Some(Server { time: time.saturating_add(millis(half)), heard: now, drift, compared: now });
        }
    }

    /// Whether it follows the server's clock, once it was told of it.
    pub(crate) fn follows(&self) -> bool {
        self.fixed.is_some() || self.server().is_some()
    }

    /// Whether it is time to ask the server again. Says so to one of those who ask.
    pub(crate) fn is_due(&self) -> bool {
        if self.fixed.is_some() {
            return false;
        }
        match &mut *self.server() {
            None => true,
            Some(server) => {
                let drift = self.drift();
                let is_due =
                    server.compared.elapsed() >= COMPARE_EVERY || drift.abs_diff(server.drift) > LEAP;
                if is_due {
                    (server.compared, server.drift) = (Instant::now(), drift);
                }
                is_due
            }
        }
    }

    /// How far the host's clock is from a stop watch. It stays about the same until the host sleeps, or somebody sets its
    /// clock.
    pub(crate) fn drift(&self) -> i64 {
        self.own().wrapping_sub(watch())
    }

    /// By how much this clock was moved, by hand or by the server: to be compared with what it was before.
    pub(crate) fn offset(&self) -> i64 {
        if self.fixed.is_some() {
            self.moved.load(Ordering::SeqCst)
        } else {
            self.millis().wrapping_sub(watch())
        }
    }

    /// Whether the host slept or its clock was set between the times at which these drifts were seen.
    pub(crate) fn has_leapt(&self, before: i64, after: i64) -> bool {
        self.fixed.is_none() && before.abs_diff(after) > LEAP
    }

    fn own(&self) -> i64 {
        self.fixed.unwrap_or_else(system_millis).wrapping_add(self.moved.load(Ordering::SeqCst))
    }

    fn server(&self) -> MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

/// Milliseconds by a stop watch that nobody sets.
fn watch() -> i64 {
    static WATCH: LazyLock<Instant> = LazyLock::new(Instant::now);
    millis(WATCH.elapsed())
}

/// Milliseconds since 1970 by the system's clock.
fn system_millis() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

/// This time later; a time that no clock can tell, such as `Duration::MAX` from now, is a hundred years away.
pub(crate) fn later(now: Instant, time: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(100 * 366 * 86_400);
    now.checked_add(time).unwrap_or_else(|| now + FAR)
}

/// A duration in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

/// A time in milliseconds since 1970; before that, 0.
pub(crate) fn time_millis(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ago(time: Duration) -> Instant {
        Instant::now().checked_sub(time).unwrap()
    }

    #[track_caller]
    fn check(clock: &Clock, expected: i64) {
        let time = clock.millis();
        assert!((expected..expected + 50).contains(&time), "{time} is not {expected}");
    }

    #[test]
    fn an_answer_that_took_long_moves_a_clock_that_knows_better_by_nothing() {
        let clock = Clock::system();
        clock.follow(1_000_000, Instant::now());
        check(&clock, 1_000_000);
        // said at once, and on its way for two seconds
        clock.follow(998_000, ago(Duration::from_secs(2)));
        check(&clock, 1_000_000);
        clock.follow(1_000_020, ago(Duration::from_millis(100)));
        check(&clock, 1_000_070);
    }

    #[test]
    fn a_clock_that_knows_nothing_better_believes_the_middle_of_a_long_answer() {
        let clock = Clock::system();
        clock.follow(1_000_000, ago(Duration::from_secs(2)));
        check(&clock, 1_001_000);
        // its host has slept, so that the stop watch is wrong
        clock.advance(Duration::from_secs(60));
        clock.follow(1_060_000, ago(Duration::from_secs(2)));
        check(&clock, 1_061_000);
    }
}
