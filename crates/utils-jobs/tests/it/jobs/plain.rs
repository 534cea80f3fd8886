//! What needs no backend: broker URLs, settings.
use std::time::Duration;

use utils_jobs::{Jobs, JobsError, Policy, Worker};

#[track_caller]
fn check(url: &str, expected: &str) {
    let error = match Jobs::open(url) {
        Ok(jobs) => panic!("{url} was opened: {jobs:?}"),
        Err(error) => error,
    };
    assert_eq!(error.to_string(), expected, "{url}");
    let all = format!("{error:?}");
    assert!(!all.contains("s3cret"), "the password is in {all}");
}

#[test]
fn a_broker_that_loses_jobs_is_refused_with_the_reason_and_what_to_use() {
    check(
        "redis://:s3cret@127.0.0.1:6379/0",
        "the broker cannot be used: redis: is not supported: it forgets jobs when it restarts or runs full, and a job \
         cannot be enqueued in the transaction that it belongs to; use the database of the application, or postgres: \
         when several machines share the work",
    );
    check(
        "amqp://guest:s3cret@127.0.0.1//",
        "the broker cannot be used: amqp: is not supported: it cannot cancel, look up, delay or deduplicate jobs, and a \
         job cannot be enqueued in the transaction that it belongs to; use the database of the application, or postgres: \
         when several machines share the work",
    );
}

#[test]
fn a_broker_nobody_knows_is_refused_by_its_scheme_alone() {
    check(
        "kafka://user:s3cret@host",
        "the broker cannot be used: kafka: is no broker we know; use sqlite:, postgres:, mysql: or memory:",
    );
    let none = "the broker cannot be used: the URL has no scheme; it begins with sqlite:, postgres:, mysql: or memory:";
    check("", none);
    check("app.db", none);
    check("s3cret@host:5432/app", none);
}

#[cfg(not(feature = "postgres"))]
#[test]
fn a_broker_whose_feature_is_off_names_the_feature() {
    check(
        "postgres://user:s3cret@host/app",
        "the broker cannot be used: postgres: needs the feature \"postgres\" of utils-jobs",
    );
}

#[test]
fn settings_in_the_url_are_read_and_checked() {
    let jobs = Jobs::open("memory:?lease=5s&poll=20ms&retention=1d&max_bytes=100").unwrap();
    let settings = jobs.settings();
    assert_eq!(settings.lease, Duration::from_secs(5));
    assert_eq!(settings.poll, Duration::from_millis(20));
    assert_eq!(settings.retention, Duration::from_secs(86_400));
    assert_eq!(settings.max_bytes, 100);
    let time =
        "the broker cannot be used: the setting lease in the URL must be a time such as 30s, 500ms, 5m or 7d";
    check("memory:?lease=soon", time);
    check("memory:?lease=", time);
    check("memory:?lease=99999999999999999999d", time);
    check(
        "memory:?pool_size=many",
        "the broker cannot be used: the setting pool_size in the URL must be a whole number",
    );
    check("memory:?lease=1ms", "the lease must be at least 100 ms");
}

#[tokio::test]
async fn mistakes_in_a_worker_are_errors_at_its_start() {
    use serde::{Deserialize, Serialize};
    use utils_jobs::{Answers, Batch, BatchJob, Context, Failure, Job};

    #[derive(Serialize, Deserialize)]
    struct Nothing;
    impl BatchJob for Nothing {
        async fn run_batch(_: Batch<Self>) -> Result<Answers<()>, Failure> {
            Ok(Answers::all(()))
        }
    }
    impl Job for Nothing {
        const NAME: &'static str = "nothing";
        type Output = ();
        fn policy() -> Policy {
            Policy::new()
        }
        async fn run(self, _: Context) -> Result<(), Failure> {
            Ok(())
        }
    }

    let jobs = Jobs::open("memory:").unwrap();
    let twice = Worker::new(&jobs).handle::<Nothing>().handle::<Nothing>().start();
    assert!(matches!(twice, Err(JobsError::NameTaken("nothing"))));
    let never = Worker::new(&jobs).handle::<Nothing>().every("at noon", Nothing).start();
    assert!(matches!(never, Err(JobsError::Schedule { .. })));
    for (max, is_right) in [(0, false), (1, true), (10_000, true), (10_001, false)] {
        let batches = Worker::new(&jobs).handle_batches::<Nothing>(max, Duration::ZERO).start();
        assert_eq!(batches.is_ok(), is_right, "{max}");
        let Err(error) = batches else { continue };
        assert_eq!(error.to_string(), "a batch must hold between 1 and 10,000 jobs");
    }
    let both = Worker::new(&jobs).handle::<Nothing>().handle_batches::<Nothing>(1, Duration::ZERO).start();
    assert!(matches!(both, Err(JobsError::NameTaken("nothing"))));
}

