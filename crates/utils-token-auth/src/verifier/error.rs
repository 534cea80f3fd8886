/// Why an access token was refused.
///
/// The texts are safe to show. A client should be told no more than `invalid_token` (RFC 6750 section 3.1); the
/// variants are for logs and for tests.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Longer than the policy's `max_token`; nothing was looked at.
    #[error("the token is too long")]
    TooLong,
    /// Not three base64url segments.
    #[error("the token is malformed")]
    Malformed,
    /// Not signed by one of our keys under one of their headers. Which of the two it was is not told.
    #[error("the token was not issued here")]
    Invalid,
    /// Signed by us, but its payload is not a JSON object with well-formed claims of ours and the application's.
    #[error("the token's claims cannot be read")]
    Claims(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It has expired.
    #[error("the token has expired")]
    Expired {
        /// Its `exp`, in seconds since 1970.
        at: i64,
    },
    /// It is not valid yet: its `nbf`, `iat` or `auth_time` lies in the future.
    #[error("the token is not valid yet")]
    NotYet,
    /// It was minted to live longer than the policy's `access`.
    #[error("the token lives longer than is allowed")]
    Lifetime,
    /// The policy names an issuer and the token has another one or none.
    #[error("the token has another issuer")]
    Issuer,
    /// The token's audience and the policy's do not meet; a token with an audience needs a policy that has one.
    #[error("the token is for another audience")]
    Audience,
}

/// Why no access token was minted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The first key of the ring is a public key: it verifies only.
    #[error("there is no key to sign with")]
    NoSigningKey,
    /// The application's claims are not a JSON object.
    #[error("the claims are not an object")]
    NotAnObject,
    /// The application's claims have a name twice, or one of ours.
    #[error("the claim {0:?} is taken")]
    Taken(String),
    /// The application's claims cannot be written as JSON.
    #[error("the claims cannot be written")]
    Claims(#[source] serde_json::Error),
    /// The token would live longer than the policy's `access`, and would not verify.
    #[error("the token would live longer than is allowed")]
    Lifetime,
    /// The token would be longer than the policy's `max_token`, and would not verify.
    #[error("the token would be too long")]
    TooLong,
    /// The key could not sign.
    #[error("the token could not be signed")]
    Key(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a verifier cannot work with these keys and this policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierError {
    /// Two keys have the same id.
    #[error("two keys have the id {0:?}")]
    DuplicateKid(String),
    /// `access` is below one second.
    #[error("access tokens must live for at least a second")]
    Lifetime,
    /// `subject_claim` is the name of another claim of ours.
    #[error("the subject's claim cannot be called {0:?}")]
    SubjectClaim(&'static str),
}
