//! Running claimed jobs: decoding, limits, cancellation, panics, and what its end means.
mod batch;

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, mpsc},
    time::Duration,
};

use serde_json::value::RawValue;
use tokio::{
    sync::watch,
    task::{JoinError, JoinHandle},
    time::sleep,
};
use tracing::Instrument;

use crate::{
    BatchJob, Clock, Context, Failure, Job, Jobs, Policy, Retry, RunningJob, Stopping,
    clock::millis,
    context::DataMap,
    failed::{AttemptEnd, Panicked},
    failure::{Next, error_line, one_line},
    pump::{Delivery, Msg},
    store::row::{Batching, Claimed, Finish, state},
    trace,
};

type Output = Result<Box<RawValue>, Failure>;
/// How an attempt has ended.
pub(crate) type Outcome = Result<Box<RawValue>, Attempt>;
type Running = Pin<Box<dyn Future<Output = Output> + Send>>;

/// The job types that a worker knows.
#[derive(Default, Clone)]
pub(crate) struct Registry {
    by_name: HashMap<&'static str, Registered>,
}

/// A job type without its type.
#[derive(Clone)]
pub(crate) struct Registered {
    pub policy: Policy,
    start: fn(&[u8], Context) -> Result<Running, serde_json::Error>,
    /// Where its jobs are handled together.
    batches: Option<Batches>,
}

#[derive(Clone, Copy)]
struct Batches {
    batching: Batching,
    start: fn(Vec<Context>) -> batch::Running,
}

impl Registry {
    /// False when the name is taken.
    pub(crate) fn add<J: Job>(&mut self) -> bool {
        let start = |args: &[u8], ctx: Context| -> Result<Running, serde_json::Error> {
            let job: J = serde_json::from_slice(args)?;
            Ok(Box::pin(async move {
                let output = job.run(ctx).await?;
                serde_json::value::to_raw_value(&output)
                    .map_err(|error| Retry::never(format!("its result cannot be written: {error}")))
            }))
        };
        self.by_name.insert(J::NAME, Registered { policy: J::policy(), start, batches: None }).is_none()
    }

    /// False when the name is taken.
    pub(crate) fn add_batches<J: BatchJob>(&mut self, batching: Batching) -> bool {
        let is_new = self.add::<J>();
        if let Some(registered) = self.by_name.get_mut(J::NAME) {
            registered.batches = Some(Batches { batching, start: batch::start::<J> });
        }
        is_new
    }

    /// How the jobs of this name are gathered, if they are.
    pub(crate) fn batching(&self, name: &str) -> Option<Batching> {
        self.by_name.get(name)?.batches.map(|batches| batches.batching)
    }

    pub(crate) fn types(&self) -> impl Iterator<Item = (&str, &Policy)> {
        self.by_name.iter().map(|(name, registered)| (*name, &registered.policy))
    }

    pub(crate) fn policy(&self, name: &str) -> Option<&Policy> {
        self.by_name.get(name).map(|registered| &registered.policy)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

/// What is the same for all jobs of a worker.
#[derive(Clone)]
pub(crate) struct Runner {
    pub jobs: Jobs,
    pub worker: Arc<str>,
    pub registry: Arc<Registry>,
    pub data: Arc<DataMap>,
    pub pump: mpsc::Sender<Msg>,
}

/// How an attempt failed, for the layers around it and for the one who writes the end down. Those of a batch may have
/// one error.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub(crate) struct Attempt {
    #[source]
    error: Arc<dyn std::error::Error + Send + Sync>,
    next: Next,
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Self {
        Self { error: failure.error.into(), next: failure.next }
    }
}

impl Runner {
    /// Runs one attempt to its end.
    pub(crate) async fn run(self, delivery: Delivery) -> Outcome {
        let claimed = &delivery.claimed;
        let span = tracing::info_span!(
            "job",
            name = %claimed.name,
            id = %claimed.id,
            queue = %claimed.queue,
            attempt = claimed.attempts,
            worker = %self.worker,
            release = %self.jobs.release(),
            trace_id = tracing::field::Empty,
            parent_id = tracing::field::Empty,
        );
        if let Some(trace) = trace::of_notes(&claimed.meta) {
            span.record("trace_id", trace.trace_id());
            span.record("parent_id", trace.parent_id());
        }
        let output = self.attempt(&delivery).instrument(span.clone()).await?;
        tracing::debug!(parent: &span, "done");
        Ok(output)
    }

