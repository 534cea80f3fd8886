//! apalis' own way to enqueue: `TaskSink` comes with this `Sink`.
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use apalis_core::task::Task;
use futures_util::{FutureExt, Sink};
use tokio::task::JoinHandle;

use super::Storage;
use crate::{Job, Jobs, JobsError, NewJob, store::row::NewRow};

/// Jobs on their way into the table.
#[derive(Default)]
pub(super) struct Outbox {
    rows: Vec<NewRow>,
    flushing: Option<JoinHandle<Result<(), JobsError>>>,
}

/// A task of apalis as a row of ours. apalis has made a time of a delay already, by the clock of this host.
pub(super) fn row_of<J: Job>(jobs: &Jobs, task: Task<J>) -> Result<NewRow, JobsError> {
    let (args, ctx) = task.take();
    let mut new = NewJob::new(args);
    if let Some(at) = ctx.run_at() {
        new = new.at(std::time::UNIX_EPOCH + Duration::from_secs(at));
    }
    if let Some(priority) = ctx.priority() {
        new = new.priority(i32::try_from(priority).unwrap_or(i32::MAX));
    }
    if let Some(attempts) = ctx.max_attempts() {
        new = new.attempts(u32::try_from(attempts).unwrap_or(u32::MAX));
    }
    if let Some(key) = ctx.idempotency_key() {
        new = new.idempotency_key(key);
    }
    for (key, value) in ctx.metadata().iter() {
        new = new.meta(key, value);
    }
    let mut row = jobs.row(new)?;
    if let Some(id) = ctx.task_id() {
        row.id = id.to_string();
    }
    Ok(row)
}

impl<A> Sink<Task<A>> for Storage<A> {
    type Error = JobsError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), JobsError>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, task: Task<A>) -> Result<(), JobsError> {
        let encode = self.encode.ok_or(JobsError::Settings("this storage takes no jobs"))?;
        let row = encode(&self.feed.jobs, task)?;
        self.outbox.rows.push(row);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), JobsError>> {
        let this = &mut *self;
        loop {
            if let Some(flushing) = &mut this.outbox.flushing {
                let flushed = ready!(flushing.poll_unpin(cx));
                this.outbox.flushing = None;
                flushed.map_err(|_| JobsError::Runtime)??;
            }
            if this.outbox.rows.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let rows = std::mem::take(&mut this.outbox.rows);
            let jobs = this.feed.jobs.clone();
            let runtime = tokio::runtime::Handle::try_current().map_err(|_| JobsError::Runtime)?;
            this.outbox.flushing = Some(runtime.spawn(async move {
                jobs.blocking(move |jobs| jobs.store().insert(&rows)).await?;
                jobs.wake();
                Ok(())
            }));
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), JobsError>> {
        self.poll_flush(cx)
    }
}
