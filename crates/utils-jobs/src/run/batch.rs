//! Running the jobs of one batch: one future, one time limit, and an outcome for each job.
use std::{
    future::Future,
    panic::AssertUnwindSafe,
    panic::catch_unwind,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::{sync::watch, task::JoinHandle, time::sleep};
use tracing::Instrument;

use super::{Attempt, Guarded, Outcome, Runner, after, broken_off, cancelled, lost, panicked, too_long};
use crate::{
    Batch, BatchJob, Context, Failure, Policy, Retry, RunningJob, Stopping,
    failure::Next,
    pump::{Delivery, Msg},
};

/// The outcomes of a batch, in its order.
pub(super) type Outcomes = Vec<Outcome>;
pub(super) type Running = Pin<Box<dyn Future<Output = Outcomes> + Send>>;

/// Reads the jobs, and hands those that can be read to the handler. A panic of its is a failure of theirs alone.
pub(super) fn start<J: BatchJob>(members: Vec<Context>) -> Running {
    Box::pin(async move {
        let mut jobs = Vec::with_capacity(members.len());
        let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(members.len());
        for ctx in members {
            match read::<J>(ctx.args()) {
                Ok(job) => {
                    jobs.push((job, ctx));
                    outcomes.push(None);
                }
                Err(failure) => outcomes.push(Some(Err(failure.into()))),
            }
        }
        let count = jobs.len();
        let mut answers = match count {
            0 => Vec::new(),
            _ => answers(Batch::new(jobs), count).await,
        }
        .into_iter();
        outcomes.into_iter().filter_map(|unread| unread.or_else(|| answers.next())).collect()
    })
}

fn read<J: BatchJob>(args: &[u8]) -> Result<J, Failure> {
    match catch_unwind(AssertUnwindSafe(|| serde_json::from_slice(args))) {
        Ok(read) => read.map_err(|error| Retry::never(format!("its arguments cannot be read: {error}"))),
        Err(panic) => Err(panicked(&*panic)),
    }
}

async fn answers<J: BatchJob>(batch: Batch<J>, count: usize) -> Outcomes {
    let lost = batch.lost();
    match AssertUnwindSafe(async { J::run_batch(batch).await }).catch_unwind().await {
        Ok(Ok(answers)) => answers.into_outcomes(count),
        Ok(Err(mut failure)) => {
            if lost.load(Ordering::SeqCst) {
                // One of them is another worker's: no fault of the others.
                failure.next = Next::Release;
            }
            all(failure, count)
        }
        Err(panic) => all(panicked(&*panic), count),
    }
}

/// One failure is that of all.
fn all(failure: Failure, count: usize) -> Outcomes {
    vec![Err(failure.into()); count]
}

impl Runner {
    /// Runs the attempts of a batch to their ends, and writes them down.
    pub(crate) async fn handle_batch(self, deliveries: Arc<[Delivery]>, halted: impl Future<Output = ()>) {
        let (began, started) = (self.jobs.clock().millis(), Instant::now());
        let write_down = |delivery: &Delivery, outcome: &Outcome| {
            let finish = self.end(delivery, outcome, began, started.elapsed());
            let _ = self.pump.send(Msg::Finished(finish));
        };
        let outcomes = tokio::select! {
            biased;
            outcomes = self.run_batch(&deliveries, write_down) => outcomes,
            () = halted => {
                deliveries.iter().for_each(|delivery| delivery.control.stop(Stopping::Shutdown));
                vec![Some(Err(Attempt::put_back())); deliveries.len()]
            }
        };
        for (delivery, outcome) in deliveries.iter().zip(outcomes) {
            if let Some(outcome) = outcome {
                write_down(delivery, &outcome);
            }
        }
    }

    /// Runs the attempts of a batch to their ends. Jobs that end before the others are given to `early`, and have no
    /// outcome then.
    pub(crate) async fn run_batch(
        &self,
        deliveries: &[Delivery],
        early: impl Fn(&Delivery, &Outcome),
    ) -> Vec<Option<Outcome>> {
        let Some(first) = deliveries.first() else { return Vec::new() };
        let span = tracing::info_span!(
            "batch",
            name = %first.claimed.name,
            queue = %first.claimed.queue,
            jobs = deliveries.len(),
            worker = %self.worker,
            release = %self.jobs.release(),
        );
        self.attempt_batch(deliveries, early).instrument(span).await
    }

    async fn attempt_batch(
        &self,
        deliveries: &[Delivery],
        early: impl Fn(&Delivery, &Outcome),
    ) -> Vec<Option<Outcome>> {
        let registered =
            deliveries.first().and_then(|first| self.registry.by_name.get(first.claimed.name.as_str()));
        let Some((policy, Some(batches))) = registered.map(|of| (&of.policy, &of.batches)) else {
            let unknown = Retry::never("no job type is handled in batches under this name here");
            return some(all(unknown, deliveries.len()));
        };
        let members: Vec<Context> = deliveries.iter().map(|delivery| self.context(delivery)).collect();
        let job = members.first().map(|first| RunningJob::new(first, members.len()));
        let mut running = (batches.start)(members);
        if let Some(job) = job {
            running = Box::pin(job.scope(running));
        }
        let mut task = Guarded::spawn(policy, running);
        let mut outcomes = supervise(&mut task.0, policy, deliveries, early).await;
        if !policy.blocking {
            task.end().await;
        }
        for outcome in outcomes.iter_mut().flatten() {
            if let Ok(output) = outcome
                && let Err(failure) = self.fits(output)
            {
                *outcome = Err(failure.into());
            }
        }
        outcomes
    }
}

fn some(outcomes: Outcomes) -> Vec<Option<Outcome>> {
    outcomes.into_iter().map(Some).collect()
}

/// Waits for the outcomes. A job that is lost, or that was cancelled and whose grace is over, ends at once; the others
/// go on, and what the handler says about that one does not count.
async fn supervise(
    task: &mut JoinHandle<Outcomes>,
    policy: &Policy,
    deliveries: &[Delivery],
    early: impl Fn(&Delivery, &Outcome),
) -> Vec<Option<Outcome>> {
    let mut soft = std::pin::pin!(after(policy.soft_timeout));
    let mut hard = std::pin::pin!(after(policy.timeout));
    let mut soft_is_over = policy.soft_timeout.is_none();
    let mut over: FuturesUnordered<_> = deliveries
        .iter()
        .enumerate()
        .map(|(number, delivery)| {
            let stop = delivery.control.subscribe();
            async move { (number, given_up(stop, policy.cancel_grace).await) }
        })
        .collect();
    let mut goes_on = vec![true; deliveries.len()];
    let outcomes = loop {
        tokio::select! {
            biased;
            ended = &mut *task => break ended.unwrap_or_else(|error| all(broken_off(error), deliveries.len())),
            () = &mut hard => break all(too_long(policy), deliveries.len()),
            () = &mut soft, if !soft_is_over => {
                soft_is_over = true;
                deliveries.iter().for_each(|delivery| delivery.control.stop(Stopping::TimeLimit));
            }
            Some((number, failure)) = over.next() => {
                goes_on[number] = false;
                early(&deliveries[number], &Err(failure.into()));
                if !goes_on.contains(&true) {
                    break Vec::new();
                }
            }
        }
    };
    let mut outcomes = outcomes.into_iter().map(Some);
    goes_on.into_iter().map(|goes_on| outcomes.next().flatten().filter(|_| goes_on)).collect()
}

/// Waits until nothing that is done for this job counts any more.
async fn given_up(mut stop: watch::Receiver<Option<Stopping>>, grace: Duration) -> Failure {
    let is_grave = |reason: &Option<Stopping>| {
        reason.is_some_and(|reason| matches!(reason, Stopping::Cancelled | Stopping::LeaseLost))
    };
    let reason = stop.wait_for(is_grave).await.map(|reason| *reason);
    match reason {
        Ok(Some(Stopping::Cancelled)) => tokio::select! {
            () = sleep(grace) => cancelled(),
            Ok(_) = stop.wait_for(|reason| *reason == Some(Stopping::LeaseLost)) => lost(),
        },
        Ok(_) => lost(),
        Err(_) => std::future::pending().await,
    }
}
