mod due;
pub(crate) mod name;
mod shutdown;

use std::{
    collections::BTreeSet,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, mpsc},
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use apalis::layers::WorkerBuilderExt;
use apalis_core::{
    task::Task,
    worker::{builder::WorkerBuilder, context::WorkerContext},
};
use futures_util::StreamExt;
use serde_json::value::RawValue;
use tokio::{sync::watch, task::JoinHandle};
use tower::Service;

pub use self::{due::DueReport, shutdown::shutdown_signal};
use crate::{
    BatchJob, Enqueue, Job, Jobs, JobsError, Stopping,
    backend::{Plan, Storage},
    clock::millis,
    context::DataMap,
    pump::{Call, Health, Msg},
    run::{Attempt, Registry, Runner},
    schedule::Planned,
    store::row::Batching,
};

/// The most jobs in a batch, whose ids all go into one statement.
const MAX_BATCH: usize = 10_000;

/// Runs jobs: the types it is given, from the queues it is given, on an apalis worker.
///
/// It runs wherever a tokio runtime does, in a process of its own or inside an actix-web server. Jobs run on that
/// runtime; one that blocks says so in its [policy](crate::Policy::blocking).
///
/// # Examples
/// ```no_run
/// # use serde::{Deserialize, Serialize};
/// # use utils_jobs::{Context, Failure, Job};
/// # #[derive(Serialize, Deserialize)]
/// # struct Welcome { user: i64 }
/// # impl Job for Welcome {
/// #     const NAME: &'static str = "mail.welcome";
/// #     type Output = ();
/// #     async fn run(self, _: Context) -> Result<(), Failure> { Ok(()) }
/// # }
/// # #[derive(Serialize, Deserialize)]
/// # struct Cleanup;
/// # impl Job for Cleanup {
/// #     const NAME: &'static str = "cleanup";
/// #     type Output = ();
/// #     async fn run(self, _: Context) -> Result<(), Failure> { Ok(()) }
/// # }
/// use utils_jobs::{Jobs, Worker, shutdown_signal};
///
/// # async fn main_() -> Result<(), utils_jobs::JobsError> {
/// let jobs = Jobs::open("postgres://app@db/app")?;
/// jobs.migrate()?;
/// Worker::new(&jobs)
///     .handle::<Welcome>()
///     .handle::<Cleanup>()
///     .every("0 3 * * *", Cleanup)
///     .concurrency(16)
///     .run_until(shutdown_signal())
///     .await
/// # }
/// ```
#[must_use = "a worker does nothing until it is started"]
pub struct Worker {
    jobs: Jobs,
    name: Option<String>,
    registry: Arc<Registry>,
    data: Arc<DataMap>,
    queues: Vec<String>,
    concurrency: usize,
    prefetch: usize,
    only_known: bool,
    shutdown_within: Duration,
    schedules: Vec<Planned>,
    error: Option<JobsError>,
}

