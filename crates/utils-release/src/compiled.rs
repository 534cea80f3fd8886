use crate::{
    sources::Source,
    text::{release_in, usable},
};

/// What was known when the application was compiled; [`compiled!`](crate::compiled) fills it in.
///
/// A plain function in this crate could not: `option_env!` there would read the environment of *our* build.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compiled {
    /// Values of `RELEASE`, `SOURCE_VERSION` and `GIT_SHA` during the build, then the one that
    /// [`build`](crate::build) made, best first.
    pub releases: [Option<&'static str>; 4],
    /// The version in the application's `Cargo.toml`.
    pub version: Option<&'static str>,
    /// When the application was built, RFC 3339 in UTC; only [`build`](crate::build) sets it.
    pub built: Option<&'static str>,
}

impl Compiled {
    pub(crate) fn release(&self) -> Option<(String, Source)> {
        let release = self.releases.iter().flatten().find_map(|value| release_in(value));
        let version = || self.version.and_then(release_in).map(|version| (version, Source::CrateVersion));
        release.map(|release| (release, Source::Compiled)).or_else(version)
    }

    pub(crate) fn built(&self) -> Option<String> {
        self.built.and_then(usable).map(str::to_owned)
    }
}

/// The [`Compiled`] of the crate that this is written in.
///
/// # Examples
/// ```
/// let compiled = utils_release::compiled!();
/// assert_eq!(compiled.version, Some(env!("CARGO_PKG_VERSION")));
/// ```
#[macro_export]
macro_rules! compiled {
    () => {
        $crate::Compiled {
            releases: [
                ::core::option_env!("RELEASE"),
                ::core::option_env!("SOURCE_VERSION"),
                ::core::option_env!("GIT_SHA"),
                ::core::option_env!("UTILS_RELEASE"),
            ],
            version: ::core::option_env!("CARGO_PKG_VERSION"),
            built: ::core::option_env!("UTILS_RELEASE_BUILT"),
        }
    };
}

/// The release of the application that this is written in, found once and remembered for [`release()`](crate::release()).
///
/// Short for `ReleaseSources::new().compiled(compiled!()).install()`. Write it in the application, early in `main`; in
/// a library it would name the library's version.
#[macro_export]
macro_rules! release {
    () => {
        $crate::ReleaseSources::new().compiled($crate::compiled!()).install().as_str()
    };
}
