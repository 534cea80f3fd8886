//! Who hears of failed attempts: those who asked for it, and whoever wants to know which job is running.
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use apalis::prelude::{WorkerBuilder, WorkerContext};
use serde::{Deserialize, Serialize};
use utils_jobs::{
    Answers, Batch, BatchJob, Clock, Context, Failure, Job, Jobs, Panicked, Policy, Retry, RunningJob,
    TraceParent, Worker,
};

#[derive(Serialize, Deserialize, Clone, Copy, Debug)]
enum Parcel {
    Fine,
    Later,
    Never,
    Panics,
    PutBack,
    Waits,
}

impl Job for Parcel {
    const NAME: &'static str = "parcel";
    type Output = String;

    fn policy() -> Policy {
        Policy::new().queue("post").attempts(2).cancel_grace(Duration::ZERO).final_on::<Panicked>()
    }

    async fn run(self, ctx: Context) -> Result<String, Failure> {
        let running = RunningJob::current().expect("a job is running");
        assert_eq!((running.id(), running.name(), running.queue()), (ctx.id(), "parcel", "post"));
        assert_eq!(
            (running.attempt(), running.worker(), running.release()),
            (ctx.attempt(), ctx.worker(), "7.1")
        );
        match self {
            Self::Fine => Ok(format!("{} of {}", running.attempt(), running.jobs())),
            Self::Later => Err(Retry::after(Duration::from_secs(1), "nobody at home")),
            Self::Never => Err(Retry::never("no such street")),
            Self::Panics => panic!("the van is on fire"),
            Self::PutBack => Err(ctx.release_job()),
            Self::Waits => {
                let reason = ctx.stopping().await;
                ctx.check()?;
                panic!("{reason:?}")
            }
        }
    }
}

impl BatchJob for Parcel {
    async fn run_batch(batch: Batch<Self>) -> Result<Answers<String>, Failure> {
        let running = RunningJob::current().expect("a job is running").jobs();
        Ok(batch
            .iter()
            .map(|(job, _)| match job {
                Self::Never => Err(Retry::never("no such street")),
                _ => Ok(format!("one of {running}")),
            })
            .collect())
    }
}

type Told = Arc<Mutex<Vec<String>>>;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Jobs in memory that tell of failures, by the clock that is given.
fn jobs(clock: Clock) -> (Jobs, Told) {
    let told = Told::default();
    let telling = Arc::clone(&told);
    let jobs = Jobs::builder().clock(clock).release("7.1").on_failure(move |failed| {
        let attempt = format!("{}/{} {} {}", failed.attempt, failed.max_attempts, failed.name, failed.queue);
        let kind = if failed.error.is::<Panicked>() { " (a panic)" } else { "" };
        let end = if failed.is_dead { "dead" } else { "again" };
        assert_eq!(failed.release, "7.1");
        assert!(failed.worker.is_some());
        let trace = failed.trace.map(|trace| format!(" in {}", trace.parent_id())).unwrap_or_default();
        telling.lock().unwrap().push(format!("{attempt}: {}{kind}, {end}{trace}", failed.error));
    });
    (jobs.open("memory:").unwrap(), told)
}

fn take(told: &Told) -> Vec<String> {
    std::mem::take(&mut told.lock().unwrap())
}

#[tokio::test]
async fn each_failed_attempt_is_told_of_and_nothing_else() {
    let (jobs, told) = jobs(Clock::manual());
    let mut worker = Worker::new(&jobs).handle::<Parcel>();
    let trace: TraceParent = TRACE.parse().unwrap();

    let fine = jobs.enqueue(Parcel::Fine).await.unwrap();
    worker.run_due().await.unwrap();
    assert_eq!(jobs.wait(&fine, Duration::ZERO).await.unwrap(), "1 of 1");
    assert_eq!(take(&told), [""; 0]);

    trace.scope(jobs.enqueue(Parcel::Later)).await.unwrap();
    worker.run_due().await.unwrap();
    assert_eq!(take(&told), ["1/2 parcel post: nobody at home, again in 00f067aa0ba902b7"]);
    jobs.advance(Duration::from_secs(1));
    worker.run_due().await.unwrap();
    assert_eq!(take(&told), ["2/2 parcel post: nobody at home, dead in 00f067aa0ba902b7"]);

    jobs.enqueue(Parcel::Never).await.unwrap();
    jobs.enqueue(Parcel::Panics).await.unwrap();
    worker.run_due().await.unwrap();
    let dead = [
        "1/2 parcel post: no such street, dead",
        "1/2 parcel post: panicked: the van is on fire (a panic), dead",
    ];
    assert_eq!(take(&told), dead);
}

