//! What only a database shows of chains and groups: transactions, and processes that are killed.
use std::{
    process::Child,
    time::{Duration, Instant},
};

use diesel::connection::SimpleConnection;
use serde::{Deserialize, Serialize};
use utils_jobs::{Context, Failure, Filter, Follow, Job, JobConn, Jobs, JobsError, Policy, Worker};

use super::{
    super::{
        database::{Place, SOON, number, open, quick},
        kill::this_binary,
    },
    Add, Give, worker,
};

macro_rules! database_cases {
    ($place:expr) => {
        mod flow_on_a_database {
            use super::*;

            crate::jobs::flow::on_databases::database_cases!(@all $place;
                a_chain_is_rolled_back_or_committed_with_its_transaction,
                ends_inside_transactions_let_the_next_job_go_once,
                killed_workers_lose_no_step_and_repeat_no_effect,
            );
        }
    };
    (@all $place:expr; $($case:ident,)*) => {
        $(
            #[test]
            fn $case() {
                let place = $place;
                crate::jobs::flow::run(crate::jobs::flow::on_databases::$case(&place));
            }
        )*
    };
}
pub(in super::super) use database_cases;

/// Somebody is about to requeue it: then what waits for it is let go as well.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(in super::super) async fn a_dead_letter_that_stays_takes_nobody_with_it<P: Place>(place: P) {
    let jobs = open(&place, Jobs::builder().clock(utils_jobs::Clock::manual()));
    let flag = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let mut worker = worker(&jobs).data(flag);
    let chain = jobs.chain(Give(super::BROKEN)).then(Add(1)).start().await.unwrap();
    worker.run_due().await.unwrap();
    jobs.advance(Duration::from_secs(60));
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    let lock = format!("BEGIN; SELECT id FROM utils_jobs WHERE id = '{}' FOR UPDATE", chain.all[0]);
    let mut other = sessions.pool().get().unwrap();
    other.batch_execute(&lock).unwrap();
    assert_eq!(jobs.purge(utils_jobs::State::Dead, Duration::ZERO).await.unwrap(), 0);
    assert_eq!(super::state(&jobs, &chain.last).await, utils_jobs::State::Blocked);
    other.batch_execute("ROLLBACK").unwrap();
    assert_eq!(jobs.purge(utils_jobs::State::Dead, Duration::ZERO).await.unwrap(), 1);
    assert_eq!(super::state(&jobs, &chain.last).await, utils_jobs::State::Cancelled);
}

/// Writes a number down in the transaction of its own end, and gives it back.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Write {
    number: i64,
    millis: u64,
}

/// Writes down what a whole group has written, in the transaction of its own end.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Total;

impl Job for Write {
    const NAME: &'static str = "flow.write";
    type Output = i64;

    fn policy() -> Policy {
        Policy::new().attempts(50)
    }

    async fn run(self, ctx: Context) -> Result<i64, Failure> {
        tokio::time::sleep(Duration::from_millis(self.millis)).await;
        write(ctx, self.number).await
    }
}

impl Job for Total {
    const NAME: &'static str = "flow.total";
    type Output = i64;

    fn policy() -> Policy {
        Policy::new().attempts(50)
    }

    async fn run(self, ctx: Context) -> Result<i64, Failure> {
        let total = ctx.input::<Self>()?.into_iter().sum();
        write(ctx, total).await
    }
}

impl Follow for Total {
    type Input = Vec<i64>;
}

async fn write(ctx: Context, number: i64) -> Result<i64, Failure> {
    #[cfg(feature = "sqlite")]
    if ctx.jobs().sessions::<diesel::SqliteConnection>().is_some() {
        return write_on::<diesel::SqliteConnection>(ctx, number).await;
    }
    #[cfg(feature = "postgres")]
    if ctx.jobs().sessions::<diesel::PgConnection>().is_some() {
        return write_on::<diesel::PgConnection>(ctx, number).await;
    }
    #[cfg(feature = "mysql")]
    if ctx.jobs().sessions::<diesel::MysqlConnection>().is_some() {
        return write_on::<diesel::MysqlConnection>(ctx, number).await;
    }
    Err(Failure::new("no database"))
}

async fn write_on<C: JobConn + SimpleConnection>(ctx: Context, number: i64) -> Result<i64, Failure> {
    let written = format!("INSERT INTO written VALUES ('{}', {number})", ctx.name());
    ctx.sessions::<C>()?
        .tx(move |conn| {
            conn.batch_execute(&written)?;
            ctx.finish_in(conn, &number)
        })
        .await?;
    Ok(number)
}

fn table<P: Place>(jobs: &Jobs) {
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    let create = "CREATE TABLE written (job VARCHAR(40) NOT NULL, number BIGINT NOT NULL)";
    sessions.with(|conn| conn.batch_execute(create)).unwrap();
}

