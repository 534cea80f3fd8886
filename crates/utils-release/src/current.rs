use std::sync::OnceLock;

use crate::sources::{Release, ReleaseSources};

static OF_THE_APPLICATION: OnceLock<Release> = OnceLock::new();
/// What could be found without the application's help. It gives way to the application's own as soon as that exists.
static AT_RUN_TIME: OnceLock<Release> = OnceLock::new();

/// The release that is running, as text; [`UNKNOWN`](crate::UNKNOWN) when no source names one.
///
/// It is looked up once. The application's [`release!`](crate::release!) or [`ReleaseSources::install`] decides it;
/// without them only `version.txt` and the environment are known.
#[must_use]
pub fn release() -> &'static str {
    current().as_str()
}

/// As [`release()`], with the build time and the source it came from.
#[must_use]
pub fn current() -> &'static Release {
    OF_THE_APPLICATION.get().unwrap_or_else(|| AT_RUN_TIME.get_or_init(|| ReleaseSources::new().find()))
}

impl ReleaseSources {
    /// Finds the release and makes it the one that [`release()`] answers everywhere in this process.
    ///
    /// The first call decides; later ones look at nothing and return what it found.
    pub fn install(self) -> &'static Release {
        OF_THE_APPLICATION.get_or_init(|| self.find())
    }
}
