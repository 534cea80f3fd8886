//! Broker URLs: which engine, which settings, and a clear word about those that are none.
use crate::settings::{JobsSettings, duration};

/// Why a broker URL cannot be used. No message shows more of the URL than its scheme.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// There is no scheme.
    #[error("the URL has no scheme; it begins with sqlite:, postgres:, mysql: or memory:")]
    NoScheme,
    /// The engine is there, the feature is not.
    #[error("{scheme}: needs the feature \"{feature}\" of utils-jobs")]
    FeatureOff {
        /// The scheme.
        scheme: String,
        /// What to turn on.
        feature: &'static str,
    },
    /// A broker that cannot keep what we promise.
    #[error("{scheme}: is not supported: {reason}")]
    Unfit {
        /// The scheme.
        scheme: String,
        /// Why, and what to use.
        reason: &'static str,
    },
    /// Nothing we know.
    #[error("{0}: is no broker we know; use sqlite:, postgres:, mysql: or memory:")]
    Unknown(String),
    /// A setting in the query cannot be read.
    #[error("the setting {name} in the URL must be {expected}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

/// What a broker URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broker {
    pub engine: Engine,
    /// For the driver: without our own settings.
    pub url: String,
    pub settings: JobsSettings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Memory,
    #[cfg(feature = "sqlite")]
    Sqlite,
    #[cfg(feature = "postgres")]
    Postgres,
    #[cfg(feature = "mysql")]
    Mysql,
}

const REDIS: &str = "it forgets jobs when it restarts or runs full, and a job cannot be enqueued in the transaction that it \
                     belongs to; use the database of the application, or postgres: when several machines share the work";
const AMQP: &str = "it cannot cancel, look up, delay or deduplicate jobs, and a job cannot be enqueued in the transaction \
                    that it belongs to; use the database of the application, or postgres: when several machines share the work";

impl Broker {
    /// Reads a URL; `settings` are those that the URL does not mention.
    pub(crate) fn parse(url: &str, settings: JobsSettings) -> Result<Self, BrokerError> {
        let url = url.trim();
        let (scheme, _) = url.split_once(':').ok_or(BrokerError::NoScheme)?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.chars().all(|each| each.is_ascii_alphanumeric() || "+-.".contains(each));
        if !is_scheme {
            return Err(BrokerError::NoScheme);
        }
        let scheme = scheme.to_ascii_lowercase();
        let engine = engine(&scheme)?;
        let (url, settings) = take_settings(url, settings)?;
        Ok(Self { engine, url, settings })
    }
}

fn engine(scheme: &str) -> Result<Engine, BrokerError> {
    let base = scheme.split('+').next().unwrap_or(scheme);
    #[allow(unused, reason = "only when a database is off")]
    let off = |feature| BrokerError::FeatureOff { scheme: scheme.to_owned(), feature };
    match base {
        "memory" => Ok(Engine::Memory),
        #[cfg(feature = "sqlite")]
        "sqlite" => Ok(Engine::Sqlite),
        #[cfg(not(feature = "sqlite"))]
        "sqlite" => Err(off("sqlite")),
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => Ok(Engine::Postgres),
        #[cfg(not(feature = "postgres"))]
        "postgres" | "postgresql" => Err(off("postgres")),
        #[cfg(feature = "mysql")]
        "mysql" | "mariadb" => Ok(Engine::Mysql),
        #[cfg(not(feature = "mysql"))]
        "mysql" | "mariadb" => Err(off("mysql")),
        "redis" | "rediss" | "sentinel" => {
            Err(BrokerError::Unfit { scheme: scheme.to_owned(), reason: REDIS })
        }
        "amqp" | "amqps" | "pyamqp" => Err(BrokerError::Unfit { scheme: scheme.to_owned(), reason: AMQP }),
        _ => Err(BrokerError::Unknown(scheme.to_owned())),
    }
}

/// Takes our settings out of the query; the rest is for the driver.
fn take_settings(url: &str, mut settings: JobsSettings) -> Result<(String, JobsSettings), BrokerError> {
    const TIME: &str = "a time such as 30s, 500ms, 5m or 7d";
    const NUMBER: &str = "a whole number";
    let Some((front, query)) = url.split_once('?') else { return Ok((url.to_owned(), settings)) };
    let mut rest = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let time = |name| duration(value).ok_or(BrokerError::Setting { name, expected: TIME });
        match name {
            "lease" => settings.lease = time("lease")?,
            "poll" => settings.poll = time("poll")?,
            "retention" => settings.retention = time("retention")?,
            "dead_retention" => settings.dead_retention = time("dead_retention")?,
            "answer_within" => settings.answer_within = time("answer_within")?,
            "max_bytes" => {
                let error = BrokerError::Setting { name: "max_bytes", expected: NUMBER };
                settings.max_bytes = value.parse().map_err(|_| error)?;
            }
            "pool_size" => {
                let error = BrokerError::Setting { name: "pool_size", expected: NUMBER };
                settings.pool_size = value.parse().map_err(|_| error)?;
            }
            _ => rest.push(pair),
        }
    }
    let url = if rest.is_empty() { front.to_owned() } else { format!("{front}?{}", rest.join("&")) };
    Ok((url, settings))
}
