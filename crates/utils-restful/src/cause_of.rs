use std::{error::Error, fmt};

use crate::kind::ErrorKind;

/// A cause that says which kind of error it leads to: for crates with errors of their own that keep a cause.
///
/// `?` in a handler looks through the causes of an error for what HTTP has a status for, so that a row that is
/// missing is 404. A row that a library missed in its own tables, or while it asked the application something, says
/// nothing about what the client asked for; inside of this the look ends, and the kind is the answer's. Texts and
/// causes are those of the cause itself.
///
/// ```
/// use utils_restful::{ApiError, CauseOf, ErrorKind, StatusCode};
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("quotas are not available at the moment")]
/// struct QuotasDown(#[source] CauseOf);
///
/// static QUOTAS_DOWN: ErrorKind =
///     ErrorKind::new("quotas_down", StatusCode::SERVICE_UNAVAILABLE, "The log has the cause.");
///
/// let cause = std::io::Error::other("no row");
/// let error = ApiError::from(QuotasDown(CauseOf::new(&QUOTAS_DOWN, cause)));
/// assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
/// ```
pub struct CauseOf {
    kind: &'static ErrorKind,
    cause: Box<dyn Error + Send + Sync>,
}

impl CauseOf {
    /// `cause`, which leads to an error of this kind.
    #[must_use]
    pub fn new(kind: &'static ErrorKind, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, cause: cause.into() }
    }

    /// The kind of error it leads to.
    #[must_use]
    pub fn kind(&self) -> &'static ErrorKind {
        self.kind
    }

    /// The cause itself.
    #[must_use]
    pub fn into_inner(self) -> Box<dyn Error + Send + Sync> {
        self.cause
    }
}

impl fmt::Debug for CauseOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.cause, f)
    }
}

impl fmt::Display for CauseOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.cause, f)
    }
}

impl Error for CauseOf {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}
