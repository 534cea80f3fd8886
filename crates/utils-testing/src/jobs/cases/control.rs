use std::time::Duration;

use utils_jobs::{Cancellation, Filter, Job, JobsError, State};

use super::{JobBackend, MINUTE, SOON, lively, status, timeless, worker};
use crate::jobs::sample::{Fails, How, Log, Mail, Sleeps, say};

pub async fn a_dead_letter_can_be_requeued(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let id = jobs.enqueue(Fails { times: 1, how: How::Never }).await.unwrap();
    let other = jobs.enqueue(Fails { times: 9, how: How::Never }).await.unwrap();
    let mut worker = worker(&jobs, &log);
    worker.run_due().await.unwrap();
    let dead = jobs.list(Filter::new().state(State::Dead)).await.unwrap();
    assert_eq!(dead.len(), 2);
    assert!(jobs.requeue(&id).await.unwrap());
    assert!(!jobs.requeue(&id).await.unwrap(), "it waits already");
    let waiting = status(&jobs, &id).await;
    assert_eq!((waiting.state, waiting.attempts), (State::Waiting, 0));
    worker.run_due().await.unwrap();
    assert_eq!(log.lines(), ["attempt 1", "attempt 1", "attempt 1"]);
    assert_eq!(jobs.requeue_dead(Filter::new().name(Fails::NAME)).await.unwrap(), 2);
    assert_eq!(status(&jobs, &other).await.state, State::Waiting);
    assert!(!jobs.requeue("nobody").await.unwrap());

    // more than a list shows by default
    let many = (0..120).map(|_| Fails { times: 9, how: How::Never });
    jobs.enqueue_many(many).await.unwrap();
    let dead = worker.run_due().await.unwrap().dead;
    assert_eq!(dead, 122);
    assert_eq!(jobs.requeue_dead(Filter::new().limit(10)).await.unwrap(), 10);
    assert_eq!(jobs.requeue_dead(Filter::new()).await.unwrap(), 112);
}

pub async fn a_waiting_job_is_cancelled_at_once(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let waiting = jobs.enqueue(say("waiting").unique("key")).await.unwrap();
    let delayed = jobs.enqueue(say("delayed").after(MINUTE)).await.unwrap();
    assert_eq!(jobs.cancel(&waiting).await.unwrap(), Cancellation::AtOnce);
    assert_eq!(jobs.cancel(&delayed).await.unwrap(), Cancellation::AtOnce);
    assert_eq!(jobs.cancel(&waiting).await.unwrap(), Cancellation::TooLate);
    assert!(matches!(jobs.cancel("nobody").await, Err(JobsError::NotFound)));
    jobs.advance(MINUTE);
    assert_eq!(worker(&jobs, &log).run_due().await.unwrap().total(), 0);
    assert_eq!(status(&jobs, &waiting).await.state, State::Cancelled);
    assert!(matches!(jobs.wait(&waiting, SOON).await, Err(JobsError::Cancelled)));
    assert!(jobs.enqueue_unique("key", say("again")).await.unwrap().is_new, "its key is free");
}

pub async fn a_running_job_is_told_of_its_cancellation(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let running = worker(&jobs, &log).start().unwrap();
    let id = jobs.enqueue(Sleeps { listens: true }).await.unwrap();
    log.until(1).await;
    assert_eq!(jobs.cancel(&id).await.unwrap(), Cancellation::Requested);
    assert!(matches!(jobs.wait(&id, SOON).await, Err(JobsError::Cancelled)));
    assert_eq!(log.lines(), ["started", "Cancelled"]);
    running.stop().await.unwrap();
}

pub async fn a_stubborn_job_is_stopped_after_its_grace(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let running = worker(&jobs, &log).start().unwrap();
    let id = jobs.enqueue_unique("stubborn", Sleeps { listens: false }).await.unwrap().id;
    log.until(1).await;
    assert_eq!(jobs.cancel(&id).await.unwrap(), Cancellation::Requested);
    let end = jobs.wait_status(&id, SOON).await.unwrap();
    assert_eq!((end.state, end.attempts), (State::Cancelled, 1));
    running.stop().await.unwrap();
    assert!(jobs.enqueue_unique("stubborn", Sleeps { listens: false }).await.unwrap().is_new);
    assert!(matches!(jobs.requeue(&id).await, Err(JobsError::KeyTaken { .. })));
}

