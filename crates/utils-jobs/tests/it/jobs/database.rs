//! What only a database can show: transactions, several processes, errors and rows that nobody of us has written.
use std::time::{Duration, Instant};

use diesel::{QueryResult, connection::SimpleConnection, r2d2::R2D2Connection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use serde::{Deserialize, Serialize};
use utils_jobs::{
    Clock, Context, Failure, Filter, Job, JobConn, Jobs, JobsBuilder, JobsError, Policy, Retry, SessionConn,
    Sessions, State, Worker,
};

/// A database for one test.
pub(super) trait Place {
    type Conn: JobConn + SimpleConnection;
    const NAME: &'static str;

    fn url(&self) -> String;

    /// Ends all connections to it, but not those of tests that run beside this one.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    fn cut_connections(&self) {}
}

/// A name that no other test of any run has.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(super) fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    let time = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros();
    format!("jobs_{}_{time}_{number}", std::process::id())
}

pub(super) fn open<P: Place>(place: &P, builder: JobsBuilder) -> Jobs {
    let jobs = builder.open(&place.url()).unwrap();
    jobs.migrate().unwrap();
    jobs
}

/// Runs a case; with many kills it takes long.
pub(super) fn run(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limit = Duration::from_secs(if std::env::var_os("KILL_ROUNDS").is_some() { 900 } else { 60 });
    let done = runtime.block_on(async { tokio::time::timeout(limit, case).await });
    assert!(done.is_ok(), "the case has not ended within {limit:?}");
}

/// The same cases on each database.
macro_rules! cases {
    ($place:expr) => {
        mod on_a_database {
            use super::*;

            crate::jobs::database::cases!(@all $place;
                a_rolled_back_job_never_was_and_a_committed_one_is_there_once,
                a_job_is_never_seen_before_its_row,
                effects_and_end_are_committed_together,
                a_job_whose_lease_is_lost_cannot_commit_its_effects,
                rows_that_nobody_of_us_wrote_do_not_stop_the_queue,
                a_worker_gives_others_time_before_it_takes_their_jobs,
                a_job_that_has_ended_by_itself_may_take_its_time,
                a_used_up_pool_is_told_to_all_who_ask_in_time,
                jobs_that_use_up_the_pool_keep_their_leases,
                a_job_that_holds_the_only_connection_keeps_its_lease,
                of_two_workers_on_a_small_pool_both_keep_their_leases,
                migrations_run_from_several_processes_at_once,
                a_worker_waits_for_the_tables_of_its_version,
                a_connection_to_another_database_is_refused,
                a_job_of_another_process_is_found_soon,
                an_idle_worker_starts_a_committed_job_at_once,
                jobs_enqueued_at_any_moment_start_within_a_second,
                two_processes_enqueue_each_tick_once_also_after_a_restart,
                killed_workers_lose_no_job,
                killed_workers_lose_no_job_of_a_batch_and_repeat_no_effect,
                effects_and_ends_of_a_batch_are_committed_together,
                a_refused_job_of_a_batch_does_not_keep_the_others_from_their_commit,
                a_job_of_a_batch_whose_lease_is_lost_costs_the_others_nothing,
                a_killed_worker_repeats_neither_what_has_ended_nor_what_waited_in_it,
                a_worker_stopped_among_many_ends_leaves_none_undone_or_done_twice,
                a_stopped_and_continued_process_cannot_end_a_job_twice,
                a_job_of_a_killed_process_runs_again_within_its_lease,
                a_second_signal_ends_the_process_at_once,
                a_second_signal_ends_a_process_whose_runtime_waits_for_a_job,
                two_signals_end_a_process_whose_only_thread_is_blocked,
                an_end_that_is_refused_in_any_form_keeps_no_other,
                a_job_that_cannot_be_taken_back_keeps_no_other,
                metrics_are_the_same_on_every_database,
                every_database_tells_apalis_what_it_holds,
            );
        }
    };
    (@all $place:expr; $($case:ident,)*) => {
        $(
            #[test]
            fn $case() {
                crate::jobs::database::run(crate::jobs::database::$case($place));
            }
        )*
    };
}
pub(super) use cases;