impl Worker {
    /// A worker on these jobs.
    pub fn new(jobs: &Jobs) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            jobs: jobs.clone(),
            name: None,
            registry: Arc::default(),
            data: Arc::default(),
            queues: Vec::new(),
            concurrency: cores * 8,
            prefetch: 0,
            only_known: false,
            shutdown_within: Duration::from_secs(30),
            schedules: Vec::new(),
            error: None,
        }
    }

    /// Runs jobs of this type.
    pub fn handle<J: Job>(mut self) -> Self {
        if !Arc::make_mut(&mut self.registry).add::<J>() {
            self.error.get_or_insert(JobsError::NameTaken(J::NAME));
        }
        self
    }

    /// Runs jobs of this type together, at most `max` in one call of [`run_batch`](BatchJob::run_batch).
    ///
    /// A batch is handled as soon as `max` jobs are ready, or when the first has been so for this long; zero: as soon as
    /// there is any. The others wait for their time in the table, in nobody's hands: they can be cancelled, a
    /// worker that is stopped or killed loses none, and several workers do not share a batch out among them. Jobs come
    /// from one queue at a time, the most urgent first.
    ///
    /// A batch counts as one job: for this worker's [`concurrency`](Self::concurrency) and
    /// [`prefetch`](Self::prefetch), and for [`concurrency`](crate::Policy::concurrency) and
    /// [`rate`](crate::Policy::rate) of the type. Its policy's time limits are those of the call. Looking for a batch
    /// means to look past other types in the queue, so a queue of its own is best.
    ///
    /// `max` must be between 1 and 10,000; anything else is an error when the worker starts.
    pub fn handle_batches<J: BatchJob>(mut self, max: usize, within: Duration) -> Self {
        if !(1..=MAX_BATCH).contains(&max) {
            self.error.get_or_insert(JobsError::Settings("a batch must hold between 1 and 10,000 jobs"));
            return self;
        }
        let batching = Batching { max, within: millis(within) };
        if !Arc::make_mut(&mut self.registry).add_batches::<J>(batching) {
            self.error.get_or_insert(JobsError::NameTaken(J::NAME));
        }
        self
    }

    /// Gives all jobs something of the application's, by its type: see [`Context::data`](crate::Context::data).
    pub fn data<T: Send + Sync + 'static>(mut self, data: T) -> Self {
        Arc::make_mut(&mut self.data).insert(data);
        self
    }

    /// Takes jobs from these queues. Default: those of the policies of its types.
    pub fn queues<Q: Into<String>>(mut self, queues: impl IntoIterator<Item = Q>) -> Self {
        self.queues = queues.into_iter().map(Into::into).collect();
        self
    }

    /// Sets how many jobs run at once, a [batch](Self::handle_batches) counting as one. Default: eight for each core, as
    /// jobs wait most of the time.
    pub fn concurrency(mut self, jobs: usize) -> Self {
        self.concurrency = jobs.max(1);
        self
    }

    /// Sets how many jobs are taken before there is room for them. Default: 0.
    ///
    /// More makes many short jobs faster, as one exchange with the table serves many: with 100 it is the most. But taken
    /// jobs wait here while other workers may be idle, and when this process is killed, an attempt of theirs is spent: a job
    /// with one attempt is a dead letter then that never ran.
    pub fn prefetch(mut self, jobs: usize) -> Self {
        self.prefetch = jobs;
        self
    }

    /// Leaves jobs of unknown types in their queue, for workers that know them. By default they become dead letters,
    /// which nobody can overlook.
    pub fn leave_unknown(mut self) -> Self {
        self.only_known = true;
        self
    }

    /// Sets the name. Default: host, process, release and something random. A name that is used again does no harm.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets how long running jobs have to end when the worker is stopped; after that they are put back, and the attempt
    /// does not count. In the last quarter they are [told](crate::Context::stopping). Default: 30 s.
    pub fn shutdown_within(mut self, time: Duration) -> Self {
        self.shutdown_within = time;
        self
    }

    /// Enqueues this job again and again: `0 3 * * *` is daily at three, `*/10 * * * * *` every ten seconds. UTC.
    ///
    /// Five fields are those of crontab, six begin with seconds. However many workers have the schedule, each tick is
    /// enqueued once; after a time without any worker, the last missed tick is made up for.
    ///
    /// A schedule is known by its text and by the job's name, queue, arguments and unique key: the same text may stand
    /// for several jobs, and all workers must say the same. With a [unique key](crate::NewJob::unique) of its own, a job
    /// is not enqueued while the last one waits or runs.
    pub fn every<E: Enqueue>(mut self, schedule: &str, job: E) -> Self {
        let planned = self.jobs.row(job.into_new_job()).and_then(|mut row| {
            // as a span, until the tick is known
            row.expires_at = row.expires_at.map(|at| at - row.created_at);
            Planned::new(schedule, row)
        });
        match planned {
            Ok(planned) => self.schedules.push(planned),
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
        self
    }

    /// Runs until [`shutdown_signal`].
    ///
    /// # Errors
    /// As [`start`](Self::start), and [`JobsError::Worker`] when the engine fails.
    pub async fn run(self) -> Result<(), JobsError> {
        self.run_until(shutdown_signal()).await
    }

    /// Runs until the future is done; then it takes no more jobs, gives back those not started, lets the running ones end
    /// [in time](Self::shutdown_within), and puts the others back.
    ///
    /// # Errors
    /// As [`start`](Self::start), and [`JobsError::Worker`] when the engine fails.
    pub async fn run_until(self, stop: impl Future + Send) -> Result<(), JobsError> {
        let mut handle = self.start()?;
        let mut stop = std::pin::pin!(stop);
        tokio::select! {
            _ = &mut stop => handle.stop().await,
            ended = handle.ended() => ended,
        }
    }

    /// Starts the worker beside what else this runtime does. It ends when its handle is [stopped](WorkerHandle::stop) or
    /// dropped.
    ///
    /// # Errors
    /// [`JobsError::NameTaken`], [`JobsError::Schedule`] and [`JobsError::Settings`] for what was said before;
    /// [`JobsError::Settings`] when the worker cannot have a connection for its leases; [`JobsError::Runtime`] outside a
    /// tokio runtime.
    ///
    /// That connection is one of the pool's, of which workers keep at most half. Where there is none left, sessions made
    /// from a URL open one more; a pool that was [given](Jobs::from_pool) cannot, and is refused, but for one on SQLite.
    pub fn start(self) -> Result<WorkerHandle, JobsError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.jobs.settings().check().map_err(JobsError::Settings)?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| JobsError::Runtime)?;
        let name: Arc<str> = name::unique(self.name.as_deref(), self.jobs.release()).into();
        let registry = self.registry;
        let mut queues: BTreeSet<String> = self.queues.into_iter().collect();
        if queues.is_empty() {
            queues.extend(registry.types().map(|(_, policy)| policy.queue.to_owned()));
        }
        let plan = Plan {
            registry: Arc::clone(&registry),
            queues: queues.into_iter().collect(),
            capacity: self.concurrency + self.prefetch,
            only_known: self.only_known,
        };
        let storage = Storage::of_worker(&self.jobs, Arc::clone(&name), plan, self.schedules)?;
        let (sender, health) = (storage.sender(), storage.health());
        let lease = self.jobs.settings().lease;
        let (halt, halted) = watch::channel(false);
        let runner = Runner {
            jobs: self.jobs.clone(),
            worker: Arc::clone(&name),
            registry,
            data: self.data,
            pump: sender.clone(),
        };
        let context = WorkerContext::new(&name);
        let worker = WorkerBuilder::new(&context)
            .backend(storage)
            .concurrency(self.concurrency)
            .build(RunnerService { runner, halted: halted.clone() });
        let engine = runtime.spawn(async move {
            let mut events = std::pin::pin!(worker.stream());
            while let Some(event) = events.next().await {
                event.map_err(|error| JobsError::Worker(error.into()))?;
            }
            Ok(())
        });
        tracing::info!(worker = %name, release = %self.jobs.release(), "a worker has started");
        let shutdown_within = self.shutdown_within;
        Ok(WorkerHandle { name, context, sender, halt, engine, health, lease, shutdown_within })
    }
}

