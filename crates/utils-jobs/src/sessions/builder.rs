use std::{
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use diesel::{
    ConnectionError,
    r2d2::{ConnectionManager, CustomizeConnection, Error, HandleError, Pool},
};
use serde::{Deserialize, Deserializer};

use super::{SessionConn, Sessions, SessionsError};

/// The default age at which a connection is replaced.
const RECYCLE: Duration = Duration::from_secs(30 * 60);

/// The settings of a connection pool, for a settings file. All times are in seconds there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolSettings {
    /// The most connections that are open at once. Default: 10.
    pub pool_size: u32,
    /// The age at which a connection is replaced; `None` or zero: never. Default: 30 minutes.
    ///
    /// Set it well below the time after which the server closes idle connections (`wait_timeout` on MySQL). On MySQL
    /// `None` means the default. Ages are looked at every 30 seconds; whatever the age, a connection is tested before it
    /// is handed out and replaced when it is dead.
    #[serde(deserialize_with = "optional_seconds")]
    pub pool_recycle: Option<Duration>,
    /// How long a caller waits for a connection. Default: 5 seconds.
    #[serde(deserialize_with = "seconds")]
    pub timeout: Duration,
    /// How long a caller who has a connection waits for the end of its closure; `None` or zero: for ever, which is the
    /// default, as a closure may do much.
    ///
    /// No driver gives up a server that has stopped answering while its connections stand. The caller can: the closure
    /// goes on, with its connection and on a thread of tokio's blocking pool, and may still commit.
    #[serde(deserialize_with = "optional_seconds")]
    pub answer_within: Option<Duration>,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            pool_size: 10,
            pool_recycle: Some(RECYCLE),
            timeout: Duration::from_secs(5),
            answer_within: None,
        }
    }
}

/// Makes [`Sessions`] with settings of its own.
///
/// # Examples
/// ```no_run
/// # #[cfg(feature = "mysql")] {
/// # use std::time::Duration;
/// use utils_jobs::Sessions;
///
/// let sessions = Sessions::<diesel::MysqlConnection>::builder("mysql://app@db/app")
///     .pool_size(20)
///     .pool_recycle(Some(Duration::from_secs(280)))
///     .timeout(Duration::from_secs(2))
///     .build()?;
/// # } Ok::<(), utils_jobs::SessionsError>(())
/// ```
pub struct SessionsBuilder<C> {
    url: String,
    settings: PoolSettings,
    connection: PhantomData<fn() -> C>,
}

impl<C: SessionConn> SessionsBuilder<C> {
    pub(super) fn new(url: String) -> Self {
        Self { url, settings: PoolSettings::default(), connection: PhantomData }
    }

    /// All settings at once.
    #[must_use]
    pub fn settings(mut self, settings: PoolSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets the most connections that are open at once. Default: 10.
    #[must_use]
    pub fn pool_size(mut self, connections: u32) -> Self {
        self.settings.pool_size = connections;
        self
    }

    /// Sets the age at which a connection is replaced, see [`PoolSettings::pool_recycle`]. Default: 30 minutes.
    #[must_use]
    pub fn pool_recycle(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.settings.pool_recycle = age.into();
        self
    }

    /// Sets how long a caller waits for a connection. Default: 5 seconds.
    #[must_use]
    pub fn timeout(mut self, time: Duration) -> Self {
        self.settings.timeout = time;
        self
    }

    /// Sets how long a caller waits for the end of its closure, see [`PoolSettings::answer_within`]. Default: for ever.
    #[must_use]
    pub fn answer_within(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.settings.answer_within = time.into();
        self
    }

    /// Connects once, to find mistakes early, and makes the pool.
    ///
    /// # Errors
    /// [`SessionsError::Url`], [`SessionsError::Connect`] or [`SessionsError::Settings`].
    pub fn build(self) -> Result<Sessions<C>, SessionsError> {
        let url = C::driver_url(self.url.trim()).ok_or(SessionsError::Url(C::DATABASE))?;
        let PoolSettings { mut pool_size, pool_recycle, timeout, answer_within } = self.settings;
        let answer_within = answer_within.filter(|time| !time.is_zero());
        if pool_size == 0 {
            return Err(SessionsError::Settings("the pool size must be at least 1"));
        }
        if timeout.is_zero() {
            return Err(SessionsError::Settings("the time-out for a connection must be above zero"));
        }
        let mut recycle = pool_recycle.filter(|age| !age.is_zero());
        if C::ALWAYS_RECYCLES {
            recycle = recycle.or(Some(RECYCLE));
        }
        let mut idle = Some(Duration::from_secs(10 * 60));
        let shared = (!C::is_private(&url)).then(|| Arc::from(url.as_str()));
        if shared.is_none() {
            (pool_size, recycle, idle) = (1, None, None);
        } else {
            // The pool would try again and again until the time-out, and its error would not say why.
            drop(establish::<C>(&url)?);
        }
        let pool = Pool::builder()
            .max_size(pool_size)
            .min_idle(Some(1))
            .max_lifetime(recycle)
            .idle_timeout(idle)
            .test_on_check_out(true)
            .connection_timeout(timeout)
            .connection_customizer(Box::new(Prepare))
            .error_handler(Box::new(Log::new(url.clone(), C::DATABASE)))
            .build(ConnectionManager::new(url))
            .map_err(SessionsError::Exhausted)?;
        Ok(Sessions { url: shared, answer_within, ..Sessions::from_pool(pool) })
    }
}

/// A connection that is set up as those of a pool are.
pub(super) fn connect<C: SessionConn>(url: &str) -> Result<C, SessionsError> {
    let mut conn = establish::<C>(url)?;
    conn.prepare()?;
    Ok(conn)
}

fn establish<C: SessionConn>(url: &str) -> Result<C, SessionsError> {
    C::establish(url).map_err(|error| SessionsError::Connect(redacted(error, url, C::DATABASE)))
}

impl<C> std::fmt::Debug for SessionsBuilder<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionsBuilder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Prepare;

impl<C: SessionConn> CustomizeConnection<C, Error> for Prepare {
    fn on_acquire(&self, conn: &mut C) -> Result<(), Error> {
        conn.prepare().map_err(Error::QueryError)
    }
}

/// Reports what goes wrong in the pool's own threads, without the URL. Each connection is tried again and again while the
/// database is away: that is one report, and not hundreds.
struct Log {
    url: String,
    database: &'static str,
    last: Mutex<Option<Reported>>,
}

struct Reported {
    at: Instant,
    left_out: u32,
}

/// How long failures like the last one are only counted.
const QUIET: Duration = Duration::from_secs(30);

impl Log {
    fn new(url: String, database: &'static str) -> Self {
        Self { url, database, last: Mutex::default() }
    }

