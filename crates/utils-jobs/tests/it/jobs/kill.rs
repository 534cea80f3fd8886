//! Processes that are killed and stopped. The other process is this test binary again, running [`process`] alone.
use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use diesel::connection::SimpleConnection;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use utils_jobs::{Context, Failure, Job, JobConn, JobId, Jobs, Policy, State, Worker};

use super::database::{Place, SOON, number, open, quick};

/// Takes a while; has one effect, in the transaction of its end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) number: u32,
    pub(super) millis: u64,
}

impl Job for Step {
    const NAME: &'static str = "step";
    type Output = ();

    fn policy() -> Policy {
        Policy::new().attempts(50)
    }

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        #[cfg(feature = "sqlite")]
        if ctx.jobs().sessions::<diesel::SqliteConnection>().is_some() {
            return self.step::<diesel::SqliteConnection>(ctx).await;
        }
        #[cfg(feature = "postgres")]
        if ctx.jobs().sessions::<diesel::PgConnection>().is_some() {
            return self.step::<diesel::PgConnection>(ctx).await;
        }
        #[cfg(feature = "mysql")]
        if ctx.jobs().sessions::<diesel::MysqlConnection>().is_some() {
            return self.step::<diesel::MysqlConnection>(ctx).await;
        }
        Err(Failure::new("no database"))
    }
}

impl Step {
    async fn step<C: JobConn + SimpleConnection>(self, ctx: Context) -> Result<(), Failure> {
        let sessions = ctx.sessions::<C>()?;
        let now = std::time::UNIX_EPOCH.elapsed()?.as_millis();
        let begun = format!("INSERT INTO begun VALUES ({}, {}, {now})", self.number, ctx.attempt());
        sessions.run(move |conn| conn.batch_execute(&begun)).await?;
        tokio::time::sleep(Duration::from_millis(self.millis)).await;
        let effect = format!("INSERT INTO effect VALUES ({})", self.number);
        sessions
            .tx(move |conn| {
                conn.batch_execute(&effect)?;
                ctx.finish_in(conn, &())
            })
            .await?;
        Ok(())
    }
}

pub(super) fn tables<P: Place>(jobs: &Jobs) {
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    sessions
        .with(|conn| {
            conn.batch_execute(
                "CREATE TABLE begun (number INTEGER NOT NULL, attempt INTEGER NOT NULL, at BIGINT NOT NULL)",
            )?;
            conn.batch_execute("CREATE TABLE effect (number INTEGER NOT NULL)")
        })
        .unwrap();
}

const URL: &str = "UTILS_JOBS_TEST_CHILD_URL";

#[test]
#[ignore = "the other process of the tests that kill one"]
fn process() {
    let Ok(url) = std::env::var(URL) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let jobs = quick().open(&url).unwrap();
        Worker::new(&jobs).handle::<Step>().concurrency(4).run().await.unwrap();
    });
}

fn start<P: Place>(place: &P) -> Child {
    this_binary("jobs::kill::process", URL, place)
}

/// This test binary again, running one test alone, which finds the database in a variable.
pub(super) fn this_binary<P: Place>(test: &str, variable: &str, place: &P) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--quiet"])
        .env(variable, place.url())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn send(signal: Signal, child: &Child) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Five kills, or as many as `KILL_ROUNDS` says.
pub(super) fn rounds() -> u32 {
    std::env::var("KILL_ROUNDS").map_or(5, |rounds| rounds.parse().unwrap())
}

