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
    worker::{HEARTBEAT, LEASE, SHUTDOWN, WorkerProcess},
};
use super::{
    database::{Place, SOON, number, open, quick},
    kill::{Step, tables},
};

/// How a database goes away.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(any(feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "only a server can leave one waiting")
)]
enum Stop {
    /// Told to end, it ends at once, but in order.
    Fast,
    /// Killed, it has to recover.
    Killed,
    /// All its processes stand still, and its connections stay.
    Frozen,
    /// Nothing comes through the network, and the connections stay.
    Silent,
}

impl Stop {
    /// Whether nobody is told that the database is away.
    fn hangs(self) -> bool {
        matches!(self, Self::Frozen | Self::Silent)
    }
}

/// A database that can go away and come back.
trait Stops: Place + Send + 'static {
    /// How often workers look at the table by themselves: seldom, where they are told.
    const POLL: &'static str;
    /// How long an enqueuer waits at most, by the pool's time-out or the lock's.
    const PATIENCE: Duration;
    /// How long an enqueuer and a worker wait for an answer, where there is a server.
    const ANSWER: Option<Duration>;
    /// How it goes away for the last time.
    const AT_THE_END: Stop;

    fn stop(&mut self, how: Stop);
    fn start_again(&mut self, how: Stop);
}

/// What an outage may cost beside its own time: the pool's longest pause between two tries to connect is 2.5 s.
const RECOVERY: Duration = Duration::from_secs(10);

fn outage() -> Duration {
    std::env::var("OUTAGE_SECONDS").map_or(Duration::from_secs(2), |seconds| {
        Duration::from_secs(seconds.parse().expect("OUTAGE_SECONDS is a number"))
    })
}

/// Runs the case where the database is stopped in several ways, beside what else the test's threads do.
fn run<P: Stops>(place: impl FnOnce() -> Option<P>, ways: &'static [Stop]) {
    let Some(place) = place() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let limit = 4 * outage() + Duration::from_secs(300);
    let done = runtime.block_on(async { tokio::time::timeout(limit, outlasted(place, ways)).await });
    assert!(done.is_ok(), "the case has not ended within {limit:?}");
}

