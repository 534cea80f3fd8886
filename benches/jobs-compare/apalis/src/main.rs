//! The part of apalis' own storages: `jobs-compare-apalis KIND URL JOBS MILLIS`, one process for each measurement.
use std::{
    error::Error,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use apalis::prelude::*;
use apalis_postgres::{PgPool, PostgresStorage};
use apalis_redis::RedisStorage;
use apalis_sqlite::{SqliteConnectOptions, SqlitePool, SqliteStorage};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// How often a worker looks for jobs.
const POLL: Duration = Duration::from_millis(100);

/// How long the first job may take to start.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most jobs for Redis: its worker unpacks all that are due onto the stack of a Lua script, which is too small for
/// 8,000, and then it ends.
const REDIS: usize = 5_000;

/// Enqueues and drains on a storage. A macro, as the traits' bounds would take more room than the body.
macro_rules! throughput {
    ($storage:expr, $most:expr, $time:expr) => {{
        let (mut storage, most, time) = ($storage, $most, $time);
        let started = Instant::now();
        let mut single = 0;
        while single < most / 10 && started.elapsed() < time {
            storage.push(0).await?;
            single += 1;
        }
        println!("single {}", single as f64 / started.elapsed().as_secs_f64());

        let started = Instant::now();
        let mut batched = 0;
        while batched < most && started.elapsed() < time {
            storage.push_bulk(vec![0; 100]).await?;
            batched += 100;
        }
        println!("batch {}", batched as f64 / started.elapsed().as_secs_f64());

        let counted = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&counted);
        let job = move |_: u64| {
            counting.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Ok::<(), BoxDynError>(()))
        };
        let worker = WorkerBuilder::new("compare").backend(storage.poll_with_interval(POLL)).build(job);
        tokio::spawn(worker.run());
        let (count, patience) = (|| counted.load(Ordering::SeqCst), Instant::now() + PATIENCE);
        while count() == 0 {
            if Instant::now() > patience {
                return Err("its worker ran nothing".into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (first, started) = (count(), Instant::now());
        while count() < single + batched && started.elapsed() < time {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        println!("drain {}", (count() - first) as f64 / started.elapsed().as_secs_f64());
    }};
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, url, jobs, millis] = &arguments[..] else { return Err("KIND URL JOBS MILLIS".into()) };
    let (jobs, time) = (jobs.parse()?, Duration::from_millis(millis.parse()?));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match kind.as_str() {
            "sqlite" => throughput!(sqlite(url, false).await?, jobs, time),
            "sqlite-tuned" => throughput!(sqlite(url, true).await?, jobs, time),
            "postgres" => throughput!(postgres(url, 10).await?, jobs, time),
            "postgres-tuned" => throughput!(postgres(url, 100).await?, jobs, time),
            "redis" => throughput!(redis(url, 10).await?, jobs.min(REDIS), time),
            "redis-tuned" => throughput!(redis(url, 100).await?, jobs.min(REDIS), time),
            _ => return Err(format!("not a storage: {kind}").into()),
        }
        Outcome::Ok(())
    })?;
    runtime.shutdown_background(); // the worker would go on
    Ok(())
}

async fn sqlite(url: &str, is_tuned: bool) -> Outcome<SqliteStorage<u64>> {
    let mut options = SqliteConnectOptions::from_str(url)?.create_if_missing(true);
    if is_tuned {
        options = options.pragma("synchronous", "NORMAL");
    }
    let pool = SqlitePool::connect_with(options).await?;
    SqliteStorage::setup(&pool).await?;
    let mut config = apalis_sqlite::Config::default().queue("compare");
    if is_tuned {
        // with it, an acknowledgement reads all rows that its worker has ever locked
        sqlx::query("DROP INDEX LIdx").execute(&pool).await?;
        config = config.batch_size(100);
    }
    Ok(SqliteStorage::new(&pool).with_config(config))
}

async fn postgres(url: &str, batch: usize) -> Outcome<PostgresStorage<u64>> {
    let pool = PgPool::connect(url).await?;
    PostgresStorage::setup(&pool).await?;
    let config = apalis_postgres::Config::default().queue("compare").batch_size(batch);
    Ok(PostgresStorage::new(&pool).with_config(config))
}

/// The name of the queue, which all its keys begin with, stands behind the `#`.
async fn redis(url: &str, batch: usize) -> Outcome<RedisStorage<u64>> {
    let (server, queue) = url.split_once('#').ok_or("URL#QUEUE")?;
    let connection = apalis_redis::connect(server).await?;
    let config = apalis_redis::Config::default().queue(queue).batch_size(batch);
    Ok(RedisStorage::new(connection).with_config(config))
}
