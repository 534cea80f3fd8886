//! Revocations between two processes on one database: the real clock, the real background work, real processes.
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use diesel::SqliteConnection;
use utils_token_auth::{
    Client, DieselStore, Keys, Migrate, Policy, Refusal, Session, Store, TokenAuth, Upkeep, Which, Why,
};

use crate::support::{Claims, MINUTE, SECOND, SECRET, World};

const ROLE: &str = "TOKEN_AUTH_TEST_PROCESS";
const URL: &str = "TOKEN_AUTH_TEST_URL";

fn engine<S: Store>(store: S, policy: Policy) -> TokenAuth<Claims, S> {
    async fn claims(_: Session) -> Result<Claims, Refusal> {
        Ok(Claims { scopes: Vec::new() })
    }
    let keys = Keys::hs256("1", SECRET).unwrap();
    TokenAuth::new(keys, store, claims).policy(policy).events(|_| {}).build().unwrap()
}

/// A process that verifies the tokens it reads from its input, a line each.
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts this test binary anew, in the role of `test`; returns when it would accept requests.
    pub(crate) fn start(test: &str, url: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads", "1"])
            .env(ROLE, test)
            .env(URL, url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut process = Self { child, input, output };
        process.wait_for("ready");
        process
    }

    /// What the process thinks of this access token: `accepted`, or why it was refused.
    pub(crate) fn verify(&mut self, token: &str) -> String {
        writeln!(self.input, "{token}").unwrap();
        self.wait_for("verified ")
    }

    /// How long it takes until the process refuses what it accepted.
    pub(crate) fn refuses_after(&mut self, token: &str, at_most: Duration) -> Duration {
        let started = Instant::now();
        loop {
            let answer = self.verify(token);
            let took = started.elapsed();
            if answer == "Revoked" {
                return took;
            }
            assert_eq!(answer, "accepted");
            assert!(took < at_most, "still accepted after {took:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The rest of the first line that has `start` in it; the test harness writes lines of its own.
    fn wait_for(&mut self, start: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the process ended");
            if let Some(at) = line.find(start) {
                return line[at + start.len()..].trim().to_owned();
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The other side of [`Process`]. In an ordinary run there is nothing to do.
#[allow(clippy::print_stdout)] // how the two processes talk
pub(crate) async fn serve<S: Store>(
    test: &str,
    open: impl AsyncFn(&str) -> (TokenAuth<Claims, S>, Box<dyn std::any::Any>),
) {
    if std::env::var(ROLE).as_deref() != Ok(test) {
        return;
    }
    let (auth, _background) = open(&std::env::var(URL).unwrap()).await;
    println!("ready");
    // reading blocks, and the background work needs this thread
    let (send, mut lines) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| send.send(line))
    });
    while let Some(token) = lines.recv().await {
        match auth.verify(&token) {
            Ok(_) => println!("verified accepted"),
            Err(error) => println!("verified {error:?}"),
        }
    }
}

/// Signs in, revokes in this process, and watches the other one.
pub(crate) async fn watch<S: Store>(
    auth: &TokenAuth<Claims, S>,
    other: &mut Process,
    at_most: Duration,
) -> Duration {
    let pair = auth.login("ana", (), Client::unknown()).await.unwrap();
    assert_eq!(other.verify(&pair.token), "accepted");
    let which = Which::One { user: "ana", id: pair.session };
    assert_eq!(auth.revoke(which, Why::User).await.unwrap(), 1);
    assert!(auth.verify(&pair.token).is_err(), "refused at once in the process that revoked");
    other.refuses_after(&pair.token, at_most)
}

/// A process that asks the store every second.
async fn open<Conn: Migrate>(url: &str) -> (TokenAuth<Claims, DieselStore<Conn>>, Upkeep)
where
    DieselStore<Conn>: Store,
{
    let store = DieselStore::<Conn>::open(url).unwrap();
    store.migrate().await.unwrap();
    let auth = engine(store, Policy::default());
    let upkeep = auth.start().await.unwrap();
    (auth, upkeep)
}

#[actix_web::test]
async fn the_other_process_on_sqlite() {
    serve("revocation::the_other_process_on_sqlite", async |url| {
        let (auth, upkeep) = open::<SqliteConnection>(url).await;
        (auth, Box::new(upkeep) as Box<dyn std::any::Any>)
    })
    .await;
}

#[actix_web::test]
async fn a_revocation_reaches_the_other_process_in_two_seconds_and_survives_a_restart_of_both() {
    let directory = tempfile::tempdir().unwrap();
    let url = directory.path().join("sessions.sqlite").display().to_string();
    reaches_the_other_process::<SqliteConnection>("revocation::the_other_process_on_sqlite", &url).await;
}

async fn reaches_the_other_process<Conn: Migrate>(role: &str, url: &str)
where
    DieselStore<Conn>: Store,
{
    let (auth, upkeep) = open::<Conn>(url).await;
    let mut other = Process::start(role, url);

    let kept = auth.login("ana", (), Client::unknown()).await.unwrap();
    let revoked = auth.login("ana", (), Client::unknown()).await.unwrap();
    watch(&auth, &mut other, 2 * SECOND).await;
    let others = Which::Others { user: "ana", keep: kept.session };
    assert_eq!(auth.revoke(others, Why::Password).await.unwrap(), 1);
    assert!(auth.verify(&revoked.token).is_err());
    other.refuses_after(&revoked.token, 2 * SECOND);
    assert_eq!(other.verify(&kept.token), "accepted");

    drop((auth, upkeep, other));
    let (auth, _upkeep) = open::<Conn>(url).await;
    let mut other = Process::start(role, url);
    assert_eq!(other.verify(&revoked.token), "Revoked", "the first answer after a restart");
    assert!(auth.verify(&revoked.token).is_err());
    assert_eq!(other.verify(&kept.token), "accepted");
    auth.verify(&kept.token).unwrap();
}

#[actix_web::test]
async fn clocks_ten_seconds_apart_hear_of_each_other() {
    for apart in [-9_900_i64, 9_900] {
        let one = World::new();
        let two = World::signing(
            crate::support::keys(),
            one.auth.store().clone(),
            Policy::default().leeway(10 * SECOND),
            utils_token_auth::TestClock::at(crate::support::START + apart),
        );
        for _ in 0..5 {
            two.auth.sync().await.unwrap();
            let pair = one.login("ana").await;
            one.auth.logout(&pair.token).await.unwrap();
            one.later(SECOND);
            two.later(SECOND);
            two.auth.sync().await.unwrap();
            assert!(two.auth.revocations().contains(pair.session), "{apart} ms apart");
        }
    }
}

#[actix_web::test]
async fn the_background_work_goes_on_after_a_failure_and_stops_when_it_is_dropped() {
    let world = World::on(
        crate::spy::Spy::default(),
        Policy::default().sync(Duration::from_millis(5)).purge(Duration::from_millis(5)),
    );
    let upkeep = world.auth.start().await.unwrap();
    let store = world.auth.store();
    let reaches = async |method: &str, calls: usize| {
        let started = Instant::now();
        while store.calls(method) < calls {
            assert!(started.elapsed() < MINUTE, "{method} is not called");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    reaches("purge", 2).await;
    store.break_down(true);
    let failed = store.calls("revoked_since") + 2;
    reaches("revoked_since", failed).await;
    store.break_down(false);
    let pair = world.login("ana").await;
    let elsewhere = World::on(store.clone(), Policy::default());
    elsewhere.auth.logout(&pair.token).await.unwrap();
    let started = Instant::now();
    while world.auth.verify(&pair.token).is_ok() {
        assert!(started.elapsed() < MINUTE);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    drop(upkeep);
    tokio::time::sleep(Duration::from_millis(30)).await;
    let calls = store.calls("revoked_since");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(store.calls("revoked_since"), calls);
}

#[actix_web::test]
async fn without_a_store_nothing_starts() {
    let world = World::on(crate::spy::Spy::default(), Policy::default());
    world.auth.store().break_down(true);
    assert!(matches!(world.auth.start().await, Err(utils_token_auth::Error::Store(_))));
}

#[cfg(feature = "postgres")]
mod postgres {
    use diesel::PgConnection;
    use utils_token_auth::RevocationListener;

    use super::*;
    use crate::stores::postgres::Schema;

    const ROLE: &str = "revocation::postgres::the_other_process_on_postgres";

    const POLLS: &str = "revocation::postgres::the_other_process_that_polls_postgres";

    #[actix_web::test]
    async fn the_other_process_that_polls_postgres() {
        serve(POLLS, async |url| {
            let (auth, upkeep) = super::open::<PgConnection>(url).await;
            (auth, Box::new(upkeep) as Box<dyn std::any::Any>)
        })
        .await;
    }

    #[actix_web::test]
    async fn a_revocation_reaches_the_other_process_on_postgres_and_survives_a_restart_of_both() {
        let schema = Schema::new();
        reaches_the_other_process::<PgConnection>(POLLS, &schema.url()).await;
    }

    /// A process that asks the store once an hour: what it knows, it heard.
    async fn open(url: &str) -> (TokenAuth<Claims, DieselStore<PgConnection>>, Upkeep) {
        let store = DieselStore::<PgConnection>::open(url).unwrap().announce();
        store.migrate().await.unwrap();
        let auth = engine(store, Policy::default().sync(60 * MINUTE));
        let upkeep = auth.start().await.unwrap();
        (auth, upkeep)
    }

    #[actix_web::test]
    async fn the_other_process_on_postgres() {
        serve(ROLE, async |url| {
            let (auth, upkeep) = open(url).await;
            let listener = RevocationListener::start(url, auth.revocations()).unwrap();
            (auth, Box::new((upkeep, listener)) as Box<dyn std::any::Any>)
        })
        .await;
    }

    #[actix_web::test]
    async fn a_pushed_revocation_reaches_the_other_process_without_a_poll() {
        let schema = Schema::new();
        let (auth, _upkeep) = open(&schema.url()).await;
        let mut other = Process::start(ROLE, &schema.url());
        let took = watch(&auth, &mut other, SECOND).await;
        assert!(took < SECOND, "{took:?}");

        let pairs = [(); 3].map(|()| async { auth.login("bo", (), Client::unknown()).await.unwrap() });
        for pair in pairs {
            let pair = pair.await;
            assert_eq!(other.verify(&pair.token), "accepted");
            assert_eq!(auth.revoke(Which::All { user: "bo" }, Why::Admin).await.unwrap(), 1);
            other.refuses_after(&pair.token, SECOND);
        }
    }

    #[actix_web::test]
    async fn a_listener_whose_connection_is_lost_makes_a_new_one() {
        use diesel::{prelude::*, sql_query};
        let schema = Schema::new();
        let (auth, _upkeep) = open(&schema.url()).await;
        let name = format!("listener-{}", auth.now());
        let url = format!("{}&application_name={name}", schema.url());
        let heard = utils_token_auth::Revocations::new();
        let _listener = RevocationListener::start(&url, &heard).unwrap();
        let mut admin = PgConnection::establish(&schema.url()).unwrap();
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
        let killed = sql_query(kill).bind::<diesel::sql_types::Text, _>(&name).execute(&mut admin).unwrap();
        assert_eq!(killed, 1);
        let started = Instant::now();
        loop {
            let pair = auth.login("ana", (), Client::unknown()).await.unwrap();
            auth.logout(&pair.token).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
            if heard.contains(pair.session) {
                break;
            }
            assert!(started.elapsed() < 20 * SECOND, "it hears nothing any more");
        }
    }
}

#[cfg(feature = "mysql")]
mod mysql {
    use diesel::MysqlConnection;

    use super::*;
    use crate::stores::mysql::Database;

    const ROLE: &str = "revocation::mysql::the_other_process_on_mysql";

    #[actix_web::test]
    async fn the_other_process_on_mysql() {
        serve(ROLE, async |url| {
            let (auth, upkeep) = open::<MysqlConnection>(url).await;
            (auth, Box::new(upkeep) as Box<dyn std::any::Any>)
        })
        .await;
    }

    #[actix_web::test]
    async fn a_revocation_reaches_the_other_process_on_mysql_and_survives_a_restart_of_both() {
        let database = Database::new();
        reaches_the_other_process::<MysqlConnection>(ROLE, &database.url()).await;
    }
}
