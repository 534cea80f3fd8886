use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// The settings of [`Jobs`](crate::Jobs), for a settings file; times are in seconds there. The broker URL can have them
/// too: `postgres://app@db/app?lease=30s&poll=500ms`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobsSettings {
    /// For how long a worker holds a job before it must say again that it lives. When a worker is killed, its jobs are
    /// run again after at most this and a third. Default: 30 s.
    #[serde(deserialize_with = "seconds")]
    pub lease: Duration,
    /// How often a worker looks for jobs that no process has told it of. Default: 500 ms.
    #[serde(deserialize_with = "seconds")]
    pub poll: Duration,
    /// For how long ended jobs are kept, apart from dead letters; zero: for ever. Default: 7 days.
    #[serde(deserialize_with = "seconds")]
    pub retention: Duration,
    /// For how long dead letters are kept; zero: for ever. Default: for ever.
    #[serde(deserialize_with = "seconds")]
    pub dead_retention: Duration,
    /// The most bytes that the arguments of a job may take, and its result. Default: 1 MiB.
    pub max_bytes: usize,
    /// For how long a caller who has a connection waits until a database server has answered; a worker does for between 3
    /// and 15 s. Default: 15 s.
    ///
    /// After this, what was asked may be done all the same. Raise it where so many jobs are enqueued or purged at once
    /// that it takes longer.
    #[serde(deserialize_with = "seconds")]
    pub answer_within: Duration,
    /// How many connections [`Jobs::open`](crate::Jobs::open) makes at most. Default: 10.
    pub pool_size: u32,
}

impl Default for JobsSettings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            poll: Duration::from_millis(500),
            retention: Duration::from_secs(7 * 24 * 3_600),
            dead_retention: Duration::ZERO,
            max_bytes: 1024 * 1024,
            answer_within: Duration::from_secs(15),
            pool_size: 10,
        }
    }
}

impl JobsSettings {
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.lease < Duration::from_millis(100) {
            return Err("the lease must be at least 100 ms");
        }
        if self.poll < Duration::from_millis(1) {
            return Err("the poll interval must be at least 1 ms");
        }
        if self.lease.max(self.poll) > A_YEAR {
            return Err("the lease and the poll interval must be at most a year");
        }
        if self.answer_within.is_zero() {
            return Err("the time for an answer must be above zero");
        }
        if self.pool_size == 0 {
            return Err("the pool size must be at least 1");
        }
        Ok(())
    }

    /// How often leases are renewed.
    pub(crate) fn heartbeat(&self) -> Duration {
        self.lease / 3
    }
}

const A_YEAR: Duration = Duration::from_secs(366 * 86_400);

fn seconds<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    f64::deserialize(input)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom))
}

/// `30s`, `500ms`, `5m`, `2h`, `7d`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|each: char| !each.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text.get(..digits)?.parse().ok()?;
    let unit = text.get(digits..)?;
    let millis = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}
