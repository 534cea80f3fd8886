//! The recorded cases, and tokens of ours in place of those they forge.
use std::collections::BTreeMap;

use base64_simd::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha512;
use utils_token_auth::Sid;

use crate::{
    forge::{HEADER, b64, forge_with},
    http_app::{SECRET, START},
};

pub(super) fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../cases/tokens.json")).unwrap()
}

#[derive(Deserialize)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) given: Given,
    pub(super) expect: Expected,
    pub(super) quirk: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Given {
    #[serde(default)]
    pub(super) tokens: BTreeMap<String, Minted>,
    pub(super) steps: Vec<Step>,
}

/// A token that was not handed out by a login.
#[derive(Deserialize)]
pub(super) struct Minted {
    pub(super) jwt: String,
    pub(super) payload: Value,
    pub(super) secret: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Step {
    pub(super) now: i64,
    #[serde(flatten)]
    pub(super) what: What,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum What {
    Sql {
        sql: String,
    },
    Request {
        method: String,
        path: String,
        #[serde(default)]
        headers: Vec<(String, String)>,
        json: Option<Value>,
        body: Option<String>,
        #[serde(default)]
        save: BTreeMap<String, String>,
    },
}

#[derive(Deserialize)]
pub(super) struct Expected {
    pub(super) steps: Vec<Recorded>,
}

#[derive(Deserialize)]
pub(super) struct Recorded {
    pub(super) status: Option<u16>,
    pub(super) json: Option<Value>,
    pub(super) text: Option<String>,
    pub(super) jws: Option<Value>,
}

/// A token with the same claims and the same fault, in our format and under our key.
pub(super) fn made_anew(minted: &Minted) -> String {
    let theirs = minted.jwt.split('.').next().unwrap();
    let theirs: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode_to_vec(theirs).unwrap()).unwrap();
    // `iat` is what distinguishes a token from the others in the tutorial; ours has an id for it
    let mut payload = json!({ "rfid": Sid::from_bytes([0xee; 16]), "iat": START / 1000, "scopes": [] });
    let members = payload.as_object_mut().unwrap();
    members.extend(theirs.get("exp").map(|exp| ("exp".to_owned(), exp.clone())));
    let claims = minted.payload.as_object().unwrap().iter();
    members.extend(claims.map(|(name, id)| (name.clone(), Value::String(id.to_string()))));
    let payload = payload.to_string();
    match (theirs["alg"].as_str(), &minted.secret) {
        (Some("HS256"), None) => forge_with(SECRET, HEADER, payload),
        (Some("HS256"), Some(other)) => forge_with(other.as_bytes(), HEADER, payload),
        (Some("HS512"), None) => {
            let message = format!("{}.{}", b64(HEADER.replace("HS256", "HS512")), b64(payload));
            let mut mac = Hmac::<Sha512>::new_from_slice(SECRET).unwrap();
            mac.update(message.as_bytes());
            format!("{message}.{}", b64(mac.finalize().into_bytes()))
        }
        other => panic!("{other:?}"),
    }
}
