use std::time::Duration;

use utils_jobs::{Job, JobsError, State, Worker};

use super::{JobBackend, MINUTE, SOON, status, timeless, worker};
use crate::jobs::sample::{Fails, How, Log, Mail, OldSay, Say, Soft, TooSlow, say};

pub async fn a_failed_job_waits_for_its_backoff_and_is_dead_in_the_end(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let id = jobs.enqueue(Fails { times: 9, how: How::Plainly }).await.unwrap();
    let mut worker = worker(&jobs, &log);
    assert_eq!(worker.run_due().await.unwrap().retried, 1);
    let between = status(&jobs, &id).await;
    assert_eq!((between.state, between.attempts), (State::Scheduled, 1));
    assert_eq!(between.error.as_deref(), Some("it rains"));
    jobs.advance(MINUTE - Duration::from_millis(1));
    assert_eq!(worker.run_due().await.unwrap().total(), 0, "a millisecond too early");
    jobs.advance(Duration::from_millis(1));
    assert_eq!(worker.run_due().await.unwrap().retried, 1);
    jobs.advance(MINUTE);
    assert_eq!(worker.run_due().await.unwrap().dead, 1);
    jobs.advance(100 * MINUTE);
    assert_eq!(worker.run_due().await.unwrap().total(), 0);
    assert_eq!(log.lines(), ["attempt 1", "attempt 2", "attempt 3"]);
    let dead = status(&jobs, &id).await;
    assert_eq!((dead.state, dead.attempts), (State::Dead, 3));
    let error = jobs.wait(&id, SOON).await.unwrap_err();
    assert!(matches!(&error, JobsError::Failed { reason } if reason == "it rains"), "{error:?}");
}

pub async fn a_failure_without_a_wait_is_tried_again_at_once(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let id = jobs.enqueue(Fails { times: 2, how: How::Again }).await.unwrap();
    let report = worker(&jobs, &log).run_due().await.unwrap();
    assert_eq!((report.retried, report.succeeded), (2, 1));
    assert_eq!(jobs.wait(&id, SOON).await.unwrap(), "done");
    assert_eq!(status(&jobs, &id).await.error, None, "the error of an earlier attempt");
}

pub async fn retry_after_waits_that_long_and_counts_attempts(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let id = jobs.enqueue(Fails { times: 9, how: How::AfterAnHour }).await.unwrap();
    let mut worker = worker(&jobs, &log);
    for _ in 0..5 {
        worker.run_due().await.unwrap();
        jobs.advance(59 * MINUTE);
        assert_eq!(worker.run_due().await.unwrap().total(), 0);
        jobs.advance(MINUTE);
    }
    assert_eq!(log.len(), 3);
    assert_eq!(status(&jobs, &id).await.state, State::Dead);
}

pub async fn retry_never_makes_a_dead_letter_at_once(backend: impl JobBackend) {
    check_dead(backend, Fails { times: 9, how: How::Never }, "no such account").await;
}

pub async fn a_final_error_is_not_tried_again(backend: impl JobBackend) {
    check_dead(backend, Fails { times: 9, how: How::Finally }, "invalid digit found in string").await;
}

/// One attempt, and the job is dead for this reason.
async fn check_dead(backend: impl JobBackend, job: Fails, reason: &str) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let id = jobs.enqueue(job).await.unwrap();
    assert_eq!(worker(&jobs, &log).run_due().await.unwrap().dead, 1);
    let dead = status(&jobs, &id).await;
    assert_eq!((dead.state, dead.attempts), (State::Dead, 1));
    assert_eq!(dead.error.as_deref(), Some(reason));
}

pub async fn a_panic_is_a_failed_attempt(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let id = jobs.enqueue(Fails { times: 1, how: How::Panics }).await.unwrap();
    let mut worker = worker(&jobs, &log);
    assert_eq!(worker.run_due().await.unwrap().retried, 1);
    assert_eq!(status(&jobs, &id).await.error.as_deref(), Some("panicked: out of paper"));
    jobs.advance(MINUTE);
    assert_eq!(worker.run_due().await.unwrap().succeeded, 1);
}

pub async fn a_hard_time_limit_is_a_failed_attempt(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let id = jobs.enqueue(TooSlow).await.unwrap();
    let mut worker = worker(&jobs, &log);
    assert_eq!(worker.run_due().await.unwrap().retried, 1);
    jobs.advance(MINUTE);
    assert_eq!(worker.run_due().await.unwrap().dead, 1);
    let dead = status(&jobs, &id).await;
    assert_eq!((dead.state, dead.attempts), (State::Dead, 2));
    assert_eq!(dead.error.as_deref(), Some("took longer than 50ms"));
}

pub async fn a_soft_time_limit_lets_the_job_end_by_itself(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let id = jobs.enqueue(Soft).await.unwrap();
    assert_eq!(worker(&jobs, &log).run_due().await.unwrap().dead, 1);
    assert_eq!(log.lines(), ["TimeLimit"]);
    assert_eq!(status(&jobs, &id).await.error.as_deref(), Some("the soft time limit is over"));
}

pub async fn an_unknown_name_is_a_dead_letter_with_the_reason(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let id = jobs.enqueue(Mail("hi".to_owned()).with().queue("default")).await.unwrap();
    jobs.enqueue(say("known")).await.unwrap();
    let report = Worker::new(&jobs).handle::<Say>().data(log.clone()).run_due().await.unwrap();
    assert_eq!((report.dead, report.succeeded), (1, 1));
    let dead = status(&jobs, &id).await;
    assert_eq!((dead.state, dead.attempts), (State::Dead, 1));
    assert_eq!(dead.error.as_deref(), Some("no job type is called \"contract.mail\" here"));
}

pub async fn an_unknown_name_can_be_left_for_others(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let id = jobs.enqueue(Mail("hi".to_owned()).with().queue("default")).await.unwrap();
    jobs.enqueue(say("known")).await.unwrap();
    let report =
        Worker::new(&jobs).handle::<Say>().data(log.clone()).leave_unknown().run_due().await.unwrap();
    assert_eq!((report.dead, report.succeeded), (0, 1));
    assert_eq!(status(&jobs, &id).await.state, State::Waiting);
}

pub async fn arguments_that_cannot_be_read_do_not_stop_the_queue(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let old = jobs.enqueue(OldSay { words: Vec::new() }.priority(9)).await.unwrap();
    let new = jobs.enqueue_many(["a", "b", "c"].map(say)).await.unwrap();
    let report = worker(&jobs, &log).run_due().await.unwrap();
    assert_eq!((report.dead, report.succeeded), (1, 3));
    let dead = status(&jobs, &old).await;
    assert_eq!((dead.state, dead.attempts), (State::Dead, 1));
    assert!(dead.error.as_deref().unwrap().starts_with("its arguments cannot be read: "), "{dead:?}");
    assert_eq!(status(&jobs, &new[0]).await.attempts, 1);
}
