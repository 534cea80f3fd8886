//! This library's part: one process for each measurement.
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use utils_jobs::{Context, Failure, Job, Jobs, Worker, WorkerHandle};

use crate::Outcome;

/// Does nothing but count; with the time of its enqueueing, in microseconds, it notes how late it started.
#[derive(Serialize, Deserialize)]
struct Nothing(u64);

#[derive(Clone, Default)]
struct Seen {
    count: Arc<AtomicUsize>,
    delays: Arc<Mutex<Vec<Duration>>>,
}

impl Job for Nothing {
    const NAME: &'static str = "compare.nothing";
    type Output = ();

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        let seen = ctx.data::<Seen>()?;
        if self.0 > 0 {
            let delay = Duration::from_micros(micros().saturating_sub(self.0));
            seen.delays.lock().unwrap_or_else(PoisonError::into_inner).push(delay);
        }
        seen.count.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

pub(crate) fn run(what: &str, url: &str, jobs: usize, time: Duration) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let here = Jobs::open(url)?;
        here.migrate()?;
        match what {
            "shipped" => throughput(&here, jobs, time, Worker::new(&here)).await,
            "prefetch" => throughput(&here, jobs, time, Worker::new(&here).prefetch(100)).await,
            "latency" => latency(&here, &here).await,
            // what it enqueues is told to nobody but by the database
            "latency-apart" => latency(&Jobs::open(url)?, &here).await,
            _ => Err(format!("not a measurement: {what}").into()),
        }
    })
}

async fn throughput(jobs: &Jobs, most: usize, time: Duration, worker: Worker) -> Outcome<()> {
    let started = Instant::now();
    let mut single = 0;
    while single < most / 10 && started.elapsed() < time {
        jobs.enqueue(Nothing(0)).await?;
        single += 1;
    }
    println!("single {}", single as f64 / started.elapsed().as_secs_f64());

    let started = Instant::now();
    let mut batched = 0;
    while batched < most && started.elapsed() < time {
        batched += jobs.enqueue_many((0..100).map(|_| Nothing(0))).await?.len();
    }
    println!("batch {}", batched as f64 / started.elapsed().as_secs_f64());

    let seen = Seen::default();
    let worker = start(worker, &seen)?;
    let count = || seen.count.load(Ordering::SeqCst);
    while count() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (first, started) = (count(), Instant::now());
    while count() < single + batched && started.elapsed() < time {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!("drain {}", (count() - first) as f64 / started.elapsed().as_secs_f64());
    Ok(worker.stop().await?)
}

/// From enqueueing to the start of the job, when the worker is idle.
async fn latency(enqueuing: &Jobs, working: &Jobs) -> Outcome<()> {
    const JOBS: usize = 200;
    let seen = Seen::default();
    let worker = start(Worker::new(working), &seen)?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    for number in 0..JOBS {
        enqueuing.enqueue(Nothing(micros())).await?;
        tokio::time::sleep(Duration::from_millis(5 + (number as u64 * 37) % 20)).await;
    }
    while seen.count.load(Ordering::SeqCst) < JOBS {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut delays = seen.delays.lock().unwrap_or_else(PoisonError::into_inner).clone();
    delays.sort();
    println!("p50 {}", delays[JOBS / 2].as_secs_f64() * 1e3);
    println!("p99 {}", delays[JOBS * 99 / 100].as_secs_f64() * 1e3);
    Ok(worker.stop().await?)
}

fn start(worker: Worker, seen: &Seen) -> Outcome<WorkerHandle> {
    Ok(worker.handle::<Nothing>().data(seen.clone()).start()?)
}

fn micros() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
