//! The job table in apalis' words.
use std::collections::{BTreeMap, BTreeSet};

use apalis_core::{
    backend::{Filter as ApalisFilter, QueueInfo, RunningWorker, StatType, Statistic, queue::Queue},
    task::{Task, builder::TaskBuilder, metadata::MetadataStore, status::Status, task_id::TaskId},
};
use ulid::Ulid;

use crate::{
    Filter, Jobs, JobsError, State,
    store::row::{Count, Record},
};

const DAY: i64 = 86_400_000;
/// The most jobs on a page, and how far down the pages go.
const MOST: u32 = 500;
const DEEPEST: u32 = 20_000;

/// What apalis calls a state. It has no word for a job that is tried again later, which is pending; a dead letter failed,
/// and what was cancelled or expired was killed.
pub(crate) fn status(state: State) -> Status {
    match state {
        State::Scheduled | State::Waiting | State::Blocked => Status::Pending,
        State::Running => Status::Running,
        State::Done => Status::Done,
        State::Dead => Status::Failed,
        State::Cancelled | State::Expired => Status::Killed,
    }
}

/// A page of jobs, the newest first.
pub(crate) struct Page {
    states: Option<Vec<State>>,
    offset: u32,
    limit: u32,
}

impl Page {
    /// The filter comes from a query string: its page may be 0, and its size anything.
    pub(crate) fn of(filter: &ApalisFilter) -> Self {
        let limit = filter.page_size.unwrap_or(10).clamp(1, MOST);
        let states = filter.status.as_ref().map(|wanted| {
            State::ALL.into_iter().filter(|state| status(*state) == *wanted).collect::<Vec<_>>()
        });
        Self { states, offset: filter.page.saturating_sub(1).saturating_mul(limit), limit }
    }

    /// The page out of lists that all begin at the first page.
    fn cut(&self, mut ids: Vec<String>) -> Vec<String> {
        ids.sort_by(|one, other| other.cmp(one));
        ids.into_iter().skip(self.offset as usize).take(self.limit as usize).collect()
    }
}

/// The jobs of a page, of these queues or all; none beyond the deepest. Those before it are passed by their ids alone.
pub(crate) async fn list(
    jobs: &Jobs,
    queues: Option<&[String]>,
    name: Option<&str>,
    page: Page,
) -> Result<Vec<Record>, JobsError> {
    let up_to = page.offset.saturating_add(page.limit);
    if up_to > DEEPEST {
        return Ok(Vec::new());
    }
    let mut all = Filter::new().limit(up_to);
    if let Some(name) = name {
        all = all.name(name);
    }
    let filters: Vec<Filter> = match queues {
        None => vec![all],
        Some(queues) => queues.iter().map(|queue| all.clone().queue(queue)).collect(),
    };
    let filters: Vec<Filter> = match &page.states {
        None => filters,
        Some(states) => states
            .iter()
            .flat_map(|state| filters.iter().map(|of| of.clone().state(*state).newest_first()))
            .collect(),
    };
    jobs.blocking(move |jobs| {
        let mut ids = Vec::new();
        for filter in &filters {
            ids.extend(jobs.store().ids(filter)?);
        }
        let mut records = jobs.store().records(&page.cut(ids))?;
        records.sort_by(|one, other| other.id.cmp(&one.id));
        Ok(records)
    })
    .await
}

pub(crate) async fn record(jobs: &Jobs, id: String) -> Result<Option<Record>, JobsError> {
    jobs.blocking(move |jobs| jobs.store().record(&id)).await
}

/// A job as a task. What a task has no place for is among its notes, under names that no note of ours has.
pub(crate) fn task(record: Record) -> Task<Vec<u8>> {
    let mut notes: std::collections::HashMap<String, String> =
        serde_json::from_str(&record.meta).unwrap_or_default();
    let state = State::from_code(record.state);
    let progress = record.progress.map(|fraction| format!("{:.0} %", 100.0 * fraction));
    for (key, note) in [
        ("job.name", Some(record.name)),
        ("job.state", Some(state.as_str().to_owned())),
        ("job.progress", progress),
        ("job.progress_note", record.progress_note),
        ("job.result", record.result),
        ("job.error", record.error),
    ] {
        if let Some(note) = note {
            notes.insert(key.to_owned(), note);
        }
    }
    let id = Ulid::from_string(&record.id)
        .map_or_else(|_| TaskId::from_string(record.id.clone()), TaskId::from_ulid);
    let mut task = TaskBuilder::new(record.args)
        .task_id(id)
        .status(status(state))
        .queue(Queue::from(record.queue))
        .attempt(usize::try_from(record.attempts).unwrap_or(0))
        .max_attempts(usize::try_from(record.max_attempts).unwrap_or(1))
        .priority(usize::try_from(record.priority).unwrap_or(0))
        .run_at_timestamp(seconds(record.run_at))
        .lock_at(record.started_at.map(seconds))
        .lock_by(record.worker)
        .done_at(record.finished_at.map(seconds))
        .with_metadata(MetadataStore::from_map(notes));
    if let Some(key) = record.unique_key {
        task = task.idempotency_key(key);
    }
    task.build()
}

