//! Chains and groups: the same cases in memory and on each database.
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub(super) mod on_databases;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use utils_jobs::{
    Cancellation, Clock, Context, Failure, Filter, Follow, Job, Jobs, JobsError, Retry, State, Worker,
};
use utils_testing::jobs::JobBackend;

/// Gives back its number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Give(pub i64);

impl Job for Give {
    const NAME: &'static str = "flow.give";
    type Output = i64;

    async fn run(self, ctx: Context) -> Result<i64, Failure> {
        if let Ok(broken) = ctx.data::<Arc<AtomicBool>>()
            && broken.load(Ordering::SeqCst)
            && self.0 == BROKEN
        {
            return Err(Retry::never("it is broken"));
        }
        Ok(self.0)
    }
}

/// The number that cannot be given while the worker says so.
const BROKEN: i64 = 13;

/// Adds to what came before it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Add(pub i64);

impl Job for Add {
    const NAME: &'static str = "flow.add";
    type Output = i64;

    async fn run(self, ctx: Context) -> Result<i64, Failure> {
        Ok(ctx.input::<Self>()? + self.0)
    }
}

impl Follow for Add {
    type Input = i64;
}

/// Gives back all that it was given, and counts how often it runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Gather;

impl Job for Gather {
    const NAME: &'static str = "flow.gather";
    type Output = Vec<i64>;

    async fn run(self, ctx: Context) -> Result<Vec<i64>, Failure> {
        if let Ok(runs) = ctx.data::<Arc<AtomicI64>>() {
            runs.fetch_add(1, Ordering::SeqCst);
        }
        ctx.input::<Self>()
    }
}

impl Follow for Gather {
    type Input = Vec<i64>;
}

/// Gives back 900 KiB.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Page;

impl Job for Page {
    const NAME: &'static str = "flow.page";
    type Output = String;

    async fn run(self, _: Context) -> Result<String, Failure> {
        Ok("x".repeat(900 << 10))
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Bind;

impl Job for Bind {
    const NAME: &'static str = "flow.bind";
    type Output = usize;

    async fn run(self, ctx: Context) -> Result<usize, Failure> {
        Ok(ctx.input::<Self>()?.len())
    }
}

impl Follow for Bind {
    type Input = Vec<String>;
}

/// A database takes only so much in one statement, and an end that it does not take would be tried for ever.
pub(crate) async fn results_that_are_too_large_together_make_a_dead_letter_of_what_follows(
    backend: &impl JobBackend,
) {
    let jobs = backend.open(Jobs::builder().clock(Clock::manual()));
    let mut worker = Worker::new(&jobs).handle::<Page>().handle::<Bind>();
    let small = jobs.group((0..9).map(|_| Page)).then(Bind).start().await.unwrap();
    let large = jobs.group((0..20).map(|_| Page)).then(Bind).start().await.unwrap();
    let report = worker.run_due().await.unwrap();
    assert_eq!((report.succeeded, report.dead, report.retried), (9 + 1 + 20, 0, 0), "{report:?}");
    assert_eq!(jobs.wait(&small.last, Duration::ZERO).await.unwrap(), 9);
    let dead = jobs.status(&large.last).await.unwrap().unwrap();
    assert_eq!(dead.state, State::Dead, "{dead:?}");
    let error =
        "the results of the jobs before it take 18432060 bytes together, above the maximum of 8388608";
    assert_eq!(dead.error.as_deref(), Some(error));
}

/// Loses its lease in the first attempt, as one whose process was stopped does, and ends it all the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stall(i64);

impl Job for Stall {
    const NAME: &'static str = "flow.stall";
    type Output = i64;

    async fn run(self, ctx: Context) -> Result<i64, Failure> {
        if ctx.attempt() > 1 {
            return Ok(self.0);
        }
        ctx.jobs().clock().advance(HOUR);
        Worker::new(ctx.jobs()).queues(["nothing"]).run_due().await?; // takes the job back
        Ok(-1)
    }
}

const SOON: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3_600);

fn by_hand(backend: &impl JobBackend) -> Jobs {
    backend.open(Jobs::builder().clock(Clock::manual()))
}

fn worker(jobs: &Jobs) -> Worker {
    Worker::new(jobs).handle::<Give>().handle::<Add>().handle::<Gather>()
}

async fn state(jobs: &Jobs, id: impl AsRef<str>) -> State {
    jobs.status(id).await.unwrap().unwrap().state
}

/// Runs a case, not for ever.
pub(super) fn run(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let done = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), case).await });
    assert!(done.is_ok(), "the case has not ended within a minute");
}

