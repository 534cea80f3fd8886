//! The cases, each a sentence.
mod batches;
mod control;
mod enqueueing;
mod failing;
mod lifetime;
mod limits;
mod schedules;

use std::time::Duration;

use utils_jobs::{Clock, Job, JobId, JobStatus, Jobs, JobsBuilder, Worker};

pub use self::{batches::*, control::*, enqueueing::*, failing::*, lifetime::*, limits::*, schedules::*};
use super::{
    JobBackend,
    sample::{Blocks, Fails, Log, Long, Mail, Say, Seldom, Sleeps, Soft, TooSlow, TwoAtATime},
};

const MINUTE: Duration = Duration::from_secs(60);
/// Longer than anything takes that is to happen.
const SOON: Duration = Duration::from_secs(20);

/// Jobs by a clock that stands still.
fn timeless(backend: &impl JobBackend) -> Jobs {
    backend.open(Jobs::builder().clock(Clock::manual()))
}

/// Jobs in real time, with a short lease.
fn lively(backend: &impl JobBackend) -> Jobs {
    backend.open(quick())
}

fn quick() -> JobsBuilder {
    Jobs::builder().lease(Duration::from_millis(900)).poll(Duration::from_millis(50))
}

/// A worker that knows all samples, and what they log.
fn worker(jobs: &Jobs, log: &Log) -> Worker {
    Worker::new(jobs)
        .handle::<Say>()
        .handle::<Fails>()
        .handle::<Sleeps>()
        .handle::<TooSlow>()
        .handle::<Soft>()
        .handle::<TwoAtATime>()
        .handle::<Seldom>()
        .handle::<Blocks>()
        .handle::<Mail>()
        .handle::<Long>()
        .data(log.clone())
}

async fn status<J: Job>(jobs: &Jobs, id: &JobId<J>) -> JobStatus {
    jobs.status(id).await.unwrap().unwrap()
}

/// Waits until the job's word about its progress is written down: from then on, its worker writes nothing for a while.
async fn settled<J: Job>(jobs: &Jobs, id: &JobId<J>) {
    while status(jobs, id).await.progress.is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
