//! What apalis' own tools learn from a storage, on every kind of jobs.
use std::time::Duration;

use apalis_core::{
    backend::{
        FetchById, Filter, ListAllTasks, ListQueues, ListTasks, ListWorkers, Metrics, WaitForCompletion,
    },
    task::{status::Status, task_id::TaskId},
};
use futures_util::StreamExt;
use utils_jobs::{Job, Jobs, Worker};

use super::seeing::Letter;

pub(super) async fn a_storage_tells_apalis_what_it_holds(jobs: &Jobs) {
    let mut storage = jobs.storage::<Letter>();
    let ids = jobs.enqueue_many([Letter::Fine, Letter::Bad, Letter::Later]).await.unwrap();
    let ids = ids.iter().map(|id| id.as_str().parse::<TaskId>().unwrap()).collect::<Vec<_>>();
    jobs.enqueue(Letter::Fine.with().queue("other")).await.unwrap();
    jobs.advance(Duration::from_secs(60));
    let worker = Worker::new(jobs).handle::<Letter>().name("clerk").start().unwrap();

    let mut results: Vec<_> =
        WaitForCompletion::<()>::wait_for(&mut storage, ids[..2].to_vec()).collect().await;
    results.sort_by_key(|result| result.as_ref().unwrap().task_id.clone());
    let of = |at: usize| {
        let result = results[at].as_ref().unwrap();
        (result.task_id.clone(), result.status.clone(), result.result.clone())
    };
    assert_eq!(of(0), (ids[0].clone(), Status::Done, Ok(())));
    assert_eq!(of(1), (ids[1].clone(), Status::Failed, Err("no such street".to_owned())));
    let ended = WaitForCompletion::<()>::check_status(&mut storage, ids.clone()).await.unwrap();
    assert_eq!(ended.len(), 2, "the third is tried again later");

    let workers = storage.list_workers().await.unwrap();
    assert_eq!(workers.len(), 1, "{workers:?}");
    assert!(workers[0].id.contains("clerk") && workers[0].queue == "post \"A\", B", "{workers:?}");
    assert_eq!(storage.list_all_workers().await.unwrap().len(), 1);
    worker.stop().await.unwrap();

    let queues = storage.list_queues().await.unwrap();
    let queue = |name: &str| queues.iter().find(|queue| queue.name == name).unwrap();
    assert_eq!(queue("post \"A\", B").activity, [0, 0, 0, 0, 0, 0, 3]);
    assert_eq!(queue("other").activity, [0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(queue("other").workers, [""; 0]);

    let total = |statistics: Vec<apalis_core::backend::Statistic>| statistics[0].value.clone();
    assert_eq!(total(storage.global().await.unwrap()), "4");
    assert_eq!(total(storage.fetch_by_queue().await.unwrap()), "3");

    let pending = Filter { status: Some(Status::Pending), page: 1, page_size: None };
    let tasks = storage.list_tasks(&pending).await.unwrap();
    assert_eq!(tasks.len(), 1);
    assert_eq!((tasks[0].args.as_slice(), tasks[0].ctx().max_attempts()), (&b"\"Later\""[..], Some(2)));
    assert_eq!(storage.list_all_tasks(&pending).await.unwrap().len(), 2);
    let fetched = storage.fetch_by_id(&ids[1]).await.unwrap().unwrap();
    assert!(matches!(fetched.args, Letter::Bad));
    let nobody = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    assert!(storage.fetch_by_id(&nobody).await.unwrap().is_none());
}

#[test]
fn a_storage_in_memory_tells_apalis_what_it_holds() {
    let jobs = Jobs::builder().clock(utils_jobs::Clock::manual()).open("memory:").unwrap();
    actix_rt::System::new().block_on(a_storage_tells_apalis_what_it_holds(&jobs));
}

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub(super) async fn every_database_tells_apalis_what_it_holds<P: super::database::Place>(place: P) {
    let jobs = super::database::open(&place, Jobs::builder().clock(utils_jobs::Clock::manual()));
    a_storage_tells_apalis_what_it_holds(&jobs).await;
}
