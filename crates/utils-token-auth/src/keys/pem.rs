use std::sync::Arc;

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};

use super::{
    KeyError,
    pair::{KeyPair, unreadable},
};

/// The pair in a private PEM file: PKCS#8, for RSA PKCS#1 as well.
pub(super) fn private(algorithm: Algorithm, pem: &str) -> Result<Arc<KeyPair>, KeyError> {
    let key = pem.as_bytes();
    let key = match (algorithm.family(), label(pem)?) {
        (AlgorithmFamily::Ed, "PRIVATE KEY") => EncodingKey::from_ed_pem(key),
        (AlgorithmFamily::Ec, "PRIVATE KEY") => EncodingKey::from_ec_pem(key),
        (AlgorithmFamily::Rsa, "PRIVATE KEY" | "RSA PRIVATE KEY") => EncodingKey::from_rsa_pem(key),
        _ => return Err(KeyError::Pem),
    };
    KeyPair::from_private(algorithm, key.map_err(unreadable)?)
}

/// The key in a public PEM file: SubjectPublicKeyInfo, for RSA PKCS#1 as well. Certificates are not taken: nothing
/// here would check who issued them and until when they are valid.
pub(super) fn public(algorithm: Algorithm, pem: &str) -> Result<Arc<KeyPair>, KeyError> {
    let key = pem.as_bytes();
    let key = match (algorithm.family(), label(pem)?) {
        (AlgorithmFamily::Ed, "PUBLIC KEY") => DecodingKey::from_ed_pem(key),
        (AlgorithmFamily::Ec, "PUBLIC KEY") => DecodingKey::from_ec_pem(key),
        (AlgorithmFamily::Rsa, "PUBLIC KEY" | "RSA PUBLIC KEY") => DecodingKey::from_rsa_pem(key),
        _ => return Err(KeyError::Pem),
    };
    KeyPair::from_public(algorithm, key.map_err(unreadable)?)
}

/// The label of the only block in the file.
fn label(pem: &str) -> Result<&str, KeyError> {
    let mut labels =
        pem.split("-----BEGIN ").skip(1).map(|block| block.split("-----").next().unwrap_or_default());
    match (labels.next(), labels.next()) {
        (Some(label), None) => Ok(label),
        _ => Err(KeyError::Pem),
    }
}
