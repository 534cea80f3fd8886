//! Rules that hold on every backend, as the cases of the contract do.
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utils_jobs::{Backoff, Clock, Context, Failure, Job, Jobs, JobsError, Policy, State, Worker};
use utils_testing::jobs::JobBackend;

macro_rules! rules {
    ($backend:expr) => {
        mod rules {
            use super::*;

            crate::jobs::rules::rules!(@all $backend;
                a_failed_job_that_expires_keeps_its_error,
                keys_that_differ_in_spaces_are_different,
                what_does_not_fit_is_refused_by_its_name,
                jobs_of_many_bytes_are_enqueued_together,
            );
        }
    };
    (@all $backend:expr; $($case:ident,)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                utils_testing::jobs::run($backend, crate::jobs::rules::$case).await;
            }
        )*
    };
}
pub(super) use rules;

#[derive(Serialize, Deserialize)]
struct Fails;

impl Job for Fails {
    const NAME: &'static str = "fails";
    type Output = ();

    fn policy() -> Policy {
        Policy::new().attempts(5).backoff(Backoff::fixed(Duration::from_secs(60)))
    }

    async fn run(self, _: Context) -> Result<(), Failure> {
        Err(Failure::new("the printer is on fire"))
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Text(String);

impl Job for Text {
    const NAME: &'static str = "text";
    type Output = ();

    async fn run(self, _: Context) -> Result<(), Failure> {
        Ok(())
    }
}

pub(super) async fn a_failed_job_that_expires_keeps_its_error<B: JobBackend>(backend: B) {
    let jobs = backend.open(Jobs::builder().clock(Clock::manual()));
    let mut worker = Worker::new(&jobs).handle::<Fails>();
    let tried = jobs.enqueue(Fails.with().expires_after(Duration::from_secs(30))).await.unwrap();
    assert_eq!(worker.run_due().await.unwrap().retried, 1);
    let untried = jobs.enqueue(Fails.with().expires_after(Duration::from_secs(30))).await.unwrap();
    jobs.advance(Duration::from_secs(120));
    assert_eq!(worker.run_due().await.unwrap().total(), 0);
    for (id, expected) in [(tried, "the printer is on fire"), (untried, "expired before it could run")] {
        let end = jobs.status(&id).await.unwrap().unwrap();
        assert_eq!(end.state, State::Expired, "{end:?}");
        assert!(end.error.as_ref().is_some_and(|error| error.contains(expected)), "{end:?}");
    }
}

pub(super) async fn keys_that_differ_in_spaces_are_different<B: JobBackend>(backend: B) {
    let jobs = backend.open(Jobs::builder());
    for key in ["a", "a ", " a", "A", "\u{e1}"] {
        let enqueued = jobs.enqueue_unique(key, Text(String::new())).await.unwrap();
        assert!(enqueued.is_new, "{key:?}");
        assert!(!jobs.enqueue_unique(key, Text(String::new())).await.unwrap().is_new, "{key:?}");
    }
    // And so are queues.
    let queued = jobs.enqueue(Text(String::new()).with().queue("slow ")).await.unwrap();
    let report = Worker::new(&jobs).handle::<Text>().queues(["slow"]).run_due().await.unwrap();
    assert_eq!(report.succeeded, 5);
    assert_eq!(jobs.status(&queued).await.unwrap().unwrap().state, State::Waiting);
}

pub(super) async fn what_does_not_fit_is_refused_by_its_name<B: JobBackend>(backend: B) {
    let jobs = backend.open(Jobs::builder());
    let long = |count: usize| "\u{e9}".repeat(count / 2); // two bytes each
    jobs.enqueue(Text(String::new()).with().queue(long(128)).unique(long(200))).await.unwrap();
    let refused = [
        (
            Text(String::new()).with().queue(long(130)),
            "the queue of a job takes 130 bytes, above the maximum of 128",
        ),
        (
            Text(String::new()).unique(long(202)),
            "the unique key of a job takes 202 bytes, above the maximum of 200",
        ),
    ];
    for (job, expected) in refused {
        let error = jobs.enqueue(job).await.unwrap_err();
        assert!(matches!(error, JobsError::TooLong { .. }), "{error:?}");
        assert_eq!(error.to_string(), expected);
    }
}

/// Above what MariaDB takes in one packet, 16 MiB by default.
pub(super) async fn jobs_of_many_bytes_are_enqueued_together<B: JobBackend>(backend: B) {
    let jobs = backend.open(Jobs::builder());
    let large = Text("x".repeat(900 * 1024));
    let ids = jobs.enqueue_many(vec![large; 20]).await.unwrap();
    assert_eq!(ids.len(), 20);
    assert_eq!(jobs.counts().await.unwrap()["default"]["waiting"], 20);
}
