//! The refresh token: `base64url(key byte | session id | generation | family secret | MAC)`, 71 characters.
//!
//! The family secret is drawn at login and kept by the client only; the store has its SHA-256. The MAC says that we
//! made the token, so garbage is refused without asking the store, and a token of an older generation is proof that
//! somebody kept a copy. Neither the MAC key nor the store, nor both, are enough to make a token.

use base64_simd::{Out, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{Sid, keys::Keys};

/// Characters of a refresh token.
pub(crate) const REFRESH_TOKEN_LENGTH: usize = 71;

const SIGNED: usize = 1 + 16 + 4 + 16;
const MAC: usize = 16;
const BYTES: usize = SIGNED + MAC;
/// Part of what is signed, so that nothing else signed with the key can pass for a refresh token.
const DOMAIN: &[u8] = b"uta-rt";

/// What a genuine refresh token says.
pub(crate) struct RefreshToken {
    pub(crate) session: Sid,
    pub(crate) generation: u32,
    pub(crate) secret: FamilySecret,
}

/// 128 random bits that a session's refresh tokens have in common.
pub(crate) struct FamilySecret(Zeroizing<[u8; 16]>);

impl FamilySecret {
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut secret = Zeroizing::new([0; 16]);
        getrandom::fill(secret.as_mut())?;
        Ok(Self(secret))
    }

    pub(crate) fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_ref()).into()
    }

    pub(crate) fn has_hash(&self, hash: &[u8; 32]) -> bool {
        self.hash().ct_eq(hash).into()
    }
}

/// The keys of refresh tokens: the first one makes new tokens, each of them is accepted.
pub(crate) struct RefreshKeys {
    keys: Vec<RefreshKey>,
}

struct RefreshKey {
    byte: u8,
    mac: Hmac<Sha256>,
}

impl RefreshKeys {
    /// One key for each secret of the ring, in its order; none when there are only public keys.
    pub(crate) fn of(keys: &Keys) -> Option<Self> {
        let macs = keys.derive(b"utils-token-auth refresh token v1");
        let names = keys.derive(b"utils-token-auth refresh key byte v1");
        let keys = macs.iter().zip(&names).map(|(key, name)| {
            Some(RefreshKey { byte: name[0], mac: Hmac::new_from_slice(key.as_ref()).ok()? })
        });
        let keys = keys.collect::<Option<Vec<_>>>()?;
        (!keys.is_empty()).then_some(Self { keys })
    }

    pub(crate) fn mint(&self, token: &RefreshToken) -> Option<String> {
        let key = self.keys.first()?;
        let mut bytes = Zeroizing::new([0; BYTES]);
        bytes[0] = key.byte;
        bytes[1..17].copy_from_slice(token.session.as_bytes());
        bytes[17..21].copy_from_slice(&token.generation.to_be_bytes());
        bytes[21..SIGNED].copy_from_slice(token.secret.0.as_ref());
        let tag = key.sign(&bytes[..SIGNED]).finalize().into_bytes();
        bytes[SIGNED..].copy_from_slice(&tag[..MAC]);
        Some(URL_SAFE_NO_PAD.encode_to_string(bytes.as_slice()))
    }

    pub(crate) fn open(&self, token: &str) -> Option<RefreshToken> {
        if token.len() != REFRESH_TOKEN_LENGTH {
            return None;
        }
        let mut buffer = Zeroizing::new([0; BYTES]);
        let read = URL_SAFE_NO_PAD.decode(token.as_bytes(), Out::from_slice(buffer.as_mut())).ok()?.len();
        if read != BYTES {
            return None;
        }
        let (signed, tag) = buffer.split_at(SIGNED);
        // two keys may share a byte, so each that has it is tried
        self.keys
            .iter()
            .filter(|key| key.byte == signed[0])
            .find(|key| key.sign(signed).verify_truncated_left(tag).is_ok())?;
        Some(RefreshToken {
            session: Sid::from_bytes(signed[1..17].try_into().ok()?),
            generation: u32::from_be_bytes(signed[17..21].try_into().ok()?),
            secret: FamilySecret(Zeroizing::new(signed[21..].try_into().ok()?)),
        })
    }
}

impl RefreshKey {
    fn sign(&self, signed: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(DOMAIN);
        mac.update(signed);
        mac
    }
}