/// A worker that runs. Dropped, it stops at once, and its jobs go back.
#[derive(Debug)]
pub struct WorkerHandle {
    name: Arc<str>,
    context: WorkerContext,
    sender: mpsc::Sender<Msg>,
    halt: watch::Sender<bool>,
    engine: JoinHandle<Result<(), JobsError>>,
    health: Arc<Health>,
    lease: Duration,
    shutdown_within: Duration,
}

impl WorkerHandle {
    /// The worker's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it lives: for a liveness check. A database that is away does not end it.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.engine.is_finished() && !self.context.is_shutting_down()
    }

    /// Whether it takes jobs: for a readiness check. It does not before its first exchange with the job table, nor from
    /// one that failed until the next that goes well, nor when there was none for the time of a lease.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_running() && self.health.is_good(self.lease)
    }

    /// Stops the worker: no more jobs are taken, those not started go back at once, running ones end in time or are put
    /// back.
    ///
    /// While the database is away, this takes at most 20 s more, or two leases if that is less; where a server does not
    /// even say no, at least the time that it has [to answer](crate::JobsSettings::answer_within). What could not be
    /// written down then is in the log as an error, with the ids of the jobs, which will run again.
    ///
    /// # Errors
    /// [`JobsError::Worker`] when the engine has failed.
    pub async fn stop(mut self) -> Result<(), JobsError> {
        let _ = self.sender.send(Msg::Drain);
        // A worker that has not been polled yet cannot be stopped yet.
        while self.context.stop().is_err() && !self.engine.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let last_call = self.shutdown_within / 4;
        if let Some(ended) = self.ended_within(self.shutdown_within - last_call).await {
            return ended;
        }
        let _ = self.sender.send(Msg::Warn);
        if let Some(ended) = self.ended_within(last_call).await {
            return ended;
        }
        tracing::warn!(worker = %self.name, "running jobs did not end in time and are put back");
        self.halt.send_replace(true);
        self.ended().await
    }

    async fn ended_within(&mut self, time: Duration) -> Option<Result<(), JobsError>> {
        tokio::time::timeout(time, self.ended()).await.ok()
    }

    /// Waits for the end of the worker.
    ///
    /// # Errors
    /// [`JobsError::Worker`] when the engine has failed.
    pub async fn ended(&mut self) -> Result<(), JobsError> {
        match (&mut self.engine).await {
            Ok(ended) => ended,
            Err(error) => Err(JobsError::Worker(error.into())),
        }
    }
}

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        self.engine.abort();
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("types", &self.registry)
            .field("queues", &self.queues)
            .field("concurrency", &self.concurrency)
            .field("prefetch", &self.prefetch)
            .finish_non_exhaustive()
    }
}

/// The handler of our apalis worker.
struct RunnerService {
    runner: Runner,
    halted: watch::Receiver<bool>,
}

impl Service<Task<Call>> for RunnerService {
    type Response = Box<RawValue>;
    type Error = Attempt;
    type Future = Pin<Box<dyn Future<Output = Result<Box<RawValue>, Attempt>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Attempt>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, task: Task<Call>) -> Self::Future {
        let runner = self.runner.clone();
        let mut halted = self.halted.clone();
        Box::pin(async move {
            let delivery = match task.args {
                Call::One(delivery) => delivery,
                Call::Batch(deliveries) => {
                    runner.handle_batch(deliveries, until(&mut halted)).await;
                    return Ok(Box::<RawValue>::default());
                }
            };
            let control = delivery.control.clone();
            tokio::select! {
                biased;
                outcome = runner.run(delivery) => outcome,
                () = until(&mut halted) => {
                    control.stop(Stopping::Shutdown);
                    Err(Attempt::put_back())
                }
            }
        })
    }
}

/// Waits until the flag is up; for ever when nobody can put it up any more.
async fn until(flag: &mut watch::Receiver<bool>) {
    if flag.wait_for(|up| *up).await.is_err() {
        std::future::pending::<()>().await;
    }
}