macro_rules! cases {
    ($backend:expr) => {
        mod flow {
            use super::*;

            crate::jobs::flow::cases!(@all flow $backend;
                each_job_takes_up_what_the_one_before_it_gave_back,
                a_group_is_followed_once_by_a_job_that_gets_all_results_in_order,
                a_chain_can_open_into_a_group_and_close_again,
                a_group_without_members_is_followed_at_once_or_after_what_came_before_it,
                a_job_that_did_not_end_well_stops_the_chain_until_it_is_requeued,
                all_members_that_did_not_end_well_must_be_requeued,
                an_end_that_is_refused_lets_nobody_go,
                a_blocked_job_can_be_cancelled_and_requeued,
                a_delay_is_kept_after_the_wait_for_others,
                a_key_that_is_taken_starts_nothing,
                deleting_a_job_that_did_not_end_well_cancels_what_waits_for_it,
                a_following_job_alone_is_a_dead_letter,
                results_that_are_too_large_together_make_a_dead_letter_of_what_follows,
            );
        }
    };
    (@all $module:ident $backend:expr; $($case:ident,)*) => {
        $(
            #[test]
            fn $case() {
                let backend = $backend;
                crate::jobs::flow::run(crate::jobs::$module::$case(&backend));
            }
        )*
    };
}
pub(super) use cases;

pub(super) async fn each_job_takes_up_what_the_one_before_it_gave_back(backend: &impl JobBackend) {
    let jobs = by_hand(backend);
    let chain = jobs.chain(Give(20)).then(Add(1)).then_only(Give(5)).then(Add(2)).start().await.unwrap();
    let states: Vec<State> =
        jobs.list(Filter::new()).await.unwrap().into_iter().rev().map(|status| status.state).collect();
    assert_eq!(states, [State::Waiting, State::Blocked, State::Blocked, State::Blocked]);
    assert_eq!(worker(&jobs).run_due().await.unwrap().succeeded, 4);
    let mut results = Vec::new();
    for id in &chain.all {
        results.push(jobs.status(id).await.unwrap().unwrap().result.unwrap());
    }
    assert_eq!(results, [20, 21, 5, 7]);
    assert_eq!(jobs.wait(&chain.last, Duration::ZERO).await.unwrap(), 7);
}

/// Several workers, each as in a process of its own, end the members of several groups at the same time.
pub(super) async fn a_group_is_followed_once_by_a_job_that_gets_all_results_in_order(
    backend: &impl JobBackend,
) {
    const GROUPS: i64 = 12;
    const MEMBERS: i64 = 25;
    let jobs = backend.open(Jobs::builder().poll(Duration::from_millis(50)));
    let runs = Arc::new(AtomicI64::new(0));
    let mut groups = Vec::new();
    for group in 0..GROUPS {
        let members = (0..MEMBERS).map(|member| Give(100 * group + member));
        groups.push(jobs.group(members).then(Gather).start().await.unwrap().last);
    }
    let elsewhere = backend.open(Jobs::builder().poll(Duration::from_millis(50)));
    let workers: Vec<_> = [&jobs, &jobs, &elsewhere, &elsewhere]
        .into_iter()
        .map(|jobs| worker(jobs).data(Arc::clone(&runs)).concurrency(3).start().unwrap())
        .collect();
    for (group, id) in (0..).zip(&groups) {
        let expected: Vec<i64> = (0..MEMBERS).map(|member| 100 * group + member).collect();
        assert_eq!(jobs.wait(id, SOON).await.unwrap(), expected);
        assert_eq!(jobs.status(id).await.unwrap().unwrap().attempts, 1);
    }
    for worker in workers {
        worker.stop().await.unwrap();
    }
    assert_eq!(runs.load(Ordering::SeqCst), GROUPS);
}

pub(super) async fn a_chain_can_open_into_a_group_and_close_again(backend: &impl JobBackend) {
    let jobs = by_hand(backend);
    let adds = (1..=3).map(Add);
    let flow = jobs.chain(Give(10)).then_group(adds).then(Gather).then_only(Give(1)).start().await.unwrap();
    assert_eq!(flow.all.len(), 6);
    assert_eq!(worker(&jobs).run_due().await.unwrap().succeeded, 6);
    let gathered = jobs.wait(&flow.all[4].typed::<Gather>(), Duration::ZERO).await.unwrap();
    assert_eq!(gathered, [11, 12, 13]);
}

