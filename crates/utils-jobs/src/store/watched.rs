//! A worker's way to a server that may stop answering without ending its connections.
use std::{
    any::Any,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    time::{Duration, Instant},
};

use super::{
    CancelFound, Dialect, Round, RoundDone, Store, WorkerRow,
    flow::NewFlow,
    row::{Count, Finish, Inserted, NewRow, Progress, Record, SeenWorker, Want},
};
use crate::{JobsError, SessionsError, list::Filter};

/// The store of a worker, on a thread and a connection of its own.
///
/// No driver gives up a call that is not answered. So after some time the thread is left to itself, with its connection,
/// and the next call has new ones. What the thread may still write down does no harm: an end is fenced by its attempt,
/// and jobs that nobody expects are given back at the next beat.
pub(crate) struct Watched {
    /// For what no worker asks.
    base: Arc<dyn Store>,
    line: Mutex<Line>,
    limit: Duration,
}

struct Line {
    /// The connection that a worker begins with.
    first: Option<Arc<dyn Store>>,
    thread: Option<Thread>,
    /// Threads that were left to themselves, and when the last of them was.
    away: Vec<mpsc::Receiver<()>>,
    left: Option<Instant>,
    /// After this, nothing is waited for.
    end: Option<Instant>,
}

struct Thread {
    calls: mpsc::Sender<Call>,
    /// Says nothing, but that it has ended.
    ended: mpsc::Receiver<()>,
}

type Call = Box<dyn FnOnce(&dyn Store) + Send>;

/// While new connections are not answered either, they are made less and less often, up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How long the last thread has to give its connection back.
const LEAVE: Duration = Duration::from_secs(2);

impl Watched {
    pub(crate) fn new(base: Arc<dyn Store>, first: Arc<dyn Store>, limit: Duration) -> Self {
        let line = Line { first: Some(first), thread: None, away: Vec::new(), left: None, end: None };
        Self { base, line: Mutex::new(line), limit }
    }

    fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Store) -> Result<T, JobsError> + Send + 'static,
    ) -> Result<T, JobsError> {
        let mut line = self.line();
        let unanswered = Err(JobsError::Sessions(SessionsError::Unanswered(self.limit)));
        let thread = match line.thread.take() {
            Some(thread) => thread,
            None if line.must_wait(self.limit) => return unanswered,
            None => {
                let other = || self.base.with_other_connection().unwrap_or_else(|| Arc::clone(&self.base));
                Thread::start(line.first.take().unwrap_or_else(other))?
            }
        };
        let (sender, answer) = mpsc::sync_channel(1);
        // It fails when the thread has panicked, and so does the wait for its answer.
        let _ = thread.calls.send(Box::new(move |store| drop(sender.send(work(store)))));
        let left = line.end.map(|end| end.saturating_duration_since(Instant::now()));
        if let Ok(answer) = answer.recv_timeout(left.map_or(self.limit, |left| left.min(self.limit))) {
            line.thread = Some(thread);
            return answer;
        }
        line.away.push(thread.ended);
        line.left = Some(Instant::now());
        unanswered
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Whether it is too soon for another thread, as none of several has come back.
    fn must_wait(&mut self, limit: Duration) -> bool {
        self.away.retain(|ended| matches!(ended.try_recv(), Err(mpsc::TryRecvError::Empty)));
        let doublings = u32::try_from(self.away.len()).unwrap_or(u32::MAX).saturating_sub(1).min(16);
        let pause = limit.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
        self.away.len() > 1 && self.left.is_some_and(|left| left.elapsed() < pause)
    }
}

impl Thread {
    fn start(store: Arc<dyn Store>) -> Result<Self, JobsError> {
        let (calls, receiver) = mpsc::channel::<Call>();
        let (ends, ended) = mpsc::channel();
        let work = move || {
            // Dropped last, after the connection is given back.
            let _ends: mpsc::Sender<()> = ends;
            let store = store;
            for call in receiver {
                call(&*store);
            }
        };
        let started = std::thread::Builder::new().name("jobs-table".to_owned()).spawn(work);
        started.map_err(|error| JobsError::Worker(error.into()))?;
        Ok(Self { calls, ended })
    }
}

impl Drop for Watched {
    /// The connection goes back to its pool before the worker has ended.
    fn drop(&mut self) {
        let line = self.line.get_mut().unwrap_or_else(PoisonError::into_inner);
        line.first = None;
        if let Some(Thread { calls, ended }) = line.thread.take() {
            drop(calls);
            let _ = ended.recv_timeout(LEAVE);
        }
    }
}

/// A round that may outlive its worker's patience.
struct OwnedRound {
    worker: String,
    now: i64,
    lease_until: i64,
    finish: Vec<Finish>,
    progress: Vec<Progress>,
    renew: Option<Vec<String>>,
    reap: bool,
    promote: bool,
    careful: bool,
    wants: Vec<Want>,
    limit: usize,
}

impl OwnedRound {
    fn new(round: &Round<'_>) -> Self {
        Self {
            worker: round.worker.to_owned(),
            now: round.now,
            lease_until: round.lease_until,
            finish: round.finish.to_vec(),
            progress: round.progress.to_vec(),
            renew: round.renew.map(<[String]>::to_vec),
            reap: round.reap,
            promote: round.promote,
            careful: round.careful,
            wants: round.wants.to_vec(),
            limit: round.limit,
        }
    }

