mod builder;
mod connection;
mod error;
mod url;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::r2d2::{ConnectionManager, Pool, PooledConnection};
use tokio::{runtime::Handle, sync::Semaphore};

use self::connection::{depth, roll_back_to};
pub use self::{
    builder::{PoolSettings, SessionsBuilder},
    connection::SessionConn,
    error::{SessionsError, WorkError, WorkPanic},
};
use crate::{clock::later, running, trace};

/// Diesel connections for handlers, jobs and scripts: one bounded pool, shared by its clones.
///
/// [`run`](Self::run) and [`tx`](Self::tx) take a closure with blocking Diesel code and run it on tokio's
/// blocking pool, so the event loop never waits for a database. A connection never crosses an `.await` and goes
/// back by itself, also when the closure fails or panics; there is no session to remove at the end of a job.
///
/// A closure starts only when a connection can be had: callers queue in tasks, not in blocking threads. After
/// the [time-out](SessionsBuilder::timeout) the caller gets [`SessionsError::Exhausted`].
///
/// Works in actix-web workers and on plain tokio runtimes.
///
/// # Examples
/// ```
/// # #[cfg(feature = "sqlite")] {
/// use diesel::{QueryResult, connection::SimpleConnection, prelude::*};
/// use utils_jobs::{Sessions, SessionsError};
///
/// diesel::table! { posts { id -> Integer, title -> Text } }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let sessions = Sessions::<SqliteConnection>::new(":memory:")?;
/// sessions.with(|conn| conn.batch_execute("CREATE TABLE posts (id INTEGER PRIMARY KEY, title TEXT NOT NULL)"))?;
///
/// // one transaction: both rows or none
/// sessions
///     .tx(|conn| {
///         diesel::insert_into(posts::table).values(posts::title.eq("One")).execute(conn)?;
///         diesel::insert_into(posts::table).values(posts::title.eq("Two")).execute(conn)?;
///         QueryResult::Ok(())
///     })
///     .await?;
///
/// let titles = sessions.run(|conn| posts::table.select(posts::title).load::<String>(conn)).await?;
/// assert_eq!(titles, ["One", "Two"]);
/// # Ok::<(), SessionsError>(()) }).unwrap();
/// # }
/// ```
///
/// # Errors of the closure
/// The closure may fail with a type of yours. If that type is `From<SessionsError>`, `run` gives it back as it is, and
/// the session's own failures are converted into it; a plain [`diesel::result::Error`] becomes
/// [`SessionsError::Query`]. A closure that ends in `Ok(..)` names the type: `QueryResult::Ok(post)` or
/// `Ok::<_, MyError>(post)`.
pub struct Sessions<C: SessionConn> {
    pool: Pool<ConnectionManager<C>>,
    permits: Arc<Semaphore>,
    timeout: Duration,
    answer_within: Option<Duration>,
    /// How the driver is told where the database is, if it was us who told it, and if all connections see the same.
    url: Option<Arc<str>>,
}

impl<C: SessionConn> Sessions<C> {
    /// A pool on this database with the defaults of [`PoolSettings`]. It connects once, so a wrong URL fails here.
    ///
    /// | database | URLs |
    /// |---|---|
    /// | SQLite | `app.db`, `sqlite:app.db`, `sqlite:///app.db` (relative), `sqlite:////srv/app.db` (absolute), `:memory:`, `sqlite::memory:`, `file:app.db?mode=ro` |
    /// | PostgreSQL | `postgres://…`, `postgresql://…`, libpq's `host=… dbname=…`; with time-outs for a server that is gone and `gssencmode=disable`, unless they are said |
    /// | MySQL, MariaDB | `mysql://…`, `mariadb://…` |
    ///
    /// A driver in the scheme, as in `postgresql+psycopg2://` or `mysql+pymysql://`, is ignored. The slashes of SQLite
    /// count as in SQLAlchemy: three make a relative path, four an absolute one.
    ///
    /// A `:memory:` database lives in a pool of exactly one connection that is never recycled, because every connection
    /// to it would be a new, empty database.
    ///
    /// # Errors
    /// [`SessionsError::Url`] when the URL is not one of this database, [`SessionsError::Connect`] when the database
    /// does not let us in.
    pub fn new(url: impl Into<String>) -> Result<Self, SessionsError> {
        Self::builder(url).build()
    }

    /// A pool with other [settings](SessionsBuilder).
    pub fn builder(url: impl Into<String>) -> SessionsBuilder<C> {
        SessionsBuilder::new(url.into())
    }

    /// Sessions of a pool that exists already; its connection time-out counts.
    ///
    /// On SQLite, and on a MySQL server without `autocommit`, such a pool should have [`SessionConn::prepare`] in its
    /// customizer.
    #[must_use]
    pub fn from_pool(pool: Pool<ConnectionManager<C>>) -> Self {
        let permits = Arc::new(Semaphore::new(pool.max_size() as usize));
        let timeout = pool.connection_timeout();
        Self { pool, permits, timeout, answer_within: None, url: None }
    }

    /// The pool below, for code that brings threads of its own.
    ///
    /// A connection taken here is missing from [`run`](Self::run), which then waits for it within its time-out.
    #[must_use]
    pub fn pool(&self) -> &Pool<ConnectionManager<C>> {
        &self.pool
    }

    /// How long a caller waits for a connection.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether [`beside`](Self::beside) can make a connection.
    pub(crate) fn knows_url(&self) -> bool {
        self.url.is_some()
    }

