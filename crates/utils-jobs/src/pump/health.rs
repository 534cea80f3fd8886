use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Whether a worker reaches its table, as its pump finds it.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The last exchange, unless one has failed since.
    went_well: Option<Instant>,
    outage: Option<Outage>,
}

/// A time without the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outage {
    since: Instant,
    said: Instant,
    tries: u32,
}

/// What is to be said about an exchange that failed, or the first that went well after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lasted {
    pub time: Duration,
    pub tries: u32,
}

/// How often an outage that goes on is spoken of.
const AGAIN: Duration = Duration::from_secs(30);

impl Health {
    /// Whether the last exchange went well, and no longer ago than this: one that hangs is no good sign either.
    pub(crate) fn is_good(&self, within: Duration) -> bool {
        self.lock().went_well.is_some_and(|at| at.elapsed() <= within)
    }

    /// An exchange went well. Says how long there was none, if there was none.
    pub(super) fn went_well(&self, now: Instant) -> Option<Lasted> {
        let mut state = self.lock();
        state.went_well = Some(now);
        let outage = state.outage.take()?;
        Some(Lasted { time: now.saturating_duration_since(outage.since), tries: outage.tries })
    }

    /// An exchange has failed. Says how long there was none when that is to be told: at first, and now and then.
    pub(super) fn failed(&self, now: Instant) -> Option<Lasted> {
        let mut state = self.lock();
        state.went_well = None;
        let outage = state.outage.get_or_insert(Outage { since: now, said: now, tries: 0 });
        outage.tries = outage.tries.saturating_add(1);
        if outage.tries > 1 && now < outage.said + AGAIN {
            return None;
        }
        outage.said = now;
        Some(Lasted { time: now.saturating_duration_since(outage.since), tries: outage.tries })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_well_from_its_first_exchange_on_until_one_fails_or_none_comes() {
        let health = Health::default();
        let (soon, long) = (Duration::ZERO, Duration::from_secs(60));
        assert!(!health.is_good(long), "it has not begun");
        health.went_well(Instant::now());
        assert!(health.is_good(long));
        std::thread::sleep(Duration::from_millis(2));
        assert!(!health.is_good(soon), "nothing was heard for too long");
        health.failed(Instant::now());
        assert!(!health.is_good(long));
        health.went_well(Instant::now());
        assert!(health.is_good(long));
    }

    #[test]
    fn an_outage_is_told_at_its_beginning_at_its_end_and_now_and_then() {
        let (health, start) = (Health::default(), Instant::now());
        let second = |seconds| start + Duration::from_secs(seconds);
        let told = |seconds, tries| Some(Lasted { time: Duration::from_secs(seconds), tries });
        assert_eq!(health.went_well(start), None);
        let of = (0..70).filter_map(|seconds| health.failed(second(seconds))).collect::<Vec<_>>();
        assert_eq!(of, [told(0, 1), told(30, 31), told(60, 61)].map(Option::unwrap));
        assert_eq!(health.went_well(second(70)), told(70, 70));
        assert_eq!(health.went_well(second(71)), None);
        assert_eq!(health.failed(second(72)), told(0, 1), "another one");
    }
}
