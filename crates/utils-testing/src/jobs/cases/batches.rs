use std::time::{Duration, Instant};

use utils_jobs::{Job, JobId, Jobs, State, Worker};

use super::{JobBackend, MINUTE, SOON, lively, status, timeless};
use crate::jobs::{
    sample::Log,
    together::{Ends, Joined, Nap, OldRow, Row, Seldom, row},
};

fn worker(jobs: &Jobs, log: &Log, max: usize, within: Duration) -> Worker {
    Worker::new(jobs)
        .handle_batches::<Row>(max, within)
        .handle_batches::<Nap>(max, within)
        .handle_batches::<Seldom>(max, within)
        .handle::<Joined>()
        .data(log.clone())
}

fn well(texts: &[&str]) -> Vec<Row> {
    texts.iter().map(|text| row(*text, Ends::Well)).collect()
}

async fn state<J: Job>(jobs: &Jobs, id: &JobId<J>) -> (State, u32) {
    let status = status(jobs, id).await;
    (status.state, status.attempts)
}

pub async fn jobs_that_wait_together_are_handled_in_one_call(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let ids = jobs.enqueue_many(well(&["a", "b", "c", "d"])).await.unwrap();
    let urgent = jobs.enqueue(row("urgent", Ends::Well).priority(1)).await.unwrap();
    let report = worker(&jobs, &log, 3, MINUTE).run_due().await.unwrap();
    assert_eq!((report.succeeded, report.total()), (5, 5));
    assert_eq!(log.lines(), ["urgent+a+b", "c+d"]);
    for (id, text) in ids.iter().zip(["a", "b", "c", "d"]).chain([(&urgent, "urgent")]) {
        assert_eq!(jobs.wait(id, Duration::ZERO).await.unwrap(), text);
        let end = status(&jobs, id).await;
        assert_eq!((end.state, end.attempts, end.progress), (State::Done, 1, Some(1.0)));
        assert_eq!(end.note, Some(format!("at {text}")), "each has its own");
    }
}

pub async fn a_full_batch_starts_at_once_and_another_waits_for_more(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let running = worker(&jobs, &log, 3, MINUTE).start().unwrap();
    let ids = jobs.enqueue_many(well(&["a", "b", "c", "d"])).await.unwrap();
    jobs.wait(&ids[2], SOON).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(state(&jobs, &ids[3]).await, (State::Waiting, 0));
    jobs.enqueue_many(well(&["e", "f"])).await.unwrap();
    jobs.wait(&ids[3], SOON).await.unwrap();
    assert_eq!(log.lines(), ["a+b+c", "d+e+f"]);
    running.stop().await.unwrap();
}

