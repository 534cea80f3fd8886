use diesel::{Connection, PgConnection, connection::SimpleConnection};
use utils_jobs::{Jobs, JobsBuilder, Worker, WorkerHandle};
use utils_testing::{job_backend_contract, jobs::JobBackend};

use super::database::{Place, unique};

/// A schema of its own.
pub(super) struct Postgres {
    schema: String,
}

fn server() -> String {
    std::env::var("TEST_POSTGRES_URL").expect("TEST_POSTGRES_URL must name a PostgreSQL database")
}

fn admin(sql: &str) {
    PgConnection::establish(&server()).unwrap().batch_execute(sql).unwrap();
}

impl Postgres {
    pub(super) fn new() -> Self {
        let schema = unique();
        admin(&format!("CREATE SCHEMA {schema}"));
        Self { schema }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        admin(&format!("SET client_min_messages = warning; DROP SCHEMA {} CASCADE", self.schema));
    }
}

impl Place for Postgres {
    type Conn = PgConnection;
    const NAME: &str = "postgres";

    fn url(&self) -> String {
        let server = server();
        let sign = if server.contains('?') { '&' } else { '?' };
        format!("{server}{sign}application_name={0}&options=-csearch_path%3D{0}", self.schema)
    }

    fn cut_connections(&self) {
        admin(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{}'",
            self.schema
        ));
    }
}

impl JobBackend for Postgres {
    fn open(&self, builder: JobsBuilder) -> Jobs {
        super::database::open(self, builder)
    }
}

job_backend_contract!(Postgres::new());
super::rules::rules!(Postgres::new());
super::flow::cases!(Postgres::new());
super::flow::on_databases::database_cases!(Postgres::new());
super::database::cases!(Postgres::new());

#[test]
fn a_worker_survives_the_loss_of_its_connections() {
    super::database::run(super::database::a_worker_survives_the_loss_of_its_connections(Postgres::new()));
}

