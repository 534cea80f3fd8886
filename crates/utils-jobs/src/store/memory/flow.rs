//! Jobs that wait for others, as in the SQL.
use std::collections::{BTreeMap, BTreeSet};

use super::Table;
use crate::{
    JobsError,
    store::{
        flow::{MAX_INPUT, NEVER, NO_RESULT, NewFlow, SINGLE, input_of, reason, too_large},
        row::{Finish, state},
    },
};

/// One job waits for another, which may have left its result already.
#[derive(Debug)]
pub(super) struct Waits {
    job: String,
    next: String,
    position: i64,
    result: Option<String>,
}

impl Table {
    pub(super) fn insert_flow(&mut self, flow: &NewFlow) -> Result<(), JobsError> {
        for (number, row) in flow.rows.iter().enumerate() {
            if !self.insert(row).is_new {
                for inserted in &flow.rows[..number] {
                    self.jobs.remove(&inserted.id);
                }
                return Err(JobsError::KeyTaken { name: row.name.clone() });
            }
        }
        for (id, waits_for) in flow.waits() {
            if let Some(row) = self.jobs.get_mut(id) {
                row.record.state = state::BLOCKED;
                row.waits_for = waits_for;
            }
        }
        for id in flow.leading() {
            if let Some(row) = self.jobs.get_mut(id) {
                row.has_next = true;
            }
        }
        for id in &flow.without_members {
            if let Some(row) = self.jobs.get_mut(id) {
                row.input = Some("[]".to_owned());
            }
        }
        self.waits.extend(flow.links.iter().map(|link| Waits {
            job: link.job.clone(),
            next: link.next.clone(),
            position: link.position,
            result: None,
        }));
        Ok(())
    }

    /// Lets go those that waited for this job, and for no other any more.
    pub(super) fn advance(&mut self, ended: &Finish, now: i64) -> usize {
        let mut next = BTreeSet::new();
        for waits in self.waits.iter_mut().filter(|waits| waits.job == ended.id) {
            waits.result = Some(ended.result.clone().unwrap_or_else(|| "null".to_owned()));
            next.insert(waits.next.clone());
        }
        let mut freed = 0;
        for id in next {
            let Some(row) = self.jobs.get_mut(&id).filter(|row| row.waits_for > 0) else { continue };
            row.waits_for -= 1;
            if row.waits_for > 0 {
                continue;
            }
            let mut all: Vec<&Waits> = self.waits.iter().filter(|waits| waits.next == id).collect();
            all.sort_by_key(|waits| waits.position);
            let is_single = all.first().is_some_and(|first| first.position == SINGLE);
            let with_result = all.iter().filter(|waits| waits.position > NO_RESULT);
            let results: Vec<String> = with_result.filter_map(|waits| waits.result.clone()).collect();
            let size = results.iter().map(|result| result.len() + 1).sum();
            let is_blocked = row.record.state == state::BLOCKED;
            if size > MAX_INPUT {
                if is_blocked {
                    row.record.error = Some(too_large(size));
                    row.end(state::DEAD, now);
                }
            } else {
                row.input = Some(input_of(is_single, results));
                if is_blocked {
                    let later = row.record.run_at > now;
                    row.record.state = if later { state::SCHEDULED } else { state::WAITING };
                }
                freed += 1;
            }
            self.waits.retain(|waits| waits.next != id);
        }
        freed
    }

    /// Why this job, which waits for others, will not run.
    pub(super) fn broken(&self, id: &str) -> Option<String> {
        let mut look = vec![id];
        let mut earlier = BTreeMap::new();
        while let Some(id) = look.pop() {
            for waits in self.waits.iter().filter(|waits| waits.next == id && waits.result.is_none()) {
                if let Some(row) = self.jobs.get(&waits.job)
                    && earlier.insert(waits.job.as_str(), &row.record).is_none()
                {
                    look.push(&waits.job);
                }
            }
        }
        let failed = earlier
            .values()
            .find(|record| matches!(record.state, state::DEAD | state::CANCELLED | state::EXPIRED));
        failed.map(|record| reason(&record.name, record.error.as_deref()))
    }

    /// Cancels those that wait for a job which was deleted without having ended well, and forgets for whom it waited.
    pub(super) fn orphan(&mut self, deleted: &str, at: i64) {
        for waits in self.waits.iter().filter(|waits| waits.job == deleted && waits.result.is_none()) {
            if let Some(row) = self.jobs.get_mut(&waits.next) {
                row.waits_for = NEVER;
                if row.record.state == state::BLOCKED {
                    row.record.error = Some("a job that it waited for was deleted".to_owned());
                    row.end(state::CANCELLED, at);
                }
            }
        }
        self.waits.retain(|waits| waits.next != deleted);
    }
}