pub(super) use super::batches::{
    a_job_of_a_batch_whose_lease_is_lost_costs_the_others_nothing,
    a_refused_job_of_a_batch_does_not_keep_the_others_from_their_commit,
    effects_and_ends_of_a_batch_are_committed_together,
    killed_workers_lose_no_job_of_a_batch_and_repeat_no_effect,
};
pub(super) use super::crowd::{
    a_killed_worker_repeats_neither_what_has_ended_nor_what_waited_in_it,
    a_worker_stopped_among_many_ends_leaves_none_undone_or_done_twice,
};
pub(super) use super::exposed::every_database_tells_apalis_what_it_holds;
pub(super) use super::kill::{
    a_job_of_a_killed_process_runs_again_within_its_lease,
    a_second_signal_ends_a_process_whose_runtime_waits_for_a_job, a_second_signal_ends_the_process_at_once,
    a_stopped_and_continued_process_cannot_end_a_job_twice, killed_workers_lose_no_job,
    two_signals_end_a_process_whose_only_thread_is_blocked,
};
pub(super) use super::leases::{
    a_job_that_has_ended_by_itself_may_take_its_time, a_job_that_holds_the_only_connection_keeps_its_lease,
    a_used_up_pool_is_told_to_all_who_ask_in_time, a_worker_gives_others_time_before_it_takes_their_jobs,
    jobs_that_use_up_the_pool_keep_their_leases, of_two_workers_on_a_small_pool_both_keep_their_leases,
};
pub(super) use super::refused::{
    a_job_that_cannot_be_taken_back_keeps_no_other, an_end_that_is_refused_in_any_form_keeps_no_other,
};
pub(super) use super::seeing::metrics_are_the_same_on_every_database;
pub(super) use super::soon::jobs_enqueued_at_any_moment_start_within_a_second;
pub(super) use super::ticks::two_processes_enqueue_each_tick_once_also_after_a_restart;

/// All connections of the jobs are cut again and again, in the middle of whatever they do. (SQLite has none.)
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(super) async fn a_worker_survives_the_loss_of_its_connections<P: Place>(place: P) {
    let jobs = open(&place, quick());
    let counter = Counter::<P::Conn>::new(&jobs);
    let worker = Worker::new(&jobs).handle::<Count>().data(counter.work()).concurrency(4).start().unwrap();
    let mut ids = Vec::new();
    for _ in 0..15 {
        // An enqueue that fails is told to the one who enqueues.
        for _ in 0..10 {
            if let Ok(id) = jobs.enqueue(Count { then_fail: false }).await {
                ids.push(id);
            }
        }
        place.cut_connections();
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    assert!(!ids.is_empty());
    for id in &ids {
        let end = jobs.wait_status(id, SOON).await;
        let end = match end {
            Ok(end) => end,
            Err(_) => jobs.wait_status(id, SOON).await.unwrap(), // a connection that nobody had noticed yet
        };
        assert_eq!(end.state, State::Done, "{end:?}");
    }
    assert!(worker.is_running());
    worker.stop().await.unwrap();
    let ended = number(&counter.0, "SELECT COUNT(*) AS n FROM utils_jobs WHERE state = 2");
    assert_eq!(ended, number(&counter.0, "SELECT COUNT(*) AS n FROM utils_jobs"));
    assert_eq!(counter.counted(), ended, "effects, exactly once");
}

/// Adds one to a counter, in one transaction with its own end.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Count {
    then_fail: bool,
}

/// Where [`Count`] counts; generic jobs would need a name each.
struct Counter<C: JobConn>(Sessions<C>);

type Work = Box<
    dyn Fn(Context, bool) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>
        + Send
        + Sync,
>;

impl Job for Count {
    const NAME: &'static str = "count";
    type Output = ();

    fn policy() -> Policy {
        Policy::new().attempts(5).backoff(utils_jobs::Backoff::fixed(Duration::ZERO))
    }

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        let work = ctx.data::<Work>()?;
        work(ctx.clone(), self.then_fail).await
    }
}

impl<C: JobConn + SimpleConnection> Counter<C> {
    fn new(jobs: &Jobs) -> Self {
        let sessions = jobs.sessions::<C>().unwrap();
        sessions.with(|conn| conn.batch_execute("CREATE TABLE counted (n INTEGER NOT NULL)")).unwrap();
        Self(sessions)
    }

    fn work(&self) -> Work {
        let sessions = self.0.clone();
        Box::new(move |ctx, then_fail| {
            let sessions = sessions.clone();
            Box::pin(async move {
                let first = ctx.attempt() == 1;
                let done = sessions.tx(move |conn| {
                    conn.batch_execute("INSERT INTO counted VALUES (1)")?;
                    ctx.finish_in(conn, &())?;
                    if then_fail && first { Err(diesel::result::Error::RollbackTransaction) } else { Ok(()) }
                });
                done.await?;
                Ok(())
            })
        })
    }