/// Starts a process, gives it the jobs of a round, `each` of them by number and time, and kills it at some moment, again
/// and again. The last one lives until all are done.
pub(super) async fn killed_again_and_again<P: Place, J: Job>(
    jobs: &Jobs,
    each: u32,
    start: impl Fn() -> Child,
    job: impl Fn(u32, u64) -> J,
) -> Child {
    let rounds = rounds();
    let mut random = 88_172_645_463_325_252_u64;
    for round in 0..rounds {
        let mut child = start();
        let given = (0..each).map(|number| job(round * each + number, u64::from(5 + 7 * (number % 9))));
        jobs.enqueue_many(given).await.unwrap();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        tokio::time::sleep(Duration::from_millis(20 + random % 300)).await;
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
    }
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    let child = start();
    let started = Instant::now();
    while number(&sessions, "SELECT COUNT(*) AS n FROM utils_jobs WHERE state = 2") < i64::from(rounds * each)
    {
        assert!(started.elapsed() < Duration::from_secs(50 + u64::from(rounds)), "some jobs have not ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    child
}

/// So many jobs are there, and each has had its effect once.
pub(super) fn each_has_one_effect<P: Place>(jobs: &Jobs, all: i64) {
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    assert_eq!(number(&sessions, "SELECT COUNT(*) AS n FROM utils_jobs"), all);
    assert_eq!(number(&sessions, "SELECT COUNT(*) AS n FROM effect"), all, "effects, exactly once");
    assert_eq!(number(&sessions, "SELECT COUNT(DISTINCT number) AS n FROM effect"), all);
}

pub(super) async fn killed_workers_lose_no_job<P: Place>(place: P) {
    const EACH: u32 = 12;
    let jobs = open(&place, quick());
    tables::<P>(&jobs);
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    let step = |number, millis| Step { number, millis };
    let mut child = killed_again_and_again::<P, _>(&jobs, EACH, || start(&place), step).await;
    let rounds = rounds();
    // Done by the last process, so that it is there to be asked.
    let last = jobs.enqueue(Step { number: 1_000_000, millis: 0 }).await.unwrap();
    jobs.wait(&last, SOON).await.unwrap();
    send(Signal::TERM, &child);
    assert!(child.wait().unwrap().success(), "a worker ends in order when it is asked to");
    let all = i64::from(rounds * EACH) + 1;
    each_has_one_effect::<P>(&jobs, all);
    // Only what ran at a kill ran again: at most the four that one worker runs at once.
    let reruns = number(&sessions, "SELECT COUNT(*) AS n FROM utils_jobs WHERE attempts > 1");
    assert!(reruns <= 4 * i64::from(rounds), "{reruns} re-runs after {rounds} kills");
    let gaps = "SELECT CAST(COALESCE(MAX(b.at - a.at), 0) AS {}) AS n FROM begun a JOIN begun b ON a.number = b.number \
                WHERE b.attempt = a.attempt + 1";
    let gap = number(&sessions, &gaps.replace("{}", if P::NAME == "mysql" { "SIGNED" } else { "BIGINT" }));
    eprintln!(
        "{}: {rounds} kills, {all} jobs done, {reruns} of them run again, the last after {gap} ms at most",
        P::NAME
    );
}

/// Where another worker lives, it takes four thirds of the lease at the most: the lease, and the time to its next beat.
pub(super) async fn a_job_of_a_killed_process_runs_again_within_its_lease<P: Place>(place: P) {
    let lease = Duration::from_millis(900);
    let jobs = open(&place, quick().lease(lease));
    tables::<P>(&jobs);
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    let mut child = start(&place);
    jobs.enqueue(Step { number: 1, millis: 5_000 }).await.unwrap();
    let begun = || number(&sessions, "SELECT COUNT(*) AS n FROM begun");
    while begun() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let other = Worker::new(&jobs).handle::<Step>().shutdown_within(Duration::ZERO).start().unwrap();
    // longer than the child's lease, which it keeps while it lives
    tokio::time::sleep(2 * lease).await;
    assert_eq!(begun(), 1);
    child.kill().unwrap();
    let killed = Instant::now();
    while begun() == 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let after = killed.elapsed();
    assert!(after < lease * 4 / 3 + Duration::from_millis(600), "it runs again {after:?} after the kill");
    eprintln!("{}: runs again {after:?} after the kill, with a lease of {lease:?}", P::NAME);
    child.wait().unwrap();
    other.stop().await.unwrap();
}

pub(super) async fn a_stopped_and_continued_process_cannot_end_a_job_twice<P: Place>(place: P) {
    let jobs = open(&place, quick());
    tables::<P>(&jobs);
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    let mut child = start(&place);
    let id = jobs.enqueue(Step { number: 1, millis: 1_000 }).await.unwrap();
    while number(&sessions, "SELECT COUNT(*) AS n FROM begun") == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    send(Signal::STOP, &child);
    let taker = Worker::new(&jobs).handle::<Step>().start().unwrap();
    jobs.wait(&id, SOON).await.unwrap();
    send(Signal::CONT, &child);
    tokio::time::sleep(Duration::from_millis(1_500)).await; // it tries to end the job in this time
    let end = jobs.status(&id).await.unwrap().unwrap();
    assert_eq!((end.state, end.attempts), (State::Done, 2));
    assert_eq!(number(&sessions, "SELECT COUNT(*) AS n FROM effect"), 1);
    // It has survived this, and works.
    taker.stop().await.unwrap();
    let next = jobs.enqueue(Step { number: 2, millis: 1 }).await.unwrap();
    jobs.wait(&next, SOON).await.unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
}

pub(super) async fn a_second_signal_ends_the_process_at_once<P: Place>(place: P) {
    let jobs = open(&place, quick());
    tables::<P>(&jobs);
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    let mut child = start(&place);
    let id = jobs.enqueue(Step { number: 1, millis: 20_000 }).await.unwrap();
    while number(&sessions, "SELECT COUNT(*) AS n FROM begun") == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    send(Signal::TERM, &child);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(child.try_wait().unwrap().is_none(), "it waits for its job");
    let second = Instant::now();
    send(Signal::TERM, &child);
    assert_eq!(child.wait().unwrap().code(), Some(128 + 15));
    assert!(second.elapsed() < Duration::from_secs(5));
    assert_eq!(jobs.status(&id).await.unwrap().unwrap().state, State::Running, "until its lease runs out");
}

/// Sleeps for ten minutes on a thread, whatever it is told.
#[derive(Debug, Serialize, Deserialize)]
struct Deaf;

impl Job for Deaf {
    const NAME: &'static str = "deaf";
    type Output = ();

    fn policy() -> Policy {
        Policy::new().blocking()
    }

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        ctx.progress(0.5, BLOCKS);
        std::thread::sleep(Duration::from_secs(600));
        Ok(())
    }
}

/// The same on the event loop, where nothing should block.
#[derive(Debug, Serialize, Deserialize)]
struct Blocks;

impl Job for Blocks {
    const NAME: &'static str = "blocks";
    type Output = ();

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        ctx.progress(0.5, BLOCKS);
        std::thread::sleep(Duration::from_secs(600));
        Ok(())
    }
}

