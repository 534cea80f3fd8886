//! What flask-utils 1.2.4 did with its settings, case by case, in `cases/flask_utils.json`.
use sentry::types::Dsn;
use serde::Deserialize;
use serde_json::{Value, json};
use utils_sentry::SentrySettings;

use crate::support::Reports;

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    given: Value,
    expect: Value,
    quirk: Option<String>,
}

/// The original's settings under our names.
fn settings_of(given: &Value) -> SentrySettings {
    let conf = given.get("conf").or(given.get("config")).unwrap();
    let mut settings = json!({"dsn": conf.get("SENTRY_DSN"), "site": conf.get("SENTRY_SITE")});
    if let Some(version) = given.get("app_version").or(given.get("version.txt")) {
        settings["release"] = version.clone();
    }
    serde_json::from_value(settings).unwrap()
}

#[test]
fn a_client_is_made_as_the_original_or_better() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("cases/flask_utils.json")).unwrap();
    assert_eq!(cases.len(), 6);
    for Case { name, given, expect, quirk } in cases {
        let settings = settings_of(&given);
        let is_off = matches!(name.as_str(), "client_missing_dsn" | "inject_empty_dsn");
        assert_eq!(settings.is_enabled(), !is_off, "{name}: {quirk:?}");
        if is_off {
            assert!(utils_sentry::init(&settings).is_none(), "{name}");
            continue;
        }
        let dsn: Dsn = settings.client_options().dsn.unwrap();
        assert_eq!((dsn.public_key(), dsn.project_id().to_string().as_str()), ("pub", "42"), "{name}");
        let events = Reports::of(&settings).during(|| {
            sentry::capture_message("x", sentry::Level::Error);
        });
        // where the original crashed or said "UNKNOWN", the release is the one of the whole application
        let release = match &expect["release"] {
            Value::String(release) if quirk.is_none() => release,
            _ => utils_release::release(),
        };
        assert_eq!(events[0].release.as_deref(), Some(release), "{name}");
        assert_eq!(events[0].tags.get("site").map(String::as_str), expect["site"].as_str(), "{name}");
    }
}

#[test]
fn settings_are_read_strictly() {
    for wrong in [json!({"dsn": "sentry.example"}), json!({"dsn": 5}), json!({"dns": "https://k@h/1"})] {
        assert!(serde_json::from_value::<SentrySettings>(wrong.clone()).is_err(), "{wrong}");
    }
    for none in [json!({}), json!({"dsn": ""}), json!({"dsn": " "}), json!({"dsn": null})] {
        assert!(!serde_json::from_value::<SentrySettings>(none.clone()).unwrap().is_enabled(), "{none}");
    }
    let error = SentrySettings::new().dsn("sentry.example").unwrap_err();
    assert_eq!(error.to_string(), "the Sentry DSN is malformed");
}