#[tokio::test]
async fn cancelled_jobs_and_those_put_back_have_not_failed() {
    let (jobs, told) = jobs(Clock::system());
    let worker = Worker::new(&jobs).handle::<Parcel>().start().unwrap();
    let waits = jobs.enqueue(Parcel::Waits).await.unwrap();
    while jobs.status(&waits).await.unwrap().unwrap().attempts == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    jobs.cancel(&waits).await.unwrap();
    jobs.wait_status(&waits, Duration::from_secs(20)).await.unwrap();
    worker.stop().await.unwrap();
    assert_eq!(take(&told), [""; 0]);

    let worker = Worker::new(&jobs).handle::<Parcel>().shutdown_within(Duration::ZERO).start().unwrap();
    let waits = jobs.enqueue(Parcel::Waits).await.unwrap();
    let back = jobs.enqueue(Parcel::PutBack).await.unwrap();
    for id in [&waits, &back] {
        while jobs.status(id).await.unwrap().unwrap().started_at.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    worker.stop().await.unwrap();
    assert_eq!(take(&told), [""; 0]);
}

#[tokio::test]
async fn each_job_of_a_batch_is_told_of_by_itself() {
    let (jobs, told) = jobs(Clock::manual());
    let ids = jobs.enqueue_many([Parcel::Fine, Parcel::Never, Parcel::Fine]).await.unwrap();
    Worker::new(&jobs).handle_batches::<Parcel>(10, Duration::ZERO).run_due().await.unwrap();
    assert_eq!(take(&told), ["1/2 parcel post: no such street, dead"]);
    assert_eq!(jobs.wait(&ids[2], Duration::ZERO).await.unwrap(), "one of 3");
}

#[tokio::test]
async fn a_job_that_cannot_be_read_is_told_of() {
    let (jobs, told) = jobs(Clock::manual());
    #[derive(Serialize, Deserialize)]
    struct Old(u8);
    impl Job for Old {
        const NAME: &'static str = "parcel";
        type Output = String;
        async fn run(self, _: Context) -> Result<String, Failure> {
            Ok(String::new())
        }
    }
    jobs.enqueue(Old(1).with().queue("post")).await.unwrap();
    Worker::new(&jobs).handle::<Parcel>().run_due().await.unwrap();
    let read = take(&told);
    assert_eq!(read.len(), 1, "{read:?}");
    assert!(read[0].contains("its arguments cannot be read") && read[0].ends_with("dead"), "{read:?}");
}

#[tokio::test]
async fn failures_of_apalis_own_workers_are_told_of() {
    let (jobs, told) = jobs(Clock::system());
    let id = jobs.enqueue(Parcel::Fine).await.unwrap();
    let handler = |_: Parcel, ctx: WorkerContext| async move {
        ctx.stop().unwrap();
        Err::<String, _>(std::io::Error::other("the van is gone"))
    };
    WorkerBuilder::new("own").backend(jobs.storage::<Parcel>()).build(handler).run().await.unwrap();
    assert_eq!(take(&told), ["1/2 parcel post: the van is gone, again"]);
    assert_eq!(jobs.status(&id).await.unwrap().unwrap().attempts, 1);
}

#[tokio::test]
async fn one_who_is_told_and_panics_loses_no_end() {
    let jobs = Jobs::builder().clock(Clock::manual()).release("7.1");
    let jobs = jobs.on_failure(|_| panic!("the reporter is ill")).open("memory:").unwrap();
    let id = jobs.enqueue(Parcel::Never).await.unwrap();
    Worker::new(&jobs).handle::<Parcel>().run_due().await.unwrap();
    let status = jobs.status(&id).await.unwrap().unwrap();
    assert_eq!((status.state, status.error.as_deref()), (utils_jobs::State::Dead, Some("no such street")));
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn database_work_of_a_job_on_another_thread_knows_its_job() {
    #[derive(Serialize, Deserialize)]
    struct Looks;
    impl Job for Looks {
        const NAME: &'static str = "looks";
        type Output = Option<String>;
        async fn run(self, ctx: Context) -> Result<Option<String>, Failure> {
            let sessions = ctx.sessions::<diesel::SqliteConnection>()?;
            let look =
                |_: &mut _| diesel::QueryResult::Ok(RunningJob::current().map(|job| job.id().to_string()));
            Ok(sessions.run(look).await?)
        }
    }
    let jobs = Jobs::open("sqlite::memory:").unwrap();
    jobs.migrate().unwrap();
    let id = jobs.enqueue(Looks).await.unwrap();
    Worker::new(&jobs).handle::<Looks>().run_due().await.unwrap();
    assert_eq!(jobs.wait(&id, Duration::ZERO).await.unwrap(), Some(id.to_string()));
    assert!(RunningJob::current().is_none());
}
