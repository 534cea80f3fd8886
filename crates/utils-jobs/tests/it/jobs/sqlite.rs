use diesel::SqliteConnection;
use utils_jobs::{Jobs, JobsBuilder};
use utils_testing::{job_backend_contract, jobs::JobBackend};

use super::database::Place;

pub(super) struct Sqlite {
    directory: tempfile::TempDir,
}

impl Sqlite {
    pub(super) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }
}

impl Place for Sqlite {
    type Conn = SqliteConnection;
    const NAME: &str = "sqlite";

    fn url(&self) -> String {
        format!("sqlite:{}", self.directory.path().join("jobs.db").display())
    }
}

impl JobBackend for Sqlite {
    fn open(&self, builder: JobsBuilder) -> Jobs {
        super::database::open(self, builder)
    }
}

job_backend_contract!(Sqlite::new());
super::rules::rules!(Sqlite::new());
super::flow::cases!(Sqlite::new());
super::flow::on_databases::database_cases!(Sqlite::new());
super::database::cases!(Sqlite::new());

#[test]
fn a_clock_that_is_set_while_jobs_run_takes_no_job_from_others() {
    super::database::run(super::leases::a_clock_that_is_set_while_jobs_run_takes_no_job_from_others(
        Sqlite::new(),
    ));
}

/// Longer than anybody waits for the lock.
#[test]
fn a_worker_survives_another_writer_that_does_not_let_go() {
    use std::time::Duration;

    use diesel::connection::SimpleConnection;
    use utils_jobs::{SessionConn, Sessions, State};

    super::database::run(async {
        let place = Sqlite::new();
        let jobs = super::database::open(&place, super::database::quick());
        let worker = utils_jobs::Worker::new(&jobs).handle::<Nap>().start().unwrap();
        let id = jobs.enqueue(Nap).await.unwrap();
        while jobs.status(&id).await.unwrap().unwrap().state != State::Running {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let other = Sessions::<SqliteConnection>::new(place.url()).unwrap();
        tokio::task::spawn_blocking(move || {
            other.with(|conn| {
                conn.write_tx(|conn| {
                    conn.batch_execute("SELECT 1")?;
                    std::thread::sleep(Duration::from_millis(6_500));
                    diesel::QueryResult::Ok(())
                })
            })
        })
        .await
        .unwrap()
        .unwrap();
        let end = jobs.wait_status(&id, Duration::from_secs(10)).await.unwrap();
        assert_eq!((end.state, end.attempts), (State::Done, 1), "{end:?}");
        assert!(worker.is_running());
        worker.stop().await.unwrap();
    });
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Nap;

impl utils_jobs::Job for Nap {
    const NAME: &'static str = "nap";
    type Output = ();

    async fn run(self, _: utils_jobs::Context) -> Result<(), utils_jobs::Failure> {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        Ok(())
    }
}

/// Ends as it is told, after half a second.
#[derive(serde::Serialize, serde::Deserialize)]
struct Ends {
    well: bool,
}

impl utils_jobs::Job for Ends {
    const NAME: &'static str = "ends";
    type Output = u8;

    async fn run(self, _: utils_jobs::Context) -> Result<u8, utils_jobs::Failure> {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        if self.well { Ok(1) } else { Err(utils_jobs::Retry::never("it was refused")) }
    }
}

/// Waits for a lock for 30 ms only, so that many rounds fail in a short time.
#[derive(Debug)]
struct Impatient;

impl diesel::r2d2::CustomizeConnection<SqliteConnection, diesel::r2d2::Error> for Impatient {
    fn on_acquire(&self, conn: &mut SqliteConnection) -> Result<(), diesel::r2d2::Error> {
        use diesel::connection::SimpleConnection;
        conn.batch_execute("PRAGMA busy_timeout = 30; PRAGMA journal_mode = WAL")
            .map_err(diesel::r2d2::Error::QueryError)
    }
}

#[test]
fn ends_of_jobs_outlast_a_lock_that_fails_many_rounds() {
    use std::time::Duration;

    use diesel::connection::SimpleConnection;
    use utils_jobs::{SessionConn, Sessions, State};

    super::database::run(async {
        let place = Sqlite::new();
        super::database::open(&place, Jobs::builder());
        let file = place.directory.path().join("jobs.db").display().to_string();
        let pool = diesel::r2d2::Pool::builder()
            .connection_customizer(Box::new(Impatient))
            .build(diesel::r2d2::ConnectionManager::<SqliteConnection>::new(file))
            .unwrap();
        let jobs = super::database::quick().sessions(Sessions::from_pool(pool));
        let worker = utils_jobs::Worker::new(&jobs).handle::<Ends>().start().unwrap();
        let well = jobs.enqueue(Ends { well: true }).await.unwrap();
        let badly = jobs.enqueue(Ends { well: false }).await.unwrap();
        for id in [&well, &badly] {
            while jobs.status(id).await.unwrap().unwrap().state != State::Running {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let other = Sessions::<SqliteConnection>::new(place.url()).unwrap();
        tokio::task::spawn_blocking(move || {
            other.with(|conn| {
                conn.write_tx(|conn| {
                    conn.batch_execute("SELECT 1")?;
                    std::thread::sleep(Duration::from_secs(4));
                    diesel::QueryResult::Ok(())
                })
            })
        })
        .await
        .unwrap()
        .unwrap();
        for (id, expected) in [(&well, State::Done), (&badly, State::Dead)] {
            let end = jobs.wait_status(id, Duration::from_secs(10)).await.unwrap();
            assert_eq!((end.state, end.attempts), (expected, 1), "{end:?}");
        }
        worker.stop().await.unwrap();
    });
}

/// What no database error kind tells apart from a lock or a full disk, a trigger does here.
#[test]
fn an_end_that_the_database_refuses_makes_a_dead_letter_and_the_others_end() {
    use std::time::Duration;

    use diesel::connection::SimpleConnection;
    use utils_jobs::State;

    super::database::run(async {
        let place = Sqlite::new();
        let jobs = super::database::open(&place, super::database::quick());
        let sessions = jobs.sessions::<SqliteConnection>().unwrap();
        let trigger = "CREATE TRIGGER refuses BEFORE UPDATE ON utils_jobs WHEN NEW.result = '1' \
                       BEGIN SELECT json('no json'); END";
        sessions.with(|conn| conn.batch_execute(trigger)).unwrap();
        let worker = utils_jobs::Worker::new(&jobs).handle::<Ends>().handle::<Nap>().start().unwrap();
        let refused = jobs.enqueue(Ends { well: true }).await.unwrap();
        let taken = jobs.enqueue(Nap).await.unwrap();
        let end = jobs.wait_status(&refused, Duration::from_secs(10)).await.unwrap();
        assert_eq!((end.state, end.attempts), (State::Dead, 1), "{end:?}");
        assert_eq!(end.error.as_deref(), Some("its result could not be written down"));
        let end = jobs.wait_status(&taken, Duration::from_secs(10)).await.unwrap();
        assert_eq!((end.state, end.attempts), (State::Done, 1), "{end:?}");
        worker.stop().await.unwrap();
    });
}

#[test]
fn the_tables_can_be_taken_down_and_made_again() {
    super::database::run(super::database::the_tables_can_be_taken_down_and_made_again(
        Sqlite::new(),
        utils_jobs::SQLITE_MIGRATIONS,
    ));
}
