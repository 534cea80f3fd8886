//! Against jsonwebtoken: whatever it refuses, we refuse. We may refuse more.
use std::sync::OnceLock;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use proptest::prelude::*;
use serde_json::Value;
use utils_token_auth::{Keys, Verifier};

use crate::forge::{self, HEADER, NOW, SECRET, b64, forge_with, payload, policy, registered};

struct Subject {
    verifier: Verifier,
    key: DecodingKey,
    algorithm: Algorithm,
    token: String,
}

impl Subject {
    fn new(keys: Keys, key: DecodingKey, algorithm: Algorithm) -> Self {
        let verifier = Verifier::new(keys, policy()).unwrap();
        let token = verifier.sign(&registered(), &forge::claims()).unwrap();
        Self { verifier, key, algorithm, token }
    }

    /// Whether we accept the token; if so, jsonwebtoken does, and reads the same claims.
    fn accepts(&self, token: &str) -> bool {
        let Ok(ours) = self.verifier.verify::<Value>(token, NOW * 1000) else { return false };
        let mut validation = Validation::new(self.algorithm);
        // its clock cannot be set, so that times are left to the tests that can set ours
        validation.validate_exp = false;
        validation.validate_aud = true;
        let theirs = jsonwebtoken::decode::<Value>(token, &self.key, &validation);
        let theirs = theirs.unwrap_or_else(|error| panic!("jsonwebtoken refuses {token:?}: {error}")).claims;
        assert_eq!(theirs["sub"], ours.user.as_str());
        assert_eq!(theirs["exp"], ours.expires_at);
        assert_eq!(theirs["iat"], ours.issued_at);
        for (name, value) in ours.claims.as_object().unwrap() {
            assert_eq!(&theirs[name], value);
        }
        true
    }
}

fn subjects() -> &'static [Subject] {
    static SUBJECTS: OnceLock<Vec<Subject>> = OnceLock::new();
    SUBJECTS.get_or_init(|| {
        // the process is ours: with both providers built, jsonwebtoken's own functions want one to be named
        let _ = jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER.install_default();
        let secret = DecodingKey::from_secret(SECRET);
        let ed25519 = DecodingKey::from_ed_pem(include_bytes!("vectors/keys/ed25519.pub.pem")).unwrap();
        let es256 = DecodingKey::from_ec_pem(include_bytes!("vectors/keys/es256.pub.pem")).unwrap();
        vec![
            Subject::new(forge::keys(), secret, Algorithm::HS256),
            Subject::new(
                Keys::ed25519("1", include_str!("vectors/keys/ed25519.pem")).unwrap(),
                ed25519,
                Algorithm::EdDSA,
            ),
            Subject::new(
                Keys::es256("1", include_str!("vectors/keys/es256.pem")).unwrap(),
                es256,
                Algorithm::ES256,
            ),
        ]
    })
}

