use base64_simd::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::keys::{KeyError, Mac};

/// One key with its one algorithm (RFC 8725 section 3.1), as the compact serialization of RFC 7515 uses it.
///
/// A token names its key by the whole header segment, compared byte for byte with the headers this key mints or was
/// told to accept. No header is ever decoded, so there is no `alg`, `kid`, `jku`, `jwk` or `crit` to attack.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) kid: String,
    pub(crate) algorithm: &'static str,
    /// Encoded, each with the dot that ends it; the first is the one we mint.
    headers: Vec<String>,
    mac: Mac,
}

impl Key {
    pub(crate) fn new(kid: &str, algorithm: &'static str, mac: Mac) -> Result<Self, KeyError> {
        if !(1..=64).contains(&kid.len()) || !kid.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(KeyError::Kid);
        }
        let minted = format!(r#"{{"alg":"{algorithm}","typ":"at+jwt","kid":{}}}"#, Value::from(kid));
        Ok(Self { kid: kid.to_owned(), algorithm, headers: vec![segment(&minted)], mac })
    }

    /// Lets tokens with exactly this header in, beside our own.
    pub(crate) fn accept_header(&mut self, json: &str) -> Result<(), KeyError> {
        let header: Map<String, Value> = serde_json::from_str(json).map_err(|_| KeyError::Header)?;
        let changes_the_reading = ["crit", "b64", "enc", "zip"].iter().any(|name| header.contains_key(*name));
        if changes_the_reading || header.get("alg").and_then(Value::as_str) != Some(self.algorithm) {
            return Err(KeyError::Header);
        }
        self.headers.push(segment(json));
        Ok(())
    }

    /// The payload segment, still encoded, of a token that this key has signed.
    #[inline]
    pub(crate) fn open<'t>(&self, token: &'t str) -> Option<&'t str> {
        let rest = self.headers.iter().find_map(|header| token.strip_prefix(header.as_str()))?;
        let (payload, signature) = rest.rsplit_once('.')?;
        let message = token.len() - signature.len() - 1;
        self.mac.verifies(token.as_bytes().get(..message)?, signature).then_some(payload)
    }

    /// A token with this payload.
    pub(crate) fn seal(&self, payload: &str) -> String {
        let mut token = String::with_capacity(self.headers[0].len() + payload.len() * 4 / 3 + 88);
        token.push_str(&self.headers[0]);
        URL_SAFE_NO_PAD.encode_append(payload, &mut token);
        self.mac.sign(&mut token);
        token
    }
}

fn segment(json: &str) -> String {
    URL_SAFE_NO_PAD.encode_to_string(json) + "."
}
