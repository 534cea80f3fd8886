//! A database that is stopped under load and started again: workers in processes of their own, enqueuers in this one.
//!
//! The outage takes 2 s, or as many as `OUTAGE_SECONDS` says.
mod load;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod server;
#[cfg(feature = "sqlite")]
mod sqlite;
mod worker;

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use utils_jobs::{Filter, Jobs, State};

use self::{
    load::Load,
    worker::{HEARTBEAT, WorkerProcess},
};
use super::{
    database::{Place, SOON, number, open, quick},
    kill::{Step, tables},
};

/// How a database goes away.
#[derive(Debug, Clone, Copy)]
enum Stop {
    /// Told to end, it ends at once, but in order.
    Fast,
    /// Killed, it has to recover.
    Killed,
}

/// A database that can go away and come back.
trait Stops: Place + Send + 'static {
    /// How often workers look at the table by themselves: seldom, where they are told.
    const POLL: &'static str;
    /// How long an enqueuer waits at most, by the pool's time-out or the lock's.
    const PATIENCE: Duration;

    fn stop(&mut self, how: Stop);
    fn start_again(&mut self);
}

/// What an outage may cost beside its own time: the pool's longest pause between two tries to connect is 2.5 s.
const RECOVERY: Duration = Duration::from_secs(10);

fn outage() -> Duration {
    std::env::var("OUTAGE_SECONDS").map_or(Duration::from_secs(2), |seconds| {
        Duration::from_secs(seconds.parse().expect("OUTAGE_SECONDS is a number"))
    })
}

/// Runs the case where the database is stopped by force and in order, beside what else the test's threads do.
fn run<P: Stops>(place: impl FnOnce() -> Option<P>) {
    let Some(place) = place() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let limit = 2 * outage() + Duration::from_secs(120);
    let done = runtime.block_on(async { tokio::time::timeout(limit, outlasted(place)).await });
    assert!(done.is_ok(), "the case has not ended within {limit:?}");
}

