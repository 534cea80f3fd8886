use base64_simd::{Out, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use sha2::{Sha256, Sha384, Sha512};

/// HMAC with the key schedule done once: signing and verifying clone the state, which saves a third of the time.
#[derive(Clone)]
pub(crate) enum Mac {
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
}

impl Mac {
    pub(crate) fn sha256(secret: &[u8]) -> Option<Self> {
        Hmac::new_from_slice(secret).ok().map(Self::Sha256)
    }

    pub(crate) fn sha384(secret: &[u8]) -> Option<Self> {
        Hmac::new_from_slice(secret).ok().map(Self::Sha384)
    }

    pub(crate) fn sha512(secret: &[u8]) -> Option<Self> {
        Hmac::new_from_slice(secret).ok().map(Self::Sha512)
    }

    /// Whether the signature, in base64url, is ours; compared in constant time.
    #[inline]
    pub(crate) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        match self {
            Self::Sha256(state) => verifies::<_, 32, 43>(state, message, signature),
            Self::Sha384(state) => verifies::<_, 48, 64>(state, message, signature),
            Self::Sha512(state) => verifies::<_, 64, 86>(state, message, signature),
        }
    }

    /// Appends the signature of the text to it, in base64url.
    pub(crate) fn sign(&self, message: &mut String) {
        match self {
            Self::Sha256(state) => sign(state, message),
            Self::Sha384(state) => sign(state, message),
            Self::Sha512(state) => sign(state, message),
        }
    }
}

#[inline]
fn verifies<M: hmac::Mac + Clone, const BYTES: usize, const CHARACTERS: usize>(
    state: &M,
    message: &[u8],
    signature: &str,
) -> bool {
    let mut tag = [0; BYTES];
    if signature.len() != CHARACTERS
        || URL_SAFE_NO_PAD.decode(signature.as_bytes(), Out::from_slice(&mut tag)).is_err()
    {
        return false;
    }
    let mut mac = state.clone();
    mac.update(message);
    mac.verify_slice(&tag).is_ok()
}

fn sign<M: hmac::Mac + Clone>(state: &M, message: &mut String) {
    let mut mac = state.clone();
    mac.update(message.as_bytes());
    let tag = mac.finalize().into_bytes();
    message.push('.');
    URL_SAFE_NO_PAD.encode_append(&tag[..], message);
}
