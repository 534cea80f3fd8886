//! Leases of live workers, whatever the clocks, the pool and other transactions do.
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use serde::{Deserialize, Serialize};
use utils_jobs::{Backoff, Context, Failure, Job, Jobs, JobsBuilder, Policy, State, Worker};

use super::database::{Place, SOON, number, open, quick};

type Work =
    Box<dyn Fn(Context) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>> + Send + Sync>;

/// Does what the worker's data says.
#[derive(Serialize, Deserialize)]
pub(super) struct Task;

impl Job for Task {
    const NAME: &'static str = "task";
    type Output = ();

    fn policy() -> Policy {
        Policy::new().attempts(9).backoff(Backoff::fixed(Duration::ZERO))
    }

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        let work = ctx.data::<Work>()?;
        work(ctx.clone()).await
    }
}

fn naps(time: Duration) -> Work {
    Box::new(move |_| {
        Box::pin(async move {
            tokio::time::sleep(time).await;
            Ok(())
        })
    })
}

async fn running(jobs: &Jobs, id: &str) {
    while jobs.status(id).await.unwrap().unwrap().state != State::Running {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The first attempt is the only one, and it ends well.
async fn ends_at_once(jobs: &Jobs, id: &str) {
    let end = jobs.wait_status(id, SOON).await.unwrap();
    assert_eq!((end.state, end.attempts), (State::Done, 1), "{end:?}");
}

/// Where the server has a clock of its own.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(super) async fn a_worker_whose_clock_is_ahead_leaves_the_jobs_of_others<P: Place>(place: P) {
    let here = open(&place, quick().lease(Duration::from_secs(3)));
    let worker =
        Worker::new(&here).handle::<Task>().data(naps(Duration::from_millis(1_500))).start().unwrap();
    let id = here.enqueue(Task).await.unwrap();
    running(&here, id.as_str()).await;
    let there = open(&place, quick().lease(Duration::from_secs(3)));
    there.advance(Duration::from_secs(40));
    let other = Worker::new(&there).handle::<Task>().data(naps(Duration::ZERO)).start().unwrap();
    ends_at_once(&here, id.as_str()).await;
    other.stop().await.unwrap();
    worker.stop().await.unwrap();
}

/// As by NTP, by hand, or after the host of a virtual machine has stood still. Nobody's leases are over by that, and what
/// expires or is delayed does not begin to live by another time where a server tells it.
pub(super) async fn a_clock_that_is_set_while_jobs_run_takes_no_job_from_others<P: Place>(place: P) {
    // the other one looks for jobs of the dead more often than this one says that it lives
    let here = open(&place, quick().lease(Duration::from_secs(6)));
    let there = open(&place, quick().lease(Duration::from_secs(1)));
    let worker =
        Worker::new(&here).handle::<Task>().data(naps(Duration::from_millis(3_500))).start().unwrap();
    let id = here.enqueue(Task).await.unwrap();
    running(&here, id.as_str()).await;
    let other = Worker::new(&there).handle::<Task>().data(naps(Duration::ZERO)).start().unwrap();
    // until it knows of the others, and may take jobs of the dead
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let later = Task.after(Duration::from_secs(1_800));
    let later = here.enqueue(later).await.unwrap();
    for jobs in [&here, &there] {
        jobs.clock().advance(Duration::from_secs(3_600));
    }
    ends_at_once(&here, id.as_str()).await;
    if P::NAME != "sqlite" {
        assert_eq!(here.status(&later).await.unwrap().unwrap().state, State::Scheduled);
    }
    other.stop().await.unwrap();
    worker.stop().await.unwrap();
}

/// Also a clock that is behind: it is moved on until it has gone round.
#[cfg(any(feature = "postgres", feature = "mysql"))]
fn turn_back(jobs: &Jobs, by: Duration) {
    let half = Duration::from_millis(1 << 62);
    for _ in 0..3 {
        jobs.clock().advance(half);
    }
    jobs.clock().advance(half - by);
}

/// Else a delayed job would start an hour late, a lease would seem over to others at once, and nothing would expire.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(super) async fn a_worker_whose_clock_is_behind_goes_by_the_servers<P: Place>(place: P) {
    let builder = || quick().lease(Duration::from_secs(3));
    let here = open(&place, builder());
    let expires = here.enqueue(Task.with().expires_after(Duration::from_millis(200))).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let there = open(&place, builder());
    let before = there.clock().now();
    turn_back(&there, Duration::from_secs(3_600));
    let behind = before.duration_since(there.clock().now()).unwrap();
    assert!(behind > Duration::from_secs(3_590), "{behind:?}");
    let nap = Duration::from_millis(1_500);
    let worker = Worker::new(&there).handle::<Task>().data(naps(nap)).start().unwrap();
    let end = here.wait_status(&expires, SOON).await.unwrap();
    assert_eq!((end.state, end.attempts), (State::Expired, 0), "{end:?}");
    let enqueued = Instant::now();
    let delayed = here.enqueue(Task.after(Duration::from_millis(500))).await.unwrap();
    running(&here, delayed.as_str()).await;
    let late = enqueued.elapsed();
    assert!((Duration::from_millis(400)..Duration::from_secs(3)).contains(&late), "{late:?}");
    let other = Worker::new(&here).handle::<Task>().data(naps(Duration::ZERO)).start().unwrap();
    ends_at_once(&here, delayed.as_str()).await;
    other.stop().await.unwrap();
    worker.stop().await.unwrap();
}

