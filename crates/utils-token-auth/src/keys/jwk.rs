use std::sync::Arc;

use base64_simd::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use serde_json::Value;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{KeyError, der, pair::KeyPair};

/// What a JSON Web Key holds, RFC 7517.
pub(super) enum Jwk {
    Secret { kid: String, algorithm: Algorithm, secret: Zeroizing<Vec<u8>> },
    Pair { kid: String, algorithm: Algorithm, pair: Arc<KeyPair> },
}

impl Jwk {
    pub(super) fn read(jwk: &Value) -> Result<Self, KeyError> {
        let members = Members(jwk);
        members.check_use()?;
        let algorithm = members.algorithm()?;
        if algorithm.family() == AlgorithmFamily::Hmac {
            let kid = members.text("kid")?.ok_or(KeyError::Kid)?.to_owned();
            return Ok(Self::Secret { kid, algorithm, secret: members.bytes("k")? });
        }
        let pair = match members.text("d")? {
            Some(_) => KeyPair::from_private(algorithm, members.private(algorithm)?)?,
            None => KeyPair::from_public(algorithm, members.public(algorithm)?)?,
        };
        // the public members must be those of the private key
        let theirs = pair.public_jwk().as_object().into_iter().flatten();
        if theirs.into_iter().any(|(name, value)| jwk.get(name) != Some(value)) {
            return Err(KeyError::Mismatch);
        }
        let kid = members.text("kid")?.map_or_else(|| thumbprint(pair.public_jwk()), str::to_owned);
        Ok(Self::Pair { kid, algorithm, pair })
    }
}

/// RFC 7638: SHA-256 over the required members in the order of their names, which is how `Value` writes them.
fn thumbprint(public_jwk: &Value) -> String {
    let members: std::collections::BTreeMap<&String, &Value> =
        public_jwk.as_object().into_iter().flatten().collect();
    let json = serde_json::to_string(&members).unwrap_or_default();
    URL_SAFE_NO_PAD.encode_to_string(Sha256::digest(json))
}

struct Members<'a>(&'a Value);

impl<'a> Members<'a> {
    fn text(&self, name: &'static str) -> Result<Option<&'a str>, KeyError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(KeyError::Jwk(name)),
        }
    }

    fn bytes(&self, name: &'static str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let text = self.text(name)?.ok_or(KeyError::Jwk(name))?;
        URL_SAFE_NO_PAD.decode_to_vec(text).map(Zeroizing::new).map_err(|_| KeyError::Jwk(name))
    }

    /// A key made for something else than signatures stays away from them, RFC 7517 sections 4.2 and 4.3.
    fn check_use(&self) -> Result<(), KeyError> {
        if self.text("use")?.is_some_and(|made_for| made_for != "sig") {
            return Err(KeyError::Jwk("use"));
        }
        let needed = if self.0.get("d").is_some() { "sign" } else { "verify" };
        match self.0.get("key_ops") {
            None => Ok(()),
            Some(Value::Array(operations)) if operations.iter().any(|it| it == needed) => Ok(()),
            Some(_) => Err(KeyError::Jwk("key_ops")),
        }
    }

    /// The one algorithm of the key: `alg`, or what its curve leaves no choice about.
    fn algorithm(&self) -> Result<Algorithm, KeyError> {
        let named = match self.text("alg")? {
            Some(name) => Some(name.parse::<Algorithm>().map_err(|_| KeyError::Jwk("alg"))?),
            None => None,
        };
        let of_the_key = match (self.text("kty")?, self.text("crv")?) {
            (Some("OKP"), Some("Ed25519")) => Some(Algorithm::EdDSA),
            (Some("EC"), Some("P-256")) => Some(Algorithm::ES256),
            (Some("EC"), Some("P-384")) => Some(Algorithm::ES384),
            (Some("RSA"), None) => named.filter(|it| it.family() == AlgorithmFamily::Rsa),
            (Some("oct"), None) => named.filter(|it| it.family() == AlgorithmFamily::Hmac),
            _ => return Err(KeyError::Jwk("kty")),
        };
        match (of_the_key, named) {
            (Some(algorithm), None) => Ok(algorithm),
            (Some(algorithm), Some(named)) if algorithm == named => Ok(algorithm),
            _ => Err(KeyError::Jwk("alg")),
        }
    }

    fn public(&self, algorithm: Algorithm) -> Result<DecodingKey, KeyError> {
        Ok(match algorithm.family() {
            AlgorithmFamily::Ed => DecodingKey::from_ed_der(&self.bytes("x")?),
            AlgorithmFamily::Ec => {
                DecodingKey::from_ec_der(&[&[4], &self.bytes("x")?[..], &self.bytes("y")?[..]].concat())
            }
            AlgorithmFamily::Rsa => {
                DecodingKey::from_rsa_raw_components(&self.bytes("n")?, &self.bytes("e")?)
            }
            AlgorithmFamily::Hmac => return Err(KeyError::Unsupported),
        })
    }

    fn private(&self, algorithm: Algorithm) -> Result<EncodingKey, KeyError> {
        Ok(match algorithm {
            Algorithm::EdDSA => EncodingKey::from_ed_der(&der::ed25519(&self.bytes("d")?)),
            Algorithm::ES256 | Algorithm::ES384 => {
                let (curve, size) = match algorithm {
                    Algorithm::ES256 => (der::P256, 32),
                    _ => (der::P384, 48),
                };
                let (d, x, y) = (self.bytes("d")?, self.bytes("x")?, self.bytes("y")?);
                if [&d, &x, &y].iter().any(|bytes| bytes.len() != size) {
                    return Err(KeyError::Jwk("d"));
                }
                EncodingKey::from_ec_der(&der::ec(curve, &d, &[&[4], &x[..], &y[..]].concat()))
            }
            _ => {
                let mut numbers = Vec::with_capacity(8);
                for name in ["n", "e", "d", "p", "q", "dp", "dq", "qi"] {
                    numbers.push(self.bytes(name)?);
                }
                EncodingKey::from_rsa_der(&der::rsa(&numbers))
            }
        })
    }
}
