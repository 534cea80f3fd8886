//! The storage as apalis sees it: a backend with its own acknowledgements.
mod ack;
mod expose;
pub(crate) mod look;
mod sink;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use apalis_codec::json::JsonCodec;
use apalis_core::{
    backend::{Backend, BackendConfig, WireFormatBackend, finalize::Ephemeral},
    task::{Task, builder::TaskBuilder, metadata::MetadataStore, task_id::TaskId},
    worker::context::WorkerContext,
};
use ulid::Ulid;

pub use self::ack::{AckLayer, AckService};
use crate::{
    Job, Jobs, JobsError, JobsSettings, Policy,
    failed::AttemptEnd,
    pump::{self, Call, Health, Inbox, Lanes, Msg, PumpConfig},
    run::{Registry, dead, panic_text},
    schedule::Planned,
    store::row::{Claimed, NewRow},
};

/// The jobs of one type as a backend for apalis' own `WorkerBuilder`: for its layers, extractors and monitors, where
/// [`Worker`](crate::Worker) is not enough.
///
/// Retries are in the table: leave out apalis' `retry` layer. A job's [`run`](Job::run) is not called, the worker's
/// handler is; an `AbortError` of apalis makes a dead letter, a `RetryAfterError` waits, all other errors follow the
/// job's policy. Time-outs and caught panics are errors like others.
///
/// # Examples
/// ```
/// # use serde::{Deserialize, Serialize};
/// # use utils_jobs::{Context, Failure, Job, Jobs};
/// # #[derive(Serialize, Deserialize)]
/// # struct Greet { name: String }
/// # impl Job for Greet {
/// #     const NAME: &'static str = "greet";
/// #     type Output = ();
/// #     async fn run(self, _: Context) -> Result<(), Failure> { Ok(()) }
/// # }
/// use apalis::prelude::*;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let jobs = Jobs::open("memory:")?;
/// let mut storage = jobs.storage::<Greet>();
/// storage.push(Greet { name: "Ann".to_owned() }).await.unwrap();
///
/// WorkerBuilder::new("greeter")
///     .backend(storage)
///     .concurrency(4)
///     .build(|job: Greet, worker: WorkerContext| async move {
///         assert_eq!(job.name, "Ann");
///         worker.stop().unwrap();
///     })
///     .run()
///     .await
///     .unwrap();
/// # Ok::<(), utils_jobs::JobsError>(()) }).unwrap();
/// ```
pub struct Storage<A> {
    feed: Feed,
    decode: fn(&Call) -> Result<A, String>,
    encode: Option<Encode<A>>,
    codec: JsonCodec<Vec<u8>>,
    outbox: sink::Outbox,
}

type Encode<A> = fn(&Jobs, Task<A>) -> Result<NewRow, JobsError>;

/// Where the jobs come from, and the thread behind it.
struct Feed {
    jobs: Jobs,
    plan: Arc<Plan>,
    sender: mpsc::Sender<Msg>,
    /// Until it is started. Never locked: only so that the storage can be shared between threads, as apalis' monitor does.
    receiver: Mutex<Option<mpsc::Receiver<Msg>>>,
    inbox: Arc<Inbox>,
    worker: Option<Arc<str>>,
    closing: bool,
    /// Whether the engine knows that the thread has failed.
    told: bool,
    schedules: Vec<Planned>,
    health: Arc<Health>,
    /// The jobs on a connection for the thread, when there is one already.
    own: Option<Jobs>,
}

/// What a storage takes jobs by.
pub(crate) struct Plan {
    pub registry: Arc<Registry>,
    pub queues: Vec<String>,
    pub capacity: usize,
    pub only_known: bool,
}

impl Plan {
    fn types(&self) -> impl Iterator<Item = pump::Type<'_>> {
        let of = |(name, policy)| pump::Type { name, policy, batch: self.registry.batching(name) };
        self.registry.types().map(of)
    }
}

impl<J: Job> Storage<J> {
    pub(crate) fn of_type(jobs: &Jobs) -> Self {
        let mut registry = Registry::default();
        registry.add::<J>();
        let plan = Plan {
            registry: Arc::new(registry),
            queues: vec![J::policy().queue.to_owned()],
            capacity: 16,
            only_known: true,
        };
        Self {
            feed: Feed::new(jobs, Arc::new(plan)),
            decode: |call| match call {
                Call::One(delivery) => {
                    serde_json::from_slice(&delivery.claimed.args).map_err(|error| error.to_string())
                }
                Call::Batch(_) => Err("there are no batches here".to_owned()),
            },
            encode: Some(sink::row_of::<J>),
            codec: JsonCodec::default(),
            outbox: sink::Outbox::default(),
        }
    }

