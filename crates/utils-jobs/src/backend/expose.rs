//! What apalis' own tools ask of a storage: its queues, workers and jobs, and their results.
use std::{collections::BTreeMap, pin::Pin, sync::Arc, time::Duration};

use apalis_core::{
    backend::{
        FetchById, Filter, ListAllTasks, ListQueues, ListTasks, ListWorkers, Metrics, QueueInfo,
        RunningWorker, Statistic, TaskResult, WaitForCompletion,
    },
    task::{Task, task_id::TaskId},
};
use futures_util::{Stream, StreamExt, stream::FuturesUnordered};
use serde::de::DeserializeOwned;

use super::{
    Storage,
    look::{self, Page},
};
use crate::{Job, JobStatus, JobsError, State};

/// How long a waiting stream waits for a job: as good as for ever.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 86_400);

// A storage is not `Sync`, so these futures hold what they need of it and not itself.

impl<J: Job> ListQueues for Storage<J> {
    fn list_queues(&self) -> impl Future<Output = Result<Vec<QueueInfo>, JobsError>> + Send {
        let jobs = self.feed.jobs.clone();
        async move { look::queues(&jobs).await }
    }
}

impl<J: Job> ListWorkers for Storage<J> {
    fn list_workers(&self) -> impl Future<Output = Result<Vec<RunningWorker>, JobsError>> + Send {
        let (jobs, plan) = (self.feed.jobs.clone(), Arc::clone(&self.feed.plan));
        async move { look::workers(&jobs, Some(&plan.queues)).await }
    }

    fn list_all_workers(&self) -> impl Future<Output = Result<Vec<RunningWorker>, JobsError>> + Send {
        let jobs = self.feed.jobs.clone();
        async move { look::workers(&jobs, None).await }
    }
}

impl<J: Job> Metrics for Storage<J> {
    fn global(&self) -> impl Future<Output = Result<Vec<Statistic>, JobsError>> + Send {
        let jobs = self.feed.jobs.clone();
        async move { look::statistics(&jobs, None).await }
    }

    fn fetch_by_queue(&self) -> impl Future<Output = Result<Vec<Statistic>, JobsError>> + Send {
        let (jobs, plan) = (self.feed.jobs.clone(), Arc::clone(&self.feed.plan));
        async move { look::statistics(&jobs, Some(&plan.queues)).await }
    }
}

impl<J: Job> ListTasks for Storage<J> {
    /// The jobs of this type, in the queues that this storage takes from.
    fn list_tasks(
        &self,
        filter: &Filter,
    ) -> impl Future<Output = Result<Vec<Task<Vec<u8>>>, JobsError>> + Send {
        let (jobs, plan, page) = (self.feed.jobs.clone(), Arc::clone(&self.feed.plan), Page::of(filter));
        async move {
            let records = look::list(&jobs, Some(&plan.queues), Some(J::NAME), page).await?;
            Ok(records.into_iter().map(look::task).collect())
        }
    }
}

impl<J: Job> ListAllTasks for Storage<J> {
    fn list_all_tasks(
        &self,
        filter: &Filter,
    ) -> impl Future<Output = Result<Vec<Task<Vec<u8>>>, JobsError>> + Send {
        let (jobs, page) = (self.feed.jobs.clone(), Page::of(filter));
        async move {
            let records = look::list(&jobs, None, None, page).await?;
            Ok(records.into_iter().map(look::task).collect())
        }
    }
}

impl<J: Job> FetchById for Storage<J> {
    /// `None` also for a job of another type.
    async fn fetch_by_id(&mut self, id: &TaskId) -> Result<Option<Task<J>>, JobsError> {
        let record = look::record(&self.feed.jobs, id.to_string()).await?;
        let Some(record) = record.filter(|record| record.name == J::NAME) else { return Ok(None) };
        let decode = |args: Vec<u8>| serde_json::from_slice(&args).map_err(JobsError::Decode);
        look::task(record).try_map_args(decode).map(Some)
    }
}

type Results<T> = Pin<Box<dyn Stream<Item = Result<TaskResult<T>, JobsError>> + Send>>;

impl<J: Job, T: DeserializeOwned + Send + 'static> WaitForCompletion<T> for Storage<J> {
    type ResultStream = Results<T>;

    fn wait_for(&mut self, ids: impl IntoIterator<Item = TaskId>) -> Results<T> {
        let waits: FuturesUnordered<_> = ids
            .into_iter()
            .map(|id| {
                let jobs = self.feed.jobs.clone();
                async move {
                    let status = jobs.wait_status(id.to_string(), FOR_EVER).await?;
                    result(id, status)
                }
            })
            .collect();
        waits.boxed()
    }

    /// Of those that have ended.
    async fn check_status(
        &mut self,
        ids: impl IntoIterator<Item = TaskId> + Send,
    ) -> Result<Vec<TaskResult<T>>, JobsError> {
        let ids: BTreeMap<String, TaskId> = ids.into_iter().map(|id| (id.to_string(), id)).collect();
        let mut results = Vec::new();
        for (text, id) in ids {
            let status = self.feed.jobs.status(text).await?;
            if let Some(status) = status.filter(|status| status.state.is_final()) {
                results.push(result(id, status)?);
            }
        }
        Ok(results)
    }
}

fn result<T: DeserializeOwned>(task_id: TaskId, status: JobStatus) -> Result<TaskResult<T>, JobsError> {
    let result = match status.state {
        State::Done => {
            Ok(serde_json::from_value(status.result.unwrap_or_default()).map_err(JobsError::Decode)?)
        }
        state => Err(status.error.unwrap_or_else(|| state.as_str().to_owned())),
    };
    let attempt = usize::try_from(status.attempts).unwrap_or(usize::MAX);
    Ok(TaskResult { task_id, attempt, status: look::status(status.state), result })
}