    fn counted(&self) -> i64 {
        number(&self.0, "SELECT COUNT(*) AS n FROM counted")
    }
}

#[derive(diesel::QueryableByName)]
struct Number {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    n: i64,
}

/// A query for one number, on any of the databases.
pub(super) trait Ask: Sized {
    fn ask(&mut self, query: &str) -> QueryResult<i64>;
}

macro_rules! ask {
    ($($feature:literal $conn:ty),*) => {$(
        #[cfg(feature = $feature)]
        impl Ask for $conn {
            fn ask(&mut self, query: &str) -> QueryResult<i64> {
                use diesel::RunQueryDsl;
                diesel::sql_query(query).get_result::<Number>(self).map(|row| row.n)
            }
        }
    )*};
}
ask!("sqlite" diesel::SqliteConnection, "postgres" diesel::PgConnection, "mysql" diesel::MysqlConnection);

pub(super) fn number<C: JobConn>(sessions: &Sessions<C>, query: &str) -> i64 {
    sessions.with(|conn| ask(conn, query)).unwrap()
}

fn ask<C: JobConn>(conn: &mut C, query: &str) -> QueryResult<i64> {
    let conn: &mut dyn std::any::Any = conn;
    #[cfg(feature = "sqlite")]
    if let Some(conn) = conn.downcast_mut::<diesel::SqliteConnection>() {
        return conn.ask(query);
    }
    #[cfg(feature = "postgres")]
    if let Some(conn) = conn.downcast_mut::<diesel::PgConnection>() {
        return conn.ask(query);
    }
    #[cfg(feature = "mysql")]
    if let Some(conn) = conn.downcast_mut::<diesel::MysqlConnection>() {
        return conn.ask(query);
    }
    Err(diesel::result::Error::NotFound)
}

pub(super) const SOON: Duration = Duration::from_secs(20);

pub(super) async fn the_tables_can_be_taken_down_and_made_again<P: Place>(
    place: P,
    migrations: EmbeddedMigrations,
) where
    P::Conn: MigrationHarness<<P::Conn as diesel::Connection>::Backend>,
{
    let jobs = open(&place, Jobs::builder());
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    let down = sessions.with(|conn| QueryResult::Ok(conn.revert_all_migrations(migrations).unwrap().len()));
    assert_eq!(down.unwrap(), 4);
    jobs.migrate().unwrap();
    jobs.enqueue(Count { then_fail: false }).await.unwrap();
}

/// With those of another version it would run jobs, and could not write down how they end.
pub(super) async fn a_worker_waits_for_the_tables_of_its_version<P: Place>(place: P) {
    let jobs = open(&place, quick());
    let counter = Counter::<P::Conn>::new(&jobs);
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    sessions.with(|conn| conn.batch_execute("ALTER TABLE utils_jobs DROP COLUMN ended_key")).unwrap();
    let worker = Worker::new(&jobs).handle::<Count>().data(counter.work()).start().unwrap();
    let id = jobs.enqueue(Count { then_fail: false }).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(worker.is_running() && !worker.is_ready());
    assert_eq!(number(&sessions, "SELECT COUNT(*) AS n FROM utils_jobs WHERE attempts = 0"), 1, "it waits");
    let text = if P::NAME == "mysql" { "VARBINARY(200)" } else { "TEXT" };
    let back = format!("ALTER TABLE utils_jobs ADD COLUMN ended_key {text}");
    sessions.with(|conn| conn.batch_execute(&back)).unwrap();
    jobs.wait(&id, SOON).await.unwrap();
    worker.stop().await.unwrap();
}

pub(super) fn quick() -> JobsBuilder {
    Jobs::builder().lease(Duration::from_millis(900)).poll(Duration::from_millis(100))
}