pub async fn the_first_job_of_a_batch_waits_only_so_long_for_more(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let running = worker(&jobs, &log, 100, Duration::from_millis(400)).start().unwrap();
    let started = Instant::now();
    let first = jobs.enqueue(row("a", Ends::Well)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    jobs.enqueue(row("b", Ends::Well)).await.unwrap();
    jobs.wait(&first, SOON).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(390), "{:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(log.lines(), ["a+b"]);
    running.stop().await.unwrap();
}

pub async fn a_stopped_worker_leaves_a_batch_that_fills_to_others(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let running = worker(&jobs, &log, 100, MINUTE).start().unwrap();
    let ids = jobs.enqueue_many(well(&["a", "b"])).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    running.stop().await.unwrap();
    for id in &ids {
        assert_eq!(state(&jobs, id).await, (State::Waiting, 0));
    }
    let next = worker(&jobs, &log, 100, Duration::ZERO).start().unwrap();
    for id in &ids {
        jobs.wait(id, SOON).await.unwrap();
    }
    assert_eq!(log.lines(), ["a+b"]);
    next.stop().await.unwrap();
}

pub async fn each_job_of_a_batch_ends_in_its_own_way(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let good = jobs.enqueue(row("good", Ends::Well)).await.unwrap();
    let unreadable = jobs.enqueue(OldRow(1)).await.unwrap();
    let bad = jobs.enqueue(row("bad", Ends::Badly)).await.unwrap();
    let refused = jobs.enqueue(row("refused", Ends::ForGood)).await.unwrap();
    let last = jobs.enqueue(row("last", Ends::Badly).with().attempts(1)).await.unwrap();
    let report = worker(&jobs, &log, 10, MINUTE).run_due().await.unwrap();
    assert_eq!((report.succeeded, report.retried, report.dead), (1, 1, 3));
    assert_eq!(log.lines(), ["good+bad+refused+last"]);
    assert_eq!(jobs.wait(&good, Duration::ZERO).await.unwrap(), "good");
    for (id, state, error) in [
        (bad.untyped(), State::Scheduled, "it rains"),
        (refused.untyped(), State::Dead, "no such page"),
        (last.untyped(), State::Dead, "it rains"),
        (unreadable.untyped(), State::Dead, "its arguments cannot be read: "),
    ] {
        let end = jobs.status(&id).await.unwrap().unwrap();
        assert_eq!((end.state, end.attempts), (state, 1));
        assert!(end.error.as_deref().unwrap().starts_with(error), "{end:?}");
    }
}

pub async fn what_fails_the_call_fails_each_of_its_jobs(backend: impl JobBackend) {
    for (how, error) in [
        (Ends::FailsAll, "it rains"),
        (Ends::PanicsAll, "panicked: out of paper"),
        (Ends::Forgets, "its batch of 3 got 2 answers"),
    ] {
        let (jobs, log) = (timeless(&backend), Log::default());
        let neighbour = jobs.enqueue(row("neighbour", Ends::Well)).await.unwrap();
        let once = jobs.enqueue(row("once", Ends::Well).with().attempts(1)).await.unwrap();
        let cause = jobs.enqueue(row("cause", how)).await.unwrap();
        worker(&jobs, &log, 10, MINUTE).run_due().await.unwrap();
        assert_eq!(log.lines(), ["neighbour+once+cause"]);
        for (id, state) in [(&neighbour, State::Scheduled), (&once, State::Dead), (&cause, State::Scheduled)]
        {
            let end = status(&jobs, id).await;
            assert_eq!((end.state, end.attempts, end.error.as_deref()), (state, 1, Some(error)), "{how:?}");
        }
        for id in [&neighbour, &once, &cause] {
            jobs.cancel(id).await.unwrap(); // out of the way of the next one
        }
    }
}

pub async fn the_time_limit_of_a_batch_is_that_of_its_call(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let ids = jobs.enqueue_many([true, false].map(|ends| Seldom { ends })).await.unwrap();
    worker(&jobs, &log, 10, MINUTE).run_due().await.unwrap();
    for id in &ids {
        let end = status(&jobs, id).await;
        assert_eq!((end.state, end.error.as_deref()), (State::Scheduled, Some("took longer than 50ms")));
    }
}

pub async fn the_last_attempt_of_a_job_is_made_alone(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let good = jobs.enqueue_many(well(&["a", "b"])).await.unwrap();
    let poison = jobs.enqueue(row("poison", Ends::PanicsAll)).await.unwrap();
    let mut worker = worker(&jobs, &log, 10, MINUTE);
    for _ in 0..3 {
        worker.run_due().await.unwrap();
        jobs.advance(MINUTE);
    }
    let mut lines = log.lines();
    assert_eq!(lines.drain(..2).collect::<Vec<_>>(), ["a+b+poison", "a+b+poison"]);
    lines.sort();
    assert_eq!(lines, ["a", "b", "poison"]);
    for id in &good {
        assert_eq!(state(&jobs, id).await, (State::Done, 3));
    }
    assert_eq!(state(&jobs, &poison).await, (State::Dead, 3));
}

pub async fn one_job_of_a_running_batch_is_told_of_its_cancellation(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let good = jobs.enqueue(row("good", Ends::Well)).await.unwrap();
    let told = jobs.enqueue(row("told", Ends::WhenTold)).await.unwrap();
    let running = worker(&jobs, &log, 2, MINUTE).start().unwrap();
    log.until(1).await;
    jobs.cancel(&told).await.unwrap();
    assert_eq!(jobs.wait(&good, SOON).await.unwrap(), "good");
    assert_eq!(jobs.wait_status(&told, SOON).await.unwrap().state, State::Cancelled);
    assert_eq!(log.lines(), ["good+told"]);
    running.stop().await.unwrap();
}

pub async fn a_stubborn_job_of_a_batch_is_cancelled_after_its_grace_and_the_others_go_on(
    backend: impl JobBackend,
) {
    let (jobs, log) = (lively(&backend), Log::default());
    let slow = jobs.enqueue(row("slow", Ends::AfterGo)).await.unwrap();
    let cancelled = jobs.enqueue(row("cancelled", Ends::Well)).await.unwrap();
    let running = worker(&jobs, &log, 2, MINUTE).start().unwrap();
    log.until(1).await;
    jobs.cancel(&cancelled).await.unwrap();
    assert_eq!(jobs.wait_status(&cancelled, SOON).await.unwrap().state, State::Cancelled);
    assert_eq!(state(&jobs, &slow).await, (State::Running, 1));
    log.add("go");
    assert_eq!(jobs.wait(&slow, SOON).await.unwrap(), "slow");
    assert_eq!(state(&jobs, &cancelled).await, (State::Cancelled, 1));
    running.stop().await.unwrap();
}

pub async fn a_call_ends_when_all_of_its_jobs_are_cancelled(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let ids = jobs.enqueue_many(["a", "b"].map(|text| row(text, Ends::HoldsAll))).await.unwrap();
    let running = worker(&jobs, &log, 2, MINUTE).concurrency(1).start().unwrap();
    log.until(1).await;
    for id in &ids {
        jobs.cancel(id).await.unwrap();
    }
    // There is room for the next one again.
    let next = jobs.enqueue_many(well(&["c", "d"])).await.unwrap();
    jobs.wait(&next[1], SOON).await.unwrap();
    for id in &ids {
        assert_eq!(state(&jobs, id).await, (State::Cancelled, 1));
    }
    running.stop().await.unwrap();
}

pub async fn a_batch_counts_as_one_job(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    jobs.enqueue_many((0..20).map(|_| Nap { millis: 40 })).await.unwrap();
    let running = worker(&jobs, &log, 5, MINUTE).concurrency(2).start().unwrap();
    log.until(8).await;
    running.stop().await.unwrap();
    let mut inside = 0_i32;
    let steps = log.lines().into_iter().map(|line| {
        inside += if line == "in" { 1 } else { -1 };
        inside
    });
    assert_eq!(steps.max(), Some(2));
    assert_eq!(jobs.counts().await.unwrap()["default"]["done"], 20);
}

pub async fn a_rate_counts_batches(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    jobs.enqueue_many((0..12).map(|_| Seldom { ends: true })).await.unwrap();
    let other = jobs.enqueue_many(well(&["a", "b", "c", "d", "e"])).await.unwrap();
    let running = worker(&jobs, &log, 5, MINUTE).start().unwrap();
    jobs.wait(&other[4], SOON).await.unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    running.stop().await.unwrap();
    assert_eq!((log.count("5"), log.len()), (1, 2));
    assert_eq!(jobs.counts().await.unwrap()["default"]["waiting"], 7);
}

pub async fn two_workers_do_not_share_a_batch_out(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let workers: Vec<_> = (0..2).map(|_| worker(&jobs, &log, 10, MINUTE).start().unwrap()).collect();
    for number in 0..100 {
        jobs.enqueue(row(format!("{number:03}"), Ends::Well)).await.unwrap();
    }
    log.until(10).await;
    for worker in workers {
        worker.stop().await.unwrap();
    }
    let lines = log.lines();
    assert!(lines.iter().all(|line| line.split('+').count() == 10), "{lines:?}");
    let mut texts: Vec<&str> = lines.iter().flat_map(|line| line.split('+')).collect();
    texts.sort_unstable();
    assert_eq!(texts, (0..100).map(|number| format!("{number:03}")).collect::<Vec<_>>());
    assert_eq!(jobs.counts().await.unwrap()["default"]["done"], 100);
}

pub async fn a_batch_that_outlasts_its_lease_runs_once(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let ids = jobs.enqueue_many((0..3).map(|_| Nap { millis: 2_000 })).await.unwrap();
    let workers: Vec<_> = (0..2).map(|_| worker(&jobs, &log, 3, MINUTE).start().unwrap()).collect();
    for id in &ids {
        jobs.wait(id, SOON).await.unwrap();
        assert_eq!(state(&jobs, id).await, (State::Done, 1));
    }
    for worker in workers {
        worker.stop().await.unwrap();
    }
    assert_eq!(log.lines(), ["in", "out"]);
}

pub async fn a_batch_that_does_not_end_in_time_is_put_back(backend: impl JobBackend) {
    let (jobs, log) = (lively(&backend), Log::default());
    let ids = jobs.enqueue_many(["a", "b"].map(|text| row(text, Ends::HoldsAll))).await.unwrap();
    let slow = worker(&jobs, &log, 2, MINUTE).shutdown_within(Duration::from_millis(50)).start().unwrap();
    log.until(1).await;
    tokio::time::timeout(SOON, slow.stop()).await.unwrap().unwrap();
    for id in &ids {
        assert_eq!(state(&jobs, id).await, (State::Waiting, 0), "the attempt does not count");
    }
    let dropped = worker(&jobs, &log, 2, MINUTE).start().unwrap();
    log.until(2).await;
    drop(dropped);
    for id in &ids {
        while state(&jobs, id).await.0 == State::Running {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(state(&jobs, id).await, (State::Waiting, 1), "this one does");
    }
}

pub async fn a_batch_of_a_stalled_worker_does_not_count(backend: impl JobBackend) {
    let (jobs, first, second) = (timeless(&backend), Log::default(), Log::default());
    let ids = jobs.enqueue_many(["a", "b"].map(|text| row(text, Ends::AfterGo))).await.unwrap();
    let stalled = worker(&jobs, &first, 2, MINUTE).start().unwrap();
    first.until(1).await;
    super::settled(&jobs, &ids[0]).await;
    jobs.clock().advance(MINUTE);
    let taker = worker(&jobs, &second, 2, MINUTE).start().unwrap();
    second.until(1).await;
    // The stalled worker goes on, and all that it does is too late.
    first.add("go");
    tokio::time::timeout(SOON, stalled.stop()).await.unwrap().unwrap();
    for id in &ids {
        let still = status(&jobs, id).await;
        assert_eq!((still.state, still.attempts), (State::Running, 2));
        assert_eq!(still.worker.as_deref(), Some(taker.name()));
    }
    second.add("go");
    for id in &ids {
        jobs.wait(id, SOON).await.unwrap();
    }
    taker.stop().await.unwrap();
}

pub async fn members_of_a_group_can_be_handled_together(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let joined = jobs.group(well(&["a", "b", "c"])).then(Joined).start().await.unwrap();
    worker(&jobs, &log, 10, MINUTE).run_due().await.unwrap();
    assert_eq!(jobs.wait(&joined.last, Duration::ZERO).await.unwrap(), "abc");
    assert_eq!(log.lines(), ["a+b+c"]);
}

pub async fn keys_expiries_and_paused_queues_hold_for_batches(backend: impl JobBackend) {
    let (jobs, log) = (timeless(&backend), Log::default());
    let kept = jobs.enqueue_unique("key", row("kept", Ends::Well)).await.unwrap();
    assert!(!jobs.enqueue_unique("key", row("again", Ends::Well)).await.unwrap().is_new);
    let expired = jobs.enqueue(row("expired", Ends::Well).with().expires_after(MINUTE)).await.unwrap();
    jobs.pause("default").await.unwrap();
    let mut worker = worker(&jobs, &log, 10, MINUTE);
    assert_eq!(worker.run_due().await.unwrap().total(), 0);
    jobs.advance(MINUTE);
    jobs.resume("default").await.unwrap();
    assert_eq!(worker.run_due().await.unwrap().total(), 1);
    assert_eq!(log.lines(), ["kept"]);
    assert_eq!(state(&jobs, &kept.id).await.0, State::Done);
    assert_eq!(state(&jobs, &expired).await.0, State::Expired);
    assert!(jobs.enqueue_unique("key", row("new", Ends::Well)).await.unwrap().is_new, "its key is free");
}
