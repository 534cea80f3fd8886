//! What is not in a hurry: schedules, old jobs, the list of workers.
use std::time::{Duration, Instant};

use super::Pump;
use crate::{
    clock::millis,
    store::{WorkerRow, row::state},
    worker::name::short,
};

/// How often finished jobs are looked through for old ones.
const PURGE_EVERY: Duration = Duration::from_secs(300);
/// After a day without a sign, a worker is taken off the list, in milliseconds.
const A_DAY: i64 = 86_400_000;
/// How many finished jobs are deleted in one go.
const PURGED: usize = 1_000;

impl Pump {
    /// Does what is due.
    pub(super) fn chores(&mut self) {
        let now = Instant::now();
        if now >= self.plan_at {
            self.plan_at = now + self.plan();
        }
        if now >= self.purge_at {
            self.purge_at = now + PURGE_EVERY;
            self.purge(now);
        }
    }

    fn plan(&mut self) -> Duration {
        if let Err(error) = self.follow() {
            tracing::debug!(%error, "the server did not tell its time");
        }
        let store = self.config.jobs.store();
        let clock = self.config.jobs.clock().millis();
        let queues = serde_json::json!(self.config.lanes.queues()).to_string();
        let release = short(self.config.jobs.release(), 200);
        let worker = WorkerRow {
            name: &self.config.worker,
            queues: &queues,
            release: &release,
            started_at: self.started_at,
            seen_at: clock,
        };
        if let Err(error) = store.seen(&worker) {
            tracing::debug!(%error, "the worker could not be listed");
        }
        let mut wait = self.config.jobs.settings().heartbeat();
        if self.draining {
            return wait;
        }
        for planned in &mut self.config.schedules {
            match planned.fire(&self.config.jobs, clock) {
                Ok(fired) => {
                    if fired {
                        self.claim_at = Instant::now();
                        self.config.jobs.wake();
                    }
                    if let Some(next) = planned.next() {
                        let until = Duration::from_millis(u64::try_from(next - clock).unwrap_or(0));
                        wait = wait.min(until);
                    }
                }
                Err(error) => {
                    tracing::warn!(schedule = %planned.key(), error = %crate::failure::error_line(&error),
                        "a schedule could not be looked after, trying again");
                    wait = wait.min(Duration::from_secs(1));
                }
            }
        }
        wait
    }

    fn purge(&mut self, now: Instant) {
        let settings = self.config.jobs.settings();
        let clock = self.config.jobs.clock().millis();
        let kept = [
            (state::DONE, settings.retention),
            (state::CANCELLED, settings.retention),
            (state::EXPIRED, settings.retention),
            (state::DEAD, settings.dead_retention),
        ];
        for (of, time) in kept {
            if time.is_zero() {
                continue;
            }
            match self.config.jobs.store().purge(of, clock - millis(time), PURGED) {
                Ok(PURGED) => self.purge_at = now + Duration::from_millis(200), // there is more
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "old jobs could not be deleted"),
            }
        }
    }

    /// The last thing that is done. Says which jobs will run again, as their ends could not be written down.
    pub(super) fn say_goodbye(&mut self, ok: bool) {
        if ok {
            self.try_all_again();
        }
        let lost = self.all_ends();
        if !lost.is_empty() {
            let ids: Vec<&str> = lost.iter().map(|end| end.id.as_str()).collect();
            tracing::error!(
                worker = %self.config.worker,
                lost = ids.len(),
                jobs = %ids.join(" "),
                "stopped without writing the last ends down: these jobs will run again"
            );
        }
        let before = self.config.jobs.clock().millis() - A_DAY;
        if ok && let Err(error) = self.config.jobs.store().gone(&self.config.worker, before) {
            tracing::debug!(%error, "the worker could not be taken off the list");
        }
    }
}