/// The worker's transaction holds the row: the first look of the cancellation sees it running, the second waits and sees
/// it given back.
#[test]
fn a_job_that_is_given_back_while_it_is_cancelled_is_cancelled() {
    use std::time::Duration;

    use utils_jobs::{Cancellation, SessionConn, State};

    super::database::run(async {
        let place = Postgres::new();
        let jobs = super::database::open(&place, Jobs::builder());
        let id = jobs.enqueue(Never).await.unwrap();
        let sessions = jobs.sessions::<PgConnection>().unwrap();
        let running =
            "UPDATE utils_jobs SET state = 1, attempts = 1, worker = 'w', lease_until = 9999999999999";
        sessions.with(|conn| conn.batch_execute(running)).unwrap();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let worker = tokio::task::spawn_blocking(move || {
            sessions.with(|conn| {
                conn.write_tx(|conn| {
                    conn.batch_execute("UPDATE utils_jobs SET state = 0, worker = NULL, lease_until = NULL")?;
                    sender.send(()).unwrap();
                    std::thread::sleep(Duration::from_millis(500));
                    diesel::QueryResult::Ok(())
                })
            })
        });
        receiver.await.unwrap();
        assert_eq!(jobs.cancel(&id).await.unwrap(), Cancellation::AtOnce);
        worker.await.unwrap().unwrap();
        assert_eq!(jobs.status(&id).await.unwrap().unwrap().state, State::Cancelled);
    });
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Never;

impl utils_jobs::Job for Never {
    const NAME: &'static str = "never";
    type Output = ();

    async fn run(self, _: utils_jobs::Context) -> Result<(), utils_jobs::Failure> {
        Ok(())
    }
}

/// The default of a database or a role may be another than the server's.
#[test]
fn workers_do_not_undo_each_others_exchanges_whatever_the_isolation_by_default() {
    super::database::run(async {
        let place = Postgres::new();
        // one option more, behind the one for the schema
        let url = format!("{}%20-cdefault_transaction_isolation%3Drepeatable%5C%20read", place.url());
        let jobs = Jobs::builder().poll(std::time::Duration::from_millis(20)).open(&url).unwrap();
        jobs.migrate().unwrap();
        let others = (0..4).map(|_| Jobs::open(&url).unwrap()).collect::<Vec<_>>();
        let workers = others.iter().map(|jobs| Worker::new(jobs).handle::<Never>().concurrency(8).start());
        let workers = workers.collect::<Result<Vec<_>, _>>().unwrap();
        while !workers.iter().all(WorkerHandle::is_ready) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let ids = jobs.enqueue_many((0..4_000).map(|_| Never)).await.unwrap();
        let done = async || jobs.counts().await.unwrap()["default"].get("done").copied().unwrap_or(0);
        while done().await < ids.len() as u64 {
            assert!(workers.iter().all(WorkerHandle::is_ready), "an exchange has failed");
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        for worker in workers {
            worker.stop().await.unwrap();
        }
    });
}

#[test]
fn a_clock_that_is_set_while_jobs_run_takes_no_job_from_others() {
    super::database::run(super::leases::a_clock_that_is_set_while_jobs_run_takes_no_job_from_others(
        Postgres::new(),
    ));
}

#[test]
fn a_worker_whose_clock_is_ahead_leaves_the_jobs_of_others() {
    super::database::run(super::leases::a_worker_whose_clock_is_ahead_leaves_the_jobs_of_others(
        Postgres::new(),
    ));
}

#[test]
fn a_locked_row_does_not_cost_other_jobs_their_leases() {
    super::database::run(super::leases::a_locked_row_does_not_cost_other_jobs_their_leases(Postgres::new()));
}

/// A worker of apalis' own listens as well as one of ours.
#[test]
fn a_storage_hears_of_the_jobs_of_other_processes() {
    use std::time::{Duration, Instant};

    use apalis::prelude::*;

    super::database::run(async {
        let place = Postgres::new();
        let slow = || Jobs::builder().poll(Duration::from_secs(60)).lease(Duration::from_secs(600));
        let (here, there) = (super::database::open(&place, slow()), super::database::open(&place, slow()));
        let worker = WorkerBuilder::new("listens")
            .backend(here.storage::<super::leases::Task>())
            .build(|_: super::leases::Task| async {});
        let running = tokio::spawn(worker.run());
        tokio::time::sleep(Duration::from_millis(300)).await;
        let id = there.enqueue(super::leases::Task).await.unwrap();
        let started = Instant::now();
        here.wait_status(&id, Duration::from_secs(20)).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        running.abort();
    });
}

#[test]
fn a_delay_counts_by_the_servers_clock() {
    super::database::run(super::leases::a_delay_counts_by_the_servers_clock(Postgres::new()));
}

#[test]
fn a_worker_on_a_given_pool_of_one_is_refused() {
    super::database::run(super::leases::a_worker_on_a_given_pool_of_one_is_refused(Postgres::new()));
}

#[test]
fn whoever_asks_a_silent_server_is_told_in_time() {
    super::database::run(super::silent::whoever_asks_a_silent_server_is_told_in_time(Postgres::new()));
}

#[test]
fn a_worker_whose_connections_are_lost_makes_others() {
    super::database::run(super::silent::a_worker_whose_connections_are_lost_makes_others(Postgres::new()));
}

#[test]
fn a_worker_whose_clock_is_behind_goes_by_the_servers() {
    super::database::run(super::leases::a_worker_whose_clock_is_behind_goes_by_the_servers(Postgres::new()));
}

#[test]
fn a_dead_letter_that_stays_takes_nobody_with_it() {
    super::database::run(super::flow::on_databases::a_dead_letter_that_stays_takes_nobody_with_it(
        Postgres::new(),
    ));
}

#[test]
fn the_tables_can_be_taken_down_and_made_again() {
    super::database::run(super::database::the_tables_can_be_taken_down_and_made_again(
        Postgres::new(),
        utils_jobs::POSTGRES_MIGRATIONS,
    ));
}