pub async fn several_jobs_are_looked_up_together(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let done = jobs.enqueue(say("done")).await.unwrap();
    worker(&jobs, &log).run_due().await.unwrap();
    let many = jobs.enqueue_many((0..600).map(|n| say(n.to_string()))).await.unwrap();
    let asked = [many[7].as_str(), "nobody", done.as_str(), many[3].as_str(), many[7].as_str()];
    let found = jobs.statuses(asked).await.unwrap();
    let ids: Vec<Option<&str>> = found.iter().map(|status| Some(status.as_ref()?.id.as_str())).collect();
    assert_eq!(
        ids,
        [asked[0], "", asked[2], asked[3], asked[4]].map(|id| Some(id).filter(|id| !id.is_empty()))
    );
    let result = found[2].as_ref().unwrap().result.as_ref().unwrap();
    assert_eq!(result, "done");
    let all = jobs.statuses(&many).await.unwrap();
    assert!(all.iter().zip(&many).all(|(status, id)| status.as_ref().unwrap().id == id.untyped()));
    assert!(jobs.statuses(Vec::<String>::new()).await.unwrap().is_empty());
}

pub async fn a_paused_queue_starts_nothing(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    jobs.pause("mail").await.unwrap();
    jobs.pause("mail").await.unwrap();
    assert_eq!(jobs.paused().await.unwrap(), ["mail"]);
    jobs.enqueue(Mail("letter".to_owned())).await.unwrap();
    jobs.enqueue(say("talk")).await.unwrap();
    let mut worker = worker(&jobs, &log);
    worker.run_due().await.unwrap();
    assert_eq!(log.lines(), ["talk"]);
    jobs.resume("mail").await.unwrap();
    worker.run_due().await.unwrap();
    assert_eq!(log.lines(), ["talk", "letter from mail"]);
}

pub async fn old_jobs_are_purged_by_state_and_age(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let mut worker = worker(&jobs, &log);
    let old = jobs.enqueue(say("old")).await.unwrap();
    let dead = jobs.enqueue(Fails { times: 9, how: How::Never }).await.unwrap();
    worker.run_due().await.unwrap();
    jobs.advance(10 * MINUTE);
    let young = jobs.enqueue(say("young")).await.unwrap();
    worker.run_due().await.unwrap();
    let waiting = jobs.enqueue(say("waiting")).await.unwrap();
    jobs.advance(MINUTE);
    assert_eq!(jobs.purge(State::Done, 5 * MINUTE).await.unwrap(), 1);
    assert!(jobs.status(&old).await.unwrap().is_none());
    for kept in [young.untyped(), waiting.untyped(), dead.untyped()] {
        assert!(jobs.status(&kept).await.unwrap().is_some());
    }
    assert_eq!(jobs.purge(State::Dead, Duration::ZERO).await.unwrap(), 1);
    assert!(matches!(jobs.purge(State::Waiting, MINUTE).await, Err(JobsError::Settings(_))));
    let counts = jobs.counts().await.unwrap();
    assert_eq!((counts["default"]["done"], counts["default"]["waiting"]), (1, 1));
}

pub async fn progress_can_be_seen_while_the_job_runs(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let running = worker(&jobs, &log).start().unwrap();
    let id = jobs.enqueue(Sleeps { listens: true }).await.unwrap();
    log.until(1).await;
    let seen = loop {
        let status = status(&jobs, &id).await;
        if status.progress.is_some() {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!((seen.progress, seen.note.as_deref()), (Some(0.25), Some("asleep")));
    assert_eq!(seen.state, State::Running);
    assert_eq!(seen.worker.as_deref(), Some(running.name()));
    jobs.cancel(&id).await.unwrap();
    running.stop().await.unwrap();
}

pub async fn waiting_for_a_job_ends_with_its_end(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let id = jobs.enqueue(say("late")).await.unwrap();
    let short = Duration::from_millis(30);
    assert!(matches!(jobs.wait(&id, short).await, Err(JobsError::StillRunning(time)) if time == short));
    let (other, same) = (jobs.clone(), id.clone());
    let another = tokio::spawn(async move { other.wait(&same, SOON).await });
    let running = worker(&jobs, &log).start().unwrap();
    assert_eq!(jobs.wait(&id, SOON).await.unwrap(), "late");
    assert_eq!(another.await.unwrap().unwrap(), "late");
    assert!(matches!(jobs.wait_status("nobody", SOON).await, Err(JobsError::NotFound)));
    running.stop().await.unwrap();
}
