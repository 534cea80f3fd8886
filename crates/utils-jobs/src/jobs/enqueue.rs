use std::time::SystemTime;

use super::Jobs;
use crate::{
    Enqueue, Job, JobConn, JobId, JobsError, NewJob, SessionsError, TraceParent,
    clock::{millis, time_millis},
    job::Start,
    pump::Msg,
    store::{
        insert,
        row::{Inserted, NewRow},
        sql,
    },
    trace::TRACEPARENT,
};

/// The room for a job's name and for its queue, in bytes.
const MAX_NAME: usize = 128;
/// The room for a unique key, in bytes.
const MAX_KEY: usize = 200;

/// What became of a job that was enqueued under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enqueued<J> {
    /// The job with the key: the new one, or the one that was there.
    pub id: JobId<J>,
    /// Whether it is the new one.
    pub is_new: bool,
}

impl Jobs {
    /// Enqueues a job. With a [unique key](NewJob::unique) that is taken, the id is that of the job which has it.
    ///
    /// # Errors
    /// [`JobsError::Encode`] and [`JobsError::TooLarge`] for the arguments, [`JobsError::TooLong`] for a name or a queue
    /// above 128 bytes and a unique key above 200, [`JobsError::Sessions`] for the database.
    pub async fn enqueue<E: Enqueue>(&self, job: E) -> Result<JobId<E::Job>, JobsError> {
        Ok(self.put(job.into_new_job()).await?.id)
    }

