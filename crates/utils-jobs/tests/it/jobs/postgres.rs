use diesel::{Connection, PgConnection, connection::SimpleConnection};
use utils_jobs::{Jobs, JobsBuilder};
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
super::database::cases!(Postgres::new());

#[test]
fn a_worker_survives_the_loss_of_its_connections() {
    super::database::run(super::database::a_worker_survives_the_loss_of_its_connections(Postgres::new()));
}
