/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SentryError {
    /// The DSN is no URL of the form `https://key@host/project`.
    #[error("the Sentry DSN is malformed")]
    Dsn(#[source] sentry::types::ParseDsnError),
}
