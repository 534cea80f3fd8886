//! Typed settings from defaults, a file and the environment, every problem reported at once; URLs with parts replaced.
mod build_url;
mod url;

pub use crate::{
    build_url::{UrlOverrides, build_url},
    url::{UrlError, UrlParts},
};