    /// Takes jobs from these queues instead of the policy's.
    #[must_use]
    pub fn queues<Q: Into<String>>(mut self, queues: impl IntoIterator<Item = Q>) -> Self {
        let plan = &self.feed.plan;
        let queues = queues.into_iter().map(Into::into).collect();
        let plan = Plan {
            registry: Arc::clone(&plan.registry),
            queues,
            capacity: plan.capacity,
            only_known: plan.only_known,
        };
        self.feed.plan = Arc::new(plan);
        self
    }

    /// Sets how many jobs are held at once, running or about to: at least the worker's concurrency. Default: 16.
    #[must_use]
    pub fn capacity(mut self, jobs: usize) -> Self {
        let plan = &self.feed.plan;
        let plan = Plan {
            registry: Arc::clone(&plan.registry),
            queues: plan.queues.clone(),
            capacity: jobs.max(1),
            only_known: plan.only_known,
        };
        self.feed.plan = Arc::new(plan);
        self
    }
}

impl Storage<Call> {
    /// All jobs of a worker of ours, still to be decoded.
    pub(crate) fn of_worker(
        jobs: &Jobs,
        worker: Arc<str>,
        plan: Plan,
        schedules: Vec<Planned>,
    ) -> Result<Self, JobsError> {
        let mut feed = Feed::new(jobs, Arc::new(plan));
        feed.worker = Some(worker);
        feed.schedules = schedules;
        feed.own = Some(jobs.with_own_connection()?);
        Ok(Self {
            feed,
            decode: |call| Ok(call.clone()),
            encode: None,
            codec: JsonCodec::default(),
            outbox: sink::Outbox::default(),
        })
    }

    pub(crate) fn sender(&self) -> mpsc::Sender<Msg> {
        self.feed.sender.clone()
    }

    pub(crate) fn health(&self) -> Arc<Health> {
        Arc::clone(&self.feed.health)
    }
}

impl Feed {
    fn receiver(&mut self) -> &mut Option<mpsc::Receiver<Msg>> {
        self.receiver.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn new(jobs: &Jobs, plan: Arc<Plan>) -> Self {
        let (sender, receiver) = mpsc::channel();
        Self {
            jobs: jobs.clone(),
            plan,
            sender,
            receiver: Mutex::new(Some(receiver)),
            inbox: Arc::default(),
            worker: None,
            closing: false,
            told: false,
            schedules: Vec::new(),
            health: Arc::default(),
            own: None,
        }
    }

    /// Starts the thread at the first poll.
    fn start(&mut self, name: &str) -> Result<(), JobsError> {
        if self.receiver().is_some() && self.own.is_none() {
            self.own = Some(self.jobs.with_own_connection()?);
        }
        let (Some(receiver), Some(own)) = (self.receiver().take(), self.own.take()) else { return Ok(()) };
        // A new name at each start: what a worker of the same name held before it died is not ours.
        let worker =
            self.worker.get_or_insert_with(|| format!("{name}-{}", self.jobs.new_id()).into()).clone();
        let lanes = Lanes::of(self.plan.types(), self.plan.only_known);
        let lanes = Lanes::new(self.plan.queues.clone(), lanes, self.plan.capacity);
        let schedules = std::mem::take(&mut self.schedules);
        let health = Arc::clone(&self.health);
        self.jobs.add_pump(Arc::clone(&worker), self.sender.clone());
        // Only now: who listens goes away when nobody is there to be told.
        self.jobs.listen();
        let config = PumpConfig { jobs: own, worker, lanes, schedules, health };
        pump::start(config, receiver, Arc::clone(&self.inbox))
            .map_err(|error| JobsError::Worker(error.into()))
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if self.receiver().is_none() {
            let _ = self.sender.send(if self.closing { Msg::Stop(Instant::now()) } else { Msg::Abandon });
        }
    }
}

impl<A> Backend for Storage<A> {
    type Task = Task<A>;
    type Error = JobsError;

