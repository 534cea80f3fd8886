use std::{
    env,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{git::Head, text::usable};

/// Digits of the commit in the release, enough to be unique in large repositories.
const COMMIT_DIGITS: usize = 12;

/// Call this in the application's `build.rs`: the release gets the commit, `1.2.3+9f2c1ab04d5e`, and the build time.
///
/// It reads `.git` itself: no git command, nothing to install in the build image, and no failure where there is no
/// repository. It asks cargo to run the script again only when another commit is checked out. Add this crate under
/// both `[dependencies]` and `[build-dependencies]`.
///
/// The build time is that of the last time cargo ran the script; `SOURCE_DATE_EPOCH` (seconds since 1970), when set,
/// is used instead, as <https://reproducible-builds.org/specs/source-date-epoch/> asks.
///
/// # Examples
/// The whole `main` of a build script:
/// ```no_run
/// utils_release::build();
/// ```
#[expect(clippy::print_stdout, reason = "a build script talks to cargo through its standard output")]
pub fn build() {
    for line in BuildScript::from_env().instructions() {
        println!("{line}");
    }
}

/// What [`build`] does, with its inputs in the open: for build scripts that have more to say, and for tests.
#[derive(Debug, Clone)]
pub struct BuildScript {
    directory: PathBuf,
    version: Option<String>,
    now: SystemTime,
    source_date_epoch: Option<String>,
}

impl BuildScript {
    /// The package in this directory, at this version.
    pub fn new(directory: impl Into<PathBuf>, version: impl Into<String>) -> Self {
        Self {
            directory: directory.into(),
            version: Some(version.into()),
            now: SystemTime::now(),
            source_date_epoch: None,
        }
    }

    /// The package whose build script is running, from the variables that cargo sets for it.
    #[must_use]
    pub fn from_env() -> Self {
        Self {
            directory: env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default().into(),
            version: env::var("CARGO_PKG_VERSION").ok(),
            now: SystemTime::now(),
            source_date_epoch: env::var("SOURCE_DATE_EPOCH").ok(),
        }
    }

    /// The build time, unless a source date is set. Default: now.
    #[must_use]
    pub fn now(mut self, now: SystemTime) -> Self {
        self.now = now;
        self
    }

    /// The value of `SOURCE_DATE_EPOCH`: seconds since 1970.
    #[must_use]
    pub fn source_date_epoch(mut self, seconds: impl Into<String>) -> Self {
        self.source_date_epoch = Some(seconds.into());
        self
    }

    /// The lines for cargo.
    #[must_use]
    pub fn instructions(&self) -> Vec<String> {
        // Naming one file ends cargo's default of running the script whenever anything in the package changes.
        let mut lines = vec![
            "cargo::rerun-if-changed=build.rs".to_owned(),
            "cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH".to_owned(),
        ];
        let head = Head::of(&self.directory);
        let watched = head.iter().flat_map(|head| &head.watch);
        lines.extend(watched.map(|path| format!("cargo::rerun-if-changed={}", path.display())));
        let commit = head.and_then(|head| head.commit);
        if let Some(release) = self.release(commit.as_deref()) {
            lines.push(format!("cargo::rustc-env=UTILS_RELEASE={release}"));
        }
        lines.push(match self.built() {
            Some(built) => format!("cargo::rustc-env=UTILS_RELEASE_BUILT={built}"),
            None => "cargo::warning=SOURCE_DATE_EPOCH is not a number of seconds since 1970: \
                     the release has no build time"
                .to_owned(),
        });
        lines
    }

    fn release(&self, commit: Option<&str>) -> Option<String> {
        let commit = commit?.get(..COMMIT_DIGITS)?;
        Some(match self.version.as_deref().and_then(usable) {
            // Semantic Versioning 2.0.0, section 10: one plus sign, further parts after dots.
            Some(version) if version.contains('+') => format!("{version}.{commit}"),
            Some(version) => format!("{version}+{commit}"),
            None => commit.to_owned(),
        })
    }

    fn built(&self) -> Option<String> {
        let since_1970 = match &self.source_date_epoch {
            Some(seconds) => Duration::from_secs(seconds.trim().parse().ok()?),
            None => self.now.duration_since(UNIX_EPOCH).ok()?,
        };
        rfc3339(since_1970.as_secs())
    }
}

/// The time as RFC 3339 writes it, in UTC; `None` after the year 9999, which it cannot write.
fn rfc3339(seconds: u64) -> Option<String> {
    let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days)?;
    let (hour, minute, second) = (second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

/// The date of a day counted from 1970-01-01.
fn date(mut days: u64) -> Option<(u64, u64, u64)> {
    let mut year = 1970;
    while days >= days_of_year(year) {
        days -= days_of_year(year);
        year += 1;
        if year > 9_999 {
            return None;
        }
    }
    let mut month = 1;
    for length in [31, days_of_year(year) - 337, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    Some((year, month, days + 1))
}

fn days_of_year(year: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    if is_leap { 366 } else { 365 }
}
