//! A server that does not answer, and does not end its connections either.
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use utils_jobs::{Context, Failure, Job, Jobs, JobsError, Sessions, SessionsError, Worker};

use super::{
    database::{Place, SOON, open, quick},
    proxy::Proxy,
};

/// Wants nothing of the database.
#[derive(Serialize, Deserialize)]
struct Nap {
    millis: u64,
}

impl Job for Nap {
    const NAME: &'static str = "nap";
    type Output = ();

    async fn run(self, _: Context) -> Result<(), Failure> {
        tokio::time::sleep(Duration::from_millis(self.millis)).await;
        Ok(())
    }
}

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(10), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Of all connections, also of those that are to be made.
pub(super) async fn whoever_asks_a_silent_server_is_told_in_time<P: Place>(place: P) {
    open(&place, quick());
    let (proxy, url) = Proxy::to(&place.url());
    let half = Duration::from_millis(500);
    let sessions =
        Sessions::<P::Conn>::builder(url).pool_size(2).timeout(half).answer_within(half).build().unwrap();
    let jobs = Jobs::builder().answer_within(half).sessions(sessions.clone());
    jobs.enqueue(Nap { millis: 0 }).await.unwrap();
    proxy.silence(true);
    let began = Instant::now();
    let mut asked = Vec::new();
    for each in 0..6 {
        let (jobs, sessions) = (jobs.clone(), sessions.clone());
        asked.push(tokio::spawn(async move {
            if each % 2 == 0 {
                return jobs.enqueue(Nap { millis: 0 }).await.map(drop);
            }
            let work = move |conn: &mut P::Conn| jobs.enqueue_in(conn, Nap { millis: 0 }).map(drop);
            sessions.tx(work).await
        }));
    }
    let mut unanswered = 0;
    for each in asked {
        match each.await.unwrap().unwrap_err() {
            JobsError::Sessions(SessionsError::Unanswered(limit)) if limit == half => unanswered += 1,
            JobsError::Sessions(SessionsError::Exhausted(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(unanswered > 0);
    // The pool's time-out and the server's time, and some for a busy machine.
    assert!(began.elapsed() < 2 * half + Duration::from_millis(700), "{:?}", began.elapsed());
    proxy.silence(false);
    tokio::time::sleep(Duration::from_millis(200)).await;
    jobs.enqueue(Nap { millis: 0 }).await.unwrap();
}

/// A firewall or a failed switch has forgotten the worker's connections; it takes new ones.
pub(super) async fn a_worker_whose_connections_are_lost_makes_others<P: Place>(place: P) {
    let there = open(&place, quick());
    let (proxy, url) = Proxy::to(&place.url());
    let here = quick().answer_within(Duration::from_millis(500)).open(&url).unwrap();
    let worker = Worker::new(&here).handle::<Nap>().start().unwrap();
    let first = there.enqueue(Nap { millis: 0 }).await.unwrap();
    there.wait(&first, SOON).await.unwrap();
    until("it is ready", || worker.is_ready()).await;
    proxy.lose_connections();
    let next = there.enqueue(Nap { millis: 0 }).await.unwrap();
    there.wait(&next, SOON).await.unwrap();
    until("it is ready again", || worker.is_ready()).await;
    worker.stop().await.unwrap();
}