pub(super) async fn a_rolled_back_job_never_was_and_a_committed_one_is_there_once<P: Place>(place: P) {
    let jobs = open(&place, quick());
    let counter = Counter::<P::Conn>::new(&jobs);
    let workers: Vec<_> = (0..4)
        .map(|_| Worker::new(&jobs).handle::<Count>().data(counter.work()).concurrency(2).start().unwrap())
        .collect();
    let writers: Vec<_> = (0..16)
        .map(|writer| {
            let (jobs, sessions) = (jobs.clone(), counter.0.clone());
            tokio::spawn(async move {
                let mut committed = 0;
                for round in 0..6 {
                    let commits = (writer + round) % 3 != 0;
                    let jobs = jobs.clone();
                    let done = sessions
                        .tx(move |conn| {
                            jobs.enqueue_in(conn, Count { then_fail: false })?;
                            if commits { Ok(()) } else { Err(JobsError::NotFound) }
                        })
                        .await;
                    assert_eq!(done.is_ok(), commits, "{done:?}");
                    committed += i64::from(commits);
                }
                committed
            })
        })
        .collect();
    let mut committed = 0;
    for writer in writers {
        committed += writer.await.unwrap();
    }
    while number(&counter.0, "SELECT COUNT(*) AS n FROM utils_jobs WHERE state = 2") < committed {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for worker in workers {
        worker.stop().await.unwrap();
    }
    assert_eq!(number(&counter.0, "SELECT COUNT(*) AS n FROM utils_jobs"), committed);
    assert_eq!(counter.counted(), committed);
    assert_eq!(number(&counter.0, "SELECT COUNT(*) AS n FROM utils_jobs WHERE attempts <> 1"), 0);
}

/// The row is written behind the job, in a transaction that takes its time, while a worker looks all the time.
pub(super) async fn a_job_is_never_seen_before_its_row<P: Place>(place: P) {
    let jobs = open(&place, quick().poll(Duration::from_millis(5)));
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    let table = "CREATE TABLE letters (job VARCHAR(64) NOT NULL)";
    sessions.with(|conn| conn.batch_execute(table)).unwrap();
    let inner = sessions.clone();
    let finds_its_row: Work = Box::new(move |ctx, _| {
        let sessions = inner.clone();
        Box::pin(async move {
            let its_row = format!("SELECT COUNT(*) AS n FROM letters WHERE job = '{}'", ctx.id());
            match sessions.run(move |conn| ask(conn, &its_row)).await? {
                1 => Ok(()),
                rows => Err(Retry::never(format!("{rows} rows"))),
            }
        })
    });
    let worker = Worker::new(&jobs).handle::<Count>().data(finds_its_row).concurrency(4).start().unwrap();
    while !worker.is_ready() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..4 {
        let (writer, inner) = (jobs.clone(), sessions.clone());
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let transaction = tokio::task::spawn_blocking(move || {
            inner.with(|conn| {
                conn.write_tx(|conn| {
                    let id = writer.enqueue_in(conn, Count { then_fail: false })?;
                    receiver.recv().unwrap(); // a slow transaction
                    conn.batch_execute(&format!("INSERT INTO letters VALUES ('{id}')"))?;
                    Ok::<_, JobsError>(id)
                })
            })
        });
        tokio::time::sleep(Duration::from_millis(150)).await;
        if P::Conn::DATABASE != "SQLite" {
            assert_eq!(jobs.list(Filter::new().state(State::Waiting)).await.unwrap().len(), 0);
        }
        sender.send(()).unwrap();
        let id = transaction.await.unwrap().unwrap();
        let committed = Instant::now();
        jobs.wait(&id, SOON).await.unwrap();
        assert!(committed.elapsed() < Duration::from_secs(5), "{:?}", committed.elapsed());
    }
    worker.stop().await.unwrap();
}

pub(super) async fn effects_and_end_are_committed_together<P: Place>(place: P) {
    let jobs = open(&place, quick());
    let counter = Counter::<P::Conn>::new(&jobs);
    let worker = Worker::new(&jobs).handle::<Count>().data(counter.work()).start().unwrap();
    let plain = jobs.enqueue(Count { then_fail: false }).await.unwrap();
    let rolled_back = jobs.enqueue(Count { then_fail: true }).await.unwrap();
    jobs.wait(&plain, SOON).await.unwrap();
    jobs.wait(&rolled_back, SOON).await.unwrap();
    worker.stop().await.unwrap();
    assert_eq!(counter.counted(), 2);
    assert_eq!(jobs.status(&plain).await.unwrap().unwrap().attempts, 1);
    assert_eq!(jobs.status(&rolled_back).await.unwrap().unwrap().attempts, 2);
}

pub(super) async fn a_job_whose_lease_is_lost_cannot_commit_its_effects<P: Place>(place: P) {
    let jobs = open(&place, Jobs::builder().clock(Clock::manual()));
    let counter = Counter::<P::Conn>::new(&jobs);
    let id = jobs.enqueue(Count { then_fail: false }).await.unwrap();
    // The first attempt loses its lease between its effect and its commit, because another worker reaps.
    let (inner, other) = (counter.work(), jobs.clone());
    let stalls: Work = Box::new(move |ctx, fail| {
        let other = other.clone();
        let work = inner(ctx.clone(), fail);
        Box::pin(async move {
            if ctx.attempt() == 1 {
                other.clock().advance(Duration::from_secs(60));
                Worker::new(&other).queues(["nothing"]).run_due().await?;
            }
            work.await
        })
    });
    let report = Worker::new(&jobs).handle::<Count>().data(stalls).run_due().await.unwrap();
    assert_eq!(counter.counted(), 1, "{report:?}");
    let end = jobs.status(&id).await.unwrap().unwrap();
    assert_eq!((end.state, end.attempts), (State::Done, 2));
}

pub(super) async fn rows_that_nobody_of_us_wrote_do_not_stop_the_queue<P: Place>(place: P) {
    let jobs = open(&place, quick());
    let counter = Counter::<P::Conn>::new(&jobs);
    let columns =
        "(id, name, queue, args, state, priority, attempts, max_attempts, run_at, created_at, meta)";
    let rows = [
        "('not a ulid', 'count', 'default', '{\"then_fail\":false}', 0, 9, 0, 3, 0, 0, '{}')",
        "('no-json', 'count', 'default', 'x', 0, 8, 0, 3, 0, 0, 'no json either')",
        "('empty', 'count', 'default', '', 0, 7, 0, 3, 0, 0, '')",
        "('from the future', 'count', 'default', '{}', 99, 7, 0, 3, 0, 0, '')",
    ];
    counter
        .0
        .with(|conn| {
            rows.iter().try_for_each(|row| {
                conn.batch_execute(&format!("INSERT INTO utils_jobs {columns} VALUES {row}"))
            })
        })
        .unwrap();
    let good = jobs.enqueue(Count { then_fail: false }).await.unwrap();
    let worker = Worker::new(&jobs).handle::<Count>().data(counter.work()).start().unwrap();
    jobs.wait(&good, SOON).await.unwrap();
    assert_eq!(jobs.wait_status("not a ulid", SOON).await.unwrap().state, State::Done);
    assert_eq!(jobs.wait_status("no-json", SOON).await.unwrap().state, State::Dead);
    assert_eq!(jobs.wait_status("empty", SOON).await.unwrap().state, State::Dead);
    assert!(worker.is_running());
    worker.stop().await.unwrap();
    assert_eq!(counter.counted(), 2);
}

pub(super) async fn migrations_run_from_several_processes_at_once<P: Place>(place: P) {
    let url = place.url();
    let all: Vec<_> = (0..4)
        .map(|_| {
            let url = url.clone();
            std::thread::spawn(move || Jobs::open(&url).and_then(|jobs| jobs.migrate()))
        })
        .collect();
    for each in all {
        each.join().unwrap().unwrap();
    }
    let jobs = Jobs::open(&url).unwrap();
    jobs.enqueue(Count { then_fail: false }).await.unwrap();
}

pub(super) async fn a_connection_to_another_database_is_refused<P: Place>(place: P) {
    let sessions = Sessions::<P::Conn>::new(place.url()).unwrap();
    let jobs = Jobs::memory();
    let refused = sessions.with(|conn| {
        conn.ping()?;
        jobs.enqueue_in(conn, Count { then_fail: false })
    });
    assert!(matches!(refused, Err(JobsError::OtherDatabase { jobs: "memory", .. })), "{refused:?}");
}

/// Two [`Jobs`] on one place are what two processes are to each other.
pub(super) async fn a_job_of_another_process_is_found_soon<P: Place>(place: P) {
    let (here, there) = (open(&place, quick()), open(&place, quick()));
    let counter = Counter::<P::Conn>::new(&here);
    let worker = Worker::new(&here).handle::<Count>().data(counter.work()).start().unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    for _ in 0..5 {
        let started = Instant::now();
        let id = there.enqueue(Count { then_fail: false }).await.unwrap();
        here.wait(&id, SOON).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    }
    worker.stop().await.unwrap();
}

pub(super) async fn an_idle_worker_starts_a_committed_job_at_once<P: Place>(place: P) {
    // Looking at the table by itself would take a minute.
    let jobs = open(&place, quick().poll(Duration::from_secs(60)).lease(Duration::from_secs(600)));
    let counter = Counter::<P::Conn>::new(&jobs);
    let worker = Worker::new(&jobs).handle::<Count>().data(counter.work()).start().unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    let enqueuer = jobs.clone();
    let id = counter.0.tx(move |conn| enqueuer.enqueue_in(conn, Count { then_fail: false })).await.unwrap();
    jobs.wait(&id, SOON).await.unwrap();
    let delayed = jobs.enqueue(Count { then_fail: false }.after(Duration::from_millis(300))).await.unwrap();
    jobs.wait(&delayed, SOON).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    worker.stop().await.unwrap();
}
