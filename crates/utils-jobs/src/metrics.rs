//! Jobs as Prometheus sees them, in its text format 0.0.4 (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
mod text;

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use self::text::Text;
use crate::{
    Jobs, JobsError, State,
    store::row::{Claimed, Count, Finish, state},
};

/// The media type of the metrics.
pub const METRICS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The bounds of the buckets, in seconds.
const BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// What the workers of this process have done.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    by_type: Mutex<BTreeMap<Type, Done>>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Type {
    queue: String,
    name: String,
}

#[derive(Debug, Clone, Default)]
struct Done {
    attempts: BTreeMap<&'static str, u64>,
    wait: Histogram,
    run: Histogram,
}

#[derive(Debug, Clone, Default)]
struct Histogram {
    /// How many were within each bound and above the one before; the last ones are only in the count.
    within: [u64; BUCKETS.len()],
    count: u64,
    sum: f64,
}

impl Histogram {
    fn observe(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        self.count += 1;
        self.sum += seconds;
        if let Some(within) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            self.within[within] += 1;
        }
    }
}

impl Recorder {
    /// Counts an attempt. `is_known` says whether the worker knows the type: the names of others are anybody's, and each
    /// would be a time series of its own.
    pub(crate) fn record(
        &self,
        claimed: &Claimed,
        finish: &Finish,
        is_known: bool,
        wait: Duration,
        run: Duration,
    ) {
        let name = if is_known { claimed.name.clone() } else { "unknown".to_owned() };
        let mut by_type = self.by_type.lock().unwrap_or_else(PoisonError::into_inner);
        let done = by_type.entry(Type { queue: claimed.queue.clone(), name }).or_default();
        *done.attempts.entry(outcome(finish)).or_default() += 1;
        if !finish.uncount {
            done.wait.observe(wait);
            done.run.observe(run);
        }
    }

    fn taken(&self) -> BTreeMap<Type, Done> {
        self.by_type.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn outcome(finish: &Finish) -> &'static str {
    match finish.state {
        state::DONE => "done",
        state::WAITING | state::SCHEDULED if finish.uncount => "released",
        state::WAITING | state::SCHEDULED => "retried",
        _ => "dead",
    }
}

impl Jobs {
    /// Metrics in the text format of Prometheus, to be answered with [`METRICS_CONTENT_TYPE`]. With the feature `actix`,
    /// `metrics_route` is a handler.
    ///
    /// Of the table, so the same from every process:
    /// - `utils_jobs_jobs{queue,state}`: how many are `waiting`, `scheduled`, `blocked`, `running` and `dead`. Those that
    ///   ended otherwise are not counted, as there may be millions; see [`counts`](Self::counts).
    /// - `utils_jobs_oldest_waiting_seconds{queue}`: for how long the first in the queue could have run.
    /// - `utils_jobs_paused{queue}`: 1 for a paused queue.
    /// - `utils_jobs_workers`: workers that have been seen within two leases.
    ///
    /// Of the workers of this process:
    /// - `utils_jobs_attempts_total{queue,job,outcome}`: attempts that ended as `done`, `retried`, `dead`, or `released`
    ///   when the job was put back.
    /// - `utils_jobs_run_seconds{queue,job}` and `utils_jobs_wait_seconds{queue,job}`: histograms of how long attempts
    ///   took, and how long they waited after they were due.
    ///
    /// # Errors
    /// [`JobsError::Sessions`].
    ///
    /// # Examples
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let jobs = utils_jobs::Jobs::open("memory:")?;
    /// let text = jobs.metrics().await?;
    /// assert!(text.contains("# TYPE utils_jobs_jobs gauge"));
    /// # Ok::<(), utils_jobs::JobsError>(()) }).unwrap();
    /// ```
    pub async fn metrics(&self) -> Result<String, JobsError> {
        let table = self.blocking(Table::read).await?;
        let mut text = Text::default();
        table.write(&mut text);
        write_done(&self.recorder().taken(), &mut text);
        Ok(text.into_string())
    }
}

/// What the table says.
struct Table {
    open: Vec<Count>,
    oldest: Vec<Count>,
    paused: Vec<String>,
    workers: usize,
    now: i64,
}

impl Table {
    fn read(jobs: &Jobs) -> Result<Self, JobsError> {
        let store = jobs.store();
        let now = jobs.clock().millis();
        let alive = now - 2 * crate::clock::millis(jobs.settings().lease);
        let workers = store.workers()?;
        Ok(Self {
            open: store.open_counts()?,
            oldest: store.oldest_waiting()?,
            paused: store.paused()?,
            workers: workers.iter().filter(|worker| worker.seen_at >= alive).count(),
            now,
        })
    }

    fn write(&self, text: &mut Text) {
        text.family("utils_jobs_jobs", "gauge", "Jobs that have not ended, and dead letters.");
        for count in &self.open {
            let state = State::from_code(count.state).as_str();
            text.sample("utils_jobs_jobs", &[("queue", &count.queue), ("state", state)], count.n);
        }
        let oldest = "utils_jobs_oldest_waiting_seconds";
        text.family(oldest, "gauge", "For how long the first waiting job of a queue could have run.");
        for first in &self.oldest {
            let seconds = Duration::from_millis(u64::try_from(self.now - first.n).unwrap_or(0)).as_secs_f64();
            text.sample(oldest, &[("queue", &first.queue)], seconds);
        }
        text.family("utils_jobs_paused", "gauge", "Queues that are paused.");
        for queue in &self.paused {
            text.sample("utils_jobs_paused", &[("queue", queue)], 1);
        }
        text.family("utils_jobs_workers", "gauge", "Workers that were seen within two leases.");
        text.sample("utils_jobs_workers", &[], self.workers);
    }
}

fn write_done(by_type: &BTreeMap<Type, Done>, text: &mut Text) {
    let attempts = "utils_jobs_attempts_total";
    text.family(attempts, "counter", "Attempts of this process, by how they ended.");
    for (of, done) in by_type {
        for (outcome, count) in &done.attempts {
            text.sample(attempts, &[("queue", &of.queue), ("job", &of.name), ("outcome", outcome)], *count);
        }
    }
    text.family("utils_jobs_run_seconds", "histogram", "How long attempts took.");
    for (of, done) in by_type {
        write_histogram("utils_jobs_run_seconds", of, &done.run, text);
    }
    text.family("utils_jobs_wait_seconds", "histogram", "How long attempts waited after they were due.");
    for (of, done) in by_type {
        write_histogram("utils_jobs_wait_seconds", of, &done.wait, text);
    }
}

fn write_histogram(name: &str, of: &Type, histogram: &Histogram, text: &mut Text) {
    let labels = [("queue", of.queue.as_str()), ("job", of.name.as_str())];
    let bucket = format!("{name}_bucket");
    let mut within = 0;
    for (bound, count) in BUCKETS.iter().zip(histogram.within) {
        within += count;
        text.sample(&bucket, &[labels[0], labels[1], ("le", &bound.to_string())], within);
    }
    text.sample(&bucket, &[labels[0], labels[1], ("le", "+Inf")], histogram.count);
    text.sample(&format!("{name}_sum"), &labels, histogram.sum);
    text.sample(&format!("{name}_count"), &labels, histogram.count);
}
