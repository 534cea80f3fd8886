use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use diesel::{QueryResult, SqliteConnection, connection::SimpleConnection};
use utils_jobs::{PoolSettings, SessionConn, Sessions, SessionsBuilder, SessionsError};

use super::{AppError, Sql};

struct File {
    _folder: tempfile::TempDir,
    path: String,
}

impl File {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db").to_str().unwrap().to_owned();
        Self { _folder: folder, path }
    }

    fn builder(&self) -> SessionsBuilder<SqliteConnection> {
        Sessions::builder(&self.path)
    }
}

fn memory() -> Sessions<SqliteConnection> {
    Sessions::builder(":memory:").timeout(Duration::from_millis(100)).build().unwrap()
}

#[tokio::test]
async fn a_transaction_commits_or_leaves_nothing() {
    let file = File::new();
    super::a_transaction_commits_or_leaves_nothing(file.builder().build().unwrap()).await;
    super::a_transaction_commits_or_leaves_nothing(memory()).await;
}

#[tokio::test]
async fn a_transaction_in_a_transaction_is_a_savepoint() {
    super::a_transaction_in_a_transaction_is_a_savepoint(memory()).await;
}

#[tokio::test]
async fn an_exhausted_pool_is_an_error_after_the_time_out() {
    super::an_exhausted_pool_is_an_error_after_the_time_out(memory()).await;
}

#[actix_rt::test]
async fn an_exhausted_pool_is_an_error_inside_an_actix_worker_too() {
    super::an_exhausted_pool_is_an_error_after_the_time_out(memory()).await;
}

#[tokio::test]
async fn a_panic_gives_the_connection_back() {
    super::a_panic_gives_the_connection_back(memory()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_at_once_lose_no_update() {
    let file = File::new();
    super::writers_at_once_lose_no_update(file.builder().pool_size(8).build().unwrap()).await;
}

#[test]
fn every_connection_is_set_up() {
    let file = File::new();
    let sessions = file.builder().pool_size(3).build().unwrap();
    let mut connections: Vec<_> = (0..3).map(|_| sessions.pool().get().unwrap()).collect();
    for conn in &mut connections {
        let wal = conn.number("SELECT journal_mode = 'wal' AS n FROM pragma_journal_mode").unwrap();
        let timeout = conn.number("SELECT timeout AS n FROM pragma_busy_timeout").unwrap();
        let synchronous = conn.number("SELECT synchronous AS n FROM pragma_synchronous").unwrap();
        let foreign_keys = conn.number("SELECT foreign_keys AS n FROM pragma_foreign_keys").unwrap();
        assert_eq!([wal, timeout, synchronous, foreign_keys], [1, 5_000, 1, 1]);
    }
}

#[test]
fn a_write_transaction_takes_the_lock_at_its_beginning() {
    let file = File::new();
    let sessions = file.builder().pool_size(2).build().unwrap();
    let mut other = sessions.pool().get().unwrap();
    other.batch_execute("CREATE TABLE t (n BIGINT); PRAGMA busy_timeout = 0").unwrap();
    let outcome = sessions.with(|conn| {
        conn.write_tx(|conn| {
            conn.number("SELECT count(*) AS n FROM t")?;
            let meddling = other.batch_execute("INSERT INTO t VALUES (1)");
            assert!(meddling.unwrap_err().to_string().contains("locked"));
            conn.batch_execute("INSERT INTO t VALUES (2)")
        })
    });
    outcome.unwrap();
}

#[test]
fn callers_that_wait_for_a_connection_take_no_blocking_thread() {
    // one thread, so that tasks run exactly when this one lets them
    let runtime =
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let sessions = Sessions::<SqliteConnection>::builder(":memory:")
            .timeout(Duration::from_secs(30))
            .build()
            .unwrap();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (begin, begun) = tokio::sync::oneshot::channel();
        let holder = tokio::spawn({
            let sessions = sessions.clone();
            async move {
                let hold = sessions.run(move |_| {
                    let _ = begin.send(());
                    let _ = released.recv();
                    QueryResult::Ok(())
                });
                hold.await
            }
        });
        begun.await.unwrap();
        let done = Arc::new(AtomicUsize::new(0));
        let waiting: Vec<_> = (0..20)
            .map(|_| {
                let (sessions, done) = (sessions.clone(), Arc::clone(&done));
                tokio::spawn(async move {
                    sessions.run(|conn| conn.number("SELECT 1 AS n")).await.unwrap();
                    done.fetch_add(1, Ordering::SeqCst);
                })
            })
            .collect();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let other = tokio::time::timeout(Duration::from_secs(5), tokio::task::spawn_blocking(|| 1));
        assert_eq!(other.await.expect("a blocking thread is free").unwrap(), 1);
        assert_eq!(done.load(Ordering::SeqCst), 0, "they are still waiting");
        release.send(()).unwrap();
        holder.await.unwrap().unwrap();
        for waiting in waiting {
            waiting.await.unwrap();
        }
        assert_eq!(done.load(Ordering::SeqCst), 20);
    });
}

