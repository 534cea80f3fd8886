//! Those who wait for a job of this process to end, told one by one.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::sync::Notify;

use super::lock;

/// Who waits for which job.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_id: Mutex<HashMap<String, Arc<Notify>>>,
}

impl Waiting {
    /// Waits for the end of a job until the guard is dropped.
    pub(super) fn wait_for(&self, id: &str) -> Waits<'_> {
        let told = Arc::clone(lock(&self.by_id).entry(id.to_owned()).or_default());
        Waits { waiting: self, id: id.to_owned(), told }
    }

    /// A job has ended.
    pub(super) fn tell(&self, id: &str) {
        if let Some(told) = lock(&self.by_id).get(id) {
            told.notify_waiters();
        }
    }
}

/// Somebody who waits.
pub(super) struct Waits<'a> {
    waiting: &'a Waiting,
    id: String,
    pub(super) told: Arc<Notify>,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut by_id = lock(&self.waiting.by_id);
        // The map's and ours: nobody else waits for it.
        if Arc::strong_count(&self.told) <= 2 {
            by_id.remove(&self.id);
        }
    }
}