    /// The end of an attempt that began at this time, counted among the metrics.
    pub(crate) fn end(&self, delivery: &Delivery, outcome: &Outcome, began: i64, run: Duration) -> Finish {
        let claimed = &delivery.claimed;
        let policy = self.registry.policy(&claimed.name);
        let outcome = match outcome {
            Ok(output) => Ok(output.get().to_owned()),
            Err(error) => Err(error as &(dyn std::error::Error + 'static)),
        };
        let error = outcome.as_ref().err().map(|error| cause_of(*error));
        let finish = end_of(claimed, policy, outcome, self.jobs.clock());
        self.jobs.attempt_ended(&AttemptEnd {
            delivery,
            worker: &self.worker,
            finish: &finish,
            error,
            is_known: policy.is_some(),
            began,
            run,
        });
        finish
    }

    fn context(&self, delivery: &Delivery) -> Context {
        Context::new(
            Arc::clone(&delivery.claimed),
            Arc::clone(&self.worker),
            self.jobs.clone(),
            Arc::clone(&self.data),
            delivery.control.subscribe(),
            self.pump.clone(),
        )
    }

    /// Refuses an output that is too large.
    fn fits(&self, output: &RawValue) -> Result<(), Failure> {
        let (size, max) = (output.get().len(), self.jobs.settings().max_bytes);
        if size > max {
            return Err(Retry::never(format!("its result takes {size} bytes, above the maximum of {max}")));
        }
        Ok(())
    }

    async fn attempt(&self, delivery: &Delivery) -> Output {
        let claimed = &delivery.claimed;
        let Some(registered) = self.registry.by_name.get(claimed.name.as_str()) else {
            return Err(Retry::never(format!("no job type is called {:?} here", claimed.name)));
        };
        let stop = delivery.control.subscribe();
        let ctx = self.context(delivery);
        let trace = ctx.trace();
        let job = RunningJob::new(&ctx, 1);
        // Reading the arguments is code of the application's as well: it may panic, or take its time.
        let (start, args) = (registered.start, Arc::clone(claimed));
        let mut running: Running = Box::pin(async move {
            let running = start(&args.args, ctx)
                .map_err(|error| Retry::never(format!("its arguments cannot be read: {error}")))?;
            running.await
        });
        running = Box::pin(job.scope(running));
        if let Some(trace) = trace {
            running = Box::pin(trace.scope(running));
        }
        let mut task = Guarded::spawn(&registered.policy, running);
        let output = task.supervise(&registered.policy, delivery, stop).await;
        if !registered.policy.blocking {
            task.end().await;
        }
        let output = output?;
        self.fits(&output)?;
        Ok(output)
    }
}

/// The output as JSON; when it cannot be written, or panics in the attempt, that is a failure.
pub(crate) fn raw(output: &impl serde::Serialize) -> Outcome {
    let written = catch_unwind(AssertUnwindSafe(|| serde_json::value::to_raw_value(output)));
    let failed = match written {
        Ok(Ok(raw)) => return Ok(raw),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => format!("panicked: {}", panic_text(&*panic)),
    };
    Err(Retry::never(format!("its result cannot be written: {failed}")).into())
}

/// What went wrong, where it stands in one of our own errors.
pub(crate) fn cause_of<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> &'a (dyn std::error::Error + 'static) {
    next_of(error).0
}

/// The task of a call; when its supervisor is dropped, the call ends with it.
struct Guarded<T>(JoinHandle<T>);

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T: Send + 'static> Guarded<T> {
    /// Starts a call in the current span, on a thread of its own when it blocks.
    fn spawn(policy: &Policy, running: Pin<Box<dyn Future<Output = T> + Send>>) -> Self {
        let span = tracing::Span::current();
        if policy.blocking {
            let handle = tokio::runtime::Handle::current();
            return Self(tokio::task::spawn_blocking(move || span.in_scope(|| handle.block_on(running))));
        }
        Self(tokio::spawn(running.instrument(span)))
    }