    /// A connection like those of the pool, but not one of them. `None` when nobody has said where the database is.
    pub(crate) fn beside(&self) -> Option<Result<C, SessionsError>> {
        Some(builder::connect(self.url.as_deref()?))
    }

    /// The same pool for a caller with less time, or more.
    pub(crate) fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// Runs blocking database work off the event loop, with a connection of its own.
    ///
    /// Work that has begun runs to its end, also when the returned future is dropped.
    ///
    /// # Errors
    /// What the closure returns; [`SessionsError::Exhausted`] when no connection became free in time,
    /// [`SessionsError::Panicked`] when the closure panicked, [`SessionsError::Runtime`] outside a tokio runtime or
    /// when it shuts down; [`SessionsError::Unanswered`] only where a [time](SessionsBuilder::answer_within) was set.
    pub async fn run<T, E, F>(&self, work: F) -> Result<T, E::Caller>
    where
        F: FnOnce(&mut C) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: WorkError,
    {
        let handle = Handle::try_current().map_err(|_| SessionsError::Runtime)?;
        let deadline = later(Instant::now(), self.timeout);
        // The permit comes before the thread: however many callers wait, no blocking thread does.
        let permit = tokio::time::timeout(self.timeout, Arc::clone(&self.permits).acquire_owned()).await;
        let pool = self.pool.clone();
        let span = tracing::Span::current();
        let done = handle.spawn_blocking(running::inherit(trace::inherit(move || {
            // Dropped last, after the connection is back in the pool. Without a permit the pool is still asked
            // once, without waiting: its error tells why connections are missing.
            let _permit = permit;
            let wait = deadline.saturating_duration_since(Instant::now());
            span.in_scope(|| work_on(pool.get_timeout(wait), work))
        })));
        let ended = match self.answer_within {
            Some(limit) => {
                let left = deadline.saturating_duration_since(Instant::now()).saturating_add(limit);
                tokio::time::timeout(left, done).await.map_err(|_| SessionsError::Unanswered(limit))?
            }
            None => done.await,
        };
        ended.map_err(|_| SessionsError::Runtime)?
    }

    /// Runs database work in one transaction: committed when the closure returns `Ok`, else rolled back.
    ///
    /// On SQLite it takes the write lock at its beginning, see [`SessionConn::write_tx`].
    ///
    /// # Errors
    /// As [`run`](Self::run). A panic rolls back as well.
    pub async fn tx<T, E, F>(&self, work: F) -> Result<T, E::Caller>
    where
        F: FnOnce(&mut C) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: WorkError + From<diesel::result::Error>,
    {
        self.run(move |conn| conn.write_tx(work)).await
    }

    /// Runs database work on this thread: for scripts, migrations and tests. Never call it on an event loop.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Examples
    /// ```no_run
    /// # #[cfg(feature = "sqlite")] {
    /// # use diesel::prelude::*;
    /// use utils_jobs::{SessionConn, Sessions};
    ///
    /// let sessions = Sessions::<SqliteConnection>::new("app.db")?;
    /// let cleaned = sessions.with(|conn| {
    ///     conn.write_tx(|conn| diesel::sql_query("DELETE FROM drafts WHERE stale").execute(conn))
    /// })?;
    /// # } Ok::<(), utils_jobs::SessionsError>(())
    /// ```
    pub fn with<T, E, F>(&self, work: F) -> Result<T, E::Caller>
    where
        F: FnOnce(&mut C) -> Result<T, E>,
        E: WorkError,
    {
        work_on(self.pool.get_timeout(self.timeout), work)
    }
}

fn work_on<C, T, E, F>(
    conn: Result<PooledConnection<ConnectionManager<C>>, diesel::r2d2::PoolError>,
    work: F,
) -> Result<T, E::Caller>
where
    C: SessionConn,
    F: FnOnce(&mut C) -> Result<T, E>,
    E: WorkError,
{
    let mut conn = conn.map_err(SessionsError::Exhausted)?;
    guarded(&mut *conn, work)
}

/// Work on a connection that stays usable when the work panics.
pub(crate) fn guarded<C, T, E, F>(conn: &mut C, work: F) -> Result<T, E::Caller>
where
    C: SessionConn,
    F: FnOnce(&mut C) -> Result<T, E>,
    E: WorkError,
{
    let depth = depth(conn);
    // r2d2 throws away a connection that is dropped while its thread panics, and with it a `:memory:` database.
    match catch_unwind(AssertUnwindSafe(|| work(conn))) {
        Ok(outcome) => outcome.map_err(E::for_caller),
        Err(panic) => {
            roll_back_to(depth, conn);
            Err(SessionsError::Panicked(WorkPanic::new(&*panic)).into())
        }
    }
}

impl<C: SessionConn> Clone for Sessions<C> {
    fn clone(&self) -> Self {
        let (pool, permits) = (self.pool.clone(), Arc::clone(&self.permits));
        let Self { timeout, answer_within, .. } = *self;
        Self { pool, permits, timeout, answer_within, url: self.url.clone() }
    }
}

impl<C: SessionConn> fmt::Debug for Sessions<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.pool.state();
        f.debug_struct("Sessions")
            .field("connection", &std::any::type_name::<C>())
            .field("pool_size", &self.pool.max_size())
            .field("open", &state.connections)
            .field("idle", &state.idle_connections)
            .field("timeout", &self.timeout)
            .finish()
    }
}
