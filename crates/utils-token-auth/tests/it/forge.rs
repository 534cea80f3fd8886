//! What the tests of tokens share: a clock that stands still, one secret, and tokens with any header and payload.
use base64_simd::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use utils_token_auth::{Keys, Registered, Sid, Token, Verifier, VerifyError, VerifyPolicy};

pub(crate) const NOW: i64 = 1_700_000_000;
pub(crate) const SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
pub(crate) const HEADER: &str = r#"{"alg":"HS256","typ":"at+jwt","kid":"1"}"#;
pub(crate) const SESSION: Sid = Sid::from_bytes([7; 16]);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) scopes: Vec<String>,
}

pub(crate) fn claims() -> Claims {
    Claims { scopes: vec!["360noscope".to_owned(), "tokens:read".to_owned()] }
}

pub(crate) fn keys() -> Keys {
    Keys::hs256("1", SECRET).unwrap()
}

pub(crate) fn policy() -> VerifyPolicy {
    VerifyPolicy::default()
}

pub(crate) fn verifier() -> Verifier {
    Verifier::new(keys(), policy()).unwrap()
}

/// A verifier whose policy was changed.
pub(crate) fn verifier_with(change: impl FnOnce(&mut VerifyPolicy)) -> Verifier {
    let mut policy = policy();
    change(&mut policy);
    Verifier::new(keys(), policy).unwrap()
}

pub(crate) fn registered() -> Registered {
    Registered {
        session: SESSION,
        subject: "alice".to_owned(),
        issued_at: NOW,
        expires_at: NOW + 900,
        not_before: None,
        auth_time: Some(NOW),
    }
}

/// A good token of `verifier()`.
pub(crate) fn minted() -> String {
    verifier().sign(&registered(), &claims()).unwrap()
}

/// A payload with these members instead of, or in addition to, those of a good token. `null` takes a member away.
pub(crate) fn payload(changes: serde_json::Value) -> String {
    let mut payload = serde_json::json!({
        "rfid": SESSION, "sub": "alice", "exp": NOW + 900, "iat": NOW, "auth_time": NOW, "scopes": ["360noscope"],
    });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            serde_json::Value::Null => payload.as_object_mut().unwrap().remove(name),
            value => payload.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    payload.to_string()
}

/// A good payload with a text in front of its last brace.
pub(crate) fn payload_and(more: &str) -> String {
    let good = payload(serde_json::json!({}));
    format!("{},{more}}}", good.strip_suffix('}').unwrap())
}

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

/// A token with any header and payload, correctly signed with any secret by HMAC-SHA256.
pub(crate) fn forge_with(secret: &[u8], header: &str, payload: impl AsRef<[u8]>) -> String {
    let message = format!("{}.{}", b64(header), b64(payload));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(message.as_bytes());
    format!("{message}.{}", b64(mac.finalize().into_bytes()))
}

/// A token with our header and any payload, signed by our key.
pub(crate) fn forge(payload: impl AsRef<[u8]>) -> String {
    forge_with(SECRET, HEADER, payload)
}

/// What became of a token: `ok`, or the refusal's text.
pub(crate) fn outcome(verifier: &Verifier, token: &str, now_ms: i64) -> String {
    let answer: Result<Token<Claims>, VerifyError> = verifier.verify(token, now_ms);
    let shared = verifier.verify_shared::<Claims>(token, now_ms);
    match (answer, shared) {
        (Ok(token), Ok(shared)) => {
            assert_eq!(token, *shared);
            "ok".to_owned()
        }
        (Err(error), Err(same)) => {
            assert_eq!(error.to_string(), same.to_string());
            error.to_string()
        }
        (answer, shared) => panic!("verify: {answer:?}, verify_shared: {shared:?}"),
    }
}

#[track_caller]
pub(crate) fn check(token: &str, expected: &str) {
    let shown = &token[..token.len().min(300)];
    assert_eq!(outcome(&verifier(), token, NOW * 1000), expected, "{shown:?}");
}

pub(crate) const OK: &str = "ok";
pub(crate) const TOO_LONG: &str = "the token is too long";
pub(crate) const MALFORMED: &str = "the token is malformed";
pub(crate) const INVALID: &str = "the token was not issued here";
pub(crate) const CLAIMS: &str = "the token's claims cannot be read";
pub(crate) const EXPIRED: &str = "the token has expired";
pub(crate) const NOT_YET: &str = "the token is not valid yet";
pub(crate) const LIFETIME: &str = "the token lives longer than is allowed";
pub(crate) const ISSUER: &str = "the token has another issuer";
pub(crate) const AUDIENCE: &str = "the token is for another audience";