    /// Enqueues a job that starts at a time.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn enqueue_at<E: Enqueue>(&self, time: SystemTime, job: E) -> Result<JobId<E::Job>, JobsError> {
        Ok(self.put(job.into_new_job().at(time)).await?.id)
    }

    /// Enqueues a job unless one of its type with this key waits or runs.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn enqueue_unique<E: Enqueue>(
        &self,
        key: impl Into<String>,
        job: E,
    ) -> Result<Enqueued<E::Job>, JobsError> {
        self.put(job.into_new_job().unique(key)).await
    }

    /// Enqueues many jobs, all or none: several hundred a statement, in one transaction.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn enqueue_many<E: Enqueue>(
        &self,
        jobs: impl IntoIterator<Item = E>,
    ) -> Result<Vec<JobId<E::Job>>, JobsError> {
        // Read before the wait, as the iterator may not cross it.
        let new: Vec<_> = jobs.into_iter().map(Enqueue::into_new_job).collect();
        self.in_time().await?;
        let rows = self.rows(new)?;
        let inserted = self.blocking(move |jobs| jobs.store().insert(&rows)).await?;
        self.wake();
        Ok(inserted.iter().map(|inserted| JobId::new(&inserted.id)).collect())
    }

    /// Enqueues a job on the application's own connection: inside its transaction the job is rolled back with it, and
    /// becomes visible with it. Workers of this process notice within milliseconds of the commit, see
    /// [`wake`](Self::wake); on PostgreSQL those of all processes do.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue), and [`JobsError::OtherDatabase`] when the jobs are kept in another kind of database
    /// than the connection's.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "sqlite")] {
    /// # use serde::{Deserialize, Serialize};
    /// # use utils_jobs::{Context, Failure, Job};
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Welcome { user: String }
    /// # impl Job for Welcome {
    /// #     const NAME: &'static str = "welcome";
    /// #     type Output = ();
    /// #     async fn run(self, _: Context) -> Result<(), Failure> { Ok(()) }
    /// # }
    /// use diesel::{connection::SimpleConnection, prelude::*};
    /// use utils_jobs::{Jobs, JobsError, SessionConn, Sessions};
    ///
    /// let sessions = Sessions::<SqliteConnection>::new(":memory:")?;
    /// let jobs = Jobs::from_sessions(sessions.clone());
    /// jobs.migrate()?;
    ///
    /// sessions.with(|conn| {
    ///     conn.batch_execute("CREATE TABLE user (name TEXT NOT NULL)")?;
    ///     conn.write_tx(|conn| {
    ///         conn.batch_execute("INSERT INTO user VALUES ('ann')")?;
    ///         jobs.enqueue_in(conn, Welcome { user: "ann".to_owned() })
    ///     })
    /// })?;
    /// # } Ok::<(), utils_jobs::JobsError>(())
    /// ```
    pub fn enqueue_in<C: JobConn, E: Enqueue>(
        &self,
        conn: &mut C,
        job: E,
    ) -> Result<JobId<E::Job>, JobsError> {
        let inserted = self.put_in(conn, [job])?;
        inserted.first().map(|inserted| JobId::new(&inserted.id)).ok_or(JobsError::NotFound)
    }

    /// Enqueues many jobs on the application's own connection, as [`enqueue_in`](Self::enqueue_in) does one.
    ///
    /// # Errors
    /// As [`enqueue_in`](Self::enqueue_in). Without a transaction around it, some may be enqueued then.
    pub fn enqueue_many_in<C: JobConn, E: Enqueue>(
        &self,
        conn: &mut C,
        jobs: impl IntoIterator<Item = E>,
    ) -> Result<Vec<JobId<E::Job>>, JobsError> {
        Ok(self.put_in(conn, jobs)?.iter().map(|inserted| JobId::new(&inserted.id)).collect())
    }

    async fn put<J: Job>(&self, new: NewJob<J>) -> Result<Enqueued<J>, JobsError> {
        self.in_time().await?;
        let row = self.row(new)?;
        let inserted = self.blocking(move |jobs| jobs.store().insert(std::slice::from_ref(&row))).await?;
        self.wake();
        let inserted = inserted.into_iter().next().ok_or(JobsError::NotFound)?;
        Ok(Enqueued { id: JobId::new(&inserted.id), is_new: inserted.is_new })
    }

    fn put_in<C: JobConn, E: Enqueue>(
        &self,
        conn: &mut C,
        jobs: impl IntoIterator<Item = E>,
    ) -> Result<Vec<Inserted>, JobsError> {
        let here = self.store().dialect();
        if here != C::DIALECT {
            return Err(JobsError::OtherDatabase { jobs: here.name(), connection: C::DATABASE });
        }
        self.in_time_on(conn)?;
        let rows = self.rows(jobs)?;
        let inserted = insert::insert(conn, &rows).map_err(SessionsError::Query)?;
        // The commit is still to come, and nobody will tell us of it.
        self.tell(|| Msg::Soon);
        Ok(inserted)
    }

    /// As [`in_time`](Self::in_time), on the connection that the jobs are enqueued on.
    pub(super) fn in_time_on<C: JobConn>(&self, conn: &mut C) -> Result<(), JobsError> {
        if !C::DIALECT.has_server() || !self.clock().is_due() {
            return Ok(());
        }
        Ok(self.clock().compare(|| sql::server_time(conn)).map_err(SessionsError::Query)?)
    }

    fn rows<E: Enqueue>(&self, jobs: impl IntoIterator<Item = E>) -> Result<Vec<NewRow>, JobsError> {
        jobs.into_iter().map(|job| self.row(job.into_new_job())).collect()
    }

    /// The job as it stands in the table.
    pub(crate) fn row<J: Job>(&self, mut new: NewJob<J>) -> Result<NewRow, JobsError> {
        if let Some(trace) = TraceParent::current() {
            new.meta.entry(TRACEPARENT.to_owned()).or_insert_with(|| trace.to_string());
        }
        let policy = J::policy();
        let args =
            serde_json::to_vec(&new.job).map_err(|cause| JobsError::Encode { name: J::NAME, cause })?;
        let max = self.settings().max_bytes;
        if args.len() > max {
            return Err(JobsError::TooLarge { name: J::NAME, bytes: args.len(), max });
        }
        let now = self.clock().millis();
        let run_at = match new.start {
            Start::Now => now,
            Start::After(delay) => now.saturating_add(millis(delay)),
            Start::At(time) => time_millis(time).max(now),
        };
        let expires_after = new.expires_after.or(policy.expires_after);
        let attempts = new.attempts.unwrap_or(policy.attempts);
        let queue = new.queue.unwrap_or_else(|| policy.queue.to_owned());
        fits("name", J::NAME, MAX_NAME)?;
        fits("queue", &queue, MAX_NAME)?;
        fits("unique key", new.key.as_deref().unwrap_or_default(), MAX_KEY)?;
        Ok(NewRow {
            id: self.new_id(),
            name: J::NAME.to_owned(),
            queue,
            args,
            priority: new.priority.unwrap_or(policy.priority),
            max_attempts: i32::try_from(attempts).unwrap_or(i32::MAX),
            created_at: now,
            run_at,
            expires_at: expires_after.map(|after| now.saturating_add(millis(after))),
            unique_key: new.key,
            keep_key: new.keep_key,
            meta: serde_json::to_string(&new.meta).unwrap_or_else(|_| "{}".to_owned()),
        })
    }
}

/// The same on every database, before it cuts or refuses in its own way.
fn fits(field: &'static str, text: &str, max: usize) -> Result<(), JobsError> {
    if text.len() > max { Err(JobsError::TooLong { field, bytes: text.len(), max }) } else { Ok(()) }
}
