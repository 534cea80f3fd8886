//! Many jobs that are ending at the moment of a kill or a stop. They end by `Ok(())` alone, with nothing in a transaction,
//! so that only the worker's own bookkeeping keeps them from running again.
use std::{
    collections::HashMap,
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use utils_jobs::{Context, Failure, Filter, Job, Jobs, Policy, State, Worker};

use super::{
    database::{Place, SOON, number, open, quick},
    kill::this_binary,
};

/// Leaves a line in a file, which outlives the process, and ends.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    number: u32,
    file: PathBuf,
}

impl Job for Mark {
    const NAME: &'static str = "mark";
    type Output = ();

    fn policy() -> Policy {
        Policy::new().attempts(50)
    }

    async fn run(self, _: Context) -> Result<(), Failure> {
        let line = format!("{}\n", self.number); // one write, so that no line is in pieces
        OpenOptions::new().append(true).create(true).open(&self.file)?.write_all(line.as_bytes())?;
        tokio::time::sleep(Duration::from_millis(8)).await;
        Ok(())
    }
}

const URL: &str = "UTILS_JOBS_TEST_MARKS_URL";
const PREFETCH: usize = 10;

#[test]
#[ignore = "the other process of the test that kills it"]
fn marks() {
    let Ok(url) = std::env::var(URL) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let jobs = quick().open(&url).unwrap();
        let worker = Worker::new(&jobs).handle::<Mark>().concurrency(1).prefetch(PREFETCH);
        worker.run().await.unwrap();
    });
}

/// The numbers in the file, in order.
fn lines(file: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// How often each job has run.
fn runs(file: &Path) -> HashMap<u32, usize> {
    let mut runs = HashMap::new();
    for number in lines(file) {
        *runs.entry(number).or_default() += 1;
    }
    runs
}

pub(super) async fn a_killed_worker_repeats_neither_what_has_ended_nor_what_waited_in_it<P: Place>(place: P) {
    const ALL: u32 = 90;
    let jobs = open(&place, quick());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("runs");
    let ids = jobs.enqueue_many((0..ALL).map(|number| Mark { number, file: file.clone() })).await.unwrap();
    // For each job, how many kills came between its run and its end's coming into the table.
    let mut unwritten: HashMap<u32, usize> = HashMap::new();
    let mut at_kills = Vec::new();
    for lines_of_this_one in [16, 17, 18] {
        let before = lines(&file).len();
        let mut child = this_binary("jobs::crowd::marks", URL, &place);
        while lines(&file).len() < before + lines_of_this_one {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        let ran = lines(&file).split_off(before);
        let ends = jobs.statuses(&ids).await.unwrap();
        let is_done =
            |number: &u32| ends[*number as usize].as_ref().is_some_and(|end| end.state == State::Done);
        let mut left: Vec<u32> = ran.into_iter().filter(|number| !is_done(number)).collect();
        left.dedup();
        // Of what it had taken, whatever the exchanges with the table took.
        assert!(left.len() <= 1 + PREFETCH, "{left:?}");
        at_kills.push(left.len());
        for number in left {
            *unwritten.entry(number).or_default() += 1;
        }
    }
    // Those that may run again are the one that ran, and those that ended while the last exchange was on its way, as each
    // end begins an exchange at once: that is one job more, or two. The kills are three, as a busy host may be slow twice.
    let fewest = at_kills.iter().min();
    assert!(fewest <= Some(&3), "ends were not written down as they came: {at_kills:?}");
    let worker = Worker::new(&jobs).handle::<Mark>().concurrency(4).start().unwrap();
    for id in &ids {
        jobs.wait(id, SOON).await.unwrap();
    }
    worker.stop().await.unwrap();
    let runs = runs(&file);
    for number in 0..ALL {
        let allowed = 1 + unwritten.get(&number).copied().unwrap_or(0);
        let ran = runs.get(&number).copied().unwrap_or(0);
        assert!((1..=allowed).contains(&ran), "{number} has run {ran} times of {allowed} at most");
    }
}

/// Counts its runs, and ends soon.
#[derive(Debug, Serialize, Deserialize)]
struct Short(usize);

impl Job for Short {
    const NAME: &'static str = "short";
    type Output = ();

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        ctx.data::<Arc<Vec<AtomicU32>>>()?[self.0].fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(self.0 as u64 % 8)).await;
        Ok(())
    }
}

fn short_jobs(jobs: &Jobs, runs: &Arc<Vec<AtomicU32>>, prefetch: usize) -> utils_jobs::WorkerHandle {
    let worker = Worker::new(jobs).handle::<Short>().data(Arc::clone(runs));
    worker.concurrency(100).prefetch(prefetch).start().unwrap()
}

pub(super) async fn a_worker_stopped_among_many_ends_leaves_none_undone_or_done_twice<P: Place>(place: P) {
    const EACH: usize = 300;
    const STOPS: usize = 10;
    let jobs = open(&place, quick().lease(Duration::from_secs(30))); // what is left behind stays so
    let sessions = jobs.sessions::<P::Conn>().unwrap();
    let runs: Arc<Vec<AtomicU32>> = Arc::new((0..EACH * STOPS).map(|_| AtomicU32::new(0)).collect());
    let ran = || runs.iter().map(|runs| runs.load(Ordering::SeqCst)).sum::<u32>();
    let mut random = 88_172_645_463_325_252_u64;
    let mut busy = 0;
    for stop in 0..STOPS {
        jobs.enqueue_many((stop * EACH..(stop + 1) * EACH).map(Short)).await.unwrap();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let some = ran() + 1 + (random % 200) as u32;
        let worker = short_jobs(&jobs, &runs, if stop % 2 == 0 { 10 } else { 100 });
        while ran() < some {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let stopped = Instant::now();
        worker.stop().await.unwrap();
        assert!(stopped.elapsed() < Duration::from_secs(5), "a stop took {:?}", stopped.elapsed());
        assert_eq!(number(&sessions, "SELECT COUNT(*) AS n FROM utils_jobs WHERE state = 1"), 0, "running");
        let done = number(&sessions, "SELECT COUNT(*) AS n FROM utils_jobs WHERE state = 2");
        assert_eq!(done, i64::from(ran()), "what has run is done");
        busy += u32::from(done < ((stop + 1) * EACH) as i64);
    }
    assert!(busy >= 3, "only {busy} of the stops came while there was something to do");
    let worker = short_jobs(&jobs, &runs, 100);
    while number(&sessions, "SELECT COUNT(*) AS n FROM utils_jobs WHERE state = 2") < (EACH * STOPS) as i64 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    worker.stop().await.unwrap();
    assert!(runs.iter().all(|runs| runs.load(Ordering::SeqCst) == 1), "each has run once");
    let not_done = [State::Waiting, State::Running, State::Scheduled, State::Dead];
    for state in not_done {
        assert_eq!(jobs.list(Filter::new().state(state)).await.unwrap().len(), 0, "{state:?}");
    }
}