    /// Waits until the future is dropped, so that no two attempts overlap; not for ever, as it may be blocking.
    async fn end(&mut self) {
        if !self.0.is_finished() {
            self.0.abort();
            let _ = tokio::time::timeout(Duration::from_secs(1), &mut self.0).await;
        }
    }
}

impl Guarded<Output> {
    async fn supervise(
        &mut self,
        policy: &Policy,
        delivery: &Delivery,
        mut stop: watch::Receiver<Option<Stopping>>,
    ) -> Output {
        let mut soft = std::pin::pin!(after(policy.soft_timeout));
        let mut hard = std::pin::pin!(after(policy.timeout));
        let mut grace = std::pin::pin!(after(None));
        let mut soft_is_over = policy.soft_timeout.is_none();
        let mut seen = None;
        loop {
            tokio::select! {
                biased;
                ended = &mut self.0 => return ended.unwrap_or_else(|error| Err(broken_off(error))),
                () = &mut hard => return Err(too_long(policy)),
                () = &mut grace => return Err(cancelled()),
                () = &mut soft, if !soft_is_over => {
                    soft_is_over = true;
                    delivery.control.stop(Stopping::TimeLimit);
                }
                reason = changed(&mut stop, seen) => {
                    seen = Some(reason);
                    match reason {
                        Stopping::Cancelled => grace.set(after(Some(policy.cancel_grace))),
                        // Whatever it still does does not count.
                        Stopping::LeaseLost => return Err(lost()),
                        // The worker's own deadline counts.
                        Stopping::TimeLimit | Stopping::Shutdown => {}
                    }
                }
            }
        }
    }
}

/// The call has not come to its end by itself.
fn broken_off(error: JoinError) -> Failure {
    match error.try_into_panic() {
        Ok(panic) => panicked(&*panic),
        Err(_) => Failure { error: "its runtime is shutting down".into(), next: Next::Release },
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Failure {
    Failure::new(Panicked(panic_text(panic).to_owned()))
}

fn too_long(policy: &Policy) -> Failure {
    Failure::new(format!("took longer than {:?}", policy.timeout.unwrap_or_default()))
}

fn cancelled() -> Failure {
    Retry::never("cancelled while it ran")
}

fn lost() -> Failure {
    Failure::new("another worker has the job")
}

/// Waits for a reason to stop other than the one that is known.
async fn changed(stop: &mut watch::Receiver<Option<Stopping>>, known: Option<Stopping>) -> Stopping {
    let reason = stop.wait_for(|reason| reason.is_some() && *reason != known).await.map(|reason| *reason);
    match reason {
        Ok(Some(reason)) => reason,
        Ok(None) | Err(_) => std::future::pending().await,
    }
}

async fn after(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => std::future::pending().await,
    }
}

pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("something that is not text")
}

/// What the end of an attempt means for its job. A panic in the application's code that is asked, a policy's or an
/// error's, makes a dead letter.
pub(crate) fn end_of(
    claimed: &Claimed,
    policy: Option<&Policy>,
    outcome: Result<String, &(dyn std::error::Error + 'static)>,
    clock: &Clock,
) -> Finish {
    catch_unwind(AssertUnwindSafe(|| decide(claimed, policy, outcome, clock))).unwrap_or_else(|panic| {
        let text = panic_text(&*panic);
        dead(claimed, format!("it failed, and the decision what is next panicked: {text}"))
    })
}

/// The end of a job that is not tried again.
pub(crate) fn dead(claimed: &Claimed, error: impl Into<String>) -> Finish {
    Finish {
        id: claimed.id.clone(),
        attempts: claimed.attempts,
        state: state::DEAD,
        run_at: None,
        result: None,
        error: Some(one_line(&error.into())),
        uncount: false,
        has_next: false,
    }
}

fn decide(
    claimed: &Claimed,
    policy: Option<&Policy>,
    outcome: Result<String, &(dyn std::error::Error + 'static)>,
    clock: &Clock,
) -> Finish {
    let mut finish = Finish {
        id: claimed.id.clone(),
        attempts: claimed.attempts,
        state: state::DONE,
        run_at: None,
        result: None,
        error: None,
        uncount: false,
        has_next: claimed.has_next != 0,
    };
    let error = match outcome {
        Ok(result) => {
            finish.result = Some(result);
            return finish;
        }
        Err(error) => error,
    };
    let (cause, next) = next_of(error);
    finish.error = Some(error_line(cause));
    let default = Policy::default();
    let policy = policy.unwrap_or(&default);
    let failed = u32::try_from(claimed.attempts).unwrap_or(u32::MAX);
    let wait = match next {
        Next::Release => {
            finish.state = state::WAITING;
            finish.uncount = true;
            return finish;
        }
        Next::Never => None,
        _ if claimed.attempts >= claimed.max_attempts || policy.is_final(cause) => None,
        Next::After(wait) => Some(wait),
        Next::Policy => Some(policy.backoff.delay(failed)),
    };
    match wait {
        Some(wait) if wait.is_zero() => finish.state = state::WAITING,
        Some(wait) => {
            finish.state = state::SCHEDULED;
            finish.run_at = Some(clock.millis().saturating_add(millis(wait)));
        }
        None => finish.state = state::DEAD,
    }
    finish
}

/// Our own failures and apalis' error types say what is next; all others leave it to the policy.
fn next_of<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> (&'a (dyn std::error::Error + 'static), Next) {
    use apalis_core::error::{AbortError, DeferredError, RetryAfterError};
    if let Some(attempt) = error.downcast_ref::<Attempt>() {
        return (&*attempt.error, attempt.next);
    }
    if error.is::<AbortError>() {
        return (error, Next::Never);
    }
    if let Some(after) = error.downcast_ref::<RetryAfterError>() {
        return (error, Next::After(after.get_duration()));
    }
    if error.is::<DeferredError>() {
        return (error, Next::After(Duration::ZERO));
    }
    (error, Next::Policy)
}

impl Attempt {
    /// The worker stops before the job has ended.
    pub(crate) fn put_back() -> Self {
        Failure { error: "put back because its worker stopped".into(), next: Next::Release }.into()
    }
}
