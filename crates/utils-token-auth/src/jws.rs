use std::{collections::BTreeSet, sync::Arc};

use base64_simd::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::{
    claims::member_names,
    keys::{KeyError, KeyPair, Mac},
};

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
    material: Material,
}

#[derive(Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "a ring has a handful of keys; a box is one more hop when verifying"
)]
pub(crate) enum Material {
    Secret(Mac),
    Pair(Arc<KeyPair>),
}

impl Key {
    pub(crate) fn new(kid: &str, algorithm: &'static str, material: Material) -> Result<Self, KeyError> {
        if !(1..=64).contains(&kid.len()) || !kid.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(KeyError::Kid);
        }
        let minted = format!(r#"{{"alg":"{algorithm}","typ":"at+jwt","kid":{}}}"#, Value::from(kid));
        Ok(Self { kid: kid.to_owned(), algorithm, headers: vec![segment(&minted)], material })
    }

    /// Lets tokens with exactly this header in, beside our own.
    pub(crate) fn accept_header(&mut self, json: &str) -> Result<(), KeyError> {
        let names = member_names(json).map_err(|_| KeyError::Header)?;
        let header: Map<String, Value> = serde_json::from_str(json).map_err(|_| KeyError::Header)?;
        if names.iter().collect::<BTreeSet<_>>().len() != names.len() {
            return Err(KeyError::Header);
        }
        let changes_the_reading = ["crit", "b64", "enc", "zip"].iter().any(|name| header.contains_key(*name));
        if changes_the_reading || header.get("alg").and_then(Value::as_str) != Some(self.algorithm) {
            return Err(KeyError::Header);
        }
        self.headers.push(segment(json));
        Ok(())
    }

    /// Whether the token claims to be of this key, by its header.
    #[inline]
    pub(crate) fn is_named_by(&self, token: &str) -> bool {
        self.headers.iter().any(|header| token.starts_with(header.as_str()))
    }

    /// The payload segment, still encoded, of a token that this key has signed.
    #[inline]
    pub(crate) fn open<'t>(&self, token: &'t str) -> Option<&'t str> {
        let rest = self.headers.iter().find_map(|header| token.strip_prefix(header.as_str()))?;
        let (payload, signature) = rest.rsplit_once('.')?;
        let message = token.as_bytes().get(..token.len() - signature.len() - 1)?;
        let genuine = match &self.material {
            Material::Secret(mac) => mac.verifies(message, signature),
            Material::Pair(pair) => pair.verifies(message, &URL_SAFE_NO_PAD.decode_to_vec(signature).ok()?),
        };
        genuine.then_some(payload)
    }

    /// A token with this payload.
    pub(crate) fn seal(&self, payload: &[u8]) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        let mut token = String::with_capacity(self.headers[0].len() + payload.len() * 4 / 3 + 88);
        token.push_str(&self.headers[0]);
        URL_SAFE_NO_PAD.encode_append(payload, &mut token);
        match &self.material {
            Material::Secret(mac) => mac.sign(&mut token),
            Material::Pair(pair) => {
                let signature = pair.sign(token.as_bytes())?;
                token.push('.');
                URL_SAFE_NO_PAD.encode_append(signature, &mut token);
            }
        }
        Ok(token)
    }

    pub(crate) fn can_sign(&self) -> bool {
        self.pair().is_none_or(|pair| pair.can_sign())
    }

    /// The key pair of an asymmetric algorithm, whose signatures are dear to verify and whose public key is public.
    #[inline]
    pub(crate) fn pair(&self) -> Option<&Arc<KeyPair>> {
        match &self.material {
            Material::Secret(_) => None,
            Material::Pair(pair) => Some(pair),
        }
    }
}

fn segment(json: &str) -> String {
    URL_SAFE_NO_PAD.encode_to_string(json) + "."
}
