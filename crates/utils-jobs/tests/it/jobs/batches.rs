//! What only a database shows of batches: transactions, lost leases, and processes that are killed.
use std::time::Duration;

use diesel::connection::SimpleConnection;
use serde::{Deserialize, Serialize};
use utils_jobs::{
    Answers, Backoff, Batch, BatchJob, Context, Failure, Job, JobConn, Jobs, Policy, Retry, State, Worker,
};

use super::{
    database::{Place, SOON, number, open, quick},
    kill,
};

/// A row that one statement writes down together with others, in the transaction of their ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    number: u32,
    millis: u64,
    first: First,
}

/// What happens in the first attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum First {
    Nothing,
    /// The transaction is rolled back when all is written.
    RollsBack,
    /// Another worker takes this job, which this one does not notice.
    LosesLease,
    /// It is refused, and has no row.
    IsRefused,
}

impl Job for Row {
    const NAME: &'static str = "row";
    type Output = u32;

    fn policy() -> Policy {
        Policy::new().attempts(50).backoff(Backoff::fixed(Duration::ZERO))
    }

    async fn run(self, ctx: Context) -> Result<u32, Failure> {
        self.run_alone(ctx).await
    }
}

impl BatchJob for Row {
    async fn run_batch(batch: Batch<Self>) -> Result<Answers<u32>, Failure> {
        let jobs = batch[0].1.jobs();
        #[cfg(feature = "sqlite")]
        if jobs.sessions::<diesel::SqliteConnection>().is_some() {
            return write::<diesel::SqliteConnection>(batch).await;
        }
        #[cfg(feature = "postgres")]
        if jobs.sessions::<diesel::PgConnection>().is_some() {
            return write::<diesel::PgConnection>(batch).await;
        }
        #[cfg(feature = "mysql")]
        if jobs.sessions::<diesel::MysqlConnection>().is_some() {
            return write::<diesel::MysqlConnection>(batch).await;
        }
        Err(Failure::new("no database"))
    }
}

async fn write<C: JobConn + SimpleConnection>(batch: Batch<Row>) -> Result<Answers<u32>, Failure> {
    let sessions = batch.sessions::<C>()?;
    let is_first = batch.iter().all(|(_, ctx)| ctx.attempt() == 1);
    let does = |what: First| batch.iter().find(|(row, ctx)| ctx.attempt() == 1 && row.first == what);
    let rolls_back = does(First::RollsBack).is_some();
    let call = format!("INSERT INTO called VALUES ({}, {})", batch.len(), i32::from(is_first));
    sessions.run(move |conn| conn.batch_execute(&call)).await?;
    if let Some((_, ctx)) = does(First::LosesLease) {
        let take = format!(
            "UPDATE utils_jobs SET worker = 'another', attempts = attempts + 1 WHERE id = '{}'",
            ctx.id()
        );
        sessions.run(move |conn| conn.batch_execute(&take)).await?;
    }
    let longest = batch.iter().map(|(row, _)| row.millis).max().unwrap_or(0);
    tokio::time::sleep(Duration::from_millis(longest)).await;
    let done = sessions.tx(move |conn| {
        let kept = batch.iter().filter(|(row, _)| row.first != First::IsRefused);
        let values: Vec<String> = kept.map(|(row, _)| format!("({})", row.number)).collect();
        conn.batch_execute(&format!("INSERT INTO effect VALUES {}", values.join(", ")))?;
        let answers: Answers<u32> = batch
            .iter()
            .map(|(row, _)| match row.first {
                First::IsRefused => Err(Retry::never("it is refused")),
                _ => Ok(row.number),
            })
            .collect();
        batch.finish_in(conn, &answers)?;
        if rolls_back { Err(diesel::result::Error::RollbackTransaction) } else { Ok(answers) }
    });
    Ok(done.await?)
}

fn tables<P: Place>(jobs: &Jobs) {
    let create =
        ["effect (number INTEGER NOT NULL)", "called (jobs INTEGER NOT NULL, is_first INTEGER NOT NULL)"];
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    sessions
        .with(|conn| create.iter().try_for_each(|of| conn.batch_execute(&format!("CREATE TABLE {of}"))))
        .unwrap();
}

fn rows(count: u32, special: First) -> Vec<Row> {
    let first = |number| if number == 1 { special } else { First::Nothing };
    (0..count).map(|number| Row { number, millis: 0, first: first(number) }).collect()
}

