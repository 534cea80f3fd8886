//! Jobs in the memory of this process: the same rules as the SQL, for tests and for programs that need no more.
mod flow;

use std::{
    any::Any,
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    CancelFound, Dialect, Round, RoundDone, Store, WorkerRow,
    flow::NewFlow,
    row::{Batching, Claimed, Count, Finish, Inserted, Lease, NewRow, Record, SeenWorker, Want, state},
};
use crate::{
    JobsError,
    failed::LEASE_RAN_OUT,
    list::{Filter, Order},
};

/// The store in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    jobs: BTreeMap<String, Row>,
    paused: BTreeSet<String>,
    ticks: BTreeMap<String, i64>,
    workers: BTreeMap<String, SeenWorker>,
    waits: Vec<flow::Waits>,
}

#[derive(Debug, Clone)]
struct Row {
    record: Record,
    keep_key: bool,
    lease_until: i64,
    waits_for: i64,
    has_next: bool,
    input: Option<String>,
}

impl MemoryStore {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Row {
    fn end(&mut self, to: i32, now: i64) {
        self.record.state = to;
        self.record.finished_at = Some(now);
        self.record.worker = None;
    }

    /// Whether this job keeps others from having this key.
    fn has_key(&self, name: &str, key: &str) -> bool {
        self.record.name == name
            && self.record.unique_key.as_deref() == Some(key)
            && (self.keep_key || !state::is_final(self.record.state))
    }

    fn is_held_by(&self, worker: &str, attempts: i32) -> bool {
        self.record.state == state::RUNNING
            && self.record.worker.as_deref() == Some(worker)
            && self.record.attempts == attempts
    }

    fn cancelled(&self) -> bool {
        self.record.cancel_requested != 0
    }
}

impl Table {
    fn holder(&self, name: &str, key: Option<&str>) -> Option<&Row> {
        let key = key?;
        self.jobs.values().find(|row| row.has_key(name, key))
    }

    fn insert(&mut self, row: &NewRow) -> Inserted {
        if let Some(holder) = self.holder(&row.name, row.unique_key.as_deref()) {
            return Inserted { id: holder.record.id.clone(), is_new: false };
        }
        let record = Record {
            id: row.id.clone(),
            name: row.name.clone(),
            queue: row.queue.clone(),
            args: row.args.clone(),
            state: row.state(),
            priority: row.priority,
            attempts: 0,
            max_attempts: row.max_attempts,
            run_at: row.run_at,
            created_at: row.created_at,
            started_at: None,
            finished_at: None,
            expires_at: row.expires_at,
            worker: None,
            cancel_requested: 0,
            unique_key: row.unique_key.clone(),
            progress: None,
            progress_note: None,
            meta: row.meta.clone(),
            result: None,
            error: None,
        };
        self.jobs.insert(
            row.id.clone(),
            Row {
                record,
                keep_key: row.keep_key,
                lease_until: 0,
                waits_for: 0,
                has_next: false,
                input: None,
            },
        );
        Inserted { id: row.id.clone(), is_new: true }
    }

    fn finish(&mut self, worker: &str, finish: &Finish, now: i64) -> bool {
        let Some(row) = self.jobs.get_mut(&finish.id).filter(|row| row.is_held_by(worker, finish.attempts))
        else {
            return false;
        };
        if finish.uncount {
            row.record.attempts -= 1;
        } else {
            row.record.result = finish.result.clone();
            row.record.error = finish.error.clone();
        }
        if let Some(run_at) = finish.run_at {
            row.record.run_at = run_at;
        }
        if row.cancelled() && finish.state != state::DONE {
            row.end(state::CANCELLED, now);
        } else if state::is_final(finish.state) {
            if finish.state == state::DONE {
                row.record.progress = row.record.progress.map(|_| 1.0);
            }
            row.end(finish.state, now);
        } else {
            row.record.state = finish.state;
            row.record.worker = None;
        }
        true
    }

    fn reap(&mut self, now: i64) -> usize {
        let mut reaped = 0;
        for row in self.jobs.values_mut() {
            let record = &mut row.record;
            let waits = matches!(record.state, state::WAITING | state::SCHEDULED);
            if record.state == state::RUNNING && row.lease_until < now {
                reaped += 1;
                record.error = Some(LEASE_RAN_OUT.to_owned());
                record.worker = None;
                match (record.cancel_requested != 0, record.attempts >= record.max_attempts) {
                    (true, _) => row.end(state::CANCELLED, now),
                    (false, true) => row.end(state::DEAD, now),
                    (false, false) => record.state = state::WAITING,
                }
            } else if waits && record.expires_at.is_some_and(|at| at <= now) {
                if record.attempts == 0 || record.error.is_none() {
                    record.error = Some("expired before it could run".to_owned());
                }
                row.end(state::EXPIRED, now);
            }
        }
        reaped
    }

