//! How soon an idle worker starts what is enqueued at any moment: while it goes to sleep, looks, or has just looked.
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use utils_jobs::{Context, Failure, Job, Jobs, Worker};

use super::database::{Place, open, quick};

#[derive(Debug, Serialize, Deserialize)]
struct Arrives(usize);

/// When each job started.
type Starts = Arc<Mutex<Vec<Option<Instant>>>>;

impl Job for Arrives {
    const NAME: &'static str = "arrives";
    type Output = ();

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        ctx.data::<Starts>()?.lock().unwrap()[self.0] = Some(Instant::now());
        Ok(())
    }
}

const ALL: usize = 300;

/// The worker would look at the table by itself only after a minute, so each job depends on the word about it.
fn asleep<P: Place>(place: &P) -> Jobs {
    open(place, quick().poll(Duration::from_secs(60)).lease(Duration::from_secs(600)))
}

async fn all_start_soon(enqueuer: Jobs, taker: Jobs) {
    let starts = Starts::new(Mutex::new(vec![None; ALL]));
    let worker = Worker::new(&taker).handle::<Arrives>().data(Arc::clone(&starts)).start().unwrap();
    while !worker.is_ready() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut random = 88_172_645_463_325_252_u64;
    let mut enqueued: Vec<Instant> = Vec::new();
    for job in 0..ALL {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        tokio::time::sleep(Duration::from_micros(random % 8_000)).await;
        enqueuer.enqueue(Arrives(job)).await.unwrap();
        enqueued.push(Instant::now());
        // Now and then there is none behind it, whose own word would make up for one that is lost.
        let is_last = job + 1 == ALL;
        while (is_last || random.is_multiple_of(3)) && starts.lock().unwrap()[job].is_none() {
            let waits = enqueued[job].elapsed();
            assert!(waits <= Duration::from_secs(1), "job {job} has not started after {waits:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for (job, (start, enqueued)) in starts.lock().unwrap().iter().zip(enqueued).enumerate() {
        let late = start.map(|start| start.saturating_duration_since(enqueued));
        assert!(
            late.is_some_and(|late| late <= Duration::from_secs(1)),
            "job {job} has started after {late:?}"
        );
    }
    worker.stop().await.unwrap();
}

pub(super) async fn jobs_enqueued_at_any_moment_start_within_a_second<P: Place>(place: P) {
    let jobs = asleep(&place);
    all_start_soon(jobs.clone(), jobs).await;
}

/// Two [`Jobs`] on one place are what two processes are to each other; PostgreSQL tells one of the other's jobs.
#[cfg(feature = "postgres")]
#[test]
fn jobs_of_another_process_start_within_a_second_on_postgresql() {
    let place = super::postgres::Postgres::new();
    super::database::run(async {
        all_start_soon(asleep(&place), asleep(&place)).await;
    });
}
