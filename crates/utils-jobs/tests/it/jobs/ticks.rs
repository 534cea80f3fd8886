//! A schedule that two processes have, by the real clock: both see each tick at the same moment.
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use utils_jobs::{Context, Failure, Job, Jobs, Worker, WorkerHandle};

use super::database::{Place, number, open, quick};

/// Comes every second.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Tick;

impl Job for Tick {
    const NAME: &'static str = "tick";
    type Output = ();

    async fn run(self, _: Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn every_second(jobs: &Jobs) -> WorkerHandle {
    Worker::new(jobs).handle::<Tick>().every("* * * * * *", Tick).start().unwrap()
}

/// Two [`Jobs`] on one place are what two processes are to each other: each has connections and a pump of its own.
fn two<P: Place>(place: &P) -> [Jobs; 2] {
    [open(place, quick()), open(place, quick())]
}

pub(super) async fn two_processes_enqueue_each_tick_once_also_after_a_restart<P: Place>(place: P) {
    let jobs = two(&place);
    let sessions = jobs[0].sessions::<P::Conn>().unwrap();
    let count = || number(&sessions, "SELECT COUNT(*) AS n FROM utils_jobs");
    let started = Instant::now();
    let workers = jobs.each_ref().map(every_second);
    while count() < 3 {
        assert!(started.elapsed() < Duration::from_secs(15), "no ticks");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Time for the other one to enqueue the same tick again, and no more: the next one is to come after the restart.
    tokio::time::sleep(Duration::from_millis(200)).await;
    for worker in workers {
        worker.stop().await.unwrap();
    }
    drop(jobs);
    let before = count();
    let again = two(&place);
    let workers = again.each_ref().map(every_second);
    while count() == before {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    for worker in workers {
        worker.stop().await.unwrap();
    }
    // Each second has one tick at most, and its job says which one it is.
    let seconds = started.elapsed().as_secs() + 1;
    assert!(count() <= i64::try_from(seconds).unwrap(), "{} jobs in {seconds} s", count());
    let ticks = number(&sessions, "SELECT COUNT(DISTINCT unique_key) AS n FROM utils_jobs");
    assert_eq!(ticks, count(), "each job is of a tick of its own");
}
