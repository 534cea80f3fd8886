use std::time::{Duration, Instant};

use utils_jobs::{State, Worker};

use super::{JobBackend, lively, status, worker};
use crate::jobs::sample::{Blocks, Log, Mail, Say, Seldom, TwoAtATime, say};

pub async fn a_type_has_a_concurrency_of_its_own(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    jobs.enqueue_many((0..10).map(|_| TwoAtATime)).await.unwrap();
    jobs.enqueue_many((0..10).map(|n| say(n.to_string()))).await.unwrap();
    let running = worker(&jobs, &log).concurrency(10).start().unwrap();
    log.until(30).await;
    running.stop().await.unwrap();
    let mut inside = 0_i32;
    let mut most = 0;
    for line in log.lines() {
        inside += match line.as_str() {
            "in" => 1,
            "out" => -1,
            _ => 0,
        };
        most = most.max(inside);
    }
    assert_eq!(most, 2);
}

pub async fn a_type_has_a_rate_of_its_own(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    jobs.enqueue_many((0..12).map(|_| Seldom)).await.unwrap();
    jobs.enqueue_many((0..12).map(|_| say("often"))).await.unwrap();
    let running = worker(&jobs, &log).concurrency(4).start().unwrap();
    log.until(17).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    running.stop().await.unwrap();
    assert_eq!((log.count("seldom"), log.count("often")), (5, 12));
}

pub async fn a_worker_takes_jobs_from_its_queues_only(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let talk = jobs.enqueue(say("talk")).await.unwrap();
    jobs.enqueue(Mail("a".to_owned())).await.unwrap();
    let running = Worker::new(&jobs)
        .handle::<Mail>()
        .handle::<Say>()
        .queues(["mail"])
        .data(log.clone())
        .start()
        .unwrap();
    jobs.enqueue(Mail("b".to_owned())).await.unwrap();
    log.until(2).await;
    running.stop().await.unwrap();
    assert_eq!(log.lines(), ["a from mail", "b from mail"]);
    assert_eq!(status(&jobs, &talk).await.state, State::Waiting);
}

pub async fn a_blocking_job_does_not_stall_the_others(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let running = worker(&jobs, &log).concurrency(4).start().unwrap();
    let started = Instant::now();
    jobs.enqueue(Blocks).await.unwrap();
    jobs.enqueue_many((0..5).map(|n| say(n.to_string()))).await.unwrap();
    log.until(6).await;
    assert_eq!(log.lines().last().unwrap(), "unblocked");
    assert!(started.elapsed() < Duration::from_secs(5));
    running.stop().await.unwrap();
}