/// A process that only enqueues, on a host whose clock is wrong by an hour: in each of its ways, and first of all.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(super) async fn a_delay_counts_by_the_servers_clock<P: Place>(place: P) {
    let delayed = || Task.after(Duration::from_secs(5)).expires_after(Duration::from_secs(60));
    for way in 0..5 {
        let jobs = open(&place, quick());
        jobs.clock().advance(Duration::from_secs(3_600));
        let (sessions, enqueuer) = (jobs.sessions::<P::Conn>().unwrap(), jobs.clone());
        let id = match way {
            0 => jobs.enqueue(delayed()).await.unwrap(),
            1 => jobs.enqueue_many([delayed()]).await.unwrap().remove(0),
            2 => sessions.tx(move |conn| enqueuer.enqueue_in(conn, delayed())).await.unwrap(),
            3 => jobs.chain(delayed()).start().await.unwrap().last,
            _ => sessions.tx(move |conn| enqueuer.chain(delayed()).start_in(conn)).await.unwrap().last,
        };
        // The server is on this host, whose clock is right.
        let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
        for column in ["created_at", "run_at - 5000", "expires_at - 60000"] {
            let at = number(&sessions, &format!("SELECT {column} AS n FROM utils_jobs WHERE id = '{id}'"));
            assert!((now - at).abs() < 3_000, "way {way}: {column} is {} ms off", at - now);
        }
    }
}

/// After an outage all leases have run out, those of live workers too.
pub(super) async fn a_worker_gives_others_time_before_it_takes_their_jobs<P: Place>(place: P) {
    let builder = || quick().lease(Duration::from_secs(3));
    let jobs = open(&place, builder());
    let worker =
        Worker::new(&jobs).handle::<Task>().data(naps(Duration::from_millis(2_500))).start().unwrap();
    let id = jobs.enqueue(Task).await.unwrap();
    running(&jobs, id.as_str()).await;
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    let out = "UPDATE utils_jobs SET lease_until = 1 WHERE state = 1";
    sessions.run(move |conn| conn.batch_execute(out)).await.unwrap();
    let there = open(&place, builder());
    let other = Worker::new(&there).handle::<Task>().data(naps(Duration::ZERO)).start().unwrap();
    ends_at_once(&jobs, id.as_str()).await;
    other.stop().await.unwrap();
    worker.stop().await.unwrap();
}

