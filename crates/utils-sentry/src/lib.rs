//! Error reports to Sentry without the everyday 4xx, for actix-web.
