mod cache;
mod error;

use std::{mem::MaybeUninit, rc::Rc, sync::Arc, time::Duration};

use base64_simd::{Out, URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};

use self::cache::Keep;
pub use self::error::{SignError, VerifierError, VerifyError};
use crate::{
    Keys, Registered, Token,
    claims::{self, WriteError},
    clock::whole_ms,
};

/// What an access token must be like.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VerifyPolicy {
    /// How long an access token lives. One that was minted for longer is refused, whoever signed it. Default: 15 min.
    pub access: Duration,
    /// How far the clocks of two servers may be apart. Default: 5 s.
    pub leeway: Duration,
    /// The longest token that is looked at, in bytes. Default: 4096.
    pub max_token: usize,
    /// Minted as `iss`, and required. Default: none, and then any is accepted.
    pub issuer: Option<String>,
    /// Minted as `aud`, and required. Default: none, and then a token with an audience is refused.
    pub audience: Option<String>,
    /// The claim that names the user. Default: `sub`.
    pub subject_claim: &'static str,
    /// How many verified tokens each thread may keep, see [`Verifier::verify_shared`]; 0: none. Default: 4096, about
    /// 3 MiB when full.
    pub cached_tokens: usize,
}

impl Default for VerifyPolicy {
    fn default() -> Self {
        Self {
            access: Duration::from_secs(15 * 60),
            leeway: Duration::from_secs(5),
            max_token: 4096,
            issuer: None,
            audience: None,
            subject_claim: "sub",
            cached_tokens: 4096,
        }
    }
}

/// Mints and verifies access tokens: JWTs in the compact form of RFC 7515, with the `typ` of RFC 9068, `at+jwt`.
///
/// They are not all that RFC 9068 describes: `iss` and `aud` are there where the policy has them, `jti` and `client_id`
/// never.
///
/// A clone is cheap and shares the keys.
///
/// # Examples
/// ```
/// use serde::{Deserialize, Serialize};
/// use utils_token_auth::{Keys, Registered, Sid, Verifier, VerifyPolicy};
///
/// #[derive(Serialize, Deserialize)]
/// struct Claims {
///     scopes: Vec<String>,
/// }
///
/// let keys = Keys::hs256("1", b"a secret of at least 32 bytes, from a file")?;
/// let verifier = Verifier::new(keys, VerifyPolicy::default())?;
/// let now = 1_700_000_000;
/// let registered = Registered {
///     session: Sid::random()?,
///     subject: "alice".to_owned(),
///     issued_at: now,
///     expires_at: now + 900,
///     not_before: None,
///     auth_time: Some(now),
/// };
/// let token = verifier.sign(&registered, &Claims { scopes: vec!["orders:read".to_owned()] })?;
///
/// let verified = verifier.verify::<Claims>(&token, (now + 60) * 1000)?;
/// assert_eq!((&*verified.user, &*verified.claims.scopes[0]), ("alice", "orders:read"));
/// assert!(verifier.verify::<Claims>(&token, (now + 1000) * 1000).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Verifier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keys: Keys,
    policy: VerifyPolicy,
    access_s: i64,
    leeway_ms: i64,
}

