//! Typed settings from defaults, a file and the environment, every problem reported at once; URLs with parts replaced.
//!
//! ```
//! use utils_config::{Secret, UrlParts, load};
//!
//! #[derive(Debug, serde::Deserialize)]
//! struct Settings {
//!     database: UrlParts,
//!     auth: Auth,
//!     #[serde(default)]
//!     workers: Option<u16>,
//! }
//! #[derive(Debug, serde::Deserialize)]
//! struct Auth {
//!     key: Secret,
//!     mode: Mode,
//! }
//! #[derive(Debug, serde::Deserialize)]
//! #[serde(rename_all = "lowercase")]
//! enum Mode {
//!     Cookie,
//!     Bearer,
//! }
//!
//! // In a program: load("APP").file("settings.toml").build::<Settings>()?
//! let error = load("APP").env_from([("APP_AUTH__MODE", "jwt"), ("APP_WORKER", "4")]).build::<Settings>().unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "4 settings are wrong:\n  \
//!        auth.key   is missing: set APP_AUTH__KEY\n  \
//!        auth.mode  must be one of cookie, bearer (environment variable APP_AUTH__MODE)\n  \
//!        database   is missing: set APP_DATABASE\n  \
//!        worker     is not a known setting (environment variable APP_WORKER)"
//! );
//! ```
//!
//! - [`load`] reads a struct from defaults < files < environment < files named by `…_FILE` variables. [`LoadError`] has
//!   every problem; [`Loaded`] tells where each setting came from.
//! - [`Secret`] keeps a value out of logs.
//! - [`UrlParts`] and [`build_url`] replace parts of the URL of a service.
//!
//! The crate changes nothing in the process: tests hand the environment in with [`Loader::env_from`].
mod build_url;
mod environment;
mod error;
mod file;
mod load;
mod loaded;
mod mask;
mod secret;
mod spellings;
mod tree;
mod url;
mod url_rules;

pub use crate::{
    build_url::{UrlOverrides, build_url},
    error::{LoadError, SettingProblem},
    load::{Loader, load},
    loaded::{Loaded, Row},
    secret::Secret,
    tree::Origin,
    url::{UrlError, UrlParts},
};
