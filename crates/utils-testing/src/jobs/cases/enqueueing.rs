use std::time::Duration;

use utils_jobs::{Cancellation, Filter, Job, JobsError, State};

use super::{JobBackend, MINUTE, SOON, status, timeless, worker};
use crate::jobs::sample::{Fails, How, Log, say};

pub async fn a_job_runs_once_and_its_result_is_kept(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let id = jobs.enqueue(say("hello")).await.unwrap();
    let before = status(&jobs, &id).await;
    assert_eq!((before.state, before.attempts, before.queue.as_str()), (State::Waiting, 0, "default"));
    let mut worker = worker(&jobs, &log);
    assert_eq!(worker.run_due().await.unwrap().succeeded, 1);
    assert_eq!(worker.run_due().await.unwrap().total(), 0);
    let after = status(&jobs, &id).await;
    assert_eq!((after.state, after.attempts), (State::Done, 1));
    assert_eq!(after.result, Some("hello".into()));
    assert!(after.finished_at.is_some() && after.worker.is_none() && after.error.is_none());
    assert_eq!(jobs.wait(&id, SOON).await.unwrap(), "hello");
}

pub async fn jobs_enqueued_together_run_in_order(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let texts: Vec<String> = (0..700).map(|n| format!("{n:03}")).collect();
    let ids = jobs.enqueue_many(texts.iter().take(660).map(say)).await.unwrap();
    assert_eq!(ids.len(), 660);
    for text in texts.iter().skip(660) {
        jobs.enqueue(say(text)).await.unwrap();
    }
    assert_eq!(worker(&jobs, &log).run_due().await.unwrap().succeeded, 700);
    assert_eq!(log.lines(), texts);
}

pub async fn higher_priorities_run_first(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    for priority in [i32::MIN, 0, 2, -1, 1, i32::MAX, 2] {
        jobs.enqueue(say(priority.to_string()).priority(priority)).await.unwrap();
    }
    worker(&jobs, &log).run_due().await.unwrap();
    assert_eq!(log.lines(), ["2147483647", "2", "2", "1", "0", "-1", "-2147483648"]);
}

pub async fn a_delayed_job_waits_for_its_time(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let later = jobs.enqueue(say("later").after(MINUTE)).await.unwrap();
    jobs.enqueue_at(jobs.clock().now() + 2 * MINUTE, say("last")).await.unwrap();
    jobs.enqueue(say("past").at(std::time::UNIX_EPOCH)).await.unwrap();
    let mut worker = worker(&jobs, &log);
    worker.run_due().await.unwrap();
    assert_eq!(log.lines(), ["past"]);
    assert_eq!(status(&jobs, &later).await.state, State::Scheduled);
    jobs.advance(MINUTE - Duration::from_millis(1));
    assert_eq!(worker.run_due().await.unwrap().total(), 0, "a millisecond too early");
    jobs.advance(Duration::from_millis(1));
    worker.run_due().await.unwrap();
    assert_eq!(log.lines(), ["past", "later"]);
    jobs.advance(MINUTE);
    worker.run_due().await.unwrap();
    assert_eq!(log.lines(), ["past", "later", "last"]);
}

pub async fn an_expired_job_does_not_run(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let id = jobs.enqueue(say("stale").with().expires_after(MINUTE)).await.unwrap();
    let delayed = jobs.enqueue(say("stale").after(2 * MINUTE).expires_after(MINUTE)).await.unwrap();
    jobs.enqueue(say("fresh").with().expires_after(3 * MINUTE)).await.unwrap();
    jobs.advance(MINUTE);
    worker(&jobs, &log).run_due().await.unwrap();
    assert_eq!(log.lines(), ["fresh"]);
    assert_eq!(status(&jobs, &id).await.state, State::Expired);
    assert_eq!(status(&jobs, &delayed).await.state, State::Expired);
    assert!(matches!(jobs.wait(&id, SOON).await, Err(JobsError::Expired)));
}

