use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, mpsc},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use apalis_core::{error::BoxDynError, task::Task};
use serde::Serialize;
use tower::{Layer, Service};

use super::policy_of;
use crate::{
    Jobs,
    failed::AttemptEnd,
    pump::{Delivery, Msg},
    run::{Registry, cause_of, dead, end_of, panic_text},
};

/// Writes the end of each attempt down. It is outermost, so that the errors of other layers, time-outs and caught panics
/// among them, are ends like any other.
#[derive(Clone)]
pub struct AckLayer {
    ends: Arc<Ends>,
}

struct Ends {
    jobs: Jobs,
    worker: Arc<str>,
    registry: Arc<Registry>,
    pump: mpsc::Sender<Msg>,
}

/// The service of [`AckLayer`].
#[derive(Clone)]
pub struct AckService<S> {
    inner: S,
    ends: Arc<Ends>,
}

impl AckLayer {
    pub(super) fn new(
        jobs: Jobs,
        worker: Arc<str>,
        registry: Arc<Registry>,
        pump: mpsc::Sender<Msg>,
    ) -> Self {
        Self { ends: Arc::new(Ends { jobs, worker, registry, pump }) }
    }
}

impl<S> Layer<S> for AckLayer {
    type Service = AckService<S>;

    fn layer(&self, inner: S) -> AckService<S> {
        AckService { inner, ends: Arc::clone(&self.ends) }
    }
}

impl<S, A> Service<Task<A>> for AckService<S>
where
    S: Service<Task<A>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxDynError>,
    S::Response: Serialize + Send,
{
    type Response = S::Response;
    type Error = BoxDynError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxDynError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, task: Task<A>) -> Self::Future {
        let delivery = task.ctx().data().get::<Delivery>().cloned();
        let ends = Arc::clone(&self.ends);
        let running = self.inner.call(task);
        Box::pin(async move {
            let started = Instant::now();
            let began = ends.jobs.clock().millis();
            let outcome = running.await.map_err(Into::into);
            if let Some(delivery) = delivery {
                ends.write_down(&delivery, &outcome, began, started.elapsed());
            }
            outcome
        })
    }
}

impl Ends {
    fn write_down<R: Serialize>(
        &self,
        delivery: &Delivery,
        outcome: &Result<R, BoxDynError>,
        began: i64,
        run: Duration,
    ) {
        let claimed = &delivery.claimed;
        let policy = policy_of(&self.registry, claimed);
        let clock = self.jobs.clock();
        let finish = match outcome {
            Ok(response) => match catch_unwind(AssertUnwindSafe(|| serde_json::to_string(response))) {
                Ok(Ok(result)) => end_of(claimed, policy, Ok(result), clock),
                Ok(Err(error)) => end_of(claimed, policy, Err(&error), clock),
                Err(panic) => {
                    let text = panic_text(&*panic);
                    dead(claimed, format!("its result cannot be written: panicked: {text}"))
                }
            },
            Err(error) => end_of(claimed, policy, Err(&**error), clock),
        };
        self.jobs.attempt_ended(&AttemptEnd {
            delivery,
            worker: &self.worker,
            finish: &finish,
            error: outcome.as_ref().err().map(|error| cause_of(&**error)),
            is_known: policy.is_some(),
            began,
            run,
        });
        let _ = self.pump.send(Msg::Finished(finish));
    }
}

impl fmt::Debug for AckLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AckLayer").field("types", &self.ends.registry).finish_non_exhaustive()
    }
}

impl<S: fmt::Debug> fmt::Debug for AckService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AckService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