    /// Those that a want may have, the most urgent first.
    fn ready(&self, round: &Round<'_>, want: &Want) -> Vec<(Reverse<i32>, i64, String)> {
        if self.paused.contains(&want.queue) {
            return Vec::new();
        }
        let mut ready: Vec<_> = self
            .jobs
            .values()
            .map(|row| &row.record)
            .filter(|record| {
                record.state == state::WAITING
                    && record.queue == want.queue
                    && want.names.matches(&record.name)
                    && record.expires_at.is_none_or(|at| at > round.now)
            })
            .map(|record| (Reverse(record.priority), record.run_at, record.id.clone()))
            .collect();
        ready.sort();
        ready
    }

    /// One batch, if it is ready.
    fn claim_batch(&mut self, round: &Round<'_>, want: &Want, batching: Batching, done: &mut RoundDone) {
        let ready = self.ready(round, want);
        let Some(first) = ready.iter().map(|(_, run_at, _)| *run_at).min() else { return };
        let ready_at = first.saturating_add(batching.within);
        if ready.len() < batching.max && ready_at > round.now {
            done.ready_by(ready_at);
        } else {
            done.batches.push(self.claim(round, want, batching.max));
        }
    }

    fn claim(&mut self, round: &Round<'_>, want: &Want, limit: usize) -> Vec<Claimed> {
        let mut ready = self.ready(round, want);
        ready.truncate(limit);
        let mut claimed = Vec::new();
        for (_, _, id) in ready {
            let Some(row) = self.jobs.get_mut(&id) else { continue };
            row.lease_until = round.lease_until;
            let record = &mut row.record;
            record.state = state::RUNNING;
            record.attempts += 1;
            record.worker = Some(round.worker.to_owned());
            record.started_at = Some(round.now);
            record.progress = None;
            record.progress_note = None;
            claimed.push(Claimed {
                id: record.id.clone(),
                name: record.name.clone(),
                queue: record.queue.clone(),
                args: record.args.clone(),
                attempts: record.attempts,
                max_attempts: record.max_attempts,
                priority: record.priority,
                run_at: record.run_at,
                created_at: record.created_at,
                unique_key: record.unique_key.clone(),
                meta: record.meta.clone(),
                has_next: row.has_next.into(),
                input: row.input.clone(),
            });
        }
        claimed
    }
}

impl Store for MemoryStore {
    fn dialect(&self) -> Dialect {
        Dialect::Memory
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn parallel(&self) -> usize {
        64
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn migrate(&self) -> Result<(), JobsError> {
        Ok(())
    }

    fn insert(&self, rows: &[NewRow]) -> Result<Vec<Inserted>, JobsError> {
        let mut table = self.table();
        Ok(rows.iter().map(|row| table.insert(row)).collect())
    }

    fn insert_flow(&self, flow: &NewFlow) -> Result<(), JobsError> {
        self.table().insert_flow(flow)
    }

    fn broken(&self, id: &str) -> Result<Option<String>, JobsError> {
        Ok(self.table().broken(id))
    }

    fn round(&self, round: &Round<'_>) -> Result<RoundDone, JobsError> {
        let mut table = self.table();
        let mut done = RoundDone::default();
        for progress in round.progress {
            if let Some(row) =
                table.jobs.get_mut(&progress.id).filter(|row| row.is_held_by(round.worker, progress.attempts))
            {
                row.record.progress = Some(progress.fraction);
                row.record.progress_note = Some(progress.note.clone());
            }
        }
        for finish in round.finish {
            if !table.finish(round.worker, finish, round.now) {
                done.refused += 1;
            } else if finish.has_next && finish.state == state::DONE {
                done.freed += table.advance(finish, round.now);
            }
        }
        if let Some(held) = round.renew {
            let mut leases = Vec::new();
            for row in table.jobs.values_mut() {
                if row.record.state == state::RUNNING && row.record.worker.as_deref() == Some(round.worker) {
                    if held.contains(&row.record.id) {
                        row.lease_until = round.lease_until;
                    }
                    leases.push(Lease {
                        id: row.record.id.clone(),
                        attempts: row.record.attempts,
                        cancel_requested: row.record.cancel_requested,
                    });
                }
            }
            done.leases = Some(leases);
        }
        if round.reap {
            done.reaped = table.reap(round.now);
        }
        if round.promote {
            for row in table.jobs.values_mut() {
                if row.record.state == state::SCHEDULED {
                    if row.record.run_at <= round.now {
                        row.record.state = state::WAITING;
                    } else {
                        let due = row.record.run_at;
                        done.next_due = Some(done.next_due.map_or(due, |next| next.min(due)));
                    }
                }
            }
        }
        done.claim_all(round, |done, want, limit| {
            match want.batch {
                None => done.claimed.extend(table.claim(round, want, limit)),
                Some(batching) => table.claim_batch(round, want, batching, done),
            }
            Ok::<_, JobsError>(())
        })?;
        Ok(done)
    }

    fn finish_alone(
        &self,
        worker: &str,
        end: &Finish,
        _: &Finish,
        now: i64,
    ) -> Result<Option<JobsError>, JobsError> {
        let mut table = self.table();
        if table.finish(worker, end, now) && end.has_next && end.state == state::DONE {
            table.advance(end, now);
        }
        Ok(None)
    }

    fn tick(&self, schedule: &str, tick: i64, job: Option<&NewRow>) -> Result<Option<bool>, JobsError> {
        let mut table = self.table();
        let Some(job) = job else {
            table.ticks.entry(schedule.to_owned()).or_insert(tick);
            return Ok(None);
        };
        let won = table.ticks.get(schedule).is_some_and(|last| *last < tick);
        if won {
            table.ticks.insert(schedule.to_owned(), tick);
            table.insert(job);
        }
        Ok(Some(won))
    }

    fn last_tick(&self, schedule: &str) -> Result<Option<i64>, JobsError> {
        Ok(self.table().ticks.get(schedule).copied())
    }

    fn record(&self, id: &str) -> Result<Option<Record>, JobsError> {
        Ok(self.table().jobs.get(id).map(|row| row.record.clone()))
    }

    fn records(&self, ids: &[String]) -> Result<Vec<Record>, JobsError> {
        let table = self.table();
        Ok(ids.iter().filter_map(|id| table.jobs.get(id)).map(|row| row.record.clone()).collect())
    }

    fn buried(&self, at: i64) -> Result<Vec<Record>, JobsError> {
        let table = self.table();
        let is_buried = |record: &&Record| {
            record.state == state::DEAD
                && record.finished_at == Some(at)
                && record.error.as_deref() == Some(LEASE_RAN_OUT)
        };
        Ok(table.jobs.values().map(|row| &row.record).filter(is_buried).cloned().collect())
    }

    fn list(&self, filter: &Filter) -> Result<Vec<Record>, JobsError> {
        let table = self.table();
        let mut found: Vec<Record> = table
            .jobs
            .values()
            .rev()
            .map(|row| &row.record)
            .filter(|record| filter.state.is_none_or(|state| state.code() == record.state))
            .filter(|record| filter.name.as_ref().is_none_or(|name| *name == record.name))
            .filter(|record| filter.queue.as_ref().is_none_or(|queue| *queue == record.queue))
            .cloned()
            .collect();
        if filter.order == Order::LastFinishedFirst {
            found.sort_by_key(|record| std::cmp::Reverse(record.finished_at)); // stable: newest first among equals
        }
        Ok(found.into_iter().skip(filter.offset as usize).take(filter.limit as usize).collect())
    }

    fn counts(&self) -> Result<Vec<Count>, JobsError> {
        let mut counts: BTreeMap<(String, i32), i64> = BTreeMap::new();
        for row in self.table().jobs.values() {
            *counts.entry((row.record.queue.clone(), row.record.state)).or_default() += 1;
        }
        Ok(counts.into_iter().map(|((queue, state), n)| Count { queue, state, n }).collect())
    }

    fn open_counts(&self) -> Result<Vec<Count>, JobsError> {
        let mut counts = self.counts()?;
        let counted = [state::WAITING, state::RUNNING, state::SCHEDULED, state::BLOCKED, state::DEAD];
        counts.retain(|count| counted.contains(&count.state));
        Ok(counts)
    }

    fn oldest_waiting(&self) -> Result<Vec<Count>, JobsError> {
        let mut oldest: BTreeMap<String, i64> = BTreeMap::new();
        for record in self.table().jobs.values().map(|row| &row.record) {
            if record.state == state::WAITING {
                let first = oldest.entry(record.queue.clone()).or_insert(record.run_at);
                *first = record.run_at.min(*first);
            }
        }
        Ok(oldest.into_iter().map(|(queue, n)| Count { queue, state: state::WAITING, n }).collect())
    }

    fn counts_between(&self, from: &str, before: &str) -> Result<Vec<Count>, JobsError> {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        let between = (Bound::Included(from), Bound::Excluded(before));
        for (_, row) in self.table().jobs.range::<str, _>(between) {
            *counts.entry(row.record.queue.clone()).or_default() += 1;
        }
        Ok(counts.into_iter().map(|(queue, n)| Count { queue, state: state::WAITING, n }).collect())
    }

    fn workers(&self) -> Result<Vec<SeenWorker>, JobsError> {
        Ok(self.table().workers.values().cloned().collect())
    }

    fn cancel(&self, id: &str, now: i64) -> Result<CancelFound, JobsError> {
        let mut table = self.table();
        let Some(row) = table.jobs.get_mut(id) else { return Ok(CancelFound::Missing) };
        Ok(match row.record.state {
            state::WAITING | state::SCHEDULED | state::BLOCKED => {
                row.record.error = Some("cancelled before it started".to_owned());
                row.end(state::CANCELLED, now);
                CancelFound::AtOnce
            }
            state::RUNNING => {
                row.record.cancel_requested = 1;
                CancelFound::Running
            }
            _ => CancelFound::TooLate,
        })
    }

    fn requeue(&self, id: &str, now: i64) -> Result<bool, JobsError> {
        let mut table = self.table();
        let ended = |row: &&Row| {
            let is_final = matches!(row.record.state, state::DEAD | state::CANCELLED | state::EXPIRED);
            is_final && row.waits_for >= 0
        };
        let Some(row) = table.jobs.get(id).filter(ended) else { return Ok(false) };
        let holder = table.holder(&row.record.name, row.record.unique_key.as_deref());
        if holder.is_some_and(|holder| holder.record.id != id) {
            return Err(JobsError::KeyTaken { name: row.record.name.clone() });
        }
        let Some(row) = table.jobs.get_mut(id) else { return Ok(false) };
        let record = &mut row.record;
        record.state = if row.waits_for > 0 { state::BLOCKED } else { state::WAITING };
        record.attempts = 0;
        record.run_at = now;
        record.finished_at = None;
        record.expires_at = None;
        record.result = None;
        record.cancel_requested = 0;
        record.progress = None;
        record.progress_note = None;
        Ok(true)
    }

    fn purge(&self, of: i32, before: i64, limit: usize) -> Result<usize, JobsError> {
        let mut table = self.table();
        let mut old: Vec<_> = table
            .jobs
            .values()
            .filter(|row| row.record.state == of)
            .filter_map(|row| Some((row.record.finished_at?, row.record.id.clone())))
            .filter(|(finished, _)| *finished < before)
            .collect();
        old.sort();
        old.truncate(limit);
        for (_, id) in &old {
            table.jobs.remove(id);
            if of != state::DONE {
                table.orphan(id, before);
            }
        }
        Ok(old.len())
    }

    fn pause(&self, queue: &str, paused: bool) -> Result<(), JobsError> {
        let mut table = self.table();
        if paused {
            table.paused.insert(queue.to_owned());
        } else {
            table.paused.remove(queue);
        }
        Ok(())
    }

    fn paused(&self) -> Result<Vec<String>, JobsError> {
        Ok(self.table().paused.iter().cloned().collect())
    }

    fn seen(&self, worker: &WorkerRow<'_>) -> Result<(), JobsError> {
        let seen = SeenWorker {
            name: worker.name.to_owned(),
            queues: worker.queues.to_owned(),
            release_name: worker.release.to_owned(),
            started_at: worker.started_at,
            seen_at: worker.seen_at,
        };
        self.table().workers.insert(seen.name.clone(), seen);
        Ok(())
    }

    fn gone(&self, worker: &str, before: i64) -> Result<(), JobsError> {
        self.table().workers.retain(|name, seen| name != worker && seen.seen_at >= before);
        Ok(())
    }

    fn server_time(&self) -> Result<Option<i64>, JobsError> {
        Ok(None)
    }

    fn listen(&self, _: &mut dyn FnMut(bool) -> bool) -> Result<(), JobsError> {
        Ok(())
    }
}
