//! The thread between a worker and the table: one loop, one transaction a round.
//!
//! ```text
//!  jobs' futures ──── end, progress ────►  pump: acks + progress + leases + reaping + claims, in ONE transaction
//!  apalis worker ◄──── inbox of claims ──
//!  enqueue_in(conn) … commit … wake ────►  sleeps until: a message, the poll interval, a due job, the heartbeat
//! ```
//! Blocking database work never meets the event loop, a busy event loop cannot starve the leases, an end is written
//! down at once, and a database error is logged and tried again, with the ends kept.
mod chores;
mod ends;
mod health;
mod held;
mod inbox;
mod lanes;
mod places;

use std::{
    collections::HashMap,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use self::{
    ends::{Apart, Unswept, back},
    held::Holding,
    places::Places,
};
pub(crate) use self::{
    health::Health,
    inbox::{Call, Delivery, Inbox, Word},
    lanes::{Lanes, Type},
};
use crate::{
    Jobs, JobsError, Stopping,
    backoff::random_fraction,
    clock::millis,
    schedule::Planned,
    store::{
        Round, RoundDone,
        row::{Claimed, Finish, Progress, state},
    },
};

/// What a pump is told.
#[derive(Debug)]
pub(crate) enum Msg {
    /// There are new jobs.
    Wake,
    /// There will be new jobs, once a transaction commits.
    Soon,
    /// The clock was moved by hand: all is due.
    Moved,
    /// Somebody asked for something that is told with the leases, such as a cancellation.
    Beat,
    /// An attempt has ended.
    Finished(Finish),
    /// An attempt has come further.
    Progress(Word),
    /// The time to shut down is nearly over: running jobs are told.
    Warn,
    /// No more claims; what has not started goes back.
    Drain,
    /// All futures are done since this time: write the last ends down and stop.
    Stop(Instant),
    /// The worker was dropped with its futures: give everything back and stop.
    Abandon,
}

/// What a pump works by.
pub(crate) struct PumpConfig {
    pub jobs: Jobs,
    pub worker: Arc<str>,
    pub lanes: Lanes,
    pub schedules: Vec<Planned>,
    pub health: Arc<Health>,
}

/// How long after a word about progress it is written down at the latest.
const PROGRESS: Duration = Duration::from_millis(250);
/// How long a stopping pump tries to write the last ends down at most; nor for longer than two leases.
const LAST_WORDS: Duration = Duration::from_secs(20);
/// After a hint, the table is looked at after 1 ms, 2 ms, 4 ms … up to this.
const LAST_LOOK: Duration = Duration::from_secs(2);
/// How long a job waits whose last attempt has not ended yet.
const TWICE: Duration = Duration::from_secs(1);
/// Said again and again, until somebody migrates them.
const OLD_TABLES: &str = "the job tables are older than this version: migrate them, and workers begin";
/// How many messages are taken between two exchanges with the table.
const MESSAGES: usize = 10_000;

/// Starts the thread.
pub(crate) fn start(
    config: PumpConfig,
    receiver: mpsc::Receiver<Msg>,
    inbox: Arc<Inbox>,
) -> std::io::Result<()> {
    std::thread::Builder::new().name("jobs-pump".to_owned()).spawn(move || {
        // Also when the thread panics, the worker must learn that nothing comes any more.
        let _closes = inbox.close_on_drop();
        let _leaves = Leaves(config.jobs.clone(), Arc::clone(&config.worker));
        Pump::new(config, receiver, Arc::clone(&inbox)).run();
    })?;
    Ok(())
}

/// Takes the pump off the list of those that are told.
struct Leaves(Jobs, Arc<str>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.remove_pump(&self.1);
    }
}

struct Pump {
    config: PumpConfig,
    receiver: mpsc::Receiver<Msg>,
    inbox: Arc<Inbox>,
    held: Holding,
    ends: Vec<Finish>,
    /// Those that were refused.
    apart: Apart,
    unswept: Unswept,
    /// Whether something in the table cannot be changed, so that nothing is changed in bulk.
    careful: bool,
    progress: HashMap<String, Progress>,
    progress_at: Option<Instant>,
    beat_at: Instant,
    /// The last beat that the table took, and since when none was missed.
    beats: Option<(Instant, Instant)>,
    /// Whether our clock follows the server's.
    in_time: bool,
    /// Of the host's clock, when it was looked at last.
    drift: i64,
    claim_at: Instant,
    promote_at: Instant,
    plan_at: Instant,
    purge_at: Instant,
    /// The next look after a hint.
    look: Option<Duration>,
    /// The last claim filled everything: there is more.
    backlog: bool,
    draining: bool,
    stopping: Option<Instant>,
    failures: u32,
    places: Places,
    /// How long the last exchange took.
    exchange: Duration,
    /// Whether ends come in faster than they are written down.
    gathers: bool,
    started_at: i64,
}

