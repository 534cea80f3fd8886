//! Error reports to Sentry without the everyday 4xx, for actix-web.
//!
//! ```no_run
//! use actix_web::{App, HttpServer, get};
//! use utils_restful::{Restful, Result};
//! use utils_sentry::SentrySettings;
//!
//! #[get("/")]
//! async fn index() -> Result<String> {
//!     Ok(std::fs::read_to_string("index.txt")?) // if it fails: a 500, and one report with the cause
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let settings = SentrySettings::new().dsn("https://key@sentry.example/42")?.site("berlin");
//!     let _guard = utils_sentry::init(&settings); // None without a DSN; sends the last reports when dropped
//!     let server = HttpServer::new(|| {
//!         App::new()
//!             .service(index)
//!             .wrap(utils_sentry::middleware())
//!             .wrap(Restful::new()) // outermost
//!     });
//!     actix_web::rt::System::new().block_on(server.bind(("127.0.0.1", 8080))?.run())?;
//!     Ok(())
//! }
//! ```
//!
//! - Every report has the release ([`utils_release::release()`]), the site, the environment, the request and
//!   its id.
//! - One failure is one report: an answer of 500 and above with its cause, or a panic. 4xx are none.
//! - With the feature `jobs`, `report_job` reports jobs of `utils-jobs` that failed for good, and what is reported
//!   from inside a job, a panic too, says which job it was.
//! - Secrets are replaced by `[Filtered]` before a report leaves: headers, query parameters, and values in
//!   the extra data whose names say so (`authorization`, `cookie`, `token`, `password`, …), and in texts what
//!   is announced as a secret (`password=…`, `Bearer …`, `postgres://user:password@…`). Request bodies,
//!   addresses of clients and the name of the server are not sent.
mod client;
mod error;
#[cfg(feature = "jobs")]
mod jobs;
mod middleware;
mod scrub;
mod secrets;
mod settings;

#[cfg(feature = "jobs")]
pub use crate::jobs::report_job;
pub use crate::{
    client::{Guard, init},
    error::SentryError,
    middleware::{Capture, Reporting, middleware},
    settings::SentrySettings,
};
