//! Which release is running: from a file, the environment or the build; never fails.
//!
//! ```
//! let release: &'static str = utils_release::release!();
//! println!("starting release {release}");
//! # assert_eq!(release, utils_release::release());
//! ```
//!
//! The first source that has a value wins:
//!
//! 1. the file `version.txt` in the working directory: its first line that is not blank,
//! 2. the environment: `RELEASE`, `SOURCE_VERSION`, `GIT_SHA`,
//! 3. the same three variables as they were when the application was compiled, then what [`build`] found in `.git`,
//! 4. the version in the application's `Cargo.toml`,
//! 5. [`UNKNOWN`].
//!
//! [`release!`] is for the application: the macro is expanded there, so that 3 and 4 are the application's and not
//! those of this crate. Libraries ask [`release()`], which answers what the application found, or looks at 1, 2 and 5
//! when the application never used the macro. [`ReleaseSources`] is the builder for another file, other variables,
//! or a value that the application has already.
//!
//! An application that wants its commit in 3 calls [`build`] in its `build.rs`. It needs neither git nor a `.git`
//! directory: without one the release is the version of the package.
//!
//! The feature `actix` adds a `GET /version` handler and a response header.
mod build;
mod compiled;
mod current;
mod file;
mod git;
#[cfg(feature = "actix")]
mod http;
mod sources;
mod text;

#[cfg(feature = "actix")]
pub use crate::http::{RELEASE_HEADER, release_header, routes, version};
pub use crate::{
    build::{BuildScript, build},
    compiled::Compiled,
    current::{current, release},
    sources::{Release, ReleaseSources, Source, UNKNOWN},
};