    fn borrowed(&self) -> Round<'_> {
        Round {
            worker: &self.worker,
            now: self.now,
            lease_until: self.lease_until,
            finish: &self.finish,
            progress: &self.progress,
            renew: self.renew.as_deref(),
            reap: self.reap,
            promote: self.promote,
            careful: self.careful,
            wants: &self.wants,
            limit: self.limit,
        }
    }
}

/// What a worker asks for goes to the thread, with copies of what it is about.
impl Store for Watched {
    fn round(&self, round: &Round<'_>) -> Result<RoundDone, JobsError> {
        let round = OwnedRound::new(round);
        self.call(move |store| store.round(&round.borrowed()))
    }

    fn finish_alone(
        &self,
        worker: &str,
        end: &Finish,
        substitute: &Finish,
        now: i64,
    ) -> Result<Option<JobsError>, JobsError> {
        let (worker, end, substitute) = (worker.to_owned(), end.clone(), substitute.clone());
        self.call(move |store| store.finish_alone(&worker, &end, &substitute, now))
    }

    fn takes_writes(&self, worker: &str) -> Result<(), JobsError> {
        let worker = worker.to_owned();
        self.call(move |store| store.takes_writes(&worker))
    }

    fn tick(&self, schedule: &str, tick: i64, job: Option<&NewRow>) -> Result<Option<bool>, JobsError> {
        let (schedule, job) = (schedule.to_owned(), job.cloned());
        self.call(move |store| store.tick(&schedule, tick, job.as_ref()))
    }

    fn last_tick(&self, schedule: &str) -> Result<Option<i64>, JobsError> {
        let schedule = schedule.to_owned();
        self.call(move |store| store.last_tick(&schedule))
    }

    fn record(&self, id: &str) -> Result<Option<Record>, JobsError> {
        let id = id.to_owned();
        self.call(move |store| store.record(&id))
    }

    fn buried(&self, at: i64) -> Result<Vec<Record>, JobsError> {
        self.call(move |store| store.buried(at))
    }

    fn purge(&self, state: i32, before: i64, limit: usize) -> Result<usize, JobsError> {
        self.call(move |store| store.purge(state, before, limit))
    }

    fn seen(&self, worker: &WorkerRow<'_>) -> Result<(), JobsError> {
        let [name, queues, release] = [worker.name, worker.queues, worker.release].map(str::to_owned);
        let (started_at, seen_at) = (worker.started_at, worker.seen_at);
        self.call(move |store| {
            let (name, queues, release) = (&name, &queues, &release);
            store.seen(&WorkerRow { name, queues, release, started_at, seen_at })
        })
    }

    fn gone(&self, worker: &str, before: i64) -> Result<(), JobsError> {
        let worker = worker.to_owned();
        self.call(move |store| store.gone(&worker, before))
    }

    fn has_tables(&self) -> Result<bool, JobsError> {
        self.call(|store| store.has_tables())
    }

    fn server_time(&self) -> Result<Option<i64>, JobsError> {
        self.call(|store| store.server_time())
    }

    fn hurry(&self, end: Instant) {
        self.line().end = Some(end);
    }

    fn dialect(&self) -> Dialect {
        self.base.dialect()
    }

    fn as_any(&self) -> &dyn Any {
        self.base.as_any()
    }

    fn parallel(&self) -> usize {
        self.base.parallel()
    }

    fn patience(&self) -> Duration {
        self.base.patience()
    }

    fn migrate(&self) -> Result<(), JobsError> {
        self.base.migrate()
    }

    fn insert(&self, rows: &[NewRow]) -> Result<Vec<Inserted>, JobsError> {
        self.base.insert(rows)
    }

    fn insert_flow(&self, flow: &NewFlow) -> Result<(), JobsError> {
        self.base.insert_flow(flow)
    }

    fn broken(&self, id: &str) -> Result<Option<String>, JobsError> {
        self.base.broken(id)
    }

    fn records(&self, ids: &[String]) -> Result<Vec<Record>, JobsError> {
        self.base.records(ids)
    }

    fn list(&self, filter: &Filter) -> Result<Vec<Record>, JobsError> {
        self.base.list(filter)
    }

    fn ids(&self, filter: &Filter) -> Result<Vec<String>, JobsError> {
        self.base.ids(filter)
    }

    fn counts(&self) -> Result<Vec<Count>, JobsError> {
        self.base.counts()
    }

    fn open_counts(&self) -> Result<Vec<Count>, JobsError> {
        self.base.open_counts()
    }

    fn oldest_waiting(&self) -> Result<Vec<Count>, JobsError> {
        self.base.oldest_waiting()
    }

    fn counts_between(&self, from: &str, before: &str) -> Result<Vec<Count>, JobsError> {
        self.base.counts_between(from, before)
    }

    fn workers(&self) -> Result<Vec<SeenWorker>, JobsError> {
        self.base.workers()
    }

    fn cancel(&self, id: &str, now: i64) -> Result<CancelFound, JobsError> {
        self.base.cancel(id, now)
    }

    fn requeue(&self, id: &str, now: i64) -> Result<bool, JobsError> {
        self.base.requeue(id, now)
    }

    fn pause(&self, queue: &str, paused: bool) -> Result<(), JobsError> {
        self.base.pause(queue, paused)
    }

    fn paused(&self) -> Result<Vec<String>, JobsError> {
        self.base.paused()
    }

    fn listen(&self, wake: &mut dyn FnMut(bool) -> bool) -> Result<(), JobsError> {
        self.base.listen(wake)
    }
}
