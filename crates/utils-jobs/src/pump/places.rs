use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::store::{
    Dialect,
    row::{Claimed, Place, Want},
};

/// How far a worker has come in its queues.
///
/// On PostgreSQL the jobs that were taken from the front of a queue stay in its index until the next vacuum, which comes
/// the later the larger the table is, and each look from the front goes through all of them. So while there is more to do
/// than room for it, a look begins where the last one ended. What was put in front of that place meanwhile, urgent jobs
/// and those that came back, is seen by the next look from the front.
pub(super) struct Places {
    is_of_use: bool,
    by_want: HashMap<(String, usize), Place>,
    until: Instant,
}

/// A look from the front takes at most one in so many parts of the time.
const RARELY: u32 = 20;
/// However long an exchange took, urgent jobs wait no longer than this: a lock or a slow disk says nothing of the index.
const AT_LAST: Duration = Duration::from_secs(1);
/// With fewer free places, the order counts more than the time.
const ENOUGH: usize = 8;

impl Places {
    pub(super) fn new(dialect: Dialect) -> Self {
        let is_of_use = dialect == Dialect::Postgres;
        Self { is_of_use, by_want: HashMap::new(), until: Instant::now() }
    }

    /// Lets these begin where the last ones ended, if that is worth it. Whether they do.
    pub(super) fn begin(&self, wants: &mut [Want], free: usize, now: Instant) -> bool {
        if !self.is_of_use || free < ENOUGH || now >= self.until {
            return false;
        }
        for want in wants {
            want.behind = self.by_want.get(&(want.queue.clone(), want.lane)).cloned();
        }
        true
    }

    /// What a look from the front has found, and the time that it took.
    pub(super) fn looked(&mut self, now: Instant, took: Duration) {
        self.by_want.clear();
        self.until = now + took.saturating_mul(RARELY).min(AT_LAST);
    }

    /// A job was taken.
    pub(super) fn passed(&mut self, row: &Claimed, lane: usize) {
        if !self.is_of_use {
            return;
        }
        let place = Place { priority: row.priority, run_at: row.run_at, id: row.id.clone() };
        let key = (row.queue.clone(), lane);
        // They come in their order, so the last one is the furthest.
        self.by_want.insert(key, place);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{AT_LAST, ENOUGH, Places};
    use crate::store::{
        Dialect,
        row::{Claimed, Names, Place, Want},
    };

    fn claimed(queue: &str, id: &str) -> Claimed {
        Claimed {
            id: id.to_owned(),
            name: "job".to_owned(),
            queue: queue.to_owned(),
            args: Vec::new(),
            attempts: 1,
            max_attempts: 3,
            priority: 2,
            run_at: 5,
            created_at: 5,
            unique_key: None,
            meta: "{}".to_owned(),
            has_next: 0,
            input: None,
        }
    }

    fn behind(places: &Places, free: usize, now: Instant) -> Option<Place> {
        let (queue, names) = ("a".to_owned(), Names::All);
        let mut wants = [Want { queue, names, limit: free, lane: 0, batch: None, behind: None }];
        let begins = places.begin(&mut wants, free, now);
        let [want] = wants;
        assert!(begins || want.behind.is_none());
        want.behind
    }

    #[test]
    fn a_look_begins_where_the_last_one_ended_for_a_while() {
        let (mut places, now) = (Places::new(Dialect::Postgres), Instant::now());
        assert_eq!(behind(&places, ENOUGH, now), None, "nobody has looked yet");

        places.looked(now, Duration::from_millis(1));
        for (queue, id) in [("a", "1"), ("a", "2"), ("b", "3")] {
            places.passed(&claimed(queue, id), 0);
        }
        places.passed(&claimed("a", "4"), 1);
        let last = Some(Place { priority: 2, run_at: 5, id: "2".to_owned() });
        assert_eq!(behind(&places, ENOUGH, now + Duration::from_millis(19)), last);
        assert_eq!(
            behind(&places, ENOUGH, now + Duration::from_millis(20)),
            None,
            "it is time to look from the front"
        );
        assert_eq!(behind(&places, ENOUGH - 1, now), None, "the order counts more");

        places.looked(now, Duration::from_millis(1));
        assert_eq!(behind(&places, ENOUGH, now), None, "that look found nothing");

        places.looked(now, Duration::from_secs(15));
        places.passed(&claimed("a", "5"), 0);
        assert!(behind(&places, ENOUGH, now + Duration::from_millis(999)).is_some());
        assert_eq!(behind(&places, ENOUGH, now + AT_LAST), None, "urgent jobs wait no longer");
    }

    #[test]
    fn other_databases_look_from_the_front() {
        let (mut places, now) = (Places::new(Dialect::Sqlite), Instant::now());
        places.looked(now, Duration::from_secs(1));
        places.passed(&claimed("a", "1"), 0);
        assert_eq!(behind(&places, ENOUGH, now), None);
    }
}