async fn outlasted<P: Stops>(mut place: P, ways: &'static [Stop]) {
    let jobs = open(&place, quick());
    tables::<P>(&jobs);
    load::tables::<P>(&jobs);
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    // One of them with a single connection for its jobs, however many run.
    let answer = P::ANSWER.map(|time| format!("&answer_within={}ms", time.as_millis())).unwrap_or_default();
    let url = format!("{}?poll={}{answer}", place.url(), P::POLL);
    let mut workers = ["", "&pool_size=1"].map(|pool| WorkerProcess::start(&format!("{url}{pool}")));
    for worker in &mut workers {
        worker.gets_ready(SOON).await;
    }
    let load = Load::start::<P>(&place);
    let mut outages = Vec::new();
    for &how in ways {
        load.goes_well_for(Duration::from_secs(1)).await;
        let asked = Instant::now();
        place = off_thread(place, move |place| place.stop(how)).await;
        let (stopped, away) = (now(), Instant::now());
        for worker in &mut workers {
            worker.gets_unready(HEARTBEAT * 3 + Duration::from_secs(2)).await;
        }
        load.is_refused_in_time::<P>(asked, away + outage(), how).await;
        place = off_thread(place, move |place| place.start_again(how)).await;
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
    nothing_is_lost::<P>(&jobs, &acknowledged, outages.last().unwrap().1, ways).await;
    ticks_came_once(&jobs, &outages).await;
    jobs_of_others_start_soon::<P>(&jobs).await;
    leases_are_renewed(&jobs).await;
    for worker in workers {
        worker.stops_well_and_was_quiet(outages.len());
    }
    if P::ANSWER.is_some() {
        stops_while_it_is_away::<P>(place, &jobs, &url, P::AT_THE_END).await;
    }
}

/// Jobs that outlast their lease by far, and run once. The server may still know a connection that was lost, and give it
/// the rows that it waited for: a worker waits for such a row for longer than these leases, so not each job is that lucky.
async fn leases_are_renewed(jobs: &Jobs) {
    let mut ends = Vec::new();
    for number in 3_000_000..3_000_004 {
        let long = jobs.enqueue(Step { number, millis: 2_500 }).await.unwrap();
        let end = jobs.wait_status(&long, SOON).await.unwrap();
        assert_eq!(end.state, State::Done, "{end:?}");
        if end.attempts == 1 {
            return;
        }
        ends.push(end);
    }
    panic!("no lease was renewed: {ends:?}");
}

/// The database goes away and does not come back before the worker is asked to end: it says which jobs will run again.
async fn stops_while_it_is_away<P: Stops>(place: P, jobs: &Jobs, url: &str, how: Stop) {
    let mut worker = WorkerProcess::start(url);
    worker.gets_ready(SOON).await;
    let long = [4_000_000, 4_000_001].map(|number| Step { number, millis: 60_000 });
    let ids = jobs.enqueue_many(long).await.unwrap();
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    while number(&sessions, "SELECT COUNT(*) AS n FROM begun WHERE number >= 4000000") < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let place = off_thread(place, move |place| place.stop(how)).await;
    worker.gets_unready(HEARTBEAT * 3 + Duration::from_secs(2)).await;
    let log = worker.stops_within(SHUTDOWN + 2 * LEASE + Duration::from_secs(4));
    let said = log.lines().find(|line| line.contains("these jobs will run again")).expect(&log);
    for id in &ids {
        assert!(said.contains(id.as_str()), "{said}");
    }
    drop(off_thread(place, move |place| place.start_again(how)).await);
}

/// Every job ended, with one effect; what ran twice was running when the database went away.
async fn nothing_is_lost<P: Stops>(
    jobs: &Jobs,
    acknowledged: &[u32],
    last_start: i64,
    ways: &'static [Stop],
) {
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    let number = |query: &str| number(&sessions, query);
    let not_ended =
        || number("SELECT COUNT(*) AS n FROM utils_jobs WHERE name = 'step' AND state NOT IN (2, 3)");
    let (mut left, mut since) = (not_ended(), Instant::now());
    while left > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = not_ended();
        if now < left {
            (left, since) = (now, Instant::now()); // on a slow disk, many jobs take their time
        }
        assert!(since.elapsed() < Duration::from_secs(20), "{left} jobs do not end");
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
    // Two workers run four jobs each, and are interrupted each time. Where they were not told, they may have taken four
    // more, which the database gave them when they had stopped waiting for it.
    let most: i64 = ways.iter().map(|how| 2 * if how.hangs() { 8 } else { 4 }).sum();
    assert!(reruns <= most, "{reruns} re-runs");
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

#[cfg(any(feature = "postgres", feature = "mysql"))]
impl<K: server::Kind> Place for server::Server<K> {
    type Conn = K::Conn;
    const NAME: &'static str = K::FEATURE;

    fn url(&self) -> String {
        self.url()
    }
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
impl<K: server::Kind> Stops for server::Server<K> {
    const POLL: &'static str = K::POLL;
    const PATIENCE: Duration = Duration::from_secs(1);
    const ANSWER: Option<Duration> = Some(Duration::from_millis(500));
    const AT_THE_END: Stop = K::AT_THE_END;

    fn stop(&mut self, how: Stop) {
        self.stop(how);
    }

    fn start_again(&mut self, how: Stop) {
        self.start_again(how);
    }
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
impl<K: server::Kind> server::Server<K> {
    /// All of them with `OUTAGE_SECONDS`, which has time.
    fn ways() -> &'static [Stop] {
        if std::env::var_os("OUTAGE_SECONDS").is_some() {
            return &[Stop::Fast, Stop::Killed, Stop::Frozen, Stop::Silent];
        }
        K::WAYS
    }
}

#[cfg(feature = "postgres")]
pub(super) mod postgres {
    use super::server::{Postgres, Server};

    #[test]
    fn workers_outlast_a_server_that_is_stopped_or_killed_or_does_not_answer() {
        super::run(Server::<Postgres>::start, Server::<Postgres>::ways());
    }
}

#[cfg(feature = "mysql")]
pub(super) mod mysql {
    use super::server::{Mariadb, Server};

    #[test]
    fn workers_outlast_a_server_that_is_stopped_or_killed_or_does_not_answer() {
        super::run(Server::<Mariadb>::start, Server::<Mariadb>::ways());
    }
}
