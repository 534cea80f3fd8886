use std::time::{Duration, Instant};

use crate::{
    Policy,
    clock::later,
    store::row::{Batching, Names, Want},
};

/// How many jobs of which names a worker may hold: one lane for each type with a limit, or that is handled in batches,
/// and one for all others. A batch counts as one job.
#[derive(Debug)]
pub(crate) struct Lanes {
    queues: Vec<String>,
    lanes: Vec<Lane>,
    capacity: usize,
    /// Which lane and which queue are asked first; moves on, so that none starves.
    turn: usize,
}

/// A type of jobs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Type<'a> {
    pub name: &'a str,
    pub policy: &'a Policy,
    pub batch: Option<Batching>,
}

/// The jobs that share a limit.
#[derive(Debug)]
pub(crate) struct Lane {
    names: Names,
    concurrency: Option<usize>,
    bucket: Option<Bucket>,
    batch: Option<Batching>,
}

/// Tokens for starts: `most` at first, and again so many in each span of time.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    most: f64,
    per_second: f64,
    filled: Instant,
}

impl Lanes {
    pub(crate) fn new(queues: Vec<String>, lanes: Vec<Lane>, capacity: usize) -> Self {
        Self { queues, lanes, capacity, turn: 0 }
    }

    /// A lane for each type that has one, and one for the rest: all others, or the `known` ones.
    pub(crate) fn of<'a>(types: impl Iterator<Item = Type<'a>>, only_known: bool) -> Vec<Lane> {
        let (limited, free): (Vec<_>, Vec<_>) =
            types.partition(|of| of.policy.is_limited() || of.batch.is_some());
        let owned = |all: &[Type<'_>]| all.iter().map(|of| of.name.to_owned()).collect::<Vec<_>>();
        let rest = match (only_known, limited.is_empty()) {
            (true, _) => Names::Only(owned(&free)),
            (false, true) => Names::All,
            (false, false) => Names::AllBut(owned(&limited)),
        };
        let mut lanes = vec![Lane { names: rest, concurrency: None, bucket: None, batch: None }];
        lanes.extend(limited.iter().map(|of| Lane {
            names: Names::Only(vec![of.name.to_owned()]),
            concurrency: of.policy.concurrency,
            bucket: of.policy.rate.map(|(jobs, per)| Bucket::new(jobs, per)),
            batch: of.batch,
        }));
        lanes
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn queues(&self) -> &[String] {
        &self.queues
    }

    /// What to ask the table for, when `free` more jobs have room and these lanes are in use.
    pub(super) fn wants(&mut self, free: usize, held: impl Iterator<Item = usize>) -> Vec<Want> {
        let mut in_use = vec![0_usize; self.lanes.len()];
        for lane in held {
            in_use[lane] += 1;
        }
        self.turn = self.turn.wrapping_add(1);
        let mut wants = Vec::new();
        // The queues' turn moves on within that of a lane: moving together, some pairs would never come first.
        let queues = self.queues.len();
        let first = self.turn / queues.max(1);
        let lanes = self.lanes.len();
        for lane in (0..lanes).map(|offset| (first + offset) % lanes) {
            let Some(each) = self.lanes.get_mut(lane) else { continue };
            let room = each.concurrency.map_or(free, |most| most.saturating_sub(in_use[lane]));
            let tokens = each.bucket.as_mut().map_or(free, |bucket| bucket.available(Instant::now()));
            let limit = room.min(tokens).min(free);
            if limit == 0 {
                continue;
            }
            for offset in 0..queues {
                let queue = self.queues[(self.turn + offset) % queues].clone();
                wants.push(Want {
                    queue,
                    names: each.names.clone(),
                    limit,
                    lane,
                    batch: each.batch,
                    behind: None,
                });
            }
        }
        wants
    }

    pub(super) fn lane_of(&self, name: &str) -> usize {
        self.lanes.iter().position(|lane| lane.names.matches(name)).unwrap_or(0)
    }

    pub(super) fn is_limited(&self, lane: usize) -> bool {
        self.lanes.get(lane).is_some_and(|lane| lane.concurrency.is_some() || lane.bucket.is_some())
    }

    /// A job of this lane starts.
    pub(super) fn spend(&mut self, lane: usize) {
        if let Some(bucket) = self.lanes.get_mut(lane).and_then(|lane| lane.bucket.as_mut()) {
            bucket.tokens -= 1.0;
        }
    }

    /// When the first empty bucket has a token again.
    pub(super) fn next_token(&mut self, now: Instant) -> Option<Instant> {
        self.lanes.iter_mut().filter_map(|lane| lane.bucket.as_mut()?.next_token(now)).min()
    }
}

impl Bucket {
    fn new(jobs: u32, per: Duration) -> Self {
        let most = f64::from(jobs);
        Self { tokens: most, most, per_second: most / per.as_secs_f64().max(0.001), filled: Instant::now() }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.most);
        self.filled = now;
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between zero and a u32")]
    fn available(&mut self, now: Instant) -> usize {
        self.fill(now);
        self.tokens.max(0.0) as usize
    }

    fn next_token(&mut self, now: Instant) -> Option<Instant> {
        self.fill(now);
        let wait = Duration::try_from_secs_f64((1.0 - self.tokens) / self.per_second);
        (self.tokens < 1.0).then(|| later(now, wait.unwrap_or(Duration::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Lane, Lanes, Type};
    use crate::{Policy, store::row::Names};

    fn free_and_limited(only_known: bool) -> Vec<Lane> {
        let (free, limited) = (Policy::new(), Policy::new().concurrency(1));
        let types = [("free", &free), ("limited", &limited)];
        Lanes::of(types.into_iter().map(|(name, policy)| Type { name, policy, batch: None }), only_known)
    }

    #[test]
    fn every_lane_comes_first_in_turn_and_with_every_queue() {
        let mut lanes = Lanes::new(vec!["a".to_owned(), "b".to_owned()], free_and_limited(true), 1);
        let mut firsts: Vec<(String, Names)> = (0..4)
            .map(|_| lanes.wants(1, std::iter::empty()).remove(0))
            .map(|want| (want.queue, want.names))
            .collect();
        firsts.sort_by_key(|first| format!("{first:?}"));
        let only = |name: &str| Names::Only(vec![name.to_owned()]);
        let expected = [("a", "free"), ("a", "limited"), ("b", "free"), ("b", "limited")];
        assert_eq!(firsts, expected.map(|(queue, name)| (queue.to_owned(), only(name))));
    }

    #[test]
    fn a_rate_of_one_in_all_time_is_reached_at_once() {
        let mut bucket = super::Bucket::new(1, Duration::MAX);
        let now = Instant::now();
        assert_eq!((bucket.available(now), bucket.next_token(now)), (1, None));
        bucket.tokens -= 1.0;
        assert_eq!(bucket.available(now), 0);
        assert!(bucket.next_token(now).is_some_and(|at| at > now + Duration::from_secs(86_400 * 365)));
    }

    #[test]
    fn a_full_lane_asks_for_nothing() {
        let mut lanes = Lanes::new(vec!["a".to_owned()], free_and_limited(true), 3);
        for _ in 0..4 {
            let wants = lanes.wants(2, std::iter::once(1));
            assert_eq!(wants.iter().map(|want| (want.lane, want.limit)).collect::<Vec<_>>(), [(0, 2)]);
        }
    }
}
