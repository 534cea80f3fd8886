//! Those who enqueue while the database goes away and comes back: some by themselves, some in a transaction of theirs.
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use diesel::connection::SimpleConnection;
use tokio::task::JoinHandle;
use utils_jobs::{Jobs, JobsError, Sessions};

use super::{Place, Step, Stop, Stops, create};

/// How many enqueue at once: more than there are connections, so that some wait for one.
const ENQUEUERS: usize = 12;
const CONNECTIONS: u32 = 4;

pub(super) struct Load {
    told: Arc<Told>,
    enqueuers: Vec<JoinHandle<()>>,
}

/// What the enqueuers were told.
#[derive(Default)]
struct Told {
    number: AtomicU32,
    stop: AtomicBool,
    acknowledged: Mutex<Vec<u32>>,
    refused: Mutex<Vec<Refused>>,
}

#[derive(Debug)]
struct Refused {
    began: Instant,
    after: Duration,
    error: String,
}

pub(super) fn tables<P: Place>(jobs: &Jobs) {
    create::<P>(jobs, "ordered (number INTEGER NOT NULL)");
}

impl Load {
    pub(super) fn start<P: Stops>(place: &P) -> Self {
        let sessions = Sessions::<P::Conn>::builder(place.url().replace("sqlite:", ""))
            .pool_size(CONNECTIONS)
            .timeout(Duration::from_secs(1))
            .answer_within(P::ANSWER)
            .build()
            .unwrap();
        let mut builder = Jobs::builder();
        if let Some(time) = P::ANSWER {
            builder = builder.answer_within(time);
        }
        let jobs = builder.sessions(sessions.clone());
        let told = Arc::<Told>::default();
        let enqueuers = (0..ENQUEUERS).map(|each| {
            let (jobs, sessions, told) = (jobs.clone(), sessions.clone(), told.clone());
            tokio::spawn(async move {
                while !told.stop.load(Ordering::SeqCst) {
                    let number = told.number.fetch_add(1, Ordering::SeqCst);
                    let job = Step { number, millis: u64::from(5 + 7 * (number % 9)) };
                    let began = Instant::now();
                    let done = if each % 2 == 0 {
                        jobs.enqueue(job).await.map(drop)
                    } else {
                        let jobs = jobs.clone();
                        let work = move |conn: &mut P::Conn| {
                            conn.batch_execute(&format!("INSERT INTO ordered VALUES ({number})"))?;
                            jobs.enqueue_in(conn, job).map(drop)
                        };
                        sessions.tx(work).await
                    };
                    match done {
                        Ok(()) => told.acknowledged.lock().unwrap().push(number),
                        Err(error) => {
                            let refused = Refused { began, after: began.elapsed(), error: line(&error) };
                            told.refused.lock().unwrap().push(refused);
                        }
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            })
        });
        Self { enqueuers: enqueuers.collect(), told }
    }

    /// With nothing in the way, nobody is refused.
    pub(super) async fn goes_well_for(&self, time: Duration) {
        let began = Instant::now();
        tokio::time::sleep(time).await;
        let refused = self.told.refused.lock().unwrap();
        let refused: Vec<&Refused> = refused.iter().filter(|refused| refused.began >= began).collect();
        assert!(refused.is_empty(), "{refused:?}");
    }

    /// While the database is away, nothing is acknowledged, and whoever enqueues is told so in time.
    pub(super) async fn is_refused_in_time<P: Stops>(&self, stopped: Instant, until: Instant, how: Stop) {
        let before = self.acknowledged();
        tokio::time::sleep_until(until.into()).await;
        assert_eq!(self.acknowledged(), before, "nothing is acknowledged that cannot be kept");
        let refused = self.told.refused.lock().unwrap();
        let refused: Vec<&Refused> = refused.iter().filter(|refused| refused.began >= stopped).collect();
        let answer = P::ANSWER.filter(|_| how.hangs()).unwrap_or_default();
        let patience = P::PATIENCE + answer + Duration::from_millis(700);
        assert!(until < stopped + patience || !refused.is_empty());
        for Refused { after, error, .. } in refused {
            assert!(*after < patience, "{error} after {after:?}");
            assert!(error.starts_with("the job table cannot be reached: "), "{error}");
        }
    }

    /// Everybody is served again.
    pub(super) async fn is_taken_again(&self, within: Duration) {
        let (began, before) = (Instant::now(), self.acknowledged());
        while self.acknowledged() < before + 2 * ENQUEUERS {
            assert!(began.elapsed() < within, "{:?}", self.told.refused.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The numbers of the jobs that were acknowledged.
    pub(super) async fn stop(self) -> Vec<u32> {
        self.told.stop.store(true, Ordering::SeqCst);
        for enqueuer in self.enqueuers {
            enqueuer.await.unwrap();
        }
        std::mem::take(&mut self.told.acknowledged.lock().unwrap())
    }

    fn acknowledged(&self) -> usize {
        self.told.acknowledged.lock().unwrap().len()
    }
}

/// The error with its causes, as a log has it.
fn line(error: &JobsError) -> String {
    let mut line = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}
