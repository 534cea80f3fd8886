use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    future::{Future, ready},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Charge, ThrottleKey, ThrottleStore};

/// Login counters in this process: for one process, or for a limit in each.
///
/// Holds at most 100,000 counters (about 10 MB); above that, those that would run out first are dropped.
pub struct MemoryThrottle {
    free_at: Mutex<HashMap<ThrottleKey, i64>>,
}

impl MemoryThrottle {
    /// A store without counters.
    #[must_use]
    pub fn new() -> Self {
        Self { free_at: Mutex::new(HashMap::new()) }
    }

    /// How many counters there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counters().len()
    }

    /// Whether nothing is counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn counters(&self) -> MutexGuard<'_, HashMap<ThrottleKey, i64>> {
        // every write is one insert or remove, so a panic elsewhere leaves nothing half done
        self.free_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ThrottleStore for MemoryThrottle {
    type Error = Infallible;

    fn charge(&self, charge: Charge) -> impl Future<Output = Result<Option<i64>, Infallible>> + Send {
        let mut counters = self.counters();
        let free_at = counters.get(&charge.key).copied().unwrap_or(charge.now);
        if free_at > charge.latest {
            return ready(Ok(Some(free_at)));
        }
        counters.insert(charge.key, free_at.max(charge.now).saturating_add(charge.step));
        if counters.len() > MOST_COUNTERS {
            make_room(&mut counters);
        }
        ready(Ok(None))
    }

    fn refund(&self, key: ThrottleKey, step: i64) -> impl Future<Output = Result<(), Infallible>> + Send {
        if let Some(free_at) = self.counters().get_mut(&key) {
            *free_at = free_at.saturating_sub(step);
        }
        ready(Ok(()))
    }

    fn forget(&self, key: ThrottleKey) -> impl Future<Output = Result<(), Infallible>> + Send {
        self.counters().remove(&key);
        ready(Ok(()))
    }

    fn purge(&self, now: i64, limit: u32) -> impl Future<Output = Result<usize, Infallible>> + Send {
        let mut counters = self.counters();
        let gone: Vec<ThrottleKey> = counters
            .iter()
            .filter(|&(_, &free_at)| free_at <= now)
            .map(|(&key, _)| key)
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .collect();
        for key in &gone {
            counters.remove(key);
        }
        ready(Ok(gone.len()))
    }
}

impl Default for MemoryThrottle {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryThrottle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryThrottle").field("len", &self.len()).finish()
    }
}

const MOST_COUNTERS: usize = 100_000;

/// Drops the half that runs out first: what has run out already, and otherwise the least offences.
fn make_room(counters: &mut HashMap<ThrottleKey, i64>) {
    let mut times: Vec<i64> = counters.values().copied().collect();
    let middle = times.len() / 2;
    let (_, &mut median, _) = times.select_nth_unstable(middle);
    let mut may_drop = middle; // many may share the median
    counters.retain(|_, free_at| {
        let drop = *free_at <= median && may_drop > 0;
        may_drop -= usize::from(drop);
        !drop
    });
}