/// Jobs that have ended in a transaction of their own, and take their time to return.
pub(super) async fn a_job_that_has_ended_by_itself_may_take_its_time<P: Place>(place: P) {
    let jobs = open(&place, quick());
    let returned = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (sessions, flag) = (jobs.sessions::<P::Conn>().unwrap(), returned.clone());
    let work: Work = Box::new(move |ctx| {
        let (sessions, flag) = (sessions.clone(), flag.clone());
        Box::pin(async move {
            sessions.tx(move |conn| ctx.finish_in(conn, &())).await?;
            tokio::time::sleep(Duration::from_millis(1_200)).await;
            flag.store(true, std::sync::atomic::Ordering::SeqCst);
            Ok(())
        })
    });
    let worker = Worker::new(&jobs).handle::<Task>().data(work).start().unwrap();
    let id = jobs.enqueue(Task).await.unwrap();
    ends_at_once(&jobs, id.as_str()).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(returned.load(std::sync::atomic::Ordering::SeqCst), "it was stopped");
    worker.stop().await.unwrap();
}

fn pool_of(connections: u32) -> JobsBuilder {
    Jobs::builder().settings(utils_jobs::JobsSettings {
        // longer than a busy disk takes for a commit
        lease: Duration::from_secs(2),
        poll: Duration::from_millis(100),
        pool_size: connections,
        ..utils_jobs::JobsSettings::default()
    })
}

/// More jobs hold connections than there are, for longer than a lease.
pub(super) async fn jobs_that_use_up_the_pool_keep_their_leases<P: Place>(place: P) {
    keep_their_leases(place, 6, 6, 1).await;
}

/// The only connection is held for longer than a lease.
pub(super) async fn a_job_that_holds_the_only_connection_keeps_its_lease<P: Place>(place: P) {
    keep_their_leases(place, 1, 1, 1).await;
}

/// The pool lends a connection to one of the workers, and none to the other.
pub(super) async fn of_two_workers_on_a_small_pool_both_keep_their_leases<P: Place>(place: P) {
    keep_their_leases(place, 2, 1, 2).await;
}

/// So many jobs of each worker hold a connection each of one pool, before the eyes of another process.
async fn keep_their_leases<P: Place>(place: P, connections: u32, jobs_each: usize, workers: usize) {
    let jobs = open(&place, pool_of(connections));
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    let work = || -> Work {
        let sessions = sessions.clone();
        Box::new(move |_| {
            let sessions = sessions.clone();
            Box::pin(async move {
                let hold = sessions.run(|conn| {
                    conn.batch_execute("SELECT 1")?;
                    std::thread::sleep(Duration::from_millis(3_500));
                    diesel::QueryResult::Ok(())
                });
                Ok(hold.await?)
            })
        })
    };
    let holders: Vec<_> = (0..workers)
        .map(|_| Worker::new(&jobs).handle::<Task>().data(work()).concurrency(jobs_each).start().unwrap())
        .collect();
    // Another process, which would take the jobs.
    let there = open(&place, quick());
    let ids = there.enqueue_many((0..jobs_each * workers).map(|_| Task)).await.unwrap();
    let all = i64::try_from(ids.len()).unwrap();
    while number(
        &there.sessions::<P::Conn>().unwrap(),
        "SELECT COUNT(*) AS n FROM utils_jobs WHERE state = 1",
    ) < all
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let other = Worker::new(&there).handle::<Task>().data(naps(Duration::ZERO)).start().unwrap();
    for id in &ids {
        ends_at_once(&there, id.as_str()).await;
    }
    other.stop().await.unwrap();
    for worker in holders {
        worker.stop().await.unwrap();
    }
}

