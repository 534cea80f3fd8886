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
    /// Not one PEM block of the right kind: PKCS#8 for a private key (`openssl genpkey` writes it), `PUBLIC KEY` for a
    /// public one. For RSA the older PKCS#1 as well.
    #[error("not a PEM key of this kind")]
    Pem,
    /// This member of the JSON Web Key is missing or does not fit the others.
    #[error("the member {0:?} of the JSON Web Key is missing or does not fit")]
    Jwk(&'static str),
    /// RFC 7518 section 3.3 wants at least 2048 bits.
    #[error("an RSA key needs at least 2048 bits, this one has {bits}")]
    WeakRsaKey {
        /// The bits of its modulus.
        bits: usize,
    },
    /// The public half is not that of the private key.
    #[error("the public and the private key do not belong together")]
    Mismatch,
    /// A kind of key, or a form of it, that is not supported: a compressed point for example.
    #[error("this kind of key is not supported")]
    Unsupported,
    /// The cryptography library cannot read the key.
    #[error("the key cannot be read")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
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
