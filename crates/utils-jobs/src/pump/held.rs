use std::collections::HashMap;

use super::{Call, Delivery};

/// The jobs that a worker holds, and the calls of handlers that they are in.
#[derive(Default)]
pub(super) struct Holding {
    jobs: HashMap<String, Held>,
    calls: HashMap<u64, InCall>,
    next: u64,
}

/// A job that a worker holds.
pub(super) struct Held {
    pub attempts: i32,
    pub lane: usize,
    pub delivery: Delivery,
    call: u64,
}

struct InCall {
    lane: usize,
    jobs: usize,
}

impl Holding {
    pub(super) fn hold(&mut self, lane: usize, call: &Call) {
        self.next += 1;
        let deliveries = call.deliveries();
        self.calls.insert(self.next, InCall { lane, jobs: deliveries.len() });
        for delivery in deliveries {
            let (id, attempts) = (delivery.claimed.id.clone(), delivery.claimed.attempts);
            self.jobs.insert(id, Held { attempts, lane, delivery: delivery.clone(), call: self.next });
        }
    }

    /// A call ends with the last of its jobs.
    pub(super) fn release(&mut self, id: &str) {
        let Some(held) = self.jobs.remove(id) else { return };
        if let Some(call) = self.calls.get_mut(&held.call) {
            call.jobs -= 1;
            if call.jobs == 0 {
                self.calls.remove(&held.call);
            }
        }
    }

    pub(super) fn release_all(&mut self) -> HashMap<String, Held> {
        self.calls.clear();
        std::mem::take(&mut self.jobs)
    }

    pub(super) fn get(&self, id: &str) -> Option<&Held> {
        self.jobs.get(id)
    }

    pub(super) fn jobs(&self) -> &HashMap<String, Held> {
        &self.jobs
    }

    /// How many calls there are.
    pub(super) fn calls(&self) -> usize {
        self.calls.len()
    }

    /// The lane of each call.
    pub(super) fn lanes(&self) -> impl Iterator<Item = usize> {
        self.calls.values().map(|call| call.lane)
    }
}