/// What the two say when they begin: a job that is only taken would go back.
const BLOCKS: &str = "it blocks";

async fn blocks<J: Job>(jobs: &Jobs, id: &JobId<J>) {
    while jobs.status(id).await.unwrap().unwrap().note.as_deref() != Some(BLOCKS) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const DEAF: &str = "UTILS_JOBS_TEST_DEAF_URL";

#[test]
#[ignore = "the other process of the tests whose jobs do not end"]
fn deaf() {
    let Ok(url) = std::env::var(DEAF) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let jobs = quick().open(&url).unwrap();
        let worker = Worker::new(&jobs).handle::<Deaf>().handle::<Blocks>();
        worker.shutdown_within(Duration::from_millis(200)).run().await.unwrap();
    });
    // Here the runtime waits for its blocking threads.
}

/// Waits for the end of a process that has just been sent a signal.
async fn ended(child: &mut Child, within: Duration) -> Option<i32> {
    let sent = Instant::now();
    while sent.elapsed() < within {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

pub(super) async fn a_second_signal_ends_a_process_whose_runtime_waits_for_a_job<P: Place>(place: P) {
    let jobs = open(&place, quick());
    let mut child = this_binary("jobs::kill::deaf", DEAF, &place);
    let id = jobs.enqueue(Deaf).await.unwrap();
    blocks(&jobs, &id).await;
    send(Signal::TERM, &child);
    while jobs.status(&id).await.unwrap().unwrap().state != State::Waiting {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The job is put back: the worker has ended, and what there was of the event loop with it.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(child.try_wait().unwrap().is_none(), "it waits for the thread");
    send(Signal::INT, &child);
    assert_eq!(ended(&mut child, Duration::from_secs(2)).await, Some(128 + 2));
}

pub(super) async fn two_signals_end_a_process_whose_only_thread_is_blocked<P: Place>(place: P) {
    let jobs = open(&place, quick());
    let mut child = this_binary("jobs::kill::deaf", DEAF, &place);
    let id = jobs.enqueue(Blocks).await.unwrap();
    blocks(&jobs, &id).await;
    send(Signal::TERM, &child);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(child.try_wait().unwrap().is_none(), "the first asks");
    send(Signal::INT, &child); // another one, as two that are alike may be heard as one
    assert_eq!(ended(&mut child, Duration::from_secs(2)).await, Some(128 + 2));
}
