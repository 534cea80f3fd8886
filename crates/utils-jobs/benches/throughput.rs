//! How fast jobs go in and out: `cargo bench -p utils-jobs --features sqlite,postgres`.
//!
//! Arguments: `-- [sqlite|postgres|mysql|memory] [jobs] [history=10000000]`; with a history, a table with so many ended jobs, a
//! tenth of that waiting behind ours and another tenth delayed, takes turns with one that has none. PostgreSQL and MySQL are measured where `TEST_POSTGRES_URL` or
//! `TEST_MYSQL_URL` is set, in a schema or database of their own. The jobs do nothing, so what is measured is ours.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a program for the terminal")]
#![cfg_attr(
    not(any(feature = "sqlite", feature = "postgres", feature = "mysql")),
    allow(dead_code, unused_variables, reason = "only a database can have a history")
)]
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
use utils_jobs::{Answers, Batch, BatchJob, JobConn};
use utils_jobs::{Context, Failure, Job, Jobs, Worker};

/// Does nothing but count, and note when it started.
#[derive(Serialize, Deserialize)]
struct Nothing(u64);

#[derive(Clone, Default)]
struct Seen {
    count: Arc<AtomicUsize>,
    delays: Arc<Mutex<Vec<Duration>>>,
}

impl Job for Nothing {
    const NAME: &'static str = "bench.nothing";
    type Output = ();

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        let seen = ctx.data::<Seen>()?;
        if self.0 > 0 {
            let delay = micros().saturating_sub(self.0);
            seen.delays.lock().unwrap().push(Duration::from_micros(delay));
        }
        seen.count.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Inserts a row, in the transaction of its own end.
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
#[derive(Serialize, Deserialize)]
struct Insert(u64);

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
impl Job for Insert {
    const NAME: &'static str = "bench.insert";
    type Output = ();

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        self.run_alone(ctx).await
    }
}

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
impl BatchJob for Insert {
    async fn run_batch(batch: Batch<Self>) -> Result<Answers<()>, Failure> {
        #[cfg(feature = "sqlite")]
        if batch.sessions::<diesel::SqliteConnection>().is_ok() {
            return insert::<diesel::SqliteConnection>(batch).await;
        }
        #[cfg(feature = "postgres")]
        if batch.sessions::<diesel::PgConnection>().is_ok() {
            return insert::<diesel::PgConnection>(batch).await;
        }
        #[cfg(feature = "mysql")]
        if batch.sessions::<diesel::MysqlConnection>().is_ok() {
            return insert::<diesel::MysqlConnection>(batch).await;
        }
        Err(Failure::new("no database"))
    }
}

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
async fn insert<C: JobConn + diesel::connection::SimpleConnection>(
    batch: Batch<Insert>,
) -> Result<Answers<()>, Failure> {
    let (sessions, seen, rows) = (batch.sessions::<C>()?, batch.data::<Seen>()?.clone(), batch.len());
    let done = sessions.tx(move |conn| {
        let rows: Vec<String> = batch.iter().map(|(Insert(number), _)| format!("({number})")).collect();
        conn.batch_execute(&format!("INSERT INTO bench_rows VALUES {}", rows.join(", ")))?;
        let done = Answers::all(());
        batch.finish_in(conn, &done)?;
        diesel::QueryResult::Ok(done)
    });
    let done = done.await?;
    seen.count.fetch_add(rows, Ordering::SeqCst);
    Ok(done)
}

