use std::{fmt, time::Duration};

use sentry::ClientInitGuard;

use crate::settings::SentrySettings;

/// Starts reporting, for the whole process: panics from now on, and what [`middleware`](crate::middleware())
/// and `sentry::capture_error` are given. `None` if the settings have no DSN, and then nothing is installed.
///
/// Call it first thing in `main`, before the runtime starts its threads, and keep the guard until the end:
/// dropping it sends what is still queued, for at most two seconds.
///
/// ```
/// use utils_sentry::{SentrySettings, init};
///
/// let settings = SentrySettings::new(); // no DSN
/// let _guard = init(&settings);
/// # assert!(_guard.is_none());
/// ```
#[must_use = "nothing is reported any more once the guard is dropped"]
pub fn init(settings: &SentrySettings) -> Option<Guard> {
    settings.is_enabled().then(|| Guard(sentry::init(settings.client_options())))
}

/// Keeps the client alive: made by [`init`].
pub struct Guard(ClientInitGuard);

impl Guard {
    /// Waits until the reports so far are sent, at most this long. False if that was too short.
    #[must_use]
    pub fn flush(&self, at_most: Duration) -> bool {
        self.0.flush(Some(at_most))
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}
