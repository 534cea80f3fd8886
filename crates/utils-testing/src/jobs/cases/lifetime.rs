use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use apalis::prelude::{BoxDynError, TaskSink, WorkerBuilder, WorkerContext};
use utils_jobs::{Clock, Job, Jobs, JobsError, State, Worker, WorkerLost};

use super::{JobBackend, MINUTE, SOON, lively, quick, settled, status, timeless, worker};
use crate::jobs::sample::{Log, Long, Mail, Say, Sleeps, say};

/// The worker's heart beats in real time, so moving the clock past the lease is what a stall looks like to others.
pub async fn a_job_of_a_stalled_worker_runs_again_and_the_first_run_does_not_count(backend: impl JobBackend) {
    let (jobs, first, second) = (timeless(&backend), Log::default(), Log::default());
    let stalled = worker(&jobs, &first).start().unwrap();
    let id = jobs.enqueue(Sleeps { listens: true }).await.unwrap();
    first.until(1).await;
    settled(&jobs, &id).await;
    jobs.clock().advance(MINUTE);
    let taker = worker(&jobs, &second).start().unwrap();
    second.until(1).await;
    assert_eq!(status(&jobs, &id).await.attempts, 2);
    assert_eq!(status(&jobs, &id).await.worker.as_deref(), Some(taker.name()));
    // The stalled worker comes back: it is told, and what it does does not count.
    jobs.advance(Duration::ZERO);
    tokio::time::timeout(SOON, stalled.stop()).await.unwrap().unwrap();
    let still = status(&jobs, &id).await;
    assert_eq!((still.state, still.attempts), (State::Running, 2));
    assert_eq!(still.worker.as_deref(), Some(taker.name()));
    jobs.cancel(&id).await.unwrap();
    assert_eq!(jobs.wait_status(&id, SOON).await.unwrap().state, State::Cancelled);
    taker.stop().await.unwrap();
}

pub async fn a_job_that_kills_its_workers_is_dead_in_the_end(backend: impl JobBackend) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let jobs = backend.open(Jobs::builder().clock(Clock::manual()).on_failure(move |failed| {
        let whose = (failed.id.to_string(), failed.name.to_owned());
        telling.lock().unwrap().push((
            whose,
            failed.attempt,
            failed.is_dead,
            failed.error.is::<WorkerLost>(),
        ));
    }));
    let id = jobs.enqueue_unique("deadly", Sleeps { listens: false }).await.unwrap().id;
    let mut killed = Vec::new();
    for attempt in 1..=3 {
        let log = Log::default();
        killed.push(worker(&jobs, &log).start().unwrap());
        log.until(1).await;
        settled(&jobs, &id).await;
        assert_eq!(status(&jobs, &id).await.attempts, attempt);
        jobs.clock().advance(MINUTE);
    }
    let log = Log::default();
    assert_eq!(worker(&jobs, &log).run_due().await.unwrap().total(), 0);
    let dead = status(&jobs, &id).await;
    assert_eq!((dead.state, dead.attempts), (State::Dead, 3));
    assert_eq!(dead.error.as_deref(), Some("the worker died or stalled: its lease ran out"));
    let whose = (id.to_string(), Sleeps::NAME.to_owned());
    assert_eq!(*told.lock().unwrap(), [(whose, 3, true, true)], "those who are told of failures");
    let next = jobs.enqueue_unique("deadly", Sleeps { listens: false }).await.unwrap();
    assert!(next.is_new, "its key is free");
    assert!(matches!(jobs.requeue(&id).await, Err(JobsError::KeyTaken { .. })), "its key is known");
}

pub async fn a_stopped_worker_ends_what_runs_and_gives_the_rest_back(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let ids = jobs.enqueue_many((0..20).map(|_| crate::jobs::sample::TwoAtATime)).await.unwrap();
    let running = Worker::new(&jobs)
        .handle::<crate::jobs::sample::TwoAtATime>()
        .data(log.clone())
        .concurrency(1)
        .prefetch(10)
        .start()
        .unwrap();
    log.until(1).await;
    running.stop().await.unwrap();
    let mut done = 0;
    for id in &ids {
        let end = status(&jobs, id).await;
        match end.state {
            State::Done => done += 1,
            state => assert_eq!((state, end.attempts), (State::Waiting, 0)),
        }
    }
    assert_eq!((log.count("in"), log.count("out")), (done, done));
    assert!(done < 20);
}

pub async fn a_job_that_does_not_end_in_time_is_put_back(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let id = jobs.enqueue(Sleeps { listens: false }).await.unwrap();
    let running = worker(&jobs, &log).shutdown_within(Duration::from_millis(50)).start().unwrap();
    log.until(1).await;
    let started = Instant::now();
    running.stop().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5));
    let back = status(&jobs, &id).await;
    assert_eq!((back.state, back.attempts), (State::Waiting, 0), "the attempt does not count");
}