pub(super) async fn a_group_without_members_is_followed_at_once_or_after_what_came_before_it(
    backend: &impl JobBackend,
) {
    let jobs = by_hand(backend);
    let alone = jobs.group(Vec::<Give>::new()).then(Gather).start().await.unwrap();
    let after = jobs.chain(Give(1)).then_group(Vec::<Add>::new()).then(Gather).start().await.unwrap();
    assert_eq!(state(&jobs, &alone.last).await, State::Waiting);
    assert_eq!(state(&jobs, &after.last).await, State::Blocked);
    assert_eq!(worker(&jobs).run_due().await.unwrap().succeeded, 3);
    for id in [&alone.last, &after.last] {
        assert_eq!(jobs.wait(id, Duration::ZERO).await.unwrap(), Vec::<i64>::new());
    }
}

pub(super) async fn a_job_that_did_not_end_well_stops_the_chain_until_it_is_requeued(
    backend: &impl JobBackend,
) {
    let jobs = by_hand(backend);
    let broken = Arc::new(AtomicBool::new(true));
    let mut worker = worker(&jobs).data(Arc::clone(&broken));
    let chain = jobs.chain(Give(BROKEN)).then(Add(1)).then(Add(1)).start().await.unwrap();
    assert_eq!(worker.run_due().await.unwrap().dead, 1);
    assert_eq!(state(&jobs, &chain.all[1]).await, State::Blocked);
    match jobs.wait(&chain.last, SOON).await {
        Err(JobsError::Failed { reason }) => {
            assert_eq!(reason, "the job flow.give before it did not end well: it is broken");
        }
        other => panic!("{other:?}"),
    }
    broken.store(false, Ordering::SeqCst);
    assert!(jobs.requeue(&chain.all[0]).await.unwrap());
    assert_eq!(worker.run_due().await.unwrap().succeeded, 3);
    assert_eq!(jobs.wait(&chain.last, Duration::ZERO).await.unwrap(), BROKEN + 2);
}

pub(super) async fn all_members_that_did_not_end_well_must_be_requeued(backend: &impl JobBackend) {
    let jobs = by_hand(backend);
    let broken = Arc::new(AtomicBool::new(true));
    let mut worker = worker(&jobs).data(Arc::clone(&broken));
    let group = jobs.group([Give(BROKEN), Give(1), Give(BROKEN)]).then(Gather).start().await.unwrap();
    let report = worker.run_due().await.unwrap();
    assert_eq!((report.succeeded, report.dead), (1, 2));
    // what the others gave back is kept for the group, not with them
    jobs.advance(HOUR);
    assert_eq!(jobs.purge(State::Done, Duration::from_secs(60)).await.unwrap(), 1);
    broken.store(false, Ordering::SeqCst);
    for member in [0, 2] {
        assert!(matches!(jobs.wait(&group.last, SOON).await, Err(JobsError::Failed { .. })));
        assert!(jobs.requeue(&group.all[member]).await.unwrap());
        worker.run_due().await.unwrap();
    }
    assert_eq!(jobs.wait(&group.last, Duration::ZERO).await.unwrap(), [BROKEN, 1, BROKEN]);
}

