use std::borrow::Cow;

use sentry::{ClientOptions, MaxRequestBodySize, protocol::Event, types::Dsn};
use serde::{Deserialize, Deserializer, de};

use crate::{error::SentryError, scrub::scrub};

/// Where errors are reported to, and what every report says.
///
/// ```
/// use utils_sentry::SentrySettings;
///
/// let settings = SentrySettings::new().dsn("https://key@sentry.example/42")?.site("berlin");
/// let from_a_file: SentrySettings = serde_json::from_str(r#"{"dsn": "https://key@sentry.example/42"}"#)?;
/// # assert!(settings.is_enabled() && from_a_file.is_enabled());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Read from a file or the environment, an unknown key or a malformed DSN is an error there, and an empty DSN
/// is none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SentrySettings {
    #[serde(deserialize_with = "dsn_or_nothing")]
    dsn: Option<Dsn>,
    site: Option<String>,
    environment: Option<String>,
    release: Option<String>,
    server_name: Option<String>,
}

impl SentrySettings {
    /// Settings without a DSN: nothing is reported.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the project that reports go to. Default: none, and nothing is reported. An empty text is none
    /// too.
    ///
    /// # Errors
    /// [`SentryError::Dsn`] if it is not of the form `https://key@host/project`.
    pub fn dsn(mut self, dsn: &str) -> Result<Self, SentryError> {
        self.dsn = parse(dsn)?;
        Ok(self)
    }

    /// Sets the `site` tag of every report, which tells installations apart. Default: none.
    #[must_use]
    pub fn site(mut self, site: impl Into<String>) -> Self {
        self.site = Some(site.into());
        self
    }

    /// Sets the environment, such as `staging`. Default: `SENTRY_ENVIRONMENT`, which Sentry's client reads,
    /// or `production` (`development` in a debug build).
    #[must_use]
    pub fn environment(mut self, environment: impl Into<String>) -> Self {
        self.environment = Some(environment.into());
        self
    }

    /// Sets the release. Default: [`utils_release::release()`].
    #[must_use]
    pub fn release(mut self, release: impl Into<String>) -> Self {
        self.release = Some(release.into());
        self
    }

    /// Sets the name of this server. Default: none; the host's name is not sent.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Whether there is a DSN, so that reports are sent.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.dsn.is_some()
    }

    /// What [`init`](crate::init) starts the client with; for applications that start it themselves, with a
    /// transport or further integrations of their own.
    ///
    /// Personal data and request bodies are off. `before_send` removes secrets: one who replaces it gives
    /// that up.
    pub fn client_options(&self) -> ClientOptions {
        let release = self.release.clone().map_or(Cow::Borrowed(utils_release::release()), Cow::Owned);
        let mut options = ClientOptions::new()
            .release(release)
            .send_default_pii(false)
            // a login's body is a password, and the client's own default is to send small JSON bodies
            .max_request_body_size(MaxRequestBodySize::None)
            .before_send(finish(self.site.clone(), self.server_name.clone()));
        options.dsn.clone_from(&self.dsn);
        options.environment = self.environment.clone().map(Cow::Owned);
        options
    }
}

/// The last hands on an event before it leaves.
fn finish(
    site: Option<String>,
    server_name: Option<String>,
) -> impl Fn(Event<'static>) -> Option<Event<'static>> + Send + Sync + 'static {
    move |mut event| {
        if let Some(site) = &site {
            event.tags.entry("site".to_owned()).or_insert_with(|| site.clone());
        }
        #[cfg(feature = "jobs")]
        crate::jobs::tag_running(&mut event);
        // the client puts the host's name here unless it is given one
        event.server_name = server_name.clone().map(Cow::Owned);
        Some(scrub(event))
    }
}

fn parse(dsn: &str) -> Result<Option<Dsn>, SentryError> {
    if dsn.trim().is_empty() { Ok(None) } else { dsn.trim().parse().map(Some).map_err(SentryError::Dsn) }
}

fn dsn_or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Dsn>, D::Error> {
    parse(&Option::<String>::deserialize(deserializer)?.unwrap_or_default()).map_err(de::Error::custom)
}
