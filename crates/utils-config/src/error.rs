use std::fmt;

/// Everything that is wrong with the settings. Its `Display` has a line for each, made to be printed at start.
///
/// No message repeats a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    problems: Vec<SettingProblem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SettingProblem {
    /// The path of the setting, such as `database.pool`; the name of the file or the variable where no setting is
    /// meant.
    pub setting: String,
    /// What is wrong, and how to set it right: `is missing: set APP_AUTH__KEY, or auth.key in settings.toml`.
    pub message: String,
}

impl LoadError {
    pub(crate) fn new(problems: Vec<SettingProblem>) -> Self {
        Self { problems }
    }

    /// The problems: those of files first, then those of settings in the order of their paths.
    #[must_use]
    pub fn problems(&self) -> &[SettingProblem] {
        &self.problems
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => formatter.write_str("1 setting is wrong:")?,
            count => write!(formatter, "{count} settings are wrong:")?,
        }
        let width = self.problems.iter().map(|problem| problem.setting.chars().count()).max().unwrap_or(0);
        for problem in &self.problems {
            write!(formatter, "\n  {:width$}  {}", problem.setting, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}
