use std::{collections::HashMap, env, fmt, path::PathBuf};

use crate::{compiled::Compiled, file::release_in_file, text::release_in};

/// The release when no source names one.
pub const UNKNOWN: &str = "__UNKNOWN__";

/// The variables that are looked at: ours, that of Heroku and other buildpack platforms, and the usual build argument.
const VARIABLES: [&str; 3] = ["RELEASE", "SOURCE_VERSION", "GIT_SHA"];

/// A release, where it came from, and when it was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    name: String,
    source: Source,
    built: Option<String>,
}

impl Release {
    /// The release as text: never empty, one line, at most 64 KiB.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Which source named it.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// When the application was built, RFC 3339 in UTC such as `2026-11-23T21:00:00Z`; known when its `build.rs`
    /// calls [`build`](crate::build).
    #[must_use]
    pub fn built(&self) -> Option<&str> {
        self.built.as_deref()
    }
}

impl fmt::Display for Release {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

/// Where a release came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The file.
    File(PathBuf),
    /// The environment variable of this name.
    Environment(String),
    /// The environment of the build, or the commit that [`build`](crate::build) found.
    Compiled,
    /// The version in `Cargo.toml`.
    CrateVersion,
    /// Nothing named one.
    Unknown,
}

/// The places where a release is looked for, in their order: file, environment, compile time, crate version.
///
/// # Examples
/// ```
/// use utils_release::{ReleaseSources, Source};
///
/// let release = ReleaseSources::new()
///     .file("/srv/shop/version.txt")
///     .variables(["SHOP_RELEASE"])
///     .env_from([("SHOP_RELEASE", "2026.11")]) // without this line: the environment of the process
///     .compiled(utils_release::compiled!())
///     .find();
/// assert_eq!(release.as_str(), "2026.11");
/// assert_eq!(release.source(), &Source::Environment("SHOP_RELEASE".to_owned()));
/// ```
#[derive(Debug, Clone)]
pub struct ReleaseSources {
    file: Option<PathBuf>,
    variables: Vec<String>,
    environment: Option<HashMap<String, String>>,
    compiled: Compiled,
}

impl Default for ReleaseSources {
    fn default() -> Self {
        Self {
            file: Some("version.txt".into()),
            variables: VARIABLES.map(str::to_owned).into(),
            environment: None,
            compiled: Compiled::default(),
        }
    }
}

impl ReleaseSources {
    /// The usual ones: `version.txt` in the working directory; `RELEASE`, `SOURCE_VERSION`, `GIT_SHA`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads this file instead of `version.txt`; a relative path is taken from the working directory.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Looks at no file.
    #[must_use]
    pub fn no_file(mut self) -> Self {
        self.file = None;
        self
    }

    /// Looks at these environment variables instead, in this order.
    #[must_use]
    pub fn variables<Name: Into<String>>(mut self, names: impl IntoIterator<Item = Name>) -> Self {
        self.variables = names.into_iter().map(Into::into).collect();
        self
    }

    /// Takes these variables for the environment instead of the process's own, for tests.
    #[must_use]
    pub fn env_from<Name, Value>(mut self, variables: impl IntoIterator<Item = (Name, Value)>) -> Self
    where
        Name: Into<String>,
        Value: Into<String>,
    {
        self.environment =
            Some(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect());
        self
    }

    /// What was known at compile time; write `.compiled(utils_release::compiled!())` in the application.
    #[must_use]
    pub fn compiled(mut self, compiled: Compiled) -> Self {
        self.compiled = compiled;
        self
    }

    /// Looks now. It reads the file and the environment each time; [`install`](Self::install) remembers.
    #[must_use]
    pub fn find(&self) -> Release {
        let (name, source) = self
            .in_file()
            .or_else(|| self.in_environment())
            .or_else(|| self.compiled.release())
            .unwrap_or_else(|| (UNKNOWN.to_owned(), Source::Unknown));
        Release { name, source, built: self.compiled.built() }
    }

    fn in_file(&self) -> Option<(String, Source)> {
        let path = self.file.as_ref()?;
        Some((release_in_file(path)?, Source::File(path.clone())))
    }

    fn in_environment(&self) -> Option<(String, Source)> {
        self.variables.iter().find_map(|name| {
            let release = release_in(&self.variable(name)?)?;
            Some((release, Source::Environment(name.clone())))
        })
    }

    fn variable(&self, name: &str) -> Option<String> {
        match &self.environment {
            Some(variables) => variables.get(name).cloned(),
            None => env::var(name).ok(),
        }
    }
}
