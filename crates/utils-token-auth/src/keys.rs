mod der;
mod error;
mod hmac;
mod jwk;
mod pair;
mod pem;

use std::{fmt, sync::Arc};

use hkdf::Hkdf;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use sha2::Sha256;
use zeroize::Zeroizing;

pub use self::error::KeyError;
use self::jwk::Jwk;
pub(crate) use self::{hmac::Mac, pair::KeyPair};
use crate::jws::{Key, Material};

/// The keys of access tokens: one that signs, and any number of older ones whose tokens still verify.
///
/// A clone is cheap and shares the keys. `Debug` shows key ids and algorithms only.
///
/// The cryptography provider of jsonwebtoken is called by name; the process-wide one is neither used nor set. An
/// application that itself calls `jsonwebtoken::decode` in a program where both of its providers are built, as the
/// feature `aws-lc` does, has to choose one with `CryptoProvider::install_default`.
///
/// # Examples
/// Rotating a secret without signing anybody out: the new key signs, and the old one stays listed until its last refresh
/// token is over: for [`Policy::idle`](crate::Policy::idle), or for [`Policy::absolute`](crate::Policy::absolute) where
/// refresh tokens do not rotate. Of a key pair it is the private key that stays listed: refresh tokens need it, in the
/// encoding it has. They are signed with a key derived from the bytes of its DER, so the same private key written in
/// another way (as a JWK, or converted by a tool) signs the same access tokens, and knows none of the refresh tokens.
/// ```
/// use utils_token_auth::Keys;
///
/// let keys = Keys::hs256("2026-11", b"a secret of at least 32 bytes, from a file")?
///     .and_verify(Keys::hs256("2026-05", b"the secret that signed until now, 32 bytes")?);
/// # Ok::<(), utils_token_auth::KeyError>(())
/// ```
#[derive(Clone)]
pub struct Keys(Arc<Vec<Held>>);

#[derive(Clone)]
struct Held {
    key: Key,
    /// From which keys for other purposes are derived; no public key has it.
    root: Option<Zeroizing<[u8; 32]>>,
}

impl Keys {
    /// HMAC with SHA-256, for services that share a secret of at least 32 bytes.
    ///
    /// # Errors
    /// [`KeyError::WeakSecret`], [`KeyError::PublicKeyAsSecret`], [`KeyError::Kid`].
    pub fn hs256(kid: &str, secret: &[u8]) -> Result<Self, KeyError> {
        Self::from_secret(kid, "HS256", 32, secret, Mac::sha256)
    }

    /// HMAC with SHA-384 and a secret of at least 48 bytes.
    ///
    /// # Errors
    /// [`KeyError::WeakSecret`], [`KeyError::PublicKeyAsSecret`], [`KeyError::Kid`].
    pub fn hs384(kid: &str, secret: &[u8]) -> Result<Self, KeyError> {
        Self::from_secret(kid, "HS384", 48, secret, Mac::sha384)
    }

    /// HMAC with SHA-512 and a secret of at least 64 bytes.
    ///
    /// # Errors
    /// [`KeyError::WeakSecret`], [`KeyError::PublicKeyAsSecret`], [`KeyError::Kid`].
    pub fn hs512(kid: &str, secret: &[u8]) -> Result<Self, KeyError> {
        Self::from_secret(kid, "HS512", 64, secret, Mac::sha512)
    }

    /// EdDSA with Ed25519, from a private key in PKCS#8 PEM (`openssl genpkey -algorithm ed25519`). The best choice
    /// where other services verify: the fastest to sign, and as fast as any to verify.
    ///
    /// # Errors
    /// [`KeyError`] says what the key lacks.
    pub fn ed25519(kid: &str, private_pem: &str) -> Result<Self, KeyError> {
        Self::from_pair(kid, "EdDSA", pem::private(Algorithm::EdDSA, private_pem)?)
    }

    /// EdDSA with Ed25519, verifying only.
    ///
    /// # Errors
    /// [`KeyError`] says what the key lacks.
    pub fn ed25519_public(kid: &str, public_pem: &str) -> Result<Self, KeyError> {
        Self::from_pair(kid, "EdDSA", pem::public(Algorithm::EdDSA, public_pem)?)
    }

