//! A check of the application's on the job table, which refuses what a worker has to write about one job.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use diesel::connection::SimpleConnection;
use serde::{Deserialize, Serialize};
use utils_jobs::{Context, Failure, Job, JobConn, Sessions, State, Worker};

use super::database::{Place, SOON, open, quick};

/// The priority of jobs that the database lets nobody end.
const POISONED: i32 = 77;

/// Counts how often it runs.
#[derive(Serialize, Deserialize)]
struct Count;

impl Job for Count {
    const NAME: &'static str = "count";
    type Output = u32;

    async fn run(self, ctx: Context) -> Result<u32, Failure> {
        Ok(ctx.data::<Arc<AtomicU32>>()?.fetch_add(1, Ordering::SeqCst))
    }
}

fn refuse_ends<C: JobConn + SimpleConnection>(sessions: &Sessions<C>) {
    let refused = format!("NEW.priority = {POISONED} AND NEW.state IN (2, 3)");
    let sql = match C::DATABASE {
        "SQLite" => format!(
            "CREATE TRIGGER refuses BEFORE UPDATE ON utils_jobs WHEN {refused} \
             BEGIN SELECT RAISE(ABORT, 'refused'); END"
        ),
        "PostgreSQL" => format!(
            "CREATE FUNCTION refuses() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF {refused} THEN RAISE EXCEPTION 'refused'; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER refuses BEFORE UPDATE ON utils_jobs FOR EACH ROW EXECUTE FUNCTION refuses()"
        ),
        _ => format!(
            "CREATE TRIGGER refuses BEFORE UPDATE ON utils_jobs FOR EACH ROW \
             IF {refused} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'refused'; END IF"
        ),
    };
    sessions.with(|conn| conn.batch_execute(&sql)).unwrap();
}

fn allow_ends<C: JobConn + SimpleConnection>(sessions: &Sessions<C>) {
    let of = if C::DATABASE == "PostgreSQL" { " ON utils_jobs" } else { "" };
    sessions.with(|conn| conn.batch_execute(&format!("DROP TRIGGER refuses{of}"))).unwrap();
}

/// Neither the job's end is taken nor the dead letter in its place.
pub(super) async fn an_end_that_is_refused_in_any_form_keeps_no_other<P: Place>(place: P) {
    let jobs = open(&place, quick());
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    refuse_ends(&sessions);
    let runs = Arc::<AtomicU32>::default();
    let worker = Worker::new(&jobs).handle::<Count>().data(runs.clone()).concurrency(2).start().unwrap();
    let poisoned = [(); 3].map(|()| Count.priority(POISONED));
    let poisoned = jobs.enqueue_many(poisoned).await.unwrap();
    let ended = |state| {
        let (jobs, began) = (jobs.clone(), Instant::now());
        async move {
            let id = jobs.enqueue(Count).await.unwrap();
            let end = jobs.wait_status(&id, SOON).await.unwrap();
            assert_eq!((end.state, end.attempts), (state, 1), "{end:?}");
            began.elapsed()
        }
    };
    ended(State::Done).await;
    // For more than two leases.
    let began = Instant::now();
    let mut times = Vec::new();
    while began.elapsed() < Duration::from_millis(2_200) {
        times.push(ended(State::Done).await);
    }
    times.sort_unstable();
    assert!(times[times.len() / 2] < Duration::from_millis(300), "{times:?}");
    for id in &poisoned {
        let status = jobs.status(id).await.unwrap().unwrap();
        assert_eq!((status.state, status.attempts), (State::Running, 1), "{status:?}");
    }
    let others = u32::try_from(times.len()).unwrap() + 1;
    assert_eq!(runs.load(Ordering::SeqCst), 3 + others, "nothing runs twice");
    assert!(worker.is_ready());
    allow_ends(&sessions);
    for id in &poisoned {
        let end = jobs.wait_status(id, SOON).await.unwrap();
        assert_eq!((end.state, end.attempts), (State::Done, 1), "{end:?}");
    }
    worker.stop().await.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 3 + others);
}

/// A worker has died with its last attempt at a job, which nobody may make a dead letter, and with two other jobs.
pub(super) async fn a_job_that_cannot_be_taken_back_keeps_no_other<P: Place>(place: P) {
    let jobs = open(&place, quick());
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    let poisoned = jobs.enqueue(Count.priority(POISONED)).await.unwrap();
    let tried = jobs.enqueue(Count).await.unwrap();
    let fresh = jobs.enqueue(Count).await.unwrap();
    let held = "UPDATE utils_jobs SET state = 1, worker = 'dead', lease_until = 1, attempts = max_attempts";
    let of_fresh = format!("UPDATE utils_jobs SET attempts = 1 WHERE id = '{fresh}'");
    sessions.with(|conn| conn.batch_execute(held)).unwrap();
    sessions.with(|conn| conn.batch_execute(&of_fresh)).unwrap();
    refuse_ends(&sessions);
    let worker = Worker::new(&jobs).handle::<Count>().data(Arc::<AtomicU32>::default()).start().unwrap();
    let end = jobs.wait_status(&fresh, SOON).await.unwrap();
    assert_eq!((end.state, end.attempts), (State::Done, 2), "{end:?}");
    let end = jobs.wait_status(&tried, SOON).await.unwrap();
    assert_eq!(end.state, State::Dead, "{end:?}");
    assert_eq!(jobs.status(&poisoned).await.unwrap().unwrap().state, State::Running);
    let next = jobs.enqueue(Count).await.unwrap();
    assert_eq!(jobs.wait_status(&next, SOON).await.unwrap().state, State::Done);
    allow_ends(&sessions);
    assert_eq!(jobs.wait_status(&poisoned, SOON).await.unwrap().state, State::Dead);
    worker.stop().await.unwrap();
}