/// JSON values, with numbers and names that are near to those of a token.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|it| it.to_string()),
        any::<i64>().prop_map(|it| it.to_string()),
        any::<u64>().prop_map(|it| it.to_string()),
        (NOW - 1000..NOW + 2000).prop_map(|it| it.to_string()),
        any::<f64>().prop_map(|it| serde_json::json!(it).to_string()),
        Just("1e400".to_owned()),
        Just("-0".to_owned()),
        Just("01".to_owned()),
        Just(format!("{NOW}.0")),
        ".{0,12}".prop_map(|it| serde_json::json!(it).to_string()),
        Just(r#""\ud800""#.to_owned()),
        Just(r#""0f8fad5bd9cb469fa16570867728950e""#.to_owned()),
        Just(r#""BwcHBwcHBwcHBwcHBwcHBw""#.to_owned()),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec((name(), inner), 0..4).prop_map(|all| {
                let members: Vec<_> = all.iter().map(|(name, value)| format!("{name}:{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            r#""rfid""#,
            r#""sub""#,
            r#""exp""#,
            r#""iat""#,
            r#""nbf""#,
            r#""auth_time""#,
            r#""iss""#,
            r#""aud""#,
            r#""scopes""#,
            r#""e\u0078p""#,
            r#""\u0073ub""#,
            r#""EXP""#,
            r#""""#,
        ])
        .prop_map(str::to_owned),
        "[a-z]{1,6}".prop_map(|it| format!("\"{it}\"")),
    ]
}

/// A payload: a good one, with members left out, changed, added, in any order, perhaps cut or with more behind it.
fn payloads() -> impl Strategy<Value = String> {
    let good: Vec<(String, String)> = serde_json::from_str::<Value>(&payload(serde_json::json!({})))
        .unwrap()
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (format!("\"{name}\""), value.to_string()))
        .collect();
    let left_out = prop_oneof![4 => Just(usize::MAX), 1 => 0..6_usize];
    let added = prop::collection::vec((name(), json()), 0..3);
    let end = prop_oneof![
        8 => Just(String::new()),
        1 => Just("}".to_owned()),
        1 => Just("\0".to_owned()),
        1 => Just(" \n".to_owned()),
        1 => Just("//".to_owned()),
    ];
    (Just(good), left_out, added, end).prop_flat_map(|(mut members, left_out, added, end)| {
        if left_out < members.len() {
            members.remove(left_out);
        }
        members.extend(added);
        (Just(members).prop_shuffle(), Just(end)).prop_map(|(members, end)| {
            let members: Vec<_> = members.iter().map(|(name, value)| format!("{name}:{value}")).collect();
            format!("{{{}}}{end}", members.join(","))
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn a_payload_we_accept_is_accepted_by_jsonwebtoken(payload in payloads()) {
        subjects()[0].accepts(&forge_with(SECRET, HEADER, payload));
    }

    #[test]
    fn a_header_we_accept_is_accepted_by_jsonwebtoken(
        header in prop_oneof![
            json(),
            Just(HEADER.to_owned()),
            (name(), json()).prop_map(|(name, value)| HEADER.replace('}', &format!(",{name}:{value}}}"))),
            (0..HEADER.len(), any::<char>()).prop_map(|(at, with)| {
                let mut header = HEADER.to_owned();
                header.replace_range(at..=at, &with.to_string());
                header
            }),
        ],
    ) {
        let accepted = subjects()[0].accepts(&forge_with(SECRET, &header, payload(serde_json::json!({}))));
        prop_assert_eq!(accepted, header == HEADER);
    }

    #[test]
    fn a_text_that_was_changed_is_refused(
        which in prop_oneof![8 => Just(0_usize), 1 => Just(1), 1 => Just(2)],
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8, any::<u8>()), 1..4),
    ) {
        let subject = &subjects()[which];
        let mut bytes = subject.token.clone().into_bytes();
        for (at, kind, byte) in edits {
            let at = at.index(bytes.len());
            let byte = byte & 0x7f;
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        let changed = String::from_utf8(bytes).unwrap();
        // the same text again, or the same signature in another spelling; the first is the only one there may be
        prop_assert_eq!(subject.accepts(&changed), changed == subject.token);
    }

    #[test]
    fn any_text_is_refused_without_a_panic(text in ".{0,200}", segments in prop::collection::vec(".{0,40}", 0..6)) {
        let segments: Vec<String> = segments.iter().map(b64).collect();
        for subject in subjects() {
            prop_assert!(!subject.accepts(&text));
            prop_assert!(!subject.accepts(&segments.join(".")));
        }
    }
}

#[test]
fn the_good_tokens_are_accepted_by_both() {
    for subject in subjects() {
        assert!(subject.accepts(&subject.token), "{:?}", subject.algorithm);
    }
    assert!(subjects()[0].accepts(&forge_with(SECRET, HEADER, payload(serde_json::json!({})))));
}