/// A pool that was given to us, too small to lend a connection to a worker; we do not know how to make another one.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(super) async fn a_worker_on_a_given_pool_of_one_is_refused<P: Place>(place: P) {
    let pool_of = |connections| {
        let manager = diesel::r2d2::ConnectionManager::<P::Conn>::new(place.url());
        Jobs::from_pool(diesel::r2d2::Pool::builder().max_size(connections).build(manager).unwrap())
    };
    let start = |jobs: &Jobs| Worker::new(jobs).handle::<Task>().data(naps(Duration::ZERO)).start();
    let small = pool_of(1);
    small.migrate().unwrap();
    let refused = start(&small).unwrap_err();
    assert!(matches!(refused, utils_jobs::JobsError::Settings(_)), "{refused:?}");
    assert!(refused.to_string().starts_with("each worker keeps a connection for its leases"), "{refused}");
    let mut storage = small.storage::<Task>();
    let context = apalis_core::worker::context::WorkerContext::new("small");
    let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    let polled = apalis_core::backend::Backend::poll_ready(&mut storage, &mut task, &context);
    assert!(
        matches!(polled, std::task::Poll::Ready(Err(utils_jobs::JobsError::Settings(_)))),
        "as a backend for apalis, too: {polled:?}"
    );

    let enough = pool_of(2);
    let worker = start(&enough).unwrap();
    start(&enough).unwrap_err(); // its half is taken
    let id = enough.enqueue(Task).await.unwrap();
    ends_at_once(&enough, id.as_str()).await;
    worker.stop().await.unwrap();
}

/// A transaction of the application's holds the row of one running job for longer than a lease.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(super) async fn a_locked_row_does_not_cost_other_jobs_their_leases<P: Place>(place: P) {
    let jobs = open(&place, quick());
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    let work: Work = Box::new(move |ctx| {
        let sessions = sessions.clone();
        Box::pin(async move {
            if ctx.meta().contains_key("locks") {
                let slow = sessions.tx(move |conn| {
                    ctx.finish_in(conn, &())?;
                    std::thread::sleep(Duration::from_millis(2_500));
                    diesel::QueryResult::Ok(())
                });
                return Ok(slow.await?);
            }
            tokio::time::sleep(Duration::from_millis(2_000)).await;
            Ok(())
        })
    });
    let worker = Worker::new(&jobs).handle::<Task>().data(work).start().unwrap();
    let locks = jobs.enqueue(Task.with().meta("locks", "its row")).await.unwrap();
    let plain = jobs.enqueue(Task).await.unwrap();
    running(&jobs, locks.as_str()).await;
    running(&jobs, plain.as_str()).await;
    let there = open(&place, quick());
    let other = Worker::new(&there).handle::<Task>().data(naps(Duration::ZERO)).start().unwrap();
    ends_at_once(&there, plain.as_str()).await;
    ends_at_once(&there, locks.as_str()).await;
    other.stop().await.unwrap();
    worker.stop().await.unwrap();
}

/// Whoever asks gets an answer in the time that the pool has, however many ask.
pub(super) async fn a_used_up_pool_is_told_to_all_who_ask_in_time<P: Place>(place: P) {
    open(&place, quick());
    let sessions = utils_jobs::Sessions::<P::Conn>::builder(place.url().replace("sqlite:", ""))
        .pool_size(1)
        .timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    let jobs = Jobs::from_sessions(sessions.clone());
    let holds = tokio::task::spawn_blocking(move || {
        sessions.with(|conn| {
            conn.batch_execute("SELECT 1")?;
            std::thread::sleep(Duration::from_secs(3));
            diesel::QueryResult::Ok(())
        })
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let started = Instant::now();
    let asked: Vec<_> = (0..12)
        .map(|_| {
            let jobs = jobs.clone();
            tokio::spawn(async move { jobs.counts().await.map(drop) })
        })
        .collect();
    for each in asked {
        let answer = each.await.unwrap();
        assert!(matches!(answer, Err(utils_jobs::JobsError::Sessions(_))), "{answer:?}");
    }
    assert!(started.elapsed() < Duration::from_millis(1_500), "{:?}", started.elapsed());
    holds.await.unwrap().unwrap();
}
