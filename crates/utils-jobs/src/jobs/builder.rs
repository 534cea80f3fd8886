use std::sync::Arc;

use super::Jobs;
use crate::{
    Clock, FailedAttempt, JobConn, JobsError, JobsSettings, Sessions,
    broker::{Broker, Engine},
    failed::Hooks,
    store::{Store, diesel::DieselStore, memory::MemoryStore},
};

/// Makes [`Jobs`] with settings of their own.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use utils_jobs::{Jobs, JobsSettings};
///
/// let jobs = Jobs::builder()
///     .settings(JobsSettings { lease: Duration::from_secs(10), ..JobsSettings::default() })
///     .release("1.4.0")
///     .open("memory:")?;
/// assert_eq!(jobs.release(), "1.4.0");
/// # Ok::<(), utils_jobs::JobsError>(())
/// ```
#[derive(Debug, Clone)]
pub struct JobsBuilder {
    settings: JobsSettings,
    clock: Clock,
    release: String,
    hooks: Hooks,
}

impl JobsBuilder {
    pub(super) fn new() -> Self {
        Self {
            settings: JobsSettings::default(),
            clock: Clock::system(),
            release: utils_release::release().to_owned(),
            hooks: Hooks::default(),
        }
    }

    /// Sets all settings at once.
    #[must_use]
    pub fn settings(mut self, settings: JobsSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets for how long a worker holds a job before it must say again that it lives. Default: 30 s.
    #[must_use]
    pub fn lease(mut self, time: std::time::Duration) -> Self {
        self.settings.lease = time;
        self
    }

    /// Sets how often workers look for jobs that no process has told them of. Default: 500 ms.
    #[must_use]
    pub fn poll(mut self, time: std::time::Duration) -> Self {
        self.settings.poll = time;
        self
    }

    /// Sets for how long a database server may take to answer, see [`JobsSettings::answer_within`]. Default: 15 s.
    #[must_use]
    pub fn answer_within(mut self, time: std::time::Duration) -> Self {
        self.settings.answer_within = time;
        self
    }

    /// Sets the release of the program: it stands in every job's context, in the worker's name and in traces.
    /// Default: what [`utils_release::release()`] says when the builder is made.
    #[must_use]
    pub fn release(mut self, release: impl ToString) -> Self {
        self.release = release.to_string();
        self
    }

    /// Sets the clock. Default: the system's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Adds one who is told of every attempt that failed in a worker of this process, whether the job is tried again or is
    /// a dead letter now; such as `utils_sentry::report_job`. It is called at the end of the attempt and must not block.
    /// All of them are in the log as well, dead letters as errors and the others as warnings.
    ///
    /// Not told are jobs that were cancelled, put back or lost to another worker.
    ///
    /// # Examples
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// use std::sync::{Arc, Mutex};
    /// use utils_jobs::{Clock, Context, Failure, Job, Jobs, Retry, Worker};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Charge;
    ///
    /// impl Job for Charge {
    ///     const NAME: &'static str = "bank.charge";
    ///     type Output = ();
    ///     async fn run(self, _: Context) -> Result<(), Failure> {
    ///         Err(Retry::never("the card was refused"))
    ///     }
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let told = Arc::new(Mutex::new(Vec::new()));
    /// let telling = Arc::clone(&told);
    /// let jobs = Jobs::builder()
    ///     .on_failure(move |failed| {
    ///         telling.lock().unwrap().push(format!("{} {}: {}", failed.name, failed.is_dead, failed.error));
    ///     })
    ///     .open("memory:")?;
    /// jobs.enqueue(Charge).await?;
    /// Worker::new(&jobs).handle::<Charge>().run_due().await?;
    /// assert_eq!(*told.lock().unwrap(), ["bank.charge true: the card was refused"]);
    /// # Ok::<(), utils_jobs::JobsError>(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn on_failure(mut self, told: impl Fn(&FailedAttempt<'_>) + Send + Sync + 'static) -> Self {
        self.hooks.add(told);
        self
    }

    /// Opens the jobs at a broker URL, see [`Jobs::open`]. Settings in the URL win.
    ///
    /// # Errors
    /// As [`Jobs::open`].
    pub fn open(mut self, url: &str) -> Result<Jobs, JobsError> {
        let broker = Broker::parse(url, self.settings)?;
        broker.settings.check().map_err(JobsError::Settings)?;
        self.settings = broker.settings;
        match broker.engine {
            Engine::Memory => Ok(self.memory()),
            #[cfg(feature = "sqlite")]
            Engine::Sqlite => self.connect::<diesel::SqliteConnection>(broker.url),
            #[cfg(feature = "postgres")]
            Engine::Postgres => self.connect::<diesel::PgConnection>(broker.url),
            #[cfg(feature = "mysql")]
            Engine::Mysql => self.connect::<diesel::MysqlConnection>(broker.url),
        }
    }

    /// Jobs in the application's own database, see [`Jobs::from_sessions`].
    #[must_use]
    pub fn sessions<C: JobConn>(self, sessions: Sessions<C>) -> Jobs {
        self.on(Arc::new(DieselStore::new(sessions)))
    }

    pub(super) fn memory(self) -> Jobs {
        self.on(Arc::new(MemoryStore::default()))
    }

    fn on(self, store: Arc<dyn Store>) -> Jobs {
        Jobs::new(store, self.settings, self.clock, self.release, self.hooks)
    }

    #[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
    fn connect<C: JobConn>(self, url: String) -> Result<Jobs, JobsError> {
        let sessions = Sessions::<C>::builder(url).pool_size(self.settings.pool_size).build()?;
        Ok(self.sessions(sessions))
    }
}