pub(super) async fn an_end_that_is_refused_lets_nobody_go(backend: &impl JobBackend) {
    let jobs = by_hand(backend);
    let runs = Arc::new(AtomicI64::new(0));
    let group = jobs.group([Stall(5), Stall(6)]).then(Gather).start().await.unwrap();
    let report = worker(&jobs).handle::<Stall>().data(Arc::clone(&runs)).run_due().await.unwrap();
    assert_eq!(report.total(), 5, "two attempts of each, and what follows");
    assert_eq!(jobs.wait(&group.last, Duration::ZERO).await.unwrap(), [5, 6]);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

pub(super) async fn a_blocked_job_can_be_cancelled_and_requeued(backend: &impl JobBackend) {
    let jobs = by_hand(backend);
    let early = jobs.chain(Give(1)).then(Add(1)).start().await.unwrap();
    let late = jobs.chain(Give(2)).then(Add(2)).start().await.unwrap();
    for chain in [&early, &late] {
        assert_eq!(jobs.cancel(&chain.last).await.unwrap(), Cancellation::AtOnce);
    }
    // requeued before the one it waits for has ended, and after
    assert!(jobs.requeue(&early.last).await.unwrap());
    assert_eq!(state(&jobs, &early.last).await, State::Blocked);
    assert_eq!(worker(&jobs).run_due().await.unwrap().succeeded, 3);
    assert_eq!(jobs.wait(&early.last, Duration::ZERO).await.unwrap(), 2);
    assert_eq!(state(&jobs, &late.last).await, State::Cancelled);
    assert!(jobs.requeue(&late.last).await.unwrap());
    assert_eq!(worker(&jobs).run_due().await.unwrap().succeeded, 1);
    assert_eq!(jobs.wait(&late.last, Duration::ZERO).await.unwrap(), 4);
}

pub(super) async fn a_delay_is_kept_after_the_wait_for_others(backend: &impl JobBackend) {
    let jobs = by_hand(backend);
    let chain = jobs.chain(Give(1)).then(Add(1).after(HOUR)).start().await.unwrap();
    assert_eq!(state(&jobs, &chain.last).await, State::Blocked);
    assert_eq!(worker(&jobs).run_due().await.unwrap().succeeded, 1);
    assert_eq!(state(&jobs, &chain.last).await, State::Scheduled);
    jobs.advance(HOUR);
    assert_eq!(worker(&jobs).run_due().await.unwrap().succeeded, 1);
}

pub(super) async fn a_key_that_is_taken_starts_nothing(backend: &impl JobBackend) {
    let jobs = by_hand(backend);
    let chain = || jobs.chain(Give(1)).then(Add(1).unique("one")).start();
    let first = chain().await.unwrap();
    let second = chain().await;
    assert!(matches!(&second, Err(JobsError::KeyTaken { name }) if name == "flow.add"), "{second:?}");
    assert_eq!(jobs.list(Filter::new()).await.unwrap().len(), 2);
    worker(&jobs).run_due().await.unwrap();
    assert_eq!(state(&jobs, &first.last).await, State::Done);
    chain().await.unwrap(); // the key is free again
}

pub(super) async fn deleting_a_job_that_did_not_end_well_cancels_what_waits_for_it(
    backend: &impl JobBackend,
) {
    let jobs = by_hand(backend);
    let mut worker = worker(&jobs).data(Arc::new(AtomicBool::new(true)));
    let chain = jobs.chain(Give(BROKEN)).then(Add(1).unique("key")).then(Add(1)).start().await.unwrap();
    let other = jobs.chain(Give(1)).then(Add(1).after(2 * HOUR)).start().await.unwrap();
    worker.run_due().await.unwrap();
    jobs.advance(HOUR);
    let young = jobs.chain(Give(BROKEN)).then(Add(1)).start().await.unwrap();
    worker.run_due().await.unwrap();
    assert_eq!(jobs.purge(State::Dead, Duration::from_secs(60)).await.unwrap(), 1);
    assert_eq!(state(&jobs, &young.last).await, State::Blocked, "what it waits for is still there");
    let second = jobs.status(&chain.all[1]).await.unwrap().unwrap();
    assert_eq!((second.state, second.key.as_deref()), (State::Cancelled, Some("key")));
    assert!(jobs.enqueue_unique("key", Add(2)).await.unwrap().is_new, "its key is free");
    assert_eq!(second.error.as_deref(), Some("a job that it waited for was deleted"));
    assert!(!jobs.requeue(&chain.all[1]).await.unwrap(), "it would wait for ever");
    assert!(matches!(jobs.wait(&chain.last, SOON).await, Err(JobsError::Failed { .. })));
    jobs.advance(HOUR);
    assert_eq!(jobs.purge(State::Cancelled, Duration::from_secs(60)).await.unwrap(), 1);
    assert_eq!(state(&jobs, &chain.last).await, State::Cancelled);
    worker.run_due().await.unwrap();
    assert_eq!(state(&jobs, &other.last).await, State::Done);
}

pub(super) async fn a_following_job_alone_is_a_dead_letter(backend: &impl JobBackend) {
    let jobs = by_hand(backend);
    let id = jobs.enqueue(Add(1)).await.unwrap();
    assert_eq!(worker(&jobs).run_due().await.unwrap().dead, 1);
    let error = jobs.status(&id).await.unwrap().unwrap().error.unwrap();
    assert_eq!(error, "the job has no input: it was not enqueued after another one");
}