/// A thousand rows, each with a job of its own: handled one by one, and a hundred in a call. Five times in turn.
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
async fn together<C: JobConn + diesel::connection::SimpleConnection>(database: &str, jobs: &Jobs) {
    const JOBS: usize = 1_000;
    let create = "CREATE TABLE bench_rows (number BIGINT NOT NULL)";
    jobs.sessions::<C>().unwrap().with(|conn| conn.batch_execute(create)).unwrap();
    let mut ratios = Vec::new();
    for _ in 0..5 {
        let mut times = [Duration::ZERO; 2];
        for (batches, time) in times.iter_mut().enumerate() {
            jobs.enqueue_many((0..JOBS as u64).map(Insert)).await.unwrap();
            let (started, seen) = (Instant::now(), Seen::default());
            let worker = Worker::new(jobs).concurrency(8).data(seen.clone());
            let worker = match batches {
                0 => worker.handle::<Insert>().start(),
                _ => worker.handle_batches::<Insert>(100, Duration::from_millis(100)).start(),
            }
            .unwrap();
            while seen.count.load(Ordering::SeqCst) < JOBS {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            *time = started.elapsed();
            worker.stop().await.unwrap();
            let what = ["insert 1,000 rows, one a job", "insert 1,000 rows, batches of 100"][batches];
            report(database, what, JOBS, *time);
        }
        ratios.push(times[0].as_secs_f64() / times[1].as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "{database:9} {:38} {:.1} (median of {:.1}-{:.1})",
        "batches are faster by", ratios[2], ratios[0], ratios[4]
    );
}

fn micros() -> u64 {
    u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap()
}

fn report(database: &str, what: &str, jobs: usize, time: Duration) {
    println!("{database:9} {what:38} {:>9.0} jobs/s", jobs as f64 / time.as_secs_f64());
}

/// Rows for a table that has been used for long; `series` gives the numbers as `n`.
fn history(ended: usize, series: impl Fn(usize) -> String) -> Vec<String> {
    let columns = "id, name, queue, args, state, priority, attempts, max_attempts, run_at, created_at, finished_at, meta";
    let rows = |prefix: &str, state: u8, run_at: &str, finished_at: &str, amount: usize| {
        format!(
            "INSERT INTO utils_jobs ({columns}) SELECT {prefix}, 'bench.nothing', 'default', '0', {state}, -1, 0, 8, \
             {run_at}, 1, {finished_at}, '{{}}' {}",
            series(amount)
        )
    };
    vec![
        rows("CONCAT('d', n)", 2, "n", "n", ended),
        rows("CONCAT('w', n)", 0, "n", "NULL", ended / 10),
        rows("CONCAT('s', n)", 5, "99999999999999", "NULL", ended / 10),
    ]
}

async fn measure(database: &str, jobs: &Jobs, amount: usize) {
    let single = (amount / 10).clamp(100, 2_000);
    let started = Instant::now();
    for _ in 0..single {
        jobs.enqueue(Nothing(0)).await.unwrap();
    }
    report(database, "enqueue one by one", single, started.elapsed());
    let started = Instant::now();
    for _ in 0..amount / 100 {
        jobs.enqueue_many((0..100).map(|_| Nothing(0))).await.unwrap();
    }
    report(database, "enqueue in batches of 100", amount / 100 * 100, started.elapsed());
    let mut waiting = single + amount / 100 * 100;
    for (concurrency, prefetch) in [(8, 0), (16, 100)] {
        if waiting == 0 {
            jobs.enqueue_many((0..amount).map(|_| Nothing(0))).await.unwrap();
            waiting = amount;
        }
        let seen = Seen::default();
        let started = Instant::now();
        let worker = start(jobs, &seen, concurrency, prefetch);
        while seen.count.load(Ordering::SeqCst) < waiting {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let what = format!("drain, concurrency {concurrency}, prefetch {prefetch}");
        report(database, &what, waiting, started.elapsed());
        worker.stop().await.unwrap();
        waiting = 0;
    }
    if jobs.counts().await.unwrap().values().all(|states| !states.contains_key("waiting")) {
        latency(database, jobs).await; // else the worker is never idle
    }
}

/// From enqueueing to the start of the job, when the worker is idle.
async fn latency(database: &str, jobs: &Jobs) {
    const JOBS: usize = 300;
    let seen = Seen::default();
    let worker = start(jobs, &seen, 8, 0);
    tokio::time::sleep(Duration::from_millis(200)).await;
    for number in 0..JOBS {
        jobs.enqueue(Nothing(micros())).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5 + (number as u64 * 37) % 20)).await;
    }
    while seen.count.load(Ordering::SeqCst) < JOBS {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    worker.stop().await.unwrap();
    let mut delays = seen.delays.lock().unwrap().clone();
    delays.sort();
    println!(
        "{database:9} {:38} p50 {:.2?}, p99 {:.2?}",
        "enqueue to start, idle worker",
        delays[JOBS / 2],
        delays[JOBS * 99 / 100]
    );
}

fn start(jobs: &Jobs, seen: &Seen, concurrency: usize, prefetch: usize) -> utils_jobs::WorkerHandle {
    Worker::new(jobs)
        .handle::<Nothing>()
        .data(seen.clone())
        .concurrency(concurrency)
        .prefetch(prefetch)
        .start()
        .unwrap()
}

/// Two tables by turns, one of them with a history: how many times as many jobs a second the other one drains.
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
async fn beside_history(database: &str, few: &Jobs, many: &Jobs, amount: usize) {
    const ROUNDS: usize = 11;
    for (concurrency, prefetch) in [(8, 0), (16, 100)] {
        let mut ratios = Vec::new();
        for round in 0..ROUNDS {
            let mut times = [Duration::ZERO; 2];
            let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            for at in order {
                let jobs = [few, many][at];
                for _ in 0..amount / 500 {
                    jobs.enqueue_many((0..500).map(|_| Nothing(0))).await.unwrap();
                }
                let seen = Seen::default();
                let worker = start(jobs, &seen, concurrency, prefetch);
                while seen.count.load(Ordering::SeqCst) == 0 {
                    tokio::time::sleep(Duration::from_micros(200)).await;
                }
                let started = Instant::now(); // its start does not count
                while seen.count.load(Ordering::SeqCst) < amount / 500 * 500 {
                    tokio::time::sleep(Duration::from_micros(200)).await;
                }
                times[at] = started.elapsed();
                worker.stop().await.unwrap();
            }
            ratios.push(times[0].as_secs_f64() / times[1].as_secs_f64());
        }
        ratios.sort_by(f64::total_cmp);
        println!(
            "{database:9} {:38} {:.2} (median of {:.2}-{:.2})",
            format!("history, concurrency {concurrency}, prefetch {prefetch}"),
            ratios[ROUNDS / 2],
            ratios[0],
            ratios[ROUNDS - 1]
        );
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|each| !each.starts_with('-')).collect();
    let wanted = |name: &str| {
        let named = arguments.iter().any(|each| each.parse::<usize>().is_err() && !each.contains('='));
        !named || arguments.iter().any(|each| each == name)
    };
    let amount = arguments.iter().find_map(|each| each.parse().ok()).unwrap_or(20_000);
    let ended = arguments.iter().find_map(|each| each.strip_prefix("history=")?.parse().ok()).unwrap_or(0);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if wanted("memory") {
        // every look at it goes through all jobs
        runtime.block_on(measure("memory", &Jobs::open("memory:").unwrap(), amount.min(2_000)));
    }
    #[cfg(feature = "sqlite")]
    if wanted("sqlite") {
        use diesel::connection::SimpleConnection;
        let directory = tempfile::tempdir().unwrap();
        let open = |name: &str| {
            let jobs = Jobs::open(&format!("sqlite:{}", directory.path().join(name).display())).unwrap();
            jobs.migrate().unwrap();
            jobs
        };
        let jobs = open("bench.db");
        if ended > 0 {
            let many = open("history.db");
            let series = |to| {
                format!(
                    "FROM (WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {to}) SELECT n FROM s) AS t"
                )
            };
            let fill = history(ended, series).join(";").replace("CONCAT('", "('").replace("', n)", "' || n)");
            let sessions = many.sessions::<diesel::SqliteConnection>().unwrap();
            sessions.with(|conn| conn.batch_execute(&fill)).unwrap();
            runtime.block_on(beside_history("sqlite", &jobs, &many, amount));
        } else {
            runtime.block_on(measure("sqlite", &jobs, amount));
            runtime.block_on(together::<diesel::SqliteConnection>("sqlite", &jobs));
        }
    }
    #[cfg(feature = "postgres")]
    if wanted("postgres")
        && let Ok(server) = std::env::var("TEST_POSTGRES_URL")
    {
        use diesel::{Connection, PgConnection, connection::SimpleConnection};
        let mut admin = PgConnection::establish(&server).unwrap();
        let schemas = ["bench", "history"].map(|name| format!("{name}_{}", std::process::id()));
        let sign = if server.contains('?') { '&' } else { '?' };
        let [jobs, many] = schemas.each_ref().map(|schema| {
            admin.batch_execute(&format!("CREATE SCHEMA {schema}")).unwrap();
            let jobs = Jobs::open(&format!("{server}{sign}options=-csearch_path%3D{schema}")).unwrap();
            jobs.migrate().unwrap();
            jobs
        });
        if ended > 0 {
            let fill = history(ended, |to| format!("FROM generate_series(1, {to}) AS t(n)")).join(";");
            let sessions = many.sessions::<PgConnection>().unwrap();
            sessions.with(|conn| conn.batch_execute(&fill)).unwrap();
            sessions.with(|conn| conn.batch_execute("VACUUM ANALYZE utils_jobs")).unwrap();
            runtime.block_on(beside_history("postgres", &jobs, &many, amount));
        } else {
            runtime.block_on(measure("postgres", &jobs, amount));
            runtime.block_on(together::<PgConnection>("postgres", &jobs));
        }
        for schema in schemas {
            let drop = format!("SET client_min_messages = warning; DROP SCHEMA {schema} CASCADE");
            admin.batch_execute(&drop).unwrap();
        }
    }
    #[cfg(feature = "mysql")]
    if wanted("mysql")
        && let Ok(server) = std::env::var("TEST_MYSQL_URL")
    {
        use diesel::{Connection, MysqlConnection, connection::SimpleConnection};
        let mut admin = MysqlConnection::establish(&server).unwrap();
        let databases = ["bench", "history"].map(|name| format!("{name}_{}", std::process::id()));
        let (front, _) = server.rsplit_once('/').unwrap();
        let [jobs, many] = databases.each_ref().map(|database| {
            admin.batch_execute(&format!("CREATE DATABASE {database}")).unwrap();
            let jobs = Jobs::open(&format!("{front}/{database}")).unwrap();
            jobs.migrate().unwrap();
            jobs
        });
        if ended > 0 {
            // MariaDB's own table of numbers
            let fill =
                history(ended, |to| format!("FROM (SELECT seq AS n FROM seq_1_to_{to}) AS t")).join(";");
            let sessions = many.sessions::<MysqlConnection>().unwrap();
            sessions.with(|conn| conn.batch_execute(&fill)).unwrap();
            runtime.block_on(beside_history("mysql", &jobs, &many, amount));
        } else {
            runtime.block_on(measure("mysql", &jobs, amount));
            runtime.block_on(together::<MysqlConnection>("mysql", &jobs));
        }
        for database in databases {
            admin.batch_execute(&format!("DROP DATABASE {database}")).unwrap();
        }
    }
}
