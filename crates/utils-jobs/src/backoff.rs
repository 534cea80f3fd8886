use std::time::Duration;

/// How long to wait before an attempt is made again.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use utils_jobs::Backoff;
///
/// let backoff = Backoff::exponential(Duration::from_secs(2), Duration::from_secs(10)).no_jitter();
/// let waits: Vec<u64> = (1..=4).map(|failed| backoff.delay(failed).as_secs()).collect();
/// assert_eq!(waits, [2, 4, 8, 10]);
///
/// // with jitter, the default, a wait is a random part of that
/// let backoff = Backoff::exponential(Duration::from_secs(2), Duration::from_secs(10));
/// assert!(backoff.delay(3) <= Duration::from_secs(8));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    doubles: bool,
    jitter: bool,
}

impl Backoff {
    /// Doubles from `first` on, up to `most`, with full jitter: the wait is random between nothing and that, so that
    /// jobs which failed together do not come back together.
    #[must_use]
    pub fn exponential(first: Duration, most: Duration) -> Self {
        Self { first, most, doubles: true, jitter: true }
    }

    /// The same wait after each failed attempt.
    #[must_use]
    pub fn fixed(wait: Duration) -> Self {
        Self { first: wait, most: wait, doubles: false, jitter: false }
    }

    /// Turns the randomness on.
    #[must_use]
    pub fn full_jitter(mut self) -> Self {
        self.jitter = true;
        self
    }

    /// Turns the randomness off.
    #[must_use]
    pub fn no_jitter(mut self) -> Self {
        self.jitter = false;
        self
    }

    /// The wait after `failed` failed attempts, counted from 1.
    #[must_use]
    pub fn delay(&self, failed: u32) -> Duration {
        let doublings = if self.doubles { failed.saturating_sub(1).min(31) } else { 0 };
        let whole = self.first.saturating_mul(1 << doublings).min(self.most);
        if self.jitter { whole.mul_f64(random_fraction()) } else { whole }
    }
}

impl Default for Backoff {
    /// Exponential from 1 s to 10 min, with full jitter.
    fn default() -> Self {
        Self::exponential(Duration::from_secs(1), Duration::from_secs(600))
    }
}

/// Between 0 and 1.
pub(crate) fn random_fraction() -> f64 {
    // Without randomness the wait is whole, which is correct, only less spread.
    getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX))
}
