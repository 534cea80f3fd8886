/// Why a key was not taken. Nothing of the key is in the text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The secret has fewer bytes than the hash it keys; RFC 7518 section 3.2 forbids it, and passwords with it.
    #[error("the secret of {algorithm} needs at least {needed} bytes")]
    WeakSecret {
        /// The algorithm the secret is for.
        algorithm: &'static str,
        /// How many bytes it needs.
        needed: usize,
    },
    /// The secret is a public key or a certificate, which anybody may know.
    #[error("a public key is not a secret")]
    PublicKeyAsSecret,
    /// A key id is 1 to 64 visible ASCII characters.
    #[error("a key id has 1 to 64 visible ASCII characters")]
    Kid,
    /// No key of the ring has this id.
    #[error("no key has the id {0:?}")]
    UnknownKid(String),
    /// The header to accept is not one this key may verify: not a JSON object, another algorithm than the key's, or
    /// with parameters that change how a token is read (`crit`, `b64`, `enc`, `zip`).
    #[error("the header cannot be accepted for this key")]
    Header,
}