pub(super) async fn effects_and_ends_of_a_batch_are_committed_together<P: Place>(place: P) {
    let jobs = open(&place, quick());
    tables::<P>(&jobs);
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    let ids = jobs.enqueue_many(rows(5, First::RollsBack)).await.unwrap();
    let worker = Worker::new(&jobs).handle_batches::<Row>(5, Duration::from_secs(60)).start().unwrap();
    for (number, id) in (0..).zip(&ids) {
        assert_eq!(jobs.wait(id, SOON).await.unwrap(), number);
        assert_eq!(jobs.status(id).await.unwrap().unwrap().attempts, 2);
    }
    worker.stop().await.unwrap();
    assert_eq!(number(&sessions, "SELECT COUNT(*) AS n FROM effect"), 5);
    assert_eq!(number(&sessions, "SELECT COUNT(DISTINCT number) AS n FROM effect"), 5);
}

pub(super) async fn a_refused_job_of_a_batch_does_not_keep_the_others_from_their_commit<P: Place>(place: P) {
    let jobs = open(&place, quick());
    tables::<P>(&jobs);
    let ids = jobs.enqueue_many(rows(4, First::IsRefused)).await.unwrap();
    let worker = Worker::new(&jobs).handle_batches::<Row>(4, Duration::from_secs(60)).start().unwrap();
    for (number, id) in ids.iter().enumerate() {
        let end = jobs.wait_status(id, SOON).await.unwrap();
        let expected = if number == 1 { State::Dead } else { State::Done };
        assert_eq!((end.state, end.attempts), (expected, 1), "{end:?}");
    }
    worker.stop().await.unwrap();
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    assert_eq!(number(&sessions, "SELECT COUNT(*) AS n FROM effect"), 3);
    assert_eq!(number(&sessions, "SELECT COUNT(*) AS n FROM effect WHERE number = 1"), 0);
}

/// The transaction is rolled back; the others are put back uncounted, and handled again without the one that is lost.
pub(super) async fn a_job_of_a_batch_whose_lease_is_lost_costs_the_others_nothing<P: Place>(place: P) {
    let jobs = open(&place, Jobs::builder().lease(Duration::from_secs(60)).poll(Duration::from_millis(100)));
    tables::<P>(&jobs);
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    let ids = jobs.enqueue_many(rows(5, First::LosesLease)).await.unwrap();
    let worker = Worker::new(&jobs).handle_batches::<Row>(5, Duration::from_millis(1)).start().unwrap();
    for (number, id) in ids.iter().enumerate().filter(|(number, _)| *number != 1) {
        let end = jobs.wait_status(id, SOON).await.unwrap();
        assert_eq!((end.state, end.attempts), (State::Done, 1), "{number}: {end:?}");
    }
    worker.stop().await.unwrap();
    let lost = jobs.status(&ids[1]).await.unwrap().unwrap();
    assert_eq!((lost.state, lost.attempts, lost.worker.as_deref()), (State::Running, 2, Some("another")));
    assert_eq!(number(&sessions, "SELECT COUNT(*) AS n FROM effect"), 4);
    assert_eq!(number(&sessions, "SELECT COUNT(*) AS n FROM effect WHERE number = 1"), 0);
    assert_eq!(number(&sessions, "SELECT COUNT(*) AS n FROM called WHERE jobs = 5"), 1);
}

const URL: &str = "UTILS_JOBS_TEST_BATCH_URL";
const MAX: usize = 8;

#[test]
#[ignore = "the other process of the test that kills one"]
fn process() {
    let Ok(url) = std::env::var(URL) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let jobs = quick().open(&url).unwrap();
        let worker = Worker::new(&jobs).handle_batches::<Row>(MAX, Duration::from_millis(50));
        worker.concurrency(2).run().await.unwrap();
    });
}

pub(super) async fn killed_workers_lose_no_job_of_a_batch_and_repeat_no_effect<P: Place>(place: P) {
    const EACH: u32 = 40;
    let jobs = open(&place, quick());
    tables::<P>(&jobs);
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    let start = || kill::this_binary("jobs::batches::process", URL, &place);
    let row = |number, millis| Row { number, millis, first: First::Nothing };
    let mut child = kill::killed_again_and_again::<P, _>(&jobs, EACH, start, row).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let rounds = kill::rounds();
    let all = i64::from(rounds * EACH);
    kill::each_has_one_effect::<P>(&jobs, all);
    let reruns = number(&sessions, "SELECT COUNT(*) AS n FROM utils_jobs WHERE attempts > 1");
    let most = 2 * i64::try_from(MAX).unwrap() * i64::from(rounds);
    assert!(reruns <= most, "{reruns} re-runs after {rounds} kills: more than ran");
    let calls = number(&sessions, "SELECT COUNT(*) AS n FROM called");
    eprintln!("{}: {rounds} kills, {all} jobs done in {calls} calls, {reruns} of them run again", P::NAME);
}
