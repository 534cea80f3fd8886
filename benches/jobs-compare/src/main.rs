//! How fast jobs go in and out: this library, apalis' own storages and Celery, in one run.
//!
//! ```text
//! cargo run --release --manifest-path benches/jobs-compare/Cargo.toml -- 5 3
//! ```
//!
//! runs 5 rounds with at most 3 s for each figure. It wants PostgreSQL, MySQL or MariaDB and Redis at `TEST_POSTGRES_URL`,
//! `TEST_MYSQL_URL` and `TEST_REDIS_URL`, and a `python3` with `venv`, into which it installs Celery; what is missing ends
//! it. The users of the two databases must be allowed to create databases.
//!
//! Each measurement is a process of its own on a new database. It enqueues one by one, then in batches of 100, then starts
//! a worker and drains what is there: jobs that do nothing. Those that are compared take turns, every other round
//! backwards, so that whatever else the machine does falls on all of them; a ratio is taken within a round. A drain counts
//! from the first job that starts, so that no start-up counts, to the last one, or to the end of its time.
//!
//! Each is measured as its documentation has it, and tuned for many short jobs:
//!
//! | | as shipped | tuned |
//! | --- | --- | --- |
//! | ours | a worker's defaults | `prefetch(100)` |
//! | apalis | a batch of 10, looked for every 100 ms | a batch of 100; SQLite with `synchronous=NORMAL` as ours, and without the index that slows its acknowledgements down |
//! | Celery | two processes | prefetch 128 for each, no gossip, mingle, heartbeats or rate limits, one connection for a batch |
//!
//! What they promise differs, to the others' advantage: Celery acknowledges a job before it runs, so a kill loses it, and
//! Redis writes to its disk later. apalis-redis gets 5,000 jobs in place of 20,000, as its worker dies of more. The program
//! ends with an error when one of ours is below its gate.
mod ours;
mod peers;
mod report;

use std::{
    error::Error,
    path::Path,
    process::Command,
    time::{Duration, UNIX_EPOCH},
};

use peers::{PEERS, Peer, Servers};
use report::Figures;

/// What the parts of the program fail with.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// How many jobs are drained at most.
const JOBS: usize = 20_000;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, what, url, jobs, millis] = &arguments[..]
        && flag == "--peer"
    {
        return ours::run(what, url, jobs.parse()?, Duration::from_millis(millis.parse()?));
    }
    let number = |at: usize, default: u64| arguments.get(at).map_or(Ok(default), |text| text.parse());
    let (rounds, time) = (number(0, 5)?, Duration::from_secs(number(1, 3)?));

    let servers = Servers::from_environment()?;
    let programs = peers::prepare()?;
    let mut measured: Vec<(&Peer, Vec<Figures>)> = PEERS.iter().map(|peer| (peer, Vec::new())).collect();
    for round in 0..rounds {
        let order: Vec<usize> = match round % 2 {
            0 => (0..measured.len()).collect(),
            _ => (0..measured.len()).rev().collect(),
        };
        for at in order {
            let (peer, figures) = &mut measured[at];
            let place = servers.place(peer.server, &format!("jobs_compare_{}", nonce()))?;
            let (program, mut fixed) = programs.command(peer);
            fixed.extend([place.url(), JOBS.to_string(), time.as_millis().to_string()]);
            figures.push(measure(&program, &fixed).map_err(|error| format!("{}: {error}", peer.name))?);
        }
        eprintln!("round {} of {rounds}", round + 1);
    }
    report::print(&measured)
}

/// Runs a program that prints lines of a name and a number.
fn measure(program: &Path, arguments: &[String]) -> Outcome<Figures> {
    let output = Command::new(program).args(arguments).output()?;
    if !output.status.success() {
        return Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    let mut figures = Figures::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let (name, number) = line.split_once(' ').ok_or_else(|| format!("not a figure: {line}"))?;
        figures.insert(name.to_owned(), number.parse()?);
    }
    Ok(figures)
}

/// A number that no other run has.
fn nonce() -> u128 {
    UNIX_EPOCH.elapsed().unwrap_or_default().as_micros() * 100_000 + u128::from(std::process::id())
}
