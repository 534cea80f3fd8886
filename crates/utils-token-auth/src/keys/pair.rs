use std::{cell::RefCell, sync::Arc};

use base64_simd::URL_SAFE_NO_PAD;
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier},
};
use serde_json::{Value, json};

use super::KeyError;
use crate::per_thread::PerThread;

#[cfg(feature = "aws-lc")]
static PROVIDER: &CryptoProvider = &jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
#[cfg(not(feature = "aws-lc"))]
static PROVIDER: &CryptoProvider = &jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;

/// A public key and, where we sign, its private key.
///
/// The provider is called by name, never through the process-wide default: that one belongs to the application.
pub(crate) struct KeyPair {
    algorithm: Algorithm,
    public: DecodingKey,
    private: Option<EncodingKey>,
    /// The public members of the key's JWK, RFC 7518 section 6.
    public_jwk: Value,
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

thread_local! {
    static VERIFIERS: RefCell<PerThread<KeyPair, Box<dyn JwtVerifier>>> = const { RefCell::new(PerThread::new()) };
    static SIGNERS: RefCell<PerThread<KeyPair, Box<dyn JwtSigner>>> = const { RefCell::new(PerThread::new()) };
}

impl KeyPair {
    /// The pair of this private key, tried once.
    pub(crate) fn from_private(algorithm: Algorithm, private: EncodingKey) -> Result<Arc<Self>, KeyError> {
        let utils = &PROVIDER.key_utils;
        let der = private.as_bytes();
        let public = match algorithm.family() {
            AlgorithmFamily::Ed => {
                let curve = jsonwebtoken::jwk::EllipticCurve::Ed25519;
                let x = (utils.ed_pub_components_from_private_key)(der, &curve).map_err(unreadable)?;
                DecodingKey::from_ed_der(&x)
            }
            AlgorithmFamily::Ec => {
                let (_, x, y) =
                    (utils.ec_pub_components_from_private_key)(der, algorithm).map_err(unreadable)?;
                DecodingKey::from_ec_der(&[&[4], &x[..], &y[..]].concat())
            }
            AlgorithmFamily::Rsa => {
                let (n, e) = (utils.rsa_pub_components_from_private_key)(der).map_err(unreadable)?;
                DecodingKey::from_rsa_raw_components(&n, &e)
            }
            AlgorithmFamily::Hmac => return Err(KeyError::Unsupported),
        };
        let pair = Self::checked(algorithm, public, Some(private))?;
        let signature = pair.sign(b"a key must be able to sign").map_err(KeyError::Unreadable)?;
        if pair.verifies(b"a key must be able to sign", &signature) {
            Ok(pair)
        } else {
            Err(KeyError::Mismatch)
        }
    }

    /// A public key, which verifies only.
    pub(crate) fn from_public(algorithm: Algorithm, public: DecodingKey) -> Result<Arc<Self>, KeyError> {
        Self::checked(algorithm, public, None)
    }

    fn checked(
        algorithm: Algorithm,
        public: DecodingKey,
        private: Option<EncodingKey>,
    ) -> Result<Arc<Self>, KeyError> {
        let public_jwk = public_jwk(algorithm, &public)?;
        // also checks that the bytes are a key: a point of the curve, a modulus the provider can work with
        let pair = Arc::new(Self { algorithm, public, private, public_jwk });
        VERIFIERS
            .with_borrow_mut(|kept| kept.get_or_make(&pair, || pair.verifier()).map(drop))
            .map_err(unreadable)?;
        Ok(pair)
    }

    pub(crate) fn public_jwk(&self) -> &Value {
        &self.public_jwk
    }

    pub(crate) fn private_der(&self) -> Option<&[u8]> {
        self.private.as_ref().map(EncodingKey::as_bytes)
    }

    pub(crate) fn can_sign(&self) -> bool {
        self.private.is_some()
    }

    /// Whether the signature, as bytes, is of this key.
    pub(crate) fn verifies(self: &Arc<Self>, message: &[u8], signature: &Vec<u8>) -> bool {
        let kept = VERIFIERS.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            let verifier = kept.get_or_make(self, || self.verifier());
            verifier.is_ok_and(|verifier| verifier.verify(message, signature).is_ok())
        });
        // a thread that is ending has let go of its verifiers already
        kept.unwrap_or_else(|_| self.verifier().is_ok_and(|it| it.verify(message, signature).is_ok()))
    }

    /// The signature of the message, as bytes.
    pub(crate) fn sign(self: &Arc<Self>, message: &[u8]) -> Result<Vec<u8>, Cause> {
        let kept = SIGNERS.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            Ok(kept.get_or_make(self, || self.signer())?.try_sign(message)?)
        });
        kept.unwrap_or_else(|_| Ok(self.signer()?.try_sign(message)?))
    }

    fn verifier(&self) -> jsonwebtoken::errors::Result<Box<dyn JwtVerifier>> {
        (PROVIDER.verifier_factory)(&self.algorithm, &self.public)
    }

    fn signer(&self) -> Result<Box<dyn JwtSigner>, Cause> {
        let private = self.private.as_ref().ok_or("a public key cannot sign")?;
        Ok((PROVIDER.signer_factory)(&self.algorithm, private)?)
    }
}

pub(crate) fn unreadable(cause: jsonwebtoken::errors::Error) -> KeyError {
    KeyError::Unreadable(cause.into())
}

fn public_jwk(algorithm: Algorithm, public: &DecodingKey) -> Result<Value, KeyError> {
    use jsonwebtoken::DecodingKeyKind::{RsaModulusExponent, SecretOrDer};

    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode_to_string(bytes);
    match (algorithm, public.kind()) {
        (Algorithm::EdDSA, SecretOrDer(x)) if x.len() == 32 => {
            Ok(json!({ "kty": "OKP", "crv": "Ed25519", "x": text(x) }))
        }
        (Algorithm::ES256, SecretOrDer(point)) => {
            let (x, y) = coordinates(point, 32)?;
            Ok(json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y) }))
        }
        (Algorithm::ES384, SecretOrDer(point)) => {
            let (x, y) = coordinates(point, 48)?;
            Ok(json!({ "kty": "EC", "crv": "P-384", "x": text(x), "y": text(y) }))
        }
        (algorithm, kind) if algorithm.family() == AlgorithmFamily::Rsa => {
            let (n, e) = match kind {
                RsaModulusExponent { n, e } => (n.clone(), e.clone()),
                SecretOrDer(der) => {
                    (PROVIDER.key_utils.rsa_pub_components_from_public_key)(der).map_err(unreadable)?
                }
            };
            let n = n.get(n.iter().take_while(|byte| **byte == 0).count()..).unwrap_or_default();
            let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
            if bits < 2048 {
                return Err(KeyError::WeakRsaKey { bits });
            }
            Ok(json!({ "kty": "RSA", "n": text(n), "e": text(&e) }))
        }
        _ => Err(KeyError::Unsupported),
    }
}

/// The coordinates of an uncompressed point, SEC 1 section 2.3.3.
fn coordinates(point: &[u8], size: usize) -> Result<(&[u8], &[u8]), KeyError> {
    match point.split_first() {
        Some((4, coordinates)) if coordinates.len() == 2 * size => Ok(coordinates.split_at(size)),
        _ => Err(KeyError::Unsupported),
    }
}
