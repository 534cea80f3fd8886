//! Each feature brings the module of its name, and that module is the crate.

use std::any::type_name;

/// One name of each crate that is on, used through the facade, by its feature.
fn names() -> Vec<(&'static str, &'static str)> {
    vec![
        #[cfg(feature = "config")]
        ("config", type_name::<webutils::config::UrlParts>()),
        #[cfg(feature = "jobs")]
        ("jobs", type_name::<webutils::jobs::PoolSettings>()),
        #[cfg(feature = "pagination")]
        ("pagination", type_name::<webutils::pagination::PageParams>()),
        #[cfg(feature = "release")]
        ("release", type_name::<webutils::release::Release>()),
        #[cfg(feature = "restful")]
        ("restful", type_name::<webutils::restful::Restful>()),
        #[cfg(feature = "sentry")]
        ("sentry", type_name::<webutils::sentry::SentrySettings>()),
        #[cfg(feature = "testing")]
        ("testing", type_name::<webutils::testing::TestApp>()),
        #[cfg(feature = "token-auth")]
        ("token-auth", type_name::<webutils::token_auth::Policy>()),
        #[cfg(feature = "webargs")]
        ("webargs", type_name::<webutils::webargs::ArgsError>()),
    ]
}

#[test]
fn a_feature_brings_the_crate_of_its_name() {
    for (feature, name) in names() {
        let of_the_crate = format!("utils_{}::", feature.replace('-', "_"));
        assert!(name.starts_with(&of_the_crate), "{feature}: {name}");
    }
}
