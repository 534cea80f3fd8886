//! Access tokens: no input makes the verifier panic, and it never accepts what jsonwebtoken refuses.
//!
//! ```text
//! cargo +nightly fuzz run verify
//! ```
#![no_main]
use std::sync::OnceLock;

use base64_simd::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Sha256;
use utils_token_auth::{Keys, Registered, Sid, Verifier, VerifyPolicy};

const NOW: i64 = 1_700_000_000;
const SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
const HEADER: &str = r#"{"alg":"HS256","typ":"at+jwt","kid":"1"}"#;

#[derive(Serialize, Deserialize)]
struct Claims {
    scopes: Vec<String>,
}

struct Subject {
    verifier: Verifier,
    token: String,
    key: DecodingKey,
    validation: Validation,
}

fn subject() -> &'static Subject {
    static SUBJECT: OnceLock<Subject> = OnceLock::new();
    SUBJECT.get_or_init(|| {
        let keys = Keys::hs256("1", SECRET).expect("a good secret");
        let verifier = Verifier::new(keys, VerifyPolicy::default()).expect("a good policy");
        let registered = Registered {
            session: Sid::from_bytes([7; 16]),
            subject: "alice".to_owned(),
            issued_at: NOW,
            expires_at: NOW + 900,
            not_before: None,
            auth_time: Some(NOW),
        };
        let token = verifier.sign(&registered, &Claims { scopes: Vec::new() }).expect("a good token");
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false; // its clock cannot be set
        Subject { verifier, token, key: DecodingKey::from_secret(SECRET), validation }
    })
}

fn signed(header: &[u8], payload: &[u8]) -> String {
    let message =
        [URL_SAFE_NO_PAD.encode_to_string(header), URL_SAFE_NO_PAD.encode_to_string(payload)].join(".");
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("HMAC takes any key");
    mac.update(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode_to_string(mac.finalize().into_bytes()))
}

fn check(token: &str) -> bool {
    let Subject { verifier, key, validation, .. } = subject();
    let _ = verifier.verify::<Claims>(token, NOW * 1000);
    let Ok(ours) = verifier.verify::<Value>(token, NOW * 1000) else { return false };
    let theirs = jsonwebtoken::decode::<Value>(token, key, validation).expect("jsonwebtoken accepts it too").claims;
    assert_eq!(theirs["sub"], ours.user.as_str());
    assert_eq!(theirs["exp"], ours.expires_at);
    true
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    match kind % 4 {
        // any text
        0 => {
            let text = String::from_utf8_lossy(rest);
            assert!(!check(&text) || *text == subject().token);
        }
        // any payload under our signature
        1 => {
            check(&signed(HEADER.as_bytes(), rest));
        }
        // any header under our signature
        2 => assert!(!check(&signed(rest, br#"{"sub":"alice"}"#))),
        // a good token with bytes changed: pairs of a place and a byte
        _ => {
            let mut bytes = subject().token.clone().into_bytes();
            for change in rest.chunks_exact(3) {
                let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
                bytes[at] = change[2];
            }
            let text = String::from_utf8_lossy(&bytes);
            assert_eq!(check(&text), *text == subject().token);
        }
    }
});