#[tokio::test]
async fn a_memory_database_has_one_connection_that_survives_panics() {
    let sessions = Sessions::<SqliteConnection>::builder("sqlite::memory:")
        .pool_size(8)
        .pool_recycle(Duration::from_secs(1));
    let sessions = sessions.build().unwrap();
    assert_eq!(sessions.pool().max_size(), 1);
    assert_eq!((sessions.pool().max_lifetime(), sessions.pool().idle_timeout()), (None, None));
    sessions.with(|conn| conn.batch_execute("CREATE TABLE t (n BIGINT); INSERT INTO t VALUES (7)")).unwrap();
    let panicked = sessions.run(|conn| {
        conn.batch_execute("UPDATE t SET n = 8")?;
        if true {
            panic!("on purpose")
        }
        QueryResult::Ok(())
    });
    panicked.await.unwrap_err();
    let panicked = sessions.tx(|conn| {
        conn.batch_execute("UPDATE t SET n = 9")?;
        if true {
            panic!("on purpose")
        }
        QueryResult::Ok(())
    });
    panicked.await.unwrap_err();
    assert_eq!(sessions.run(|conn| conn.number("SELECT n FROM t")).await.unwrap(), 8);
}

#[test]
fn outside_a_runtime_run_is_an_error_and_not_a_panic() {
    let sessions = memory();
    let mut run = std::pin::pin!(sessions.run(|conn| conn.number("SELECT 1 AS n")));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(outcome) = run.as_mut().poll(&mut context) else { panic!("it waits") };
    assert!(matches!(outcome, Err(SessionsError::Runtime)));
}

#[tokio::test]
async fn the_error_of_the_closure_may_be_any_that_takes_ours() {
    let sessions = memory();
    let own: Result<(), AppError> = sessions.run(|_| Err(AppError::Refused)).await;
    assert!(matches!(own, Err(AppError::Refused)));
    let boxed = sessions.tx(|_| Err::<(), Box<dyn std::error::Error + Send + Sync>>("no".into())).await;
    assert_eq!(boxed.unwrap_err().to_string(), "no");
    let missing = sessions.run(|conn| conn.number("SELECT 1 AS n WHERE 0")).await;
    assert!(matches!(missing, Err(SessionsError::Query(diesel::result::Error::NotFound))));
}

#[test]
fn a_pool_that_exists_can_be_used() {
    let manager = diesel::r2d2::ConnectionManager::<SqliteConnection>::new(":memory:");
    let pool = diesel::r2d2::Pool::builder()
        .max_size(1)
        .connection_timeout(Duration::from_millis(70))
        .build(manager)
        .unwrap();
    let sessions = Sessions::from_pool(pool);
    assert_eq!(sessions.timeout(), Duration::from_millis(70));
    assert_eq!(sessions.with(|conn| conn.number("SELECT 3 AS n")).unwrap(), 3);
}

#[tokio::test]
async fn a_database_that_went_away_is_an_error_after_the_time_out() {
    let manager = diesel::r2d2::ConnectionManager::<SqliteConnection>::new("/nowhere/at/all.db");
    let pool =
        diesel::r2d2::Pool::builder().connection_timeout(Duration::from_millis(70)).build_unchecked(manager);
    let error = Sessions::from_pool(pool).run(|conn| conn.number("SELECT 1 AS n")).await.unwrap_err();
    assert!(matches!(error, SessionsError::Exhausted(_)), "{error:?}");
    assert_eq!(error.to_string(), "no database connection became free in time");
}

#[test]
fn settings_come_from_a_file() {
    let read = |json| serde_json::from_str::<PoolSettings>(json);
    assert_eq!(read("{}").unwrap(), PoolSettings::default());
    let settings = read(r#"{"pool_size": 3, "pool_recycle": 280, "timeout": 0.5}"#).unwrap();
    assert_eq!(settings.pool_recycle, Some(Duration::from_secs(280)));
    let sessions = File::new().builder().settings(settings).build().unwrap();
    let pool = sessions.pool();
    assert_eq!(pool.max_size(), 3);
    assert_eq!(pool.max_lifetime(), Some(Duration::from_secs(280)));
    assert_eq!(pool.connection_timeout(), Duration::from_millis(500));
    assert!(pool.test_on_check_out());
    assert!(read(r#"{"timeout": -1}"#).is_err());
    assert!(read(r#"{"pool_sizes": 1}"#).is_err());
}

#[test]
fn recycling_is_on_by_default_and_can_be_switched_off() {
    let file = File::new();
    let lifetime = |builder: SessionsBuilder<_>| builder.build().unwrap().pool().max_lifetime();
    assert_eq!(lifetime(file.builder()), Some(Duration::from_secs(1_800)));
    assert_eq!(lifetime(file.builder().pool_recycle(None)), None);
    assert_eq!(lifetime(file.builder().pool_recycle(Duration::ZERO)), None);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let check = |builder: SessionsBuilder<SqliteConnection>, expected: &str| {
        assert_eq!(builder.build().unwrap_err().to_string(), expected);
    };
    let builder = || Sessions::builder(":memory:");
    check(builder().pool_size(0), "the pool size must be at least 1");
    check(builder().timeout(Duration::ZERO), "the time-out for a connection must be above zero");
}