    /// ECDSA with P-256 and SHA-256, from a private key in PKCS#8 PEM
    /// (`openssl genpkey -algorithm ec -pkeyopt ec_paramgen_curve:P-256`).
    ///
    /// # Errors
    /// [`KeyError`] says what the key lacks.
    pub fn es256(kid: &str, private_pem: &str) -> Result<Self, KeyError> {
        Self::from_pair(kid, "ES256", pem::private(Algorithm::ES256, private_pem)?)
    }

    /// ECDSA with P-256 and SHA-256, verifying only.
    ///
    /// # Errors
    /// [`KeyError`] says what the key lacks.
    pub fn es256_public(kid: &str, public_pem: &str) -> Result<Self, KeyError> {
        Self::from_pair(kid, "ES256", pem::public(Algorithm::ES256, public_pem)?)
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256, from a private key of at least 2048 bits in PKCS#8 or PKCS#1 PEM
    /// (`openssl genpkey -algorithm rsa -pkeyopt rsa_keygen_bits:2048`).
    ///
    /// # Errors
    /// [`KeyError`] says what the key lacks.
    pub fn rs256(kid: &str, private_pem: &str) -> Result<Self, KeyError> {
        Self::from_pair(kid, "RS256", pem::private(Algorithm::RS256, private_pem)?)
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256, verifying only.
    ///
    /// # Errors
    /// [`KeyError`] says what the key lacks.
    pub fn rs256_public(kid: &str, public_pem: &str) -> Result<Self, KeyError> {
        Self::from_pair(kid, "RS256", pem::public(Algorithm::RS256, public_pem)?)
    }

    /// The key in a JSON Web Key, RFC 7517: `oct`, `OKP` (Ed25519), `EC` (P-256 and P-384) or `RSA`. With its private
    /// members it signs, without it verifies only.
    ///
    /// `kid` is the key's id; a public or private key without one gets its thumbprint, RFC 7638. `alg` may be left
    /// out only where the curve leaves no choice. Beside the algorithms above, ES384, RS384, RS512 and PS256 to PS512
    /// are supported here.
    ///
    /// # Errors
    /// [`KeyError`] says what the key lacks; a key made for something else (`use`, `key_ops`) is refused.
    ///
    /// # Examples
    /// ```
    /// use serde_json::json;
    /// use utils_token_auth::Keys;
    ///
    /// let public = json!({
    ///     "kty": "OKP", "crv": "Ed25519", "kid": "2026-11",
    ///     "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    /// });
    /// let keys = Keys::from_jwk(&public)?;
    /// assert_eq!(keys.jwks()["keys"][0]["x"], public["x"]);
    /// # Ok::<(), utils_token_auth::KeyError>(())
    /// ```
    pub fn from_jwk(jwk: &Value) -> Result<Self, KeyError> {
        match Jwk::read(jwk)? {
            Jwk::Pair { kid, algorithm, pair } => Self::from_pair(&kid, name(algorithm)?, pair),
            Jwk::Secret { kid, algorithm: Algorithm::HS256, secret } => Self::hs256(&kid, &secret),
            Jwk::Secret { kid, algorithm: Algorithm::HS384, secret } => Self::hs384(&kid, &secret),
            Jwk::Secret { kid, secret, .. } => Self::hs512(&kid, &secret),
        }
    }

    /// The public keys as a JSON Web Key Set, RFC 7517 section 5, for services that verify our tokens. Secrets are
    /// never in it: a ring of secrets is an empty set.
    #[must_use]
    pub fn jwks(&self) -> Value {
        let keys = self.iter().filter_map(|key| {
            let mut jwk = key.pair()?.public_jwk().clone();
            let members = jwk.as_object_mut()?;
            members.insert("kid".to_owned(), Value::from(&*key.kid));
            members.insert("alg".to_owned(), Value::from(key.algorithm));
            members.insert("use".to_owned(), Value::from("sig"));
            Some(jwk)
        });
        json!({ "keys": keys.collect::<Vec<_>>() })
    }

    /// Adds keys that verify and do not sign.
    #[must_use]
    pub fn and_verify(mut self, other: Self) -> Self {
        Arc::make_mut(&mut self.0).extend(other.0.iter().cloned());
        self
    }

    /// Lets tokens minted elsewhere with the key `kid` in, whose header is exactly this JSON text.
    ///
    /// flask-utils, for example, wrote `{"typ":"JWT","alg":"HS256"}`. What such a token says is checked as strictly
    /// as in our own.
    ///
    /// # Errors
    /// [`KeyError::UnknownKid`]; [`KeyError::Header`] when the text is not a JSON object with the key's algorithm.
    pub fn accept_header(mut self, kid: &str, json: &str) -> Result<Self, KeyError> {
        let held = Arc::make_mut(&mut self.0).iter_mut().find(|held| held.key.kid == kid);
        held.ok_or_else(|| KeyError::UnknownKid(kid.to_owned()))?.key.accept_header(json)?;
        Ok(self)
    }

    fn from_secret(
        kid: &str,
        algorithm: &'static str,
        needed: usize,
        secret: &[u8],
        mac: fn(&[u8]) -> Option<Mac>,
    ) -> Result<Self, KeyError> {
        let public = [&b"-----BEGIN"[..], b"ssh-", b"ecdsa-sha2-"];
        if public.iter().any(|start| secret.trim_ascii_start().starts_with(start)) {
            return Err(KeyError::PublicKeyAsSecret);
        }
        let mac = mac(secret).filter(|_| secret.len() >= needed);
        let material = Material::Secret(mac.ok_or(KeyError::WeakSecret { algorithm, needed })?);
        let key = Key::new(kid, algorithm, material)?;
        Ok(Self(Arc::new(vec![Held { key, root: Some(root(secret)) }])))
    }

    fn from_pair(kid: &str, algorithm: &'static str, pair: Arc<KeyPair>) -> Result<Self, KeyError> {
        let root = pair.private_der().map(root);
        let key = Key::new(kid, algorithm, Material::Pair(pair))?;
        Ok(Self(Arc::new(vec![Held { key, root }])))
    }

    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter().map(|held| &held.key)
    }

    /// The key that signs: the first, unless it is a public one.
    pub(crate) fn signing(&self) -> Option<&Key> {
        self.iter().next().filter(|key| key.can_sign())
    }

    /// Keys for another purpose, one from each secret, in the order of the ring: the first is for new values, the
    /// others are those of keys that are on their way out. By HKDF, so that they tell nothing about the secret.
    pub(crate) fn derive(&self, purpose: &[u8]) -> Vec<Zeroizing<[u8; 32]>> {
        let roots = self.0.iter().filter_map(|held| held.root.as_ref());
        roots.map(|root| expand(root, purpose)).collect()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Keys ")?;
        formatter.debug_map().entries(self.iter().map(|key| (&key.kid, key.algorithm))).finish()
    }
}

/// The name of an asymmetric algorithm, as a header writes it.
fn name(algorithm: Algorithm) -> Result<&'static str, KeyError> {
    Ok(match algorithm {
        Algorithm::EdDSA => "EdDSA",
        Algorithm::ES256 => "ES256",
        Algorithm::ES384 => "ES384",
        Algorithm::RS256 => "RS256",
        Algorithm::RS384 => "RS384",
        Algorithm::RS512 => "RS512",
        Algorithm::PS256 => "PS256",
        Algorithm::PS384 => "PS384",
        Algorithm::PS512 => "PS512",
        _ => return Err(KeyError::Unsupported),
    })
}

fn root(secret: &[u8]) -> Zeroizing<[u8; 32]> {
    let (root, _) = Hkdf::<Sha256>::extract(Some(b"utils-token-auth"), secret);
    Zeroizing::new(root.into())
}

fn expand(root: &[u8; 32], purpose: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut derived = Zeroizing::new([0; 32]);
    // 32 bytes are one block of the hash, a length HKDF always has
    if let Ok(hkdf) = Hkdf::<Sha256>::from_prk(root) {
        let _ = hkdf.expand(purpose, derived.as_mut());
    }
    derived
}
