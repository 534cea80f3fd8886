use std::time::Duration;

use utils_jobs::{Jobs, Worker, WorkerHandle};

use super::{JobBackend, MINUTE, timeless};
use crate::jobs::sample::{Log, Say, say};

fn hourly(jobs: &Jobs, log: &Log) -> WorkerHandle {
    Worker::new(jobs).handle::<Say>().data(log.clone()).every("0 * * * *", say("tick")).start().unwrap()
}

/// Long enough for a second, wrong tick to be seen.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(150)).await;
}

pub async fn a_scheduled_tick_is_enqueued_once_by_two_workers(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let workers = [hourly(&jobs, &log), hourly(&jobs, &log)];
    settle().await;
    assert_eq!(log.len(), 0, "the first tick is still to come");
    for hour in 1..=3 {
        jobs.advance(60 * MINUTE);
        log.until(hour).await;
        settle().await;
        assert_eq!(log.len(), hour);
    }
    for worker in workers {
        worker.stop().await.unwrap();
    }
}

pub async fn a_missed_tick_is_made_up_for_once(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let first = hourly(&jobs, &log);
    settle().await;
    first.stop().await.unwrap();
    jobs.advance(5 * 60 * MINUTE + MINUTE);
    let second = hourly(&jobs, &log);
    log.until(1).await;
    settle().await;
    assert_eq!(log.len(), 1, "one for five missed");
    second.stop().await.unwrap();
    let third = hourly(&jobs, &log);
    settle().await;
    assert_eq!(log.len(), 1, "a restart makes up for nothing");
    third.stop().await.unwrap();
}