impl Pump {
    fn new(config: PumpConfig, receiver: mpsc::Receiver<Msg>, inbox: Arc<Inbox>) -> Self {
        let now = Instant::now();
        let started_at = config.jobs.clock().millis();
        let places = Places::new(config.jobs.store().dialect());
        let drift = config.jobs.clock().drift();
        Self {
            config,
            receiver,
            inbox,
            held: Holding::default(),
            ends: Vec::new(),
            apart: Apart::default(),
            unswept: Unswept::default(),
            careful: false,
            progress: HashMap::new(),
            progress_at: None,
            beat_at: now,
            beats: None,
            in_time: false,
            drift,
            claim_at: now,
            promote_at: now,
            plan_at: now,
            purge_at: now + Duration::from_secs(20),
            look: None,
            backlog: false,
            draining: false,
            stopping: None,
            failures: 0,
            places,
            exchange: Duration::ZERO,
            gathers: false,
            started_at,
        }
    }

    fn run(mut self) {
        loop {
            match self.receiver.recv_timeout(self.sleep()) {
                Ok(message) => {
                    self.take(message);
                    self.take_all();
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => self.take(Msg::Abandon),
            }
            self.gather();
            // What comes in from here on is for the next exchange, also the word to stop.
            let (carried, stopping) = (self.ends.len(), self.stopping);
            let ok = self.round();
            self.take_all();
            self.gathers |= self.ends.len() > carried;
            if let Some(since) = stopping {
                if ok || since.elapsed() >= self.last_words() {
                    self.say_goodbye(ok);
                    return;
                }
            } else if ok {
                self.try_again();
                self.chores();
            }
        }
    }

    /// What has come in so far, but not all that there will ever be: leases have to be renewed as well.
    fn take_all(&mut self) {
        for _ in 0..MESSAGES {
            let Ok(message) = self.receiver.try_recv() else { break };
            self.take(message);
        }
    }

    fn sleep(&self) -> Duration {
        let now = Instant::now();
        if self.stopping.is_some() || !self.ends.is_empty() {
            return if self.failures > 0 { self.pause() } else { Duration::ZERO };
        }
        let mut until = self.beat_at.min(self.plan_at).min(self.purge_at);
        if self.wants_more() {
            until = until.min(self.claim_at);
        }
        for at in [self.progress_at, self.apart.next()].into_iter().flatten() {
            until = until.min(at);
        }
        let wait = until.saturating_duration_since(now);
        if self.failures > 0 { wait.max(self.pause()) } else { wait }
    }

    /// The wait after a failed round: 50 ms, 100 ms, … 1 s.
    fn pause(&self) -> Duration {
        Duration::from_millis(50 << self.failures.saturating_sub(1).min(5)).min(Duration::from_secs(1))
    }

    fn wants_more(&self) -> bool {
        !self.draining && !self.apart.is_full() && self.held.calls() < self.config.lanes.capacity()
    }

    fn take(&mut self, message: Msg) {
        let now = Instant::now();
        match message {
            Msg::Wake => {
                self.claim_at = now;
                self.promote_at = now;
            }
            Msg::Soon => {
                self.look = Some(Duration::from_millis(1));
                self.claim_at = self.claim_at.min(now + Duration::from_millis(1));
                self.promote_at = self.promote_at.min(now + Duration::from_millis(1));
            }
            Msg::Moved => {
                self.claim_at = now;
                self.promote_at = now;
                self.beat_at = now;
                self.plan_at = now;
                self.drift = self.config.jobs.clock().drift();
                // Nobody missed a beat in a time that has not passed.
                self.beats =
                    now.checked_sub(self.config.jobs.settings().heartbeat()).map(|since| (now, since));
            }
            Msg::Beat => self.beat_at = now,
            Msg::Finished(finish) => {
                self.progress.remove(&finish.id);
                if let Some(held) = self.held.get(&finish.id)
                    && held.attempts == finish.attempts
                {
                    let lane = held.lane;
                    self.held.release(&finish.id);
                    if self.backlog || self.config.lanes.is_limited(lane) {
                        self.claim_at = now;
                    }
                }
                if finish.state == state::SCHEDULED {
                    let wait = finish.run_at.unwrap_or(0) - self.config.jobs.clock().millis();
                    let at = now + Duration::from_millis(u64::try_from(wait).unwrap_or(0));
                    self.promote_at = self.promote_at.min(at);
                    self.claim_at = self.claim_at.min(at);
                } else if finish.state == state::WAITING {
                    self.claim_at = now;
                }
                self.ends.push(finish);
            }
            Msg::Progress(word) => {
                let Some(progress) = word.take() else { return };
                self.progress.insert(progress.id.clone(), progress);
                self.progress_at.get_or_insert(now + PROGRESS);
            }
            Msg::Warn => {
                for held in self.held.jobs().values() {
                    held.delivery.control.stop(Stopping::Shutdown);
                }
            }
            Msg::Drain => self.drain(),
            Msg::Stop(since) => {
                self.drain();
                self.stops(since);
            }
            Msg::Abandon => {
                self.drain();
                for (id, held) in self.held.release_all() {
                    held.delivery.control.stop(Stopping::LeaseLost);
                    let mut end = back(id, held.attempts, false);
                    if held.attempts >= held.delivery.claimed.max_attempts {
                        end.state = state::DEAD;
                    }
                    self.ends.push(end);
                }
                self.stops(now);
            }
        }
    }

    /// When a job's lease is over, others will take it, and an end that comes later is refused.
    fn last_words(&self) -> Duration {
        LAST_WORDS.min(self.config.jobs.settings().lease * 2)
    }

    fn stops(&mut self, since: Instant) {
        let since = *self.stopping.get_or_insert(since);
        self.config.jobs.store().hurry(since + self.last_words());
    }

    /// Gives back what has not been started.
    fn drain(&mut self) {
        self.draining = true;
        for call in self.inbox.drain() {
            for Delivery { claimed, .. } in call.deliveries() {
                self.held.release(&claimed.id);
                self.ends.push(back(claimed.id.clone(), claimed.attempts, true));
            }
        }
    }

    /// One exchange with the table. False when the database refused.
    fn round(&mut self) -> bool {
        let drift = self.config.jobs.clock().drift();
        if self.config.jobs.clock().has_leapt(std::mem::replace(&mut self.drift, drift), drift) {
            self.leapt();
        }
        // A lease by a clock that is wrong ends at once, or outlives its worker; and others' seem over.
        if !self.in_time
            && let Err(error) = self.knows_tables().and_then(|()| self.follow())
        {
            self.failed(&error);
            return false;
        }
        let now = Instant::now();
        let clock = self.config.jobs.clock().millis();
        let claims = self.wants_more() && now >= self.claim_at;
        let beats = now >= self.beat_at;
        let promotes = claims && now >= self.promote_at;
        let writes_progress = self.progress_at.is_some_and(|at| now >= at);
        if !claims && !beats && !writes_progress && self.ends.is_empty() {
            return true;
        }
        let free = self.config.lanes.capacity().saturating_sub(self.held.calls());
        let mut wants = if claims { self.config.lanes.wants(free, self.held.lanes()) } else { Vec::new() };
        let from_front = !self.places.begin(&mut wants, free, now);
        let held: Vec<String> = if beats {
            self.held.jobs().keys().cloned().chain(self.apart.ids().map(str::to_owned)).collect()
        } else {
            Vec::new()
        };
        let progress: Vec<Progress> = self.progress.values().cloned().collect();
        let lease = self.config.jobs.settings().lease;
        let round = Round {
            worker: &self.config.worker,
            now: clock,
            lease_until: clock + millis(lease),
            finish: &self.ends,
            progress: &progress,
            renew: beats.then_some(&held),
            reap: beats && self.may_reap(now),
            promote: promotes || beats,
            careful: self.careful,
            wants: &wants,
            limit: free,
        };
        let outcome = self.config.jobs.store().round(&round);
        self.exchange = now.elapsed();
        match outcome {
            Ok(done) => {
                if claims && from_front {
                    self.places.looked(now, self.exchange);
                }
                let asked = !wants.is_empty();
                self.failures = 0;
                if let Some(outage) = self.config.health.went_well(Instant::now()) {
                    tracing::info!(
                        worker = %self.config.worker,
                        after_ms = outage.time.as_millis(),
                        tries = outage.tries,
                        "the job table is reached again"
                    );
                }
                self.went_well(now, clock, done, asked, beats, promotes || beats, free);
                true
            }
            Err(error) => {
                self.failed(&error);
                // Only a word on the way; its row may be what everything waits for.
                self.progress.clear();
                self.progress_at = None;
                if self.failures >= 3 {
                    self.careful = true;
                    self.one_by_one();
                }
                false
            }
        }
    }

    fn failed(&mut self, error: &JobsError) {
        self.failures = self.failures.saturating_add(1);
        if let Some(outage) = self.config.health.failed(Instant::now()) {
            tracing::warn!(
                worker = %self.config.worker,
                error = %crate::failure::error_line(error),
                kept = self.ends.len(),
                for_ms = outage.time.as_millis(),
                tries = outage.tries,
                "the job table cannot be reached, trying again"
            );
        }
    }

    /// With the tables of another version, jobs would be taken whose ends cannot be written down.
    fn knows_tables(&self) -> Result<(), JobsError> {
        match self.config.jobs.store().has_tables()? {
            true => Ok(()),
            false => Err(JobsError::Settings(OLD_TABLES)),
        }
    }

    /// Leases of several machines are compared, so all go by the server's clock.
    fn follow(&mut self) -> Result<(), JobsError> {
        self.config.jobs.clock().compare(|| self.config.jobs.store().server_time())?;
        self.in_time = true;
        Ok(())
    }

    /// The host slept, or its clock was set: the server is asked for the time before anything else is done. Where there is
    /// none, this host's time is what counts, and others have the time of a heartbeat to renew their leases by it.
    fn leapt(&mut self) {
        tracing::warn!(worker = %self.config.worker, "the clock of this host was set, or it slept");
        self.in_time = false;
        self.beats = None;
        self.beat_at = Instant::now();
    }

    /// Whether leases that ran out are those of dead workers. After a time in which nobody reached the table, or this
    /// process stood still, they are those of live ones, which have the time of a heartbeat to say so.
    fn may_reap(&self, now: Instant) -> bool {
        let heartbeat = self.config.jobs.settings().heartbeat();
        // By a clock that is moved by hand, no time passes in which somebody could be heard.
        self.config.jobs.clock().is_moved_by_hand()
            || self.beats.is_some_and(|(last, since)| now < last + 2 * heartbeat && now >= since + heartbeat)
    }

    #[allow(clippy::too_many_arguments, reason = "the whole outcome of a round")]
    fn went_well(
        &mut self,
        now: Instant,
        clock: i64,
        mut done: RoundDone,
        asked: bool,
        beat: bool,
        promoted: bool,
        free: usize,
    ) {
        if done.refused > 0 {
            // Ends of jobs that were finished in a transaction of their own, or that another worker has.
            tracing::debug!(worker = %self.config.worker, refused = done.refused, "ends that came too late");
        }
        if done.freed > 0 {
            self.config.jobs.wake();
        }
        if done.reaped > 0 {
            tracing::warn!(jobs = done.reaped, "took back jobs of workers that died or stalled");
            match self.config.jobs.store().buried(clock) {
                Ok(buried) => self.config.jobs.tell_of_buried(&buried),
                // They are dead letters all the same; only nobody is told.
                Err(error) => tracing::warn!(%error, "which of them are dead letters now could not be read"),
            }
        }
        for end in self.ends.drain(..) {
            self.config.jobs.announce_end(&end.id);
        }
        if let Some(stuck) = done.stuck.take() {
            self.unswept.tell(now, &stuck);
            self.careful = !stuck.is_empty();
        }
        self.progress.clear();
        self.progress_at = None;
        let poll = self.config.jobs.settings().poll;
        if promoted {
            let due = done.next_due.map_or(poll, |due| {
                Duration::from_millis(u64::try_from(due - clock).unwrap_or(0).max(1)).min(poll)
            });
            self.promote_at = now + due;
            if done.reaped > 0 {
                self.claim_at = now;
            }
        }
        if beat {
            let heartbeat = self.config.jobs.settings().heartbeat();
            let since =
                self.beats.filter(|(last, _)| now < *last + 2 * heartbeat).map_or(now, |(_, since)| since);
            self.beats = Some((now, since));
            // Not at the same moments as another worker: one that looks for jobs to take back has rows locked meanwhile,
            // which a renewal leaves out.
            self.beat_at = now + heartbeat.mul_f64(1.0 - random_fraction() / 8.0);
            self.compare(done.leases.take().unwrap_or_default());
        }
        if asked || done.calls() > 0 {
            // One batch of a type is taken at a time, so after one there may be another.
            self.backlog = done.calls() >= free || !done.batches.is_empty();
            self.plan_next_claim(now, done.calls() > 0);
            if let Some(at) = done.ready_at {
                let wait = Duration::from_millis(u64::try_from(at - clock).unwrap_or(0));
                self.claim_at = self.claim_at.min(now + wait);
            }
        } else if now >= self.claim_at && self.wants_more() {
            self.plan_next_claim(now, false); // every lane is at its limit
        }
        for row in done.claimed {
            self.places.passed(&row, self.config.lanes.lane_of(&row.name));
            if let Some(row) = self.startable(row) {
                self.deliver(Call::One(Delivery::new(row)));
            }
        }
        for batch in done.batches {
            let batch = batch.into_iter().filter_map(|row| self.startable(row)).collect();
            for call in Call::of_batch(batch) {
                self.deliver(call);
            }
        }
    }

    fn plan_next_claim(&mut self, now: Instant, found: bool) {
        let poll = self.config.jobs.settings().poll;
        let mut next = (now + poll).min(self.promote_at.max(now));
        if let Some(look) = self.look {
            next = next.min(now + look);
            self.look = (look < LAST_LOOK && !found).then_some(look * 2);
        }
        if let Some(token) = self.config.lanes.next_token(now) {
            next = next.min(token);
        }
        self.claim_at = if self.backlog { now } else { next };
    }

    /// Sorts out what may not start here and now.
    fn startable(&mut self, row: Claimed) -> Option<Claimed> {
        if row.attempts > row.max_attempts.max(1) {
            // Nothing of ours leaves such a row, but others may write to the table.
            self.ends.push(crate::run::dead(&row, "it had no attempts left"));
            return None;
        }
        if self.held.get(&row.id).is_some() {
            // Ours, whose lease we lost: until that attempt has ended, nobody here may begin another.
            let at = self.config.jobs.clock().millis() + millis(TWICE);
            let put_back = back(row.id, row.attempts, true);
            self.ends.push(Finish { state: state::SCHEDULED, run_at: Some(at), ..put_back });
            self.beat_at = Instant::now();
            return None;
        }
        Some(row)
    }

    fn deliver(&mut self, call: Call) {
        let Some(first) = call.deliveries().first() else { return };
        let lane = self.config.lanes.lane_of(&first.claimed.name);
        self.config.lanes.spend(lane);
        self.held.hold(lane, &call);
        self.inbox.put(call);
    }

    /// Compares what we hold with what the table says: who is to be stopped, what nobody told us about.
    fn compare(&mut self, leases: Vec<crate::store::row::Lease>) {
        let mut known: HashMap<String, (i32, bool)> = leases
            .into_iter()
            .map(|lease| (lease.id, (lease.attempts, lease.cancel_requested != 0)))
            .collect();
        for (id, held) in self.held.jobs() {
            match known.remove(id) {
                Some((attempts, cancelled)) if attempts == held.attempts => {
                    if cancelled {
                        held.delivery.control.stop(Stopping::Cancelled);
                    }
                }
                None if self.ended_by_itself(id, held.attempts) => {}
                _ => {
                    tracing::warn!(job = %id, worker = %self.config.worker, "the lease of a running job is lost");
                    held.delivery.control.stop(Stopping::LeaseLost);
                }
            }
        }
        for id in self.apart.ids() {
            known.remove(id);
        }
        // Claims whose commit went through although we were told otherwise: nobody runs them.
        for (id, (attempts, _)) in known {
            tracing::warn!(job = %id, worker = %self.config.worker, "gave back a job that never arrived");
            self.ends.push(back(id, attempts, true));
        }
    }

    /// Whether a job that we hold has ended in a transaction of its own, or may have: the next beat asks again.
    fn ended_by_itself(&self, id: &str, attempts: i32) -> bool {
        match self.config.jobs.store().record(id) {
            Ok(Some(row)) => row.state == state::DONE && row.attempts == attempts,
            Ok(None) => false,
            Err(_) => true,
        }
    }
}
