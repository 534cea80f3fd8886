mod admin;
mod builder;
mod enqueue;
mod flow;
mod listen;
mod waiting;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;
use ulid::Generator;

use self::waiting::Waiting;
pub use self::{
    admin::{Cancellation, Counts},
    builder::JobsBuilder,
    enqueue::Enqueued,
    flow::{Chain, Flow, Follow, Group},
};
use crate::{
    Clock, Job, JobConn, JobsError, JobsSettings, Sessions, SessionsError,
    backend::Storage,
    failed::Hooks,
    metrics::Recorder,
    pump::Msg,
    store::{Dialect, RoundDone, Store, watched::Watched},
};

/// For how long a worker waits for an answer to one exchange: longer than for a row that somebody has locked, and at most
/// so long that with the default lease it can still renew leases by a new connection.
const EXCHANGE: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(15)];

/// The jobs of an application: enqueues them, knows how they stand, and is what a [`Worker`](crate::Worker) runs on.
///
/// Cheap to clone; all clones are one. The methods that return futures run their database work on tokio's blocking
/// pool, under actix-web as on a plain runtime. [`enqueue_in`](Self::enqueue_in) runs on the connection it is given.
///
/// # Examples
/// ```
/// # use serde::{Deserialize, Serialize};
/// # use utils_jobs::{Context, Failure, Job};
/// use std::time::Duration;
/// use utils_jobs::{Jobs, Worker};
///
/// # #[derive(Serialize, Deserialize)]
/// # struct Double(u64);
/// # impl Job for Double {
/// #     const NAME: &'static str = "double";
/// #     type Output = u64;
/// #     async fn run(self, _: Context) -> Result<u64, Failure> { Ok(2 * self.0) }
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let jobs = Jobs::open("memory:")?;
/// let worker = Worker::new(&jobs).handle::<Double>().start()?;
///
/// let id = jobs.enqueue(Double(21)).await?;
/// assert_eq!(jobs.wait(&id, Duration::from_secs(5)).await?, 42);
///
/// worker.stop().await?;
/// # Ok::<(), utils_jobs::JobsError>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Jobs {
    inner: Arc<Inner>,
    /// The store with a connection of its own, for the thread of a worker.
    own: Option<Arc<dyn Store>>,
}

struct Inner {
    store: Arc<dyn Store>,
    settings: JobsSettings,
    clock: Clock,
    release: String,
    ids: Mutex<Generator>,
    pumps: Mutex<Vec<(Arc<str>, mpsc::Sender<Msg>)>>,
    waiting: Waiting,
    /// One for each connection, so that no blocking thread waits for one.
    permits: Arc<Semaphore>,
    listens: AtomicBool,
    recorder: Recorder,
    hooks: Hooks,
}

impl Jobs {
    /// Opens the jobs at a broker URL: `sqlite:app.db`, `postgres://…`, `mysql://…` or `memory:`, with
    /// [settings](JobsSettings) in the query if wanted: `sqlite:app.db?lease=5s`.
    ///
    /// It connects once, so a wrong URL fails here, and it makes a pool of its own. To share the application's, use
    /// [`from_sessions`](Self::from_sessions). Blocks; call it at start.
    ///
    /// # Errors
    /// [`JobsError::Broker`] for a URL that cannot be used, [`JobsError::Sessions`] when the database does not let us in,
    /// [`JobsError::Settings`] for settings that make no sense.
    pub fn open(url: &str) -> Result<Self, JobsError> {
        Self::builder().open(url)
    }

    /// Jobs in the application's own database, with its own sessions. SQLite needs no second writer so.
    #[must_use]
    pub fn from_sessions<C: JobConn>(sessions: Sessions<C>) -> Self {
        Self::builder().sessions(sessions)
    }

    /// Jobs in the application's own database, with its own pool.
    #[must_use]
    pub fn from_pool<C: JobConn>(pool: diesel::r2d2::Pool<diesel::r2d2::ConnectionManager<C>>) -> Self {
        Self::from_sessions(Sessions::from_pool(pool))
    }