async fn outlasted<P: Stops>(mut place: P) {
    let jobs = open(&place, quick());
    tables::<P>(&jobs);
    load::tables::<P>(&jobs);
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    // One of them with a single connection for its jobs, however many run.
    let mut workers = ["", "&pool_size=1"]
        .map(|pool| WorkerProcess::start(&format!("{}?poll={}{pool}", place.url(), P::POLL)));
    for worker in &mut workers {
        worker.gets_ready(SOON).await;
    }
    let load = Load::start::<P>(&place);
    let mut outages = Vec::new();
    for how in [Stop::Fast, Stop::Killed] {
        load.goes_well_for(Duration::from_secs(1)).await;
        let asked = Instant::now();
        place = off_thread(place, move |place| place.stop(how)).await;
        let (stopped, away) = (now(), Instant::now());
        for worker in &mut workers {
            worker.gets_unready(HEARTBEAT * 3 + Duration::from_secs(2)).await;
        }
        load.is_refused_in_time::<P>(asked, away + outage()).await;
        place = off_thread(place, Stops::start_again).await;
        let (started, back) = (now(), Instant::now());
        let before = number(&sessions, "SELECT COUNT(*) AS n FROM effect");
        while number(&sessions, "SELECT COUNT(*) AS n FROM effect") == before {
            assert!(back.elapsed() < RECOVERY, "nothing is done after {:?}", back.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let first = back.elapsed();
        for worker in &mut workers {
            worker.gets_ready(RECOVERY).await;
        }
        load.is_taken_again(RECOVERY).await;
        eprintln!(
            "{} {how:?}: away {} ms, first job done {} ms after, all workers ready {} ms after",
            P::NAME,
            started - stopped,
            first.as_millis(),
            back.elapsed().as_millis()
        );
        outages.push((stopped, started));
        tokio::time::sleep(P::PATIENCE.min(Duration::from_secs(2))).await;
    }
    load.goes_well_for(Duration::from_secs(1)).await;
    let acknowledged = load.stop().await;
    nothing_is_lost::<P>(&jobs, &acknowledged, outages.last().unwrap().1).await;
    ticks_came_once(&jobs, &outages).await;
    jobs_of_others_start_soon::<P>(&jobs).await;
    let long = jobs.enqueue(Step { number: 3_000_000, millis: 2_500 }).await.unwrap();
    let end = jobs.wait_status(&long, SOON).await.unwrap();
    assert_eq!((end.state, end.attempts), (State::Done, 1), "leases are renewed: {end:?}");
    for worker in workers {
        worker.stops_well_and_was_quiet(outages.len());
    }
}

/// Every job ended, with one effect; what ran twice was running when the database went away.
async fn nothing_is_lost<P: Stops>(jobs: &Jobs, acknowledged: &[u32], last_start: i64) {
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    let number = |query: &str| number(&sessions, query);
    let began = Instant::now();
    while number("SELECT COUNT(*) AS n FROM utils_jobs WHERE name = 'step' AND state NOT IN (2, 3)") > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "some jobs have not ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(number("SELECT COUNT(*) AS n FROM utils_jobs WHERE state = 3"), 0, "dead letters");
    let all = number("SELECT COUNT(*) AS n FROM utils_jobs WHERE name = 'step'");
    let effects = number("SELECT COUNT(*) AS n FROM effect");
    assert_eq!(effects, number("SELECT COUNT(DISTINCT number) AS n FROM effect"), "effects, once");
    assert_eq!(effects, all, "effects, exactly once");
    let ids: Vec<String> = acknowledged.iter().map(u32::to_string).collect();
    let kept = number(&format!("SELECT COUNT(*) AS n FROM effect WHERE number IN ({})", ids.join(", ")));
    assert_eq!(kept, i64::try_from(acknowledged.len()).unwrap(), "what was acknowledged");
    let apart = "FROM ordered WHERE number NOT IN (SELECT number FROM effect)";
    assert_eq!(number(&format!("SELECT COUNT(*) AS n {apart}")), 0, "rows whose jobs are lost");
    let reruns = number("SELECT COUNT(*) AS n FROM utils_jobs WHERE name = 'step' AND attempts > 1");
    let afterwards = format!(
        "SELECT COUNT(*) AS n FROM begun a JOIN begun b ON a.number = b.number AND b.attempt = a.attempt + 1 \
         WHERE a.at > {last_start}"
    );
    assert_eq!(number(&afterwards), 0, "re-runs of jobs that began when all was well");
    // Two workers run four jobs each, and are interrupted twice.
    assert!(reruns <= 2 * 2 * 4, "{reruns} re-runs");
    eprintln!(
        "{}: {} jobs acknowledged, {all} done, {reruns} of them run again",
        P::NAME,
        acknowledged.len()
    );
}

/// No tick twice; of those in an outage at most one, which is made up for; and then they go on.
async fn ticks_came_once(jobs: &Jobs, outages: &[(i64, i64)]) {
    let filter = Filter::new().name("tick").limit(1_000);
    let mut ticks: Vec<i64> = Vec::new();
    for job in jobs.list(filter).await.unwrap() {
        let key = job.key.unwrap();
        ticks.push(key.rsplit_once(':').unwrap().1.parse().unwrap());
    }
    ticks.sort_unstable();
    assert!(ticks.windows(2).all(|pair| pair[0] < pair[1]), "{ticks:?}");
    for (stopped, started) in outages {
        let missed = ticks.iter().filter(|tick| (*stopped..*started).contains(*tick)).count();
        assert!(missed <= 1, "{missed} ticks made up for between {stopped} and {started}: {ticks:?}");
        assert!(ticks.iter().any(|tick| tick > started), "no tick since {started}: {ticks:?}");
    }
}

/// Jobs that another process enqueues, while nothing else is to be done: announced again, if the database announces.
async fn jobs_of_others_start_soon<P: Stops>(jobs: &Jobs) {
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    let mut times = Vec::new();
    for probe in 0..15 {
        tokio::time::sleep(Duration::from_millis(70)).await;
        let (id, enqueued) = (2_000_000 + probe, now());
        let job = jobs.enqueue(Step { number: id, millis: 0 }).await.unwrap();
        jobs.wait(&job, SOON).await.unwrap();
        times.push(
            number(&sessions, &format!("SELECT MIN(at) AS n FROM begun WHERE number = {id}")) - enqueued,
        );
    }
    times.sort_unstable();
    let median = times[times.len() / 2];
    eprintln!("{}: a job of another process begins after {median} ms ({times:?})", P::NAME);
    assert!(median < 200, "{times:?}");
}

/// Runs what blocks beside this thread, on which enqueuers live.
async fn off_thread<P: Stops>(mut place: P, work: impl FnOnce(&mut P) + Send + 'static) -> P {
    let done = tokio::task::spawn_blocking(move || {
        work(&mut place);
        place
    });
    done.await.unwrap()
}

/// Milliseconds since 1970.
fn now() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
}

fn create<P: Place>(jobs: &Jobs, table: &'static str) {
    jobs.sessions::<P::Conn>()
        .unwrap()
        .with(|conn| conn.batch_execute(&format!("CREATE TABLE {table}")))
        .unwrap();
}

#[cfg(feature = "postgres")]
pub(super) mod postgres {
    use std::time::Duration;

    use super::{Place, Stop, Stops, server};

    struct Postgres(server::Server<server::Postgres>);

    impl Place for Postgres {
        type Conn = diesel::PgConnection;
        const NAME: &'static str = "postgres";

        fn url(&self) -> String {
            self.0.url()
        }
    }

    impl Stops for Postgres {
        const POLL: &'static str = "5s";
        const PATIENCE: Duration = Duration::from_secs(1);

        fn stop(&mut self, how: Stop) {
            self.0.stop(how);
        }

        fn start_again(&mut self) {
            self.0.start_again();
        }
    }

    #[test]
    fn workers_outlast_a_server_that_is_stopped_and_one_that_is_killed() {
        super::run(|| server::Server::start().map(Postgres));
    }
}

#[cfg(feature = "mysql")]
pub(super) mod mysql {
    use std::time::Duration;

    use super::{Place, Stop, Stops, server};

    struct Mysql(server::Server<server::Mariadb>);

    impl Place for Mysql {
        type Conn = diesel::MysqlConnection;
        const NAME: &'static str = "mysql";

        fn url(&self) -> String {
            self.0.url()
        }
    }

    impl Stops for Mysql {
        const POLL: &'static str = "100ms";
        const PATIENCE: Duration = Duration::from_secs(1);

        fn stop(&mut self, how: Stop) {
            self.0.stop(how);
        }

        fn start_again(&mut self) {
            self.0.start_again();
        }
    }

    #[test]
    fn workers_outlast_a_server_that_is_stopped_and_one_that_is_killed() {
        super::run(|| server::Server::start().map(Mysql));
    }
}