impl Verifier {
    /// A verifier for these keys; the first of them signs.
    ///
    /// # Errors
    /// [`VerifierError`] says what does not fit together.
    pub fn new(keys: Keys, policy: VerifyPolicy) -> Result<Self, VerifierError> {
        let mut kids: Vec<&str> = keys.iter().map(|key| &*key.kid).collect();
        kids.sort_unstable();
        if let Some(pair) = kids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(VerifierError::DuplicateKid(pair[0].to_owned()));
        }
        if claims::is_reserved(policy.subject_claim, "") {
            return Err(VerifierError::SubjectClaim(policy.subject_claim));
        }
        let access_s = whole_ms(policy.access) / 1000;
        if access_s == 0 {
            return Err(VerifierError::Lifetime);
        }
        let leeway_ms = whole_ms(policy.leeway);
        Ok(Self(Arc::new(Inner { keys, policy, access_s, leeway_ms })))
    }

    /// The verified content of an access token at the time `now_ms`, in milliseconds since 1970.
    ///
    /// No I/O. The signature comes first: no byte of a token is parsed before one of our keys has vouched for it.
    /// Whether its session was revoked is not known here.
    ///
    /// # Errors
    /// [`VerifyError`] says why the token was refused.
    pub fn verify<C: DeserializeOwned>(&self, token: &str, now_ms: i64) -> Result<Token<C>, VerifyError> {
        Ok(self.verified(token, now_ms)?.0)
    }

    /// As [`verify`](Self::verify), from this thread's cache where it has the token.
    ///
    /// The signature of a token is checked once a thread, or twice with HMAC: a token that is seen once only is not worth
    /// its place then. A token is found by its whole text and its times are checked every time; as with `verify`, whether
    /// its session was revoked is not known here.
    ///
    /// # Errors
    /// [`VerifyError`] says why the token was refused.
    #[inline]
    pub fn verify_shared<C: DeserializeOwned + 'static>(
        &self,
        token: &str,
        now_ms: i64,
    ) -> Result<Rc<Token<C>>, VerifyError> {
        let inner = &self.0;
        let keeps = inner.policy.cached_tokens > 0;
        if keeps && let Some((token, times)) = cache::get(inner, token) {
            self.check_times(times, now_ms)?;
            return Ok(token);
        }
        let (verified, times) = self.verified(token, now_ms)?;
        let verified = Rc::new(verified);
        if keeps {
            let is_dear = inner.keys.iter().any(|key| key.pair().is_some() && key.is_named_by(token));
            let when = if is_dear { Keep::AtOnce } else { Keep::AtSecondSight };
            cache::put(inner, token, times, &verified, when);
        }
        Ok(verified)
    }

    /// The public keys as a JSON Web Key Set, as [`Keys::jwks`].
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        self.0.keys.jwks()
    }

    /// A new access token.
    ///
    /// # Errors
    /// [`SignError::Taken`] when the application's claims use one of our names; [`SignError::Lifetime`] and
    /// [`SignError::TooLong`] when the token would not verify.
    pub fn sign<C: Serialize>(&self, registered: &Registered, claims: &C) -> Result<String, SignError> {
        let Inner { keys, policy, access_s, .. } = &*self.0;
        let key = keys.signing().ok_or(SignError::NoSigningKey)?;
        if registered.expires_at.saturating_sub(registered.issued_at) > *access_s {
            return Err(SignError::Lifetime);
        }
        let (issuer, audience) = (policy.issuer.as_deref(), policy.audience.as_deref());
        let payload = claims::write(registered, policy.subject_claim, issuer, audience, claims)?;
        let token = key.seal(&payload).map_err(SignError::Key)?;
        if token.len() > policy.max_token { Err(SignError::TooLong) } else { Ok(token) }
    }

    #[inline]
    fn verified<C: DeserializeOwned>(
        &self,
        token: &str,
        now_ms: i64,
    ) -> Result<(Token<C>, Times), VerifyError> {
        let Inner { keys, policy, .. } = &*self.0;
        if token.len() > policy.max_token {
            return Err(VerifyError::TooLong);
        }
        match keys.iter().find_map(|key| key.open(token)) {
            Some(payload) => with_decoded(payload, |json| self.read(json, now_ms)),
            None => Err(shape(token)),
        }
    }

    fn read<C: DeserializeOwned>(&self, json: &str, now_ms: i64) -> Result<(Token<C>, Times), VerifyError> {
        let policy = &self.0.policy;
        let read = claims::read::<C>(json, policy.subject_claim)
            .map_err(|cause| VerifyError::Claims(cause.into()))?;
        let times = Times::of(&read.registered);
        self.check_times(times, now_ms)?;
        if times.expires_at.saturating_sub(read.registered.issued_at) > self.0.access_s {
            return Err(VerifyError::Lifetime);
        }
        if policy.issuer.is_some() && policy.issuer != read.issuer {
            return Err(VerifyError::Issuer);
        }
        let for_us = match (&policy.audience, &read.audience) {
            (None, None) => true,
            // RFC 7519 section 4.1.3: whoever does not find itself in an audience that is there must refuse
            (None, Some(_)) | (Some(_), None) => false,
            (Some(ours), Some(theirs)) => theirs.contains(ours),
        };
        if !for_us {
            return Err(VerifyError::Audience);
        }
        let Registered { session, subject: user, issued_at, expires_at, auth_time, .. } = read.registered;
        Ok((Token { session, user, issued_at, expires_at, auth_time, claims: read.claims }, times))
    }

    #[inline]
    fn check_times(&self, times: Times, now_ms: i64) -> Result<(), VerifyError> {
        let leeway_ms = self.0.leeway_ms;
        if now_ms >= times.expires_at.saturating_mul(1000).saturating_add(leeway_ms) {
            return Err(VerifyError::Expired { at: times.expires_at });
        }
        if times.starts_at.saturating_mul(1000) > now_ms.saturating_add(leeway_ms) {
            return Err(VerifyError::NotYet);
        }
        Ok(())
    }
}

/// What of a token depends on the time at which it is looked at; seconds since 1970.
#[derive(Clone, Copy)]
struct Times {
    /// The latest of `iat`, `nbf` and `auth_time`: none of them may lie in the future.
    starts_at: i64,
    expires_at: i64,
}

impl Times {
    fn of(token: &Registered) -> Self {
        let starts = [token.not_before, token.auth_time].into_iter().flatten();
        Self { starts_at: starts.fold(token.issued_at, i64::max), expires_at: token.expires_at }
    }
}

impl From<WriteError> for SignError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::NotAnObject => Self::NotAnObject,
            WriteError::Taken(name) => Self::Taken(name),
            WriteError::Json(cause) => Self::Claims(cause),
        }
    }
}

/// Decodes an authenticated payload: base64url, then UTF-8.
#[inline]
fn with_decoded<T>(
    payload: &str,
    read: impl FnOnce(&str) -> Result<T, VerifyError>,
) -> Result<T, VerifyError> {
    let mut near = [const { MaybeUninit::uninit() }; 1024];
    let mut far;
    let room = if payload.len() <= near.len() {
        Out::from_uninit_slice(&mut near)
    } else {
        far = vec![0; payload.len()];
        Out::from_slice(&mut far)
    };
    match URL_SAFE_NO_PAD.decode(payload.as_bytes(), room) {
        Ok(bytes) => read(std::str::from_utf8(bytes).map_err(|cause| VerifyError::Claims(cause.into()))?),
        Err(_) => Err(VerifyError::Malformed),
    }
}

/// Whether what was refused at least looks like one of our tokens; for logs, nobody acts on it.
#[cold]
fn shape(token: &str) -> VerifyError {
    let segments: Vec<&str> = token.split('.').collect();
    let in_alphabet = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if segments.len() == 3 && segments.iter().all(|part| !part.is_empty() && part.bytes().all(in_alphabet)) {
        VerifyError::Invalid
    } else {
        VerifyError::Malformed
    }
}