    /// Jobs in memory, by a clock that only [`advance`](Self::advance) moves: for tests with
    /// [`Worker::run_due`](crate::Worker::run_due). For jobs in memory in real time there is `Jobs::open("memory:")`.
    #[must_use]
    pub fn memory() -> Self {
        Self::builder().clock(Clock::manual()).memory()
    }

    /// Jobs with settings of their own.
    #[must_use]
    pub fn builder() -> JobsBuilder {
        JobsBuilder::new()
    }

    fn new(
        store: Arc<dyn Store>,
        settings: JobsSettings,
        clock: Clock,
        release: String,
        hooks: Hooks,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(store.parallel()));
        Self {
            own: None,
            inner: Arc::new(Inner {
                store,
                settings,
                clock,
                release,
                ids: Mutex::new(Generator::new()),
                pumps: Mutex::default(),
                waiting: Waiting::default(),
                permits,
                listens: AtomicBool::new(false),
                recorder: Recorder::default(),
                hooks,
            }),
        }
    }

    /// Creates the tables or brings them up to date. Safe at every start, of several processes at once. Blocks.
    ///
    /// # Errors
    /// [`JobsError::Migration`], or [`JobsError::Sessions`] when the database cannot be reached.
    pub fn migrate(&self) -> Result<(), JobsError> {
        self.inner.store.migrate()
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &JobsSettings {
        &self.inner.settings
    }

    /// The release of the program, as given to the [builder](JobsBuilder::release).
    #[must_use]
    pub fn release(&self) -> &str {
        &self.inner.release
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Moves the clock forward, and lets the workers of this process see what is due then: for tests.
    pub fn advance(&self, by: Duration) {
        self.inner.clock.advance(by);
        self.tell(|| Msg::Moved);
    }

    /// Tells the workers of this process that there is something to do. Needed by nobody: after
    /// [`enqueue_in`](Self::enqueue_in) they look several times within the next two seconds, and then at every
    /// [`poll`](JobsSettings::poll). Called right after the commit, it saves the milliseconds until the next look.
    pub fn wake(&self) {
        self.tell(|| Msg::Wake);
    }

    /// The jobs of one type as a backend for apalis' own workers.
    #[must_use]
    pub fn storage<J: Job>(&self) -> Storage<J> {
        Storage::of_type(self)
    }

    /// The sessions that the jobs are kept with, if they are of this kind.
    #[must_use]
    pub fn sessions<C: JobConn>(&self) -> Option<Sessions<C>> {
        let store = self.inner.store.as_any().downcast_ref::<crate::store::diesel::DieselStore<C>>();
        store.map(|store| store.sessions().clone())
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.own.as_deref().unwrap_or(&*self.inner.store)
    }

    /// The same jobs on a connection that nobody else uses, so that nobody can keep a worker from renewing its leases.
    pub(crate) fn with_own_connection(&self) -> Result<Self, JobsError> {
        let store = &self.inner.store;
        let own = store.with_own_connection()?.map(|own| {
            if !store.dialect().has_server() {
                return own;
            }
            let [least, most] = EXCHANGE;
            let limit = self.settings().answer_within.clamp(least, most);
            Arc::new(Watched::new(Arc::clone(store), own, limit))
        });
        Ok(Self { inner: Arc::clone(&self.inner), own })
    }

    pub(crate) fn hooks(&self) -> &Hooks {
        &self.inner.hooks
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.inner.recorder
    }

    pub(crate) fn new_id(&self) -> String {
        let now = self.inner.clock.now();
        // In the order of enqueueing also within a millisecond.
        let mut ids = lock(&self.inner.ids);
        match ids.generate_from_datetime(now) {
            Ok(id) => id.to_string(),
            Err(overflow) => overflow.commit_overflow_random().to_string(),
        }
    }

    pub(crate) fn add_pump(&self, worker: Arc<str>, pump: mpsc::Sender<Msg>) {
        lock(&self.inner.pumps).push((worker, pump));
    }

    pub(crate) fn remove_pump(&self, worker: &str) {
        lock(&self.inner.pumps).retain(|(name, _)| **name != *worker);
    }

    /// Tells all pumps of this process; those that are gone are forgotten.
    fn tell(&self, message: impl Fn() -> Msg) {
        lock(&self.inner.pumps).retain(|(_, pump)| pump.send(message()).is_ok());
    }

    /// A job has ended, or at least an attempt: those who wait for it look again.
    pub(crate) fn announce_end(&self, id: &str) {
        self.inner.waiting.tell(id);
    }

    /// Waits until this job has ended in this process, or this time is over.
    #[cfg(feature = "actix")]
    pub(crate) async fn end_or(&self, id: &str, at_most: Duration) {
        let waits = self.inner.waiting.wait_for(id);
        let _ = tokio::time::timeout(at_most, waits.told.notified()).await;
    }

    pub(crate) async fn blocking_round(
        &self,
        round: impl FnOnce(&Self) -> Result<RoundDone, JobsError> + Send + 'static,
    ) -> Result<RoundDone, JobsError> {
        self.blocking(round).await
    }

    /// Listens to what other processes announce, once for all workers of this process.
    pub(crate) fn listen(&self) {
        if self.inner.store.dialect() == Dialect::Postgres && !self.inner.listens.swap(true, Ordering::SeqCst)
        {
            listen::start(Arc::downgrade(&self.inner));
        }
    }

    /// Sees to it that the clock follows the server's before it is read: nothing to do but at first.
    pub(crate) async fn in_time(&self) -> Result<(), JobsError> {
        if self.inner.clock.follows() || !self.inner.store.dialect().has_server() {
            return Ok(());
        }
        self.blocking(|_| Ok(())).await
    }

    /// Compares the clock with the server's, if it is time to. Blocks.
    fn compare_clock(&self) -> Result<(), JobsError> {
        if !self.inner.store.dialect().has_server() || !self.inner.clock.is_due() {
            return Ok(());
        }
        match self.inner.clock.compare(|| self.store().server_time()) {
            Err(error) if self.inner.clock.follows() => {
                tracing::debug!(%error, "the server did not tell its time");
                Ok(())
            }
            compared => compared,
        }
    }

    /// Runs database work on the blocking pool. A server may leave it without an answer: then the caller gets an error in
    /// time, and the thread goes on waiting, as no driver can be told to stop.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, JobsError> + Send + 'static,
    ) -> Result<T, JobsError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| JobsError::Runtime)?;
        let (mut jobs, permits) = (self.clone(), Arc::clone(&self.inner.permits));
        let began = Instant::now();
        let permit = match Arc::clone(&permits).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                // Not for ever, and with one time-out for the permit and the connection: without a permit the pool is
                // asked all the same, and its error tells why connections are missing.
                let patience = self.inner.store.patience();
                let permit = tokio::time::timeout(patience, permits.acquire_owned()).await;
                let left = patience.saturating_sub(began.elapsed());
                jobs.own = jobs.own.or_else(|| self.inner.store.with_patience(left));
                permit.ok().and_then(Result::ok)
            }
        };
        let done = runtime.spawn_blocking(move || {
            let _permit = permit;
            jobs.compare_clock()?;
            work(&jobs)
        });
        let ended = if self.inner.store.dialect().has_server() {
            let limit = self.settings().answer_within;
            let left = self.inner.store.patience().saturating_add(limit).saturating_sub(began.elapsed());
            let ended = tokio::time::timeout(left, done).await;
            ended.map_err(|_| JobsError::Sessions(SessionsError::Unanswered(limit)))?
        } else {
            done.await
        };
        ended.map_err(|_| JobsError::Sessions(SessionsError::Runtime))?
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs")
            .field("kept_in", &self.inner.store.dialect().name())
            .field("settings", &self.inner.settings)
            .field("release", &self.inner.release)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
