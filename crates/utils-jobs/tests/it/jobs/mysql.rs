use diesel::{
    Connection, MysqlConnection,
    connection::SimpleConnection,
    r2d2::{ConnectionManager, CustomizeConnection, Error, Pool},
};
use utils_jobs::{Jobs, JobsBuilder};
use utils_testing::{job_backend_contract, jobs::JobBackend};

use super::{
    database::{Place, unique},
    kill::Step,
};

/// A database of its own.
pub(super) struct Mysql {
    database: String,
}

fn server() -> String {
    std::env::var("TEST_MYSQL_URL").expect("TEST_MYSQL_URL must name a MySQL or MariaDB database")
}

fn admin(sql: &str) {
    MysqlConnection::establish(&server()).unwrap().batch_execute(sql).unwrap();
}

impl Mysql {
    pub(super) fn new() -> Self {
        let database = unique();
        admin(&format!("CREATE DATABASE {database}"));
        Self { database }
    }
}

impl Drop for Mysql {
    fn drop(&mut self) {
        admin(&format!("DROP DATABASE {}", self.database));
    }
}

impl Place for Mysql {
    type Conn = MysqlConnection;
    const NAME: &str = "mysql";

    fn url(&self) -> String {
        let server = server();
        let (front, _) = server.rsplit_once('/').unwrap();
        format!("{front}/{}", self.database)
    }

    fn cut_connections(&self) {
        use diesel::RunQueryDsl;
        #[derive(diesel::QueryableByName)]
        struct Connection {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            id: i64,
        }
        let mut admin = MysqlConnection::establish(&server()).unwrap();
        let all = format!(
            "SELECT CAST(id AS SIGNED) AS id FROM information_schema.processlist WHERE db = '{}'",
            self.database
        );
        for connection in diesel::sql_query(all).load::<Connection>(&mut admin).unwrap() {
            let _ = admin.batch_execute(&format!("KILL {}", connection.id)); // it may be gone by itself
        }
    }
}

impl JobBackend for Mysql {
    fn open(&self, builder: JobsBuilder) -> Jobs {
        super::database::open(self, builder)
    }
}

job_backend_contract!(Mysql::new());
super::rules::rules!(Mysql::new());
super::flow::cases!(Mysql::new());
super::flow::on_databases::database_cases!(Mysql::new());
super::database::cases!(Mysql::new());

#[test]
fn a_worker_survives_the_loss_of_its_connections() {
    super::database::run(super::database::a_worker_survives_the_loss_of_its_connections(Mysql::new()));
}

/// MariaDB before 10.8 reads the word for a descending index and forgets it: jobs would be sorted for each claim, and
/// all of them locked.
#[test]
fn the_index_that_claims_read_is_not_a_descending_one() {
    let place = Mysql::new();
    let jobs = super::database::open(&place, Jobs::builder());
    let of = |order: &str| {
        let sql = format!(
            "SELECT COUNT(*) AS n FROM information_schema.statistics WHERE table_schema = '{}' \
             AND index_name = 'utils_jobs_waiting' AND collation = '{order}'",
            place.database
        );
        super::database::number(&jobs.sessions::<MysqlConnection>().unwrap(), &sql)
    };
    assert_eq!((of("A"), of("D")), (4, 0));
}

/// As on a server that is set up so, when the pool is the application's own.
#[test]
fn a_job_is_committed_where_a_statement_alone_is_not() {
    #[derive(Debug)]
    struct Open;
    impl CustomizeConnection<MysqlConnection, Error> for Open {
        fn on_acquire(&self, conn: &mut MysqlConnection) -> Result<(), Error> {
            conn.batch_execute("SET autocommit = 0").map_err(Error::QueryError)
        }
    }
    let place = Mysql::new();
    let others = super::database::open(&place, Jobs::builder());
    let manager = ConnectionManager::<MysqlConnection>::new(place.url());
    let jobs = Jobs::from_pool(Pool::builder().connection_customizer(Box::new(Open)).build(manager).unwrap());
    super::database::run(async move {
        let one = jobs.enqueue(Step { number: 1, millis: 0 }).await.unwrap();
        let many = jobs.enqueue_many([2, 3].map(|number| Step { number, millis: 0 })).await.unwrap();
        jobs.pause("default").await.unwrap();
        let seen = others.statuses([&one, &many[0], &many[1]]).await.unwrap();
        assert!(seen.iter().all(Option::is_some), "{seen:?}");
        assert_eq!(others.paused().await.unwrap(), ["default"]);
    });
}

#[test]
fn a_clock_that_is_set_while_jobs_run_takes_no_job_from_others() {
    super::database::run(super::leases::a_clock_that_is_set_while_jobs_run_takes_no_job_from_others(
        Mysql::new(),
    ));
}

#[test]
fn a_worker_whose_clock_is_ahead_leaves_the_jobs_of_others() {
    super::database::run(
        super::leases::a_worker_whose_clock_is_ahead_leaves_the_jobs_of_others(Mysql::new()),
    );
}

#[test]
fn a_locked_row_does_not_cost_other_jobs_their_leases() {
    super::database::run(super::leases::a_locked_row_does_not_cost_other_jobs_their_leases(Mysql::new()));
}

#[test]
fn a_delay_counts_by_the_servers_clock() {
    super::database::run(super::leases::a_delay_counts_by_the_servers_clock(Mysql::new()));
}

#[test]
fn a_worker_on_a_given_pool_of_one_is_refused() {
    super::database::run(super::leases::a_worker_on_a_given_pool_of_one_is_refused(Mysql::new()));
}

#[test]
fn whoever_asks_a_silent_server_is_told_in_time() {
    super::database::run(super::silent::whoever_asks_a_silent_server_is_told_in_time(Mysql::new()));
}

#[test]
fn a_worker_whose_connections_are_lost_makes_others() {
    super::database::run(super::silent::a_worker_whose_connections_are_lost_makes_others(Mysql::new()));
}

#[test]
fn a_worker_whose_clock_is_behind_goes_by_the_servers() {
    super::database::run(super::leases::a_worker_whose_clock_is_behind_goes_by_the_servers(Mysql::new()));
}

#[test]
fn a_dead_letter_that_stays_takes_nobody_with_it() {
    super::database::run(super::flow::on_databases::a_dead_letter_that_stays_takes_nobody_with_it(
        Mysql::new(),
    ));
}

#[test]
fn the_tables_can_be_taken_down_and_made_again() {
    super::database::run(super::database::the_tables_can_be_taken_down_and_made_again(
        Mysql::new(),
        utils_jobs::MYSQL_MIGRATIONS,
    ));
}
