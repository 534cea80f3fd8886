mod error;
mod hmac;

use std::{fmt, sync::Arc};

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

pub use self::error::KeyError;
pub(crate) use self::hmac::Mac;
use crate::jws::Key;

/// The keys of access tokens: one that signs, and any number of older ones whose tokens still verify.
///
/// A clone is cheap and shares the keys. `Debug` shows key ids and algorithms only.
///
/// # Examples
/// Rotating a secret without signing anybody out: the new key signs, the old one verifies until its last token has
/// expired.
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
        let key = Key::new(kid, algorithm, mac.ok_or(KeyError::WeakSecret { algorithm, needed })?)?;
        Ok(Self(Arc::new(vec![Held { key, root: Some(root(secret)) }])))
    }

    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter().map(|held| &held.key)
    }

    /// The key that signs.
    pub(crate) fn signing(&self) -> Option<&Key> {
        self.iter().next()
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
