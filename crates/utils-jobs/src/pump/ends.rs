//! The ends of attempts on their way into the table: together as they come in, and one by one when the table refuses.
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::Pump;
use crate::{
    JobsError, SessionsError,
    failure::error_line,
    store::{
        Stuck,
        row::{Finish, state},
    },
};

/// The longest exchange that a wait for more ends goes by.
const GATHER: Duration = Duration::from_millis(2);
/// How long ends are tried one by one before everything else has its turn again.
const ALONE: Duration = Duration::from_secs(2);
/// An end that is refused is tried again after 1 s, 2 s, 4 s … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// With so many ends that are refused, a worker takes no more jobs.
const MOST_APART: usize = 1_000;

/// Ends that the table refuses while it takes others: a check or a trigger of the application's, or a locked row.
///
/// The lease of such a job is renewed, so that it does not run again and again.
#[derive(Default)]
pub(super) struct Apart(Vec<(Finish, Pause)>);

impl Apart {
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(end, _)| end.id.as_str())
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MOST_APART
    }

    /// When the first of them is to be tried again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().map(|(_, pause)| pause.until).min()
    }

    fn take_due(&mut self, now: Instant) -> Vec<(Finish, Pause)> {
        self.0.extract_if(.., |(_, pause)| pause.until <= now).collect()
    }
}

/// Jobs that are not this worker's, and that the table refuses to change.
#[derive(Default)]
pub(super) struct Unswept(HashMap<String, Pause>);

impl Unswept {
    /// Says so of each, less and less often.
    pub(super) fn tell(&mut self, now: Instant, stuck: &[Stuck]) {
        self.0.retain(|id, _| stuck.iter().any(|each| each.id == *id));
        for Stuck { id, error } in stuck {
            let pause = self.0.entry(id.clone()).or_insert_with(|| Pause::ended(now));
            if pause.until <= now {
                *pause = pause.longer(now);
                tracing::error!(job = %id, error = %error_line(error),
                    "a job cannot be taken back, expired or started, and is left alone");
            }
        }
    }
}

/// A pause between two tries.
#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Instant,
    length: Duration,
}

impl Pause {
    /// None so far.
    fn ended(now: Instant) -> Self {
        Self { until: now, length: Duration::ZERO }
    }

    fn longer(self, now: Instant) -> Self {
        let length = (self.length * 2).clamp(Duration::from_secs(1), LONGEST_PAUSE);
        Self { until: now + length, length }
    }
}

impl Pump {
    /// Waits for more ends, while they come in close together: an exchange with the table costs little more for eight
    /// of them than for one. Half as long as an exchange takes, and only if the last wait was worth it.
    pub(super) fn gather(&mut self) {
        if !self.gathers
            || self.ends.is_empty()
            || self.draining
            || self.failures > 0
            || self.held.calls() == 0
        {
            return;
        }
        let (before, until) = (self.ends.len(), Instant::now() + self.exchange.min(GATHER) / 2);
        while self.held.calls() > 0 && !self.draining {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(message) = self.receiver.recv_timeout(left) else { break };
            self.take(message);
        }
        self.gathers = self.ends.len() > before;
    }

    /// Writes the ends down one at a time, so that one which the database refuses cannot keep the others.
    pub(super) fn one_by_one(&mut self) {
        let now = Instant::now();
        let ends = std::mem::take(&mut self.ends).into_iter().map(|end| (end, Pause::ended(now))).collect();
        let left = self.write_each(ends);
        // Those that were not tried.
        self.ends = left.into_iter().map(|(end, _)| end).collect();
    }

    /// Tries those again that were refused, if their time has come.
    pub(super) fn try_again(&mut self) {
        let due = self.apart.take_due(Instant::now());
        let left = self.write_each(due);
        self.apart.0.extend(left);
    }

    /// Tries all again that were refused.
    pub(super) fn try_all_again(&mut self) {
        let all = std::mem::take(&mut self.apart.0);
        let left = self.write_each(all);
        self.apart.0.extend(left);
    }

    /// What is still to be written down.
    pub(super) fn all_ends(&mut self) -> Vec<Finish> {
        let apart = std::mem::take(&mut self.apart.0).into_iter().map(|(end, _)| end);
        std::mem::take(&mut self.ends).into_iter().chain(apart).collect()
    }

    /// Writes these ends down, or sets them apart. Gives back those that it did not come to.
    fn write_each(&mut self, ends: Vec<(Finish, Pause)>) -> Vec<(Finish, Pause)> {
        let began = Instant::now();
        let mut ends = ends.into_iter();
        while let Some((end, pause)) = ends.next() {
            let Err(error) = self.write_alone(&end) else { continue };
            if never_asked(&error) || self.config.jobs.store().takes_writes(&self.config.worker).is_err() {
                // The database is away for all of them.
                return std::iter::once((end, pause)).chain(ends).collect();
            }
            let now = Instant::now();
            let pause = pause.longer(now);
            tracing::error!(job = %end.id, error = %error_line(&error), again_ms = pause.length.as_millis(),
                "the end of a job is refused, and is kept");
            self.apart.0.push((end, pause));
            if began.elapsed() > ALONE {
                break; // rows that somebody has locked, each of which is waited for
            }
        }
        ends.collect()
    }

    fn write_alone(&self, end: &Finish) -> Result<(), JobsError> {
        let clock = self.config.jobs.clock().millis();
        // Something has to be written, or the job would run again and again.
        let error = match end.state {
            state::DEAD => "it failed, and its error could not be written down",
            _ => "its result could not be written down",
        };
        let substitute = Finish {
            state: state::DEAD,
            result: None,
            run_at: None,
            error: Some(error.to_owned()),
            ..end.clone()
        };
        let refused = self.config.jobs.store().finish_alone(&self.config.worker, end, &substitute, clock)?;
        if let Some(error) = refused {
            tracing::error!(job = %end.id, error = %error_line(&error), "the end of a job cannot be written down");
        }
        self.config.jobs.announce_end(&end.id);
        if end.has_next {
            self.config.jobs.wake();
        }
        Ok(())
    }
}

/// Whether there was no connection to ask by. Then the table has refused nothing, though it may be back by now.
fn never_asked(error: &JobsError) -> bool {
    matches!(error, JobsError::Sessions(SessionsError::Connect(_) | SessionsError::Exhausted(_)))
}

/// An end that gives a job back.
pub(super) fn back(id: String, attempts: i32, uncount: bool) -> Finish {
    let error = (!uncount).then(|| "the worker was stopped while the job ran".to_owned());
    Finish {
        id,
        attempts,
        state: state::WAITING,
        run_at: None,
        result: None,
        error,
        uncount,
        has_next: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_error_on_the_way_to_the_table_is_no_refusal() {
        let refused = diesel::ConnectionError::BadConnection("refused".to_owned());
        assert!(never_asked(&SessionsError::Connect(refused).into()));
        // A statement that is too large ends the connection of some servers.
        for asked in [SessionsError::Unanswered(Duration::ZERO), diesel::result::Error::NotFound.into()] {
            assert!(!never_asked(&asked.into()));
        }
    }

    #[test]
    fn pauses_grow_from_a_second_to_a_minute() {
        let now = Instant::now();
        let pauses = std::iter::successors(Some(Pause::ended(now)), |pause| Some(pause.longer(now)));
        let seconds: Vec<_> = pauses.skip(1).take(8).map(|pause| (pause.until - now).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