    /// How many failures were left out since the last report, when this one is to be reported.
    fn reports(&self, now: Instant) -> Option<u32> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = match &mut *last {
            Some(reported) if now < reported.at + QUIET => {
                reported.left_out = reported.left_out.saturating_add(1);
                return None;
            }
            Some(reported) => reported.left_out,
            None => 0,
        };
        *last = Some(Reported { at: now, left_out: 0 });
        Some(left_out)
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Log")
    }
}

impl HandleError<Error> for Log {
    fn handle_error(&self, error: Error) {
        let error = match error {
            Error::ConnectionError(error) => redacted(error, &self.url, self.database).to_string(),
            Error::QueryError(error) => without_secrets(&error.to_string(), &self.url),
        };
        match self.reports(Instant::now()) {
            Some(left_out) => tracing::warn!(%error, left_out, "a database connection failed"),
            None => tracing::debug!(%error, "a database connection failed"),
        }
    }
}

/// Stands for a text of the driver that may show parts of a password.
const UNREADABLE: &str = "the URL cannot be read; a password in it must be percent-encoded, above all its @ / ? # %, and \
                          quoted where it has spaces (what the driver says is left out, as it may show parts of it)";

fn redacted(error: ConnectionError, url: &str, database: &str) -> ConnectionError {
    let redact = |text: String| {
        if is_misread(url) || database == "PostgreSQL" && !is_about_a_connection(&text) {
            return UNREADABLE.to_owned();
        }
        without_secrets(&text, url)
    };
    match error {
        ConnectionError::BadConnection(text) => ConnectionError::BadConnection(redact(text)),
        ConnectionError::InvalidConnectionUrl(text) => ConnectionError::InvalidConnectionUrl(redact(text)),
        other => other,
    }
}

/// Whether drivers take a part of the password for the host or the database, as it has an `@` or a `/` in it: they show
/// both.
fn is_misread(url: &str) -> bool {
    let before_parameters = url.split_once("://").and_then(|(_, rest)| rest.split('?').next());
    let userinfo = before_parameters.and_then(|rest| rest.rsplit_once('@')).map(|(userinfo, _)| userinfo);
    userinfo.is_some_and(|userinfo| userinfo.contains(['@', '/']))
}

/// Whether libpq has read the URL, and speaks of the connection. What it cannot read it quotes, and that may be any part
/// of it: a bit of the password that it takes for the port, or for a keyword.
fn is_about_a_connection(text: &str) -> bool {
    // "could not connect" and "FATAL" are those of libpq 13 and older
    let begins = ["connection to server", "could not translate host name", "could not connect", "FATAL"];
    let text = text.trim_start();
    !text.contains('"') || begins.iter().any(|beginning| text.starts_with(beginning))
}

fn without_secrets(text: &str, url: &str) -> String {
    let text = text.replace(url, "(the database URL)");
    let userinfo =
        url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).map(|(userinfo, _)| userinfo);
    match userinfo.and_then(|userinfo| userinfo.split_once(':')) {
        Some((_, password)) if !password.is_empty() => text.replace(password, "***"),
        _ => text,
    }
}

fn seconds<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    f64::deserialize(input)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom))
}

fn optional_seconds<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
    let seconds = Option::<f64>::deserialize(input)?;
    seconds.map(|seconds| Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_failures_in_a_row_one_is_reported_and_the_others_are_counted() {
        let (log, start) = (Log::new(String::new(), "PostgreSQL"), Instant::now());
        let reported: Vec<_> =
            (0..90).map(|second| log.reports(start + Duration::from_secs(second))).collect();
        let expected = [(0, 0), (30, 29), (60, 29)];
        let found = reported.iter().enumerate().filter_map(|(second, left_out)| Some((second, (*left_out)?)));
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }
}
