//! SQLite has no server: its outage is another process that has the file for itself.
use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    time::Duration,
};

use diesel::{Connection, SqliteConnection, connection::SimpleConnection};

use super::{Place, Stop, Stops};

const FILE: &str = "UTILS_JOBS_TEST_LOCKED_FILE";
const LOCKED: &str = "the file is locked";

struct Locked {
    directory: tempfile::TempDir,
    holder: Option<Child>,
}

impl Locked {
    fn file(&self) -> String {
        self.directory.path().join("jobs.db").display().to_string()
    }
}

impl Place for Locked {
    type Conn = SqliteConnection;
    const NAME: &'static str = "sqlite";

    fn url(&self) -> String {
        format!("sqlite:{}", self.file())
    }
}

impl Stops for Locked {
    const POLL: &'static str = "50ms";
    const PATIENCE: Duration = Duration::from_secs(6);
    const ANSWER: Option<Duration> = None;
    const AT_THE_END: Stop = Stop::Fast;

    fn stop(&mut self, _: Stop) {
        let mut holder = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "jobs::outage::sqlite::process", "--ignored", "--quiet", "--nocapture"])
            .env(FILE, self.file())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut says = BufReader::new(holder.stdout.take().unwrap()).lines();
        assert!(says.any(|line| line.unwrap().ends_with(LOCKED)));
        self.holder = Some(holder);
    }

    /// With its standard input closed, the other process commits; killed, it leaves that to whoever comes next.
    fn start_again(&mut self, _: Stop) {
        let mut holder = self.holder.take().unwrap();
        drop(holder.stdin.take());
        holder.wait().unwrap();
    }
}

#[test]
#[ignore = "the other process of the tests that lock a file"]
fn process() {
    use std::io::Write;

    let Ok(file) = std::env::var(FILE) else { return };
    let mut conn = SqliteConnection::establish(&file).unwrap();
    conn.batch_execute("PRAGMA busy_timeout = 30000; BEGIN EXCLUSIVE").unwrap();
    let mut out = std::io::stdout();
    writeln!(out, "{LOCKED}").unwrap();
    out.flush().unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    conn.batch_execute("COMMIT").unwrap();
}

#[test]
fn workers_outlast_another_process_that_has_the_file_for_itself() {
    let place = || Some(Locked { directory: tempfile::tempdir().unwrap(), holder: None });
    super::run(place, &[Stop::Fast, Stop::Killed]);
}