/// The workers of these queues, or all.
pub(crate) async fn workers(jobs: &Jobs, of: Option<&[String]>) -> Result<Vec<RunningWorker>, JobsError> {
    let seen = jobs.blocking(|jobs| jobs.store().workers()).await?;
    let listed = seen.into_iter().filter_map(|worker| {
        let queues = worker.queues();
        let is_wanted = of.is_none_or(|of| queues.iter().any(|queue| of.contains(queue)));
        is_wanted.then(|| RunningWorker {
            id: worker.name,
            queue: queues.join(", "),
            backend: format!("utils-jobs on {}", jobs.store().dialect().name()),
            started_at: seconds(worker.started_at),
            last_heartbeat: seconds(worker.seen_at),
            layers: format!("release {}", worker.release_name),
        })
    });
    Ok(listed.collect())
}

/// The numbers of these queues, or of all.
pub(crate) async fn statistics(jobs: &Jobs, queues: Option<&[String]>) -> Result<Vec<Statistic>, JobsError> {
    let mut counts = jobs.blocking(|jobs| jobs.store().counts()).await?;
    if let Some(queues) = queues {
        counts.retain(|count| queues.contains(&count.queue));
    }
    Ok(numbers(&counts))
}

pub(crate) async fn queues(jobs: &Jobs) -> Result<Vec<QueueInfo>, JobsError> {
    let now = jobs.clock().millis();
    let (counts, days, workers) = jobs
        .blocking(move |jobs| {
            let store = jobs.store();
            let days: Result<Vec<_>, JobsError> = (0..7_i64)
                .rev()
                .map(|ago| store.counts_between(&first_id(now - (ago + 1) * DAY), &first_id(now - ago * DAY)))
                .collect();
            Ok((store.counts()?, days?, store.workers()?))
        })
        .await?;
    let mut workers_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for worker in &workers {
        for queue in worker.queues() {
            workers_of.entry(queue).or_default().push(worker.name.clone());
        }
    }
    let counted = counts.iter().map(|count| count.queue.as_str());
    let names: BTreeSet<&str> = counted.chain(workers_of.keys().map(String::as_str)).collect();
    let of = |all: &[Count], name: &str| -> Vec<Count> {
        all.iter().filter(|count| count.queue == name).cloned().collect()
    };
    Ok(names
        .into_iter()
        .map(|name| QueueInfo {
            name: name.to_owned(),
            stats: numbers(&of(&counts, name)),
            workers: workers_of.get(name).cloned().unwrap_or_default(),
            activity: days
                .iter()
                .map(|day| of(day, name).first().map_or(0, |count| usize::try_from(count.n).unwrap_or(0)))
                .collect(),
        })
        .collect())
}

/// The titles are those that the board knows: it shows all others as "Total Jobs".
fn numbers(counts: &[Count]) -> Vec<Statistic> {
    let sum = |of: Option<Status>| -> i64 {
        let counted = counts
            .iter()
            .filter(|count| of.as_ref().is_none_or(|of| status(State::from_code(count.state)) == *of));
        counted.map(|count| count.n).sum()
    };
    [
        ("TOTAL_JOBS", sum(None).to_string()),
        ("PENDING_JOBS", sum(Some(Status::Pending)).to_string()),
        ("RUNNING_JOBS", sum(Some(Status::Running)).to_string()),
        ("DONE_JOBS", sum(Some(Status::Done)).to_string()),
        ("FAILED_JOBS", sum(Some(Status::Failed)).to_string()),
        ("KILLED_JOBS", sum(Some(Status::Killed)).to_string()),
    ]
    .into_iter()
    .zip(1..)
    .map(|((title, value), priority)| Statistic {
        title: title.to_owned(),
        stat_type: StatType::Number,
        value,
        priority: Some(priority),
    })
    .collect()
}

/// The least id of this millisecond.
fn first_id(millis: i64) -> String {
    Ulid::from_parts(u64::try_from(millis).unwrap_or(0), 0).to_string()
}

fn seconds(millis: i64) -> u64 {
    u64::try_from(millis / 1_000).unwrap_or(0)
}
