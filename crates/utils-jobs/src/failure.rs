use std::{
    error::Error,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

/// Why an attempt failed, and what is to happen next.
///
/// Every error turns into a `Failure` by `?`, and then the job's [`Policy`](crate::Policy) decides. [`Retry`] makes
/// failures that decide themselves.
///
/// `Failure` itself is no [`Error`], or that `?` could not exist; [`Failure::error`] is one.
pub struct Failure {
    pub(crate) error: Box<dyn Error + Send + Sync>,
    pub(crate) next: Next,
}

/// What is to happen after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Policy,
    After(Duration),
    Never,
    /// The attempt does not count: the job goes back as it was.
    Release,
}

impl Failure {
    /// A failure with a text; the policy decides.
    #[must_use]
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { error: error.into(), next: Next::Policy }
    }

    /// What went wrong.
    #[must_use]
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.error
    }
}

/// Failures that do not leave the next step to the policy.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use utils_jobs::{Failure, Retry};
///
/// fn charge(answer: u16) -> Result<(), Failure> {
///     match answer {
///         200 => Ok(()),
///         429 => Err(Retry::after(Duration::from_secs(60), "the bank asks us to wait")),
///         402 => Err(Retry::never("the card was refused")),
///         _ => Err(Failure::new("the bank does not answer")),
///     }
/// }
/// # assert!(charge(402).is_err());
/// ```
#[derive(Debug)]
pub enum Retry {}

impl Retry {
    /// Tries again after this time, if the policy has attempts left.
    pub fn after(wait: Duration, error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure { error: error.into(), next: Next::After(wait) }
    }

    /// Does not try again: the job is a dead letter now.
    pub fn never(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure { error: error.into(), next: Next::Never }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure").field("error", &self.error).field("next", &self.next).finish()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

/// An error and its causes in one line that every database takes. An error that panics when it is shown says so.
pub(crate) fn error_line(error: &(dyn Error + 'static)) -> String {
    let text = catch_unwind(AssertUnwindSafe(|| with_causes(error)));
    one_line(&text.unwrap_or_else(|_| "an error that cannot be shown: its text panicked".to_owned()))
}

fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(each) = cause {
        let text = each.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = each.source();
    }
    line
}

/// A text in one line that every database takes.
pub(crate) fn one_line(text: &str) -> String {
    // PostgreSQL refuses NUL in text, and with it the whole transaction.
    text.chars().map(|each| if each.is_control() { ' ' } else { each }).take(4_000).collect()
}