pub(in super::super) async fn a_chain_is_rolled_back_or_committed_with_its_transaction<P: Place>(place: &P) {
    let jobs = open(place, quick());
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    for commits in [false, true] {
        let chain = jobs.chain(Give(1)).then(Add(1));
        let done = sessions
            .tx(move |conn| {
                let chain = chain.start_in(conn)?;
                if commits { Ok(chain) } else { Err(JobsError::NotFound) }
            })
            .await;
        assert_eq!(done.is_ok(), commits, "{done:?}");
        let there = jobs.list(Filter::new()).await.unwrap().len();
        assert_eq!(there, if commits { 2 } else { 0 });
    }
    // a chain that cannot be started leaves its transaction usable
    let taken = jobs.clone();
    jobs.enqueue_unique("key", Give(7)).await.unwrap();
    let done = sessions
        .tx(move |conn| {
            let refused = taken.chain(Give(3)).then_only(Give(7).unique("key")).start_in(conn);
            assert!(matches!(refused, Err(JobsError::KeyTaken { .. })), "{refused:?}");
            taken.chain(Give(4)).then(Add(4)).start_in(conn)
        })
        .await;
    let worker = worker(&jobs).start().unwrap();
    assert_eq!(jobs.wait(&done.unwrap().last, SOON).await.unwrap(), 8);
    worker.stop().await.unwrap();
    assert_eq!(number(&sessions, "SELECT COUNT(*) AS n FROM utils_jobs"), 5);
    assert_eq!(number(&sessions, "SELECT COUNT(*) AS n FROM utils_jobs_next"), 0);
}

/// The application's transactions have the database's default isolation, which on MySQL shows them the past.
pub(in super::super) async fn ends_inside_transactions_let_the_next_job_go_once<P: Place>(place: &P) {
    const GROUPS: i64 = 10;
    let jobs = open(place, quick());
    table::<P>(&jobs);
    let workers: Vec<_> = (0..3)
        .map(|_| Worker::new(&jobs).handle::<Write>().handle::<Total>().concurrency(3).start().unwrap())
        .collect();
    let mut groups = Vec::new();
    for group in 0..GROUPS {
        let members = (0..8).map(|member| Write { number: 10 * group + member, millis: 3 });
        groups.push(jobs.group(members).then(Total).start().await.unwrap().last);
    }
    for (group, id) in (0..).zip(&groups) {
        assert_eq!(jobs.wait(id, SOON).await.unwrap(), 80 * group + 28);
    }
    for worker in workers {
        worker.stop().await.unwrap();
    }
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    let totals = "SELECT COUNT(*) AS n FROM written WHERE job = 'flow.total'";
    assert_eq!(number(&sessions, totals), GROUPS);
    assert_eq!(number(&sessions, "SELECT COUNT(*) AS n FROM written"), 9 * GROUPS);
}

const URL: &str = "UTILS_JOBS_TEST_FLOW_URL";

#[test]
#[ignore = "the other process of the tests that kill one"]
fn process() {
    let Ok(url) = std::env::var(URL) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let jobs = quick().open(&url).unwrap();
        let worker = Worker::new(&jobs).handle::<Write>().handle::<Total>().handle::<Give>().handle::<Add>();
        worker.concurrency(4).run().await.unwrap();
    });
}

fn start<P: Place>(place: &P) -> Child {
    this_binary("jobs::flow::on_databases::process", URL, place)
}

pub(in super::super) async fn killed_workers_lose_no_step_and_repeat_no_effect<P: Place>(place: &P) {
    const KILLS: i64 = 6;
    const EACH: i64 = 3;
    let jobs = open(place, quick());
    table::<P>(&jobs);
    let mut groups = Vec::new();
    let mut chains = Vec::new();
    for kill in 0..KILLS {
        let mut child = start(place);
        for each in 0..EACH {
            let members = (0..4).map(|millis| Write { number: kill * EACH + each, millis: 7 * millis });
            groups.push(jobs.group(members).then(Total).start().await.unwrap().last);
            let chain = jobs.chain(Give(kill)).then(Add(each)).then(Add(1)).then(Add(1)).start();
            chains.push(chain.await.unwrap().last);
        }
        tokio::time::sleep(Duration::from_millis(60 + 53 * kill.unsigned_abs())).await;
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
    }
    let mut child = start(place);
    let started = Instant::now();
    for (number, id) in (0..).zip(&groups) {
        assert_eq!(jobs.wait(id, SOON).await.unwrap(), 4 * number);
    }
    for (number, id) in (0..).zip(&chains) {
        assert_eq!(jobs.wait(id, SOON).await.unwrap(), number / EACH + number % EACH + 2);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    let all = i64::try_from(groups.len()).unwrap();
    let totals = "SELECT COUNT(*) AS n FROM written WHERE job = 'flow.total'";
    assert_eq!(number(&sessions, totals), all, "each group is followed once");
    assert_eq!(number(&sessions, "SELECT COUNT(*) AS n FROM written"), 5 * all);
    assert_eq!(number(&sessions, "SELECT COUNT(*) AS n FROM utils_jobs_next"), 0);
    let again = number(&sessions, "SELECT COUNT(*) AS n FROM utils_jobs WHERE attempts > 1");
    eprintln!("{}: {KILLS} kills, {again} attempts made again, done {:?} after", P::NAME, started.elapsed());
}
