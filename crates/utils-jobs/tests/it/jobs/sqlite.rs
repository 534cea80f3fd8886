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
super::database::cases!(Sqlite::new());

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