pub async fn a_unique_key_is_taken_until_its_job_has_ended(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let first = jobs.enqueue_unique("nightly", say("first")).await.unwrap();
    let second = jobs.enqueue_unique("nightly", say("second")).await.unwrap();
    assert!(first.is_new && !second.is_new);
    assert_eq!(first.id, second.id);
    assert!(jobs.enqueue_unique("other", say("other")).await.unwrap().is_new);
    let many =
        jobs.enqueue_many([say("a").unique("many"), say("b").unique("many"), say("c").with()]).await.unwrap();
    assert_eq!(many[0], many[1]);
    let mut worker = worker(&jobs, &log);
    worker.run_due().await.unwrap();
    assert_eq!(log.lines(), ["first", "other", "a", "c"]);
    assert!(jobs.enqueue_unique("nightly", say("again")).await.unwrap().is_new);
    worker.run_due().await.unwrap();
    assert_eq!(log.count("again"), 1);
}

pub async fn a_requeued_job_takes_its_unique_key_again(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let mut worker = worker(&jobs, &log);
    let fails = || Fails { times: 1, how: How::Never };
    let first = jobs.enqueue_unique("nightly", fails()).await.unwrap();
    worker.run_due().await.unwrap();
    let second = jobs.enqueue_unique("nightly", fails()).await.unwrap();
    assert!(second.is_new, "the dead letter keeps it from nobody");
    let refused = jobs.requeue(&first.id).await;
    assert!(matches!(&refused, Err(JobsError::KeyTaken { name }) if name == Fails::NAME), "{refused:?}");
    assert_eq!(jobs.requeue_dead(Filter::new()).await.unwrap(), 0);
    let other = jobs.enqueue_unique("other", Fails { times: 1, how: How::Never }).await.unwrap();
    assert!(matches!(jobs.cancel(&other.id).await, Ok(Cancellation::AtOnce)));
    let dead = status(&jobs, &first.id).await;
    assert_eq!((dead.state, dead.key.as_deref()), (State::Dead, Some("nightly")));

    worker.run_due().await.unwrap();
    assert_eq!(jobs.requeue_dead(Filter::new()).await.unwrap(), 1, "one of the two");
    let all = [&first.id, &second.id];
    let waits =
        jobs.statuses(all).await.unwrap().iter().flatten().position(|job| job.state == State::Waiting);
    let other = all[1 - waits.unwrap()];
    let again = jobs.enqueue_unique("nightly", fails()).await.unwrap();
    assert_eq!((again.is_new, &again.id), (false, all[waits.unwrap()]));
    worker.run_due().await.unwrap();

    // The same for one that was cancelled, and one that has expired.
    assert!(jobs.requeue(other).await.unwrap());
    assert_eq!(jobs.cancel(other).await.unwrap(), Cancellation::AtOnce);
    assert!(jobs.requeue(other).await.unwrap());
    assert_eq!(&jobs.enqueue_unique("nightly", fails()).await.unwrap().id, other);
    worker.run_due().await.unwrap();
    let stale = jobs.enqueue(fails().with().unique("hourly").expires_after(MINUTE)).await.unwrap();
    jobs.advance(MINUTE);
    worker.run_due().await.unwrap();
    assert_eq!(status(&jobs, &stale).await.state, State::Expired);
    assert!(jobs.requeue(&stale).await.unwrap());
    assert_eq!(jobs.enqueue_unique("hourly", fails()).await.unwrap().id, stale);
}

pub async fn an_idempotency_key_stays_taken(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let id = jobs.enqueue(say("pay").with().idempotency_key("order 7")).await.unwrap();
    let mut worker = worker(&jobs, &log);
    worker.run_due().await.unwrap();
    let again = jobs.enqueue(say("pay").with().idempotency_key("order 7")).await.unwrap();
    assert_eq!(id, again);
    worker.run_due().await.unwrap();
    assert_eq!(log.len(), 1);
    jobs.advance(MINUTE);
    assert_eq!(jobs.purge(State::Done, Duration::from_secs(1)).await.unwrap(), 1);
    assert_ne!(jobs.enqueue(say("pay").with().idempotency_key("order 7")).await.unwrap(), id);
}

pub async fn arguments_that_are_too_large_are_refused(backend: impl JobBackend) {
    let jobs = timeless(&backend);
    let error = jobs.enqueue(say("x".repeat(1024 * 1024))).await.unwrap_err();
    assert!(matches!(error, JobsError::TooLarge { .. }), "{error}");
    let fits = jobs.enqueue(say("ü\u{0}\u{1F600}\"'?$1\n".repeat(20_000))).await.unwrap();
    let log = Log::default();
    worker(&jobs, &log).run_due().await.unwrap();
    assert_eq!(jobs.wait(&fits, SOON).await.unwrap(), "ü\u{0}\u{1F600}\"'?$1\n".repeat(20_000));
}
