//! A client that keeps what it would send.
use std::sync::Arc;

use sentry::{Client, Hub, protocol::Event, test::TestTransport};
use utils_sentry::SentrySettings;

pub(crate) fn settings() -> SentrySettings {
    SentrySettings::new().dsn("https://key@sentry.invalid/42").unwrap().release("shop@1.2.3")
}

/// A hub of one test's own, and what was reported through it.
pub(crate) struct Reports {
    pub(crate) hub: Arc<Hub>,
    transport: Arc<TestTransport>,
}

impl Reports {
    pub(crate) fn of(settings: &SentrySettings) -> Self {
        let transport = TestTransport::new();
        // as `sentry::init` makes it, but for this hub alone
        let options = sentry::apply_defaults(settings.client_options().transport(transport.clone()));
        let hub = Arc::new(Hub::new(Some(Arc::new(Client::from(options))), Arc::default()));
        Self { hub, transport }
    }

    /// The reports since the last call.
    pub(crate) fn take(&self) -> Vec<Event<'static>> {
        self.transport.fetch_and_clear_events()
    }

    /// What is reported while `work` runs.
    pub(crate) fn during(&self, work: impl FnOnce()) -> Vec<Event<'static>> {
        Hub::run(Arc::clone(&self.hub), work);
        self.take()
    }
}