pub async fn a_running_job_is_told_when_the_time_to_shut_down_is_nearly_over(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let id = jobs.enqueue(Sleeps { listens: true }).await.unwrap();
    let running = worker(&jobs, &log).shutdown_within(Duration::from_millis(2_000)).start().unwrap();
    log.until(1).await;
    running.stop().await.unwrap();
    assert_eq!(log.lines(), ["started", "Shutdown"]);
    let back = status(&jobs, &id).await;
    assert_eq!((back.state, back.attempts), (State::Waiting, 0), "the attempt does not count");
}

pub async fn a_worker_can_be_stopped_at_once(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let id = jobs.enqueue(say("perhaps")).await.unwrap();
    for _ in 0..5 {
        tokio::time::timeout(SOON, worker(&jobs, &log).start().unwrap().stop()).await.unwrap().unwrap();
    }
    assert!(matches!(status(&jobs, &id).await.state, State::Waiting | State::Done));
}

pub async fn a_dropped_worker_gives_its_jobs_back(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let id = jobs.enqueue(Sleeps { listens: false }).await.unwrap();
    let running = worker(&jobs, &log).start().unwrap();
    log.until(1).await;
    drop(running);
    while status(&jobs, &id).await.state == State::Running {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let back = status(&jobs, &id).await;
    assert_eq!((back.state, back.attempts), (State::Waiting, 1));
}

pub async fn stopping_with_a_hundred_jobs_in_flight_does_not_hang(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let ids = jobs.enqueue_many((0..100).map(|_| Sleeps { listens: false })).await.unwrap();
    let running =
        worker(&jobs, &log).concurrency(100).shutdown_within(Duration::from_millis(100)).start().unwrap();
    log.until(100).await;
    tokio::time::timeout(SOON, running.stop()).await.unwrap().unwrap();
    for id in &ids {
        assert_eq!(status(&jobs, id).await.state, State::Waiting);
    }
}

pub async fn two_workers_run_each_job_once(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let texts: Vec<String> = (0..300).map(|n| format!("{n:03}")).collect();
    let workers: Vec<_> =
        (0..2).map(|_| worker(&jobs, &log).concurrency(8).prefetch(8).start().unwrap()).collect();
    jobs.enqueue_many(texts.iter().map(say)).await.unwrap();
    log.until(300).await;
    for worker in workers {
        worker.stop().await.unwrap();
    }
    let mut lines = log.lines();
    lines.sort();
    assert_eq!(lines, texts);
    assert_eq!(jobs.counts().await.unwrap()["default"]["done"], 300);
}

pub async fn jobs_that_outlast_their_lease_run_once_prefetched_ones_too(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let ids = jobs.enqueue_many((0..6).map(|_| Long { millis: 500 })).await.unwrap();
    let workers: Vec<_> =
        (0..2).map(|_| worker(&jobs, &log).concurrency(1).prefetch(5).start().unwrap()).collect();
    log.until(12).await;
    for worker in workers {
        worker.stop().await.unwrap();
    }
    assert_eq!((log.count("in"), log.count("out")), (6, 6));
    for id in &ids {
        let end = status(&jobs, id).await;
        assert_eq!((end.state, end.attempts), (State::Done, 1));
    }
}

pub async fn a_draining_worker_keeps_its_job_from_others(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let draining = worker(&jobs, &log).start().unwrap();
    let id = jobs.enqueue(Long { millis: 2_000 }).await.unwrap();
    log.until(1).await;
    let other = worker(&jobs, &log).start().unwrap();
    draining.stop().await.unwrap();
    let end = status(&jobs, &id).await;
    assert_eq!((end.state, end.attempts), (State::Done, 1));
    other.stop().await.unwrap();
    assert_eq!(log.lines(), ["in", "out"]);
}

pub async fn apalis_own_workers_run_on_the_storage(backend: impl JobBackend) {
    let jobs = lively(&backend);
    let mut storage = jobs.storage::<Say>();
    storage.push_bulk(["a", "b", "c"].map(say).to_vec()).await.unwrap();
    let log = Log::default();
    let heard = log.clone();
    WorkerBuilder::new("a name used twice")
        .backend(storage.clone())
        .build(move |job: Say, worker: WorkerContext| {
            let heard = heard.clone();
            async move {
                heard.add(job.0);
                if heard.len() == 3 {
                    worker.stop()?;
                }
                Ok::<_, BoxDynError>("heard")
            }
        })
        .run()
        .await
        .unwrap();
    let mut lines = log.lines();
    lines.sort();
    assert_eq!(lines, ["a", "b", "c"]);
    let counts = jobs.counts().await.unwrap();
    assert_eq!(counts["default"].get("done"), Some(&3), "{counts:?}");
}

pub async fn apalis_layers_and_errors_end_attempts(backend: impl JobBackend) {
    use apalis::{
        layers::WorkerBuilderExt,
        prelude::{AbortError, RetryAfterError},
    };

    let jobs = timeless(&backend);
    let ways = ["slow", "panic", "abort", "later", "fail", "good"];
    let ids = jobs.enqueue_many(ways.map(say)).await.unwrap();
    let handle = |job: Say| async move {
        match job.0.as_str() {
            "slow" => std::future::pending().await,
            "panic" => panic!("a handler's own"),
            "abort" => Err(AbortError::new("no use").into()),
            "later" => Err(RetryAfterError::new("not yet", Duration::from_secs(3_600)).into()),
            "fail" => Err("it rains".into()),
            _ => Ok::<_, BoxDynError>(job.0),
        }
    };
    let ends = jobs.clone();
    let waited = ids.clone();
    WorkerBuilder::new("layers")
        .backend(jobs.storage::<Say>())
        .timeout(Duration::from_millis(100))
        .catch_panic()
        .build(handle)
        .run_until(async move {
            for id in &waited {
                while matches!(status(&ends, id).await.state, State::Waiting | State::Running) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            Ok::<_, std::io::Error>(())
        })
        .await
        .unwrap();
    let mut states = Vec::new();
    for (way, id) in ways.iter().zip(&ids) {
        let end = status(&jobs, id).await;
        assert_eq!((end.attempts, end.worker), (1, None), "{way}");
        assert_eq!(end.error.is_none(), *way == "good", "{way}");
        states.push(end.state);
    }
    let again = State::Scheduled;
    assert_eq!(states, [again, State::Dead, State::Dead, again, again, State::Done]);
    let later = status(&jobs, &ids[3]).await;
    assert_eq!((later.run_at - later.created_at).num_seconds(), 3_600);
}

pub async fn apalis_monitor_runs_a_worker_with_a_rate_and_its_spans(backend: impl JobBackend) {
    use apalis::{layers::WorkerBuilderExt, prelude::Monitor};

    let jobs = lively(&backend);
    let log = Log::default();
    let ids = jobs.enqueue_many(["a", "b", "c", "d", "fails"].map(say)).await.unwrap();
    let (storage, heard) = (jobs.storage::<Say>(), log.clone());
    let monitor = Monitor::new().register(move |_| {
        let heard = heard.clone();
        WorkerBuilder::new("watched")
            .backend(storage.clone())
            .rate_limit(2, Duration::from_millis(150))
            .enable_tracing()
            .build(move |job: Say| {
                let heard = heard.clone();
                async move {
                    heard.add(job.0.clone());
                    if job.0 == "fails" { Err("it rains".into()) } else { Ok::<_, BoxDynError>(job.0) }
                }
            })
    });
    let started = Instant::now();
    let (ends, waited) = (jobs.clone(), ids.clone());
    let stop = async move {
        for id in &waited {
            while matches!(status(&ends, id).await.state, State::Waiting | State::Running) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Ok(())
    };
    monitor.run_with_signal(stop).await.unwrap();
    // Two at once, two in the next 150 ms, and the last one in those after them.
    assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
    assert_eq!(log.len(), 5, "{:?}", log.lines());
    for id in &ids[..4] {
        assert_eq!(status(&jobs, id).await.state, State::Done);
    }
    let failed = status(&jobs, &ids[4]).await;
    assert_eq!((failed.state, failed.attempts), (State::Scheduled, 1));
    assert!(failed.error.is_some_and(|error| error.contains("it rains")));
}

pub async fn the_context_knows_the_release_the_worker_and_the_data(backend: impl JobBackend) {
    use serde::{Deserialize, Serialize};
    use utils_jobs::{Context, Failure, Job};

    #[derive(Serialize, Deserialize)]
    struct WhoAmI;
    impl Job for WhoAmI {
        const NAME: &'static str = "contract.who";
        type Output = (String, u32, u32, String);
        async fn run(self, ctx: Context) -> Result<Self::Output, Failure> {
            assert!(ctx.worker().starts_with("run_due") && ctx.queue() == "default");
            ctx.jobs().enqueue(Mail("from a job".to_owned())).await?;
            Ok((ctx.release().to_owned(), ctx.attempt(), ctx.max_attempts(), ctx.meta()["user"].clone()))
        }
    }

    let jobs = backend.open(quick().release("1.2.3"));
    let log = Log::default();
    let id = jobs.enqueue(WhoAmI.with().meta("user", "ann").attempts(5)).await.unwrap();
    let mut worker = worker(&jobs, &log).handle::<WhoAmI>();
    assert_eq!(worker.run_due().await.unwrap().succeeded, 2);
    assert_eq!(jobs.wait(&id, SOON).await.unwrap(), ("1.2.3".to_owned(), 1, 5, "ann".to_owned()));
    assert_eq!(log.lines(), ["from a job from mail"]);
    let dataless = jobs.enqueue(say("no data")).await.unwrap();
    Worker::new(&jobs).handle::<Say>().run_due().await.unwrap();
    let dead = status(&jobs, &dataless).await;
    assert!(dead.error.as_deref().unwrap().starts_with("the worker has no data of type"), "{dead:?}");
    let live = Worker::new(&jobs).handle::<Say>().start().unwrap();
    assert!(live.name().contains("1.2.3"), "{}", live.name());
    live.stop().await.unwrap();
}
