use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use arc_swap::ArcSwap;

use crate::Sid;

/// The sessions that were revoked while an access token of theirs may still be alive.
///
/// Asking it costs 2 ns while it is empty, its normal state. It is filled at once by what this process revokes, by one
/// query of the store a second for what others revoke, and, where an application wants to be faster, by
/// [`apply`](Self::apply) from a message of its own (PostgreSQL's `NOTIFY`, Redis, …). A clone shares the set.
///
/// It is keyed by the session, never by a token's text: one token can be written in several ways.
#[derive(Clone)]
pub struct Revocations {
    shared: Arc<Shared>,
}

struct Shared {
    /// Whether there is anything to look up.
    any: AtomicBool,
    set: ArcSwap<Set>,
    /// Held by whoever changes the set.
    writing: Mutex<()>,
    /// When the store was last asked, `NEVER` before the first time.
    synced_at: AtomicI64,
    /// When it was last asked for all that can still matter.
    complete_at: AtomicI64,
}

/// When each session was revoked. Recent revocations are in a small map of their own, so that adding one among
/// 100,000 does not copy them all.
#[derive(Clone, Default)]
struct Set {
    settled: Arc<HashMap<Sid, i64>>,
    recent: HashMap<Sid, i64>,
}

const NEVER: i64 = i64::MIN;
const RECENT: usize = 1024;

impl Revocations {
    /// An empty set. An engine has one of its own; this is for those who hear of revocations without an engine.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                any: AtomicBool::new(false),
                set: ArcSwap::default(),
                writing: Mutex::new(()),
                synced_at: AtomicI64::new(NEVER),
                complete_at: AtomicI64::new(NEVER),
            }),
        }
    }

    /// Whether this session was revoked.
    #[inline]
    #[must_use]
    pub fn contains(&self, session: Sid) -> bool {
        self.shared.any.load(Ordering::Acquire) && self.shared.set.load().contains(session)
    }

    /// Adds sessions, each with the time of its revocation in milliseconds since 1970. Adding one twice is harmless:
    /// the later time counts.
    pub fn apply(&self, revoked: &[(Sid, i64)]) {
        if revoked.is_empty() {
            return;
        }
        self.change(|set| {
            let later =
                |&(session, at): &(Sid, i64)| set.settled.get(&session).is_some_and(|&known| known < at);
            if revoked.len() > RECENT || revoked.iter().any(later) {
                set.settle(revoked.iter().copied());
                return;
            }
            let unknown = revoked.iter().filter(|(session, _)| !set.settled.contains_key(session));
            keep_latest(&mut set.recent, unknown.copied());
            if set.recent.len() > RECENT {
                set.settle([]);
            }
        });
    }

    /// How many sessions are in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        let set = self.shared.set.load();
        set.settled.len() + set.recent.len()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.shared.any.load(Ordering::Acquire)
    }

    /// When the store was last asked, in milliseconds since 1970; `None` before the first time.
    #[must_use]
    pub fn synced_at(&self) -> Option<i64> {
        match self.shared.synced_at.load(Ordering::Acquire) {
            NEVER => None,
            at => Some(at),
        }
    }

    /// When the store was last asked for all that can still matter; `None` before the first time.
    pub(crate) fn complete_at(&self) -> Option<i64> {
        Some(self.shared.complete_at.load(Ordering::Acquire)).filter(|&at| at != NEVER)
    }

    pub(crate) fn synced(&self, at: i64, complete: bool) {
        if complete {
            self.shared.complete_at.store(at, Ordering::Release);
        }
        self.shared.synced_at.store(at, Ordering::Release);
    }

    /// Forgets what was revoked before this time, once it is worth the work: an eighth of all there is.
    pub(crate) fn forget(&self, before: i64) {
        let old = |at: i64| at < before;
        let set = self.shared.set.load();
        let count = set.recent.values().chain(set.settled.values()).filter(|&&at| old(at)).count();
        if count == 0 || count * 8 < set.settled.len() {
            return;
        }
        self.change(|set| {
            set.recent.retain(|_, at| !old(*at));
            let kept = set.settled.iter().filter(|(_, at)| !old(**at));
            set.settled = Arc::new(kept.map(|(session, at)| (*session, *at)).collect());
        });
    }

    fn change(&self, change: impl FnOnce(&mut Set)) {
        let _writing = self.shared.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut set = Set::clone(&self.shared.set.load());
        change(&mut set);
        let any = !set.settled.is_empty() || !set.recent.is_empty();
        self.shared.set.store(Arc::new(set));
        self.shared.any.store(any, Ordering::Release);
    }
}

impl Set {
    /// Moves the recent revocations, and these, to the others.
    fn settle(&mut self, more: impl IntoIterator<Item = (Sid, i64)>) {
        let mut settled = HashMap::clone(&self.settled);
        keep_latest(&mut settled, self.recent.drain());
        keep_latest(&mut settled, more);
        self.settled = Arc::new(settled);
    }

    fn contains(&self, session: Sid) -> bool {
        self.recent.contains_key(&session) || self.settled.contains_key(&session)
    }
}

/// A time that is too early would be forgotten too early.
fn keep_latest(set: &mut HashMap<Sid, i64>, more: impl IntoIterator<Item = (Sid, i64)>) {
    for (session, at) in more {
        set.entry(session).and_modify(|known| *known = at.max(*known)).or_insert(at);
    }
}

impl Default for Revocations {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Revocations")
            .field("sessions", &self.len())
            .field("synced_at", &self.synced_at())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: u32) -> Sid {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        Sid::from_bytes(bytes)
    }

    #[test]
    fn thousands_of_revocations_are_found_and_forgotten_by_time() {
        let revocations = Revocations::new();
        for number in 0..3_000 {
            revocations.apply(&[(session(number), i64::from(number))]);
        }
        assert_eq!(revocations.len(), 3_000);
        assert!((0..3_000).all(|number| revocations.contains(session(number))));
        assert!(!revocations.contains(session(3_000)));

        revocations.forget(2_990);
        assert_eq!(revocations.len(), 10);
        assert!(revocations.contains(session(2_990)));
        assert!(!revocations.contains(session(2_989)));

        revocations.forget(i64::MAX);
        assert!(revocations.is_empty());
    }

    #[test]
    fn an_earlier_time_takes_nothing_back() {
        for many in [1, 5_000] {
            let revocations = Revocations::new();
            let at = |time| (0..many).map(|number| (session(number), time)).collect::<Vec<_>>();
            for time in [1_000, i64::MIN, 2_000, 0] {
                revocations.apply(&at(time));
            }
            revocations.forget(2_000);
            assert!((0..many).all(|number| revocations.contains(session(number))));
            assert_eq!(revocations.len(), many as usize);
            revocations.forget(2_001);
            assert!(revocations.is_empty());
        }
    }

    #[test]
    fn many_at_once_and_the_same_twice_are_counted_once() {
        let revocations = Revocations::new();
        let many: Vec<_> = (0..5_000).map(|number| (session(number), 1)).collect();
        revocations.apply(&many);
        revocations.apply(&many[..10]);
        revocations.apply(&many);
        assert_eq!(revocations.len(), 5_000);
    }
}