    fn poll_ready(&mut self, _: &mut Context<'_>, worker: &WorkerContext) -> Poll<Result<(), JobsError>> {
        Poll::Ready(self.feed.start(worker.name()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Option<Result<Task<A>, JobsError>>> {
        if let Err(error) = self.feed.start(worker.name()) {
            return Poll::Ready(Some(Err(error)));
        }
        loop {
            let call = match self.feed.inbox.poll_take(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) if self.feed.inbox.has_failed() && !self.feed.told => {
                    self.feed.told = true;
                    let error = "the thread between the worker and the job table has panicked";
                    return Poll::Ready(Some(Err(JobsError::Worker(error.into()))));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(call)) => call,
            };
            // Reading is code of the application's, and a panic here would end the worker.
            let read = catch_unwind(AssertUnwindSafe(|| (self.decode)(&call)));
            let read = read.unwrap_or_else(|panic| Err(format!("panicked: {}", panic_text(&*panic))));
            match read {
                Ok(args) => return Poll::Ready(Some(Ok(task(args, &call)))),
                // A job that cannot be read is a dead letter; the worker goes on.
                Err(error) => {
                    let error = format!("its arguments cannot be read: {error}");
                    for delivery in call.deliveries() {
                        let finish = dead(&delivery.claimed, &*error);
                        self.feed.jobs.attempt_ended(&AttemptEnd {
                            delivery,
                            worker: worker.name(),
                            finish: &finish,
                            error: Some(&Unreadable(error.clone())),
                            is_known: true,
                            began: self.feed.jobs.clock().millis(),
                            run: Duration::ZERO,
                        });
                        let _ = self.feed.sender.send(Msg::Finished(finish));
                    }
                }
            }
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), JobsError>> {
        if self.feed.receiver().is_some() {
            return Poll::Ready(Ok(())); // never started
        }
        if !self.feed.closing {
            self.feed.closing = true;
            let _ = self.feed.sender.send(Msg::Stop(Instant::now()));
        }
        self.feed.inbox.poll_closed(cx).map(Ok)
    }
}

/// The error of a job whose arguments cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unreadable(String);

/// A batch has no id and no attempts of its own, and writes the ends of its jobs down itself.
fn task<A>(args: A, call: &Call) -> Task<A> {
    let Call::One(delivery) = call else { return TaskBuilder::new(args).build() };
    let Claimed { id, attempts, max_attempts, priority, run_at, unique_key, meta, .. } = &*delivery.claimed;
    let meta = serde_json::from_str(meta).unwrap_or_default();
    let mut task = TaskBuilder::new(args)
        .task_id(Ulid::from_string(id).map_or_else(|_| TaskId::from_string(id.clone()), TaskId::from_ulid))
        .attempt(usize::try_from(attempts - 1).unwrap_or(0))
        .max_attempts(usize::try_from(*max_attempts).unwrap_or(1))
        .priority(usize::try_from(*priority).unwrap_or(0))
        .run_at_timestamp(u64::try_from(run_at / 1_000).unwrap_or(0))
        .with_metadata(MetadataStore::from_map(meta))
        .data(delivery.clone());
    if let Some(key) = unique_key {
        task = task.idempotency_key(key);
    }
    task.build()
}

impl<A> BackendConfig for Storage<A> {
    type Args = A;
    type Id = Ulid;
    type Kind = Ephemeral;
    type Config = JobsSettings;
    type Layer = AckLayer;

    fn config(&self) -> &JobsSettings {
        self.feed.jobs.settings()
    }

    fn middleware(&mut self, worker: &mut WorkerContext) -> AckLayer {
        let registry = Arc::clone(&self.feed.plan.registry);
        AckLayer::new(self.feed.jobs.clone(), worker.name().into(), registry, self.feed.sender.clone())
    }
}

impl<A> WireFormatBackend for Storage<A> {
    type Codec = JsonCodec<Vec<u8>>;
    type Compact = Vec<u8>;

    fn codec(&self) -> &JsonCodec<Vec<u8>> {
        &self.codec
    }
}

impl<A> Clone for Storage<A> {
    /// The same jobs, for another worker or to push.
    fn clone(&self) -> Self {
        Self {
            feed: Feed::new(&self.feed.jobs, Arc::clone(&self.feed.plan)),
            decode: self.decode,
            encode: self.encode,
            codec: self.codec.clone(),
            outbox: sink::Outbox::default(),
        }
    }
}

impl<A> fmt::Debug for Storage<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage")
            .field("types", &self.feed.plan.registry)
            .field("queues", &self.feed.plan.queues)
            .field("worker", &self.feed.worker)
            .finish_non_exhaustive()
    }
}

impl<A> Unpin for Storage<A> {}

/// The policy by which a claimed job ends.
fn policy_of<'a>(registry: &'a Registry, claimed: &Claimed) -> Option<&'a Policy> {
    registry.policy(&claimed.name)
}