#[test]
fn outside_a_runtime_there_is_an_error_and_no_panic() {
    let jobs = Jobs::open("memory:").unwrap();
    assert!(matches!(Worker::new(&jobs).start(), Err(JobsError::Runtime)));
}

/// Application code that panics where nobody expects code to run.
mod panics {
    use std::{fmt, time::Duration};

    use serde::{Deserialize, Deserializer, Serialize};
    use utils_jobs::{Backoff, Context, Failure, Job, Jobs, Policy, State, Worker};

    #[derive(Serialize)]
    struct Unreadable;

    impl<'de> Deserialize<'de> for Unreadable {
        fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("reading panics")
        }
    }

    impl Job for Unreadable {
        const NAME: &'static str = "unreadable";
        type Output = ();

        fn policy() -> Policy {
            Policy::new().attempts(2).backoff(Backoff::fixed(Duration::ZERO))
        }

        async fn run(self, _: Context) -> Result<(), Failure> {
            Ok(())
        }
    }

    #[derive(Debug)]
    struct Unspeakable;

    impl fmt::Display for Unspeakable {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("showing panics")
        }
    }

    impl std::error::Error for Unspeakable {}

    #[derive(Serialize, Deserialize)]
    struct Fails;

    impl Job for Fails {
        const NAME: &'static str = "fails";
        type Output = ();

        fn policy() -> Policy {
            Policy::new().attempts(1)
        }

        async fn run(self, _: Context) -> Result<(), Failure> {
            Err(Unspeakable.into())
        }
    }

    #[derive(Serialize, Deserialize)]
    struct Undecided;

    impl Job for Undecided {
        const NAME: &'static str = "undecided";
        type Output = ();

        fn policy() -> Policy {
            Policy::new().attempts(5).final_if(|_| panic!("deciding panics"))
        }

        async fn run(self, _: Context) -> Result<(), Failure> {
            Err(Failure::new("no"))
        }
    }

    #[derive(Serialize, Deserialize)]
    struct Fine;

    impl Job for Fine {
        const NAME: &'static str = "fine";
        type Output = u8;

        async fn run(self, _: Context) -> Result<u8, Failure> {
            Ok(7)
        }
    }

    #[tokio::test]
    async fn code_of_the_application_that_panics_ends_its_job_and_not_the_worker() {
        let soon = Duration::from_secs(5);
        let jobs = Jobs::open("memory:").unwrap();
        let worker = Worker::new(&jobs)
            .handle::<Unreadable>()
            .handle::<Fails>()
            .handle::<Undecided>()
            .handle::<Fine>()
            .start()
            .unwrap();
        let unreadable = jobs.enqueue(Unreadable).await.unwrap().to_string();
        let fails = jobs.enqueue(Fails).await.unwrap().to_string();
        let undecided = jobs.enqueue(Undecided).await.unwrap().to_string();
        for (id, attempts, error) in [
            (&unreadable, 2, "panicked: reading panics"),
            (&fails, 1, "an error that cannot be shown: its text panicked"),
            (&undecided, 1, "it failed, and the decision what is next panicked: deciding panics"),
        ] {
            let end = jobs.wait_status(id.as_str(), soon).await.unwrap();
            assert_eq!((end.state, end.attempts), (State::Dead, attempts), "{end:?}");
            assert_eq!(end.error.as_deref(), Some(error));
        }
        let fine = jobs.enqueue(Fine).await.unwrap();
        assert_eq!(jobs.wait(&fine, soon).await.unwrap(), 7);
        assert!(worker.is_running());
        worker.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_worker_of_apalis_survives_arguments_whose_reading_panics() {
        use apalis::prelude::*;

        let jobs = Jobs::open("memory:").unwrap();
        let id = jobs.enqueue(Unreadable).await.unwrap();
        let worker = WorkerBuilder::new("reader")
            .backend(jobs.storage::<Unreadable>())
            .build(|_: Unreadable| async {});
        let running = tokio::spawn(worker.run());
        let end = jobs.wait_status(&id, Duration::from_secs(5)).await.unwrap();
        assert_eq!(end.state, State::Dead, "{end:?}");
        assert!(!running.is_finished());
        running.abort();
    }

    #[derive(Serialize, Deserialize)]
    struct Once;

    impl Job for Once {
        const NAME: &'static str = "once";
        type Output = ();

        fn policy() -> Policy {
            Policy::new().attempts(1)
        }

        async fn run(self, ctx: Context) -> Result<(), Failure> {
            ctx.data::<std::sync::Arc<tokio::sync::Notify>>()?.notify_one();
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn a_job_on_its_last_attempt_is_not_run_again_when_its_worker_is_dropped() {
        let jobs = Jobs::open("memory:").unwrap();
        let begun = std::sync::Arc::new(tokio::sync::Notify::new());
        let worker = Worker::new(&jobs).handle::<Once>().data(begun.clone()).start().unwrap();
        let id = jobs.enqueue(Once).await.unwrap();
        begun.notified().await;
        drop(worker);
        let end = jobs.wait_status(&id, Duration::from_secs(5)).await.unwrap();
        assert_eq!((end.state, end.attempts), (State::Dead, 1), "{end:?}");
        assert_eq!(end.error.as_deref(), Some("the worker was stopped while the job ran"));
    }
}

#[tokio::test]
async fn who_waits_for_ever_says_so_by_the_longest_time_there_is() {
    let jobs = Jobs::builder().answer_within(Duration::MAX).open("memory:").unwrap();
    let gone = jobs.wait_status("nobody", Duration::MAX).await;
    assert!(matches!(gone, Err(JobsError::NotFound)), "{gone:?}");
}

#[test]
fn a_lease_or_a_poll_that_nobody_lives_to_see_is_refused() {
    for builder in [Jobs::builder().lease(Duration::MAX), Jobs::builder().poll(Duration::MAX)] {
        let refused = builder.open("memory:").unwrap_err();
        assert!(refused.to_string().contains("at most a year"), "{refused}");
    }
}

/// A worker that has lost a lease, for it stood still, and does not know yet.
mod one_attempt_at_a_time {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use serde::{Deserialize, Serialize};
    use utils_jobs::{Clock, Context, Failure, Job, Jobs, State, Worker};

    #[derive(Serialize, Deserialize)]
    struct Alone;

    #[derive(Default)]
    struct Seen {
        now: AtomicUsize,
        most: AtomicUsize,
    }

    struct Leaves(Arc<Seen>);

    impl Drop for Leaves {
        fn drop(&mut self) {
            self.0.now.fetch_sub(1, Ordering::SeqCst);
        }
    }

    impl Job for Alone {
        const NAME: &'static str = "alone";
        type Output = ();

        async fn run(self, ctx: Context) -> Result<(), Failure> {
            let seen = ctx.data::<Arc<Seen>>()?;
            let now = seen.now.fetch_add(1, Ordering::SeqCst) + 1;
            seen.most.fetch_max(now, Ordering::SeqCst);
            let _leaves = Leaves(seen.clone());
            if ctx.attempt() == 1 {
                ctx.stopping().await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_worker_does_not_begin_a_job_again_that_it_still_runs() {
        let jobs = Jobs::builder().clock(Clock::manual()).open("memory:").unwrap();
        let seen = Arc::new(Seen::default());
        let worker = Worker::new(&jobs).handle::<Alone>().data(seen.clone()).start().unwrap();
        let id = jobs.enqueue(Alone).await.unwrap();
        while seen.now.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // Another worker takes the job back; then this one looks for work before it renews its leases.
        jobs.clock().advance(Duration::from_secs(60));
        Worker::new(&jobs).queues(["nothing"]).run_due().await.unwrap();
        jobs.wake();
        let mut end = jobs.status(&id).await.unwrap().unwrap();
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            jobs.advance(Duration::from_millis(20));
            end = jobs.status(&id).await.unwrap().unwrap();
            if end.state == State::Done {
                break;
            }
        }
        assert_eq!((end.state, end.attempts), (State::Done, 2), "{end:?}");
        assert_eq!(seen.most.load(Ordering::SeqCst), 1, "attempts at the same time");
        worker.stop().await.unwrap();
    }
}
