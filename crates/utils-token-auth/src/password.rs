use std::{fmt, sync::Arc, thread::available_parallelism};

use actix_web::{HttpResponse, ResponseError, error::BlockingError, http::StatusCode, http::header, web};
use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{self, PasswordHash, PasswordHasher, PasswordVerifier, SaltString},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utils_restful::ErrorKind;
use zeroize::Zeroizing;

/// Hashes passwords with argon2id and checks them, off the event loop.
///
/// Each hash takes memory on purpose (19 MiB by default), so at most [`concurrency`](Self::concurrency) of them
/// run at once in all clones of this value, and at most [`queue`](Self::queue) wait: a flood of logins is
/// answered with 503 instead of exhausting the machine. A caller that goes away leaves its place only when its
/// hash is done, because that memory is in use until then.
///
/// Passwords are compared as the bytes given. An application that accepts more than ASCII should normalise
/// (Unicode NFC) before it hashes and before it checks.
///
/// # Examples
/// ```
/// use utils_token_auth::Passwords;
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), utils_token_auth::PasswordError> {
/// let passwords = Passwords::new();
/// let stored = passwords.hash("correct horse battery staple").await?;
///
/// assert!(passwords.verify("correct horse battery staple", Some(&stored)).await?.ok);
/// assert!(!passwords.verify("hunter2", Some(&stored)).await?.ok);
/// // no such user: the same work, and always refused
/// assert!(!passwords.verify("hunter2", None).await?.ok);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Passwords {
    argon2: Argon2<'static>,
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    concurrency: usize,
    queue: usize,
    max_length: usize,
}

/// What one hash costs whoever computes it, the server included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes; argon2's degree of parallelism. They are computed one after the other.
    pub lanes: u32,
}

/// The answer of [`Passwords::verify`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Verified {
    /// The password belongs to the hash.
    pub ok: bool,
    /// The password is right and its hash was made with another cost, variant or version than the present one:
    /// hash it again now, while the password is at hand, and store the result.
    pub rehash: bool,
}

/// Why a password could not be hashed or checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// The password to hash is longer than this many bytes.
    #[error("a password may have at most {0} bytes")]
    TooLong(usize),
    /// The cost is outside of what argon2 allows.
    #[error("the password cost is outside of the limits of argon2")]
    Cost(#[source] argon2::Error),
    /// Too many passwords are being checked and too many wait already.
    #[error("too many logins at once, try again in a moment")]
    Busy,
    /// The stored hash is not an argon2 hash in PHC format (`$argon2id$v=19$m=…`).
    #[error("the stored password hash cannot be read")]
    StoredHash(#[source] password_hash::Error),
    /// The operating system gave no random bytes for the salt.
    #[error("no random bytes are available")]
    Random(#[source] getrandom::Error),
    /// The server is stopping, so the hash was not computed.
    #[error("the server is stopping")]
    Stopping(#[source] BlockingError),
}

/// The password to hash is too long.
pub(crate) static PASSWORD_TOO_LONG: ErrorKind = ErrorKind::new(
    "password_too_long",
    StatusCode::UNPROCESSABLE_ENTITY,
    "Choose a shorter password; the message says how many bytes it may have.",
);
/// The server cannot hash passwords with its present settings.
pub(crate) static PASSWORD_HASHING_FAILED: ErrorKind = ErrorKind::new(
    "password_hashing_failed",
    StatusCode::INTERNAL_SERVER_ERROR,
    "The cost, the stored hash or the random source of the server is at fault; its log says which.",
);
/// The server has as many passwords to check as it can.
pub(crate) static PASSWORD_CHECKS_BUSY: ErrorKind = ErrorKind::new(
    "password_checks_busy",
    StatusCode::SERVICE_UNAVAILABLE,
    "The server is checking as many passwords as it can: wait as long as Retry-After says, then send the request again.",
);

impl Passwords {
    /// argon2id with 19 MiB, 2 passes and 1 lane (OWASP Password Storage Cheat Sheet), as many hashes at once as
    /// there are processors, 32 waiting, and passwords of at most 1,024 bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::with_params(Params::DEFAULT)
    }

    /// As [`new`](Self::new) with another cost. OWASP's weakest is 7 MiB and 5 passes.
    ///
    /// # Errors
    /// [`PasswordError::Cost`] when argon2 does not allow it, such as less than 8 KiB for each lane.
    pub fn with_cost(cost: PasswordCost) -> Result<Self, PasswordError> {
        Params::new(cost.memory_kib, cost.passes, cost.lanes, None)
            .map(Self::with_params)
            .map_err(PasswordError::Cost)
    }

    /// Sets how many hashes are computed at once, at least 1. Default: the number of processors.
    #[must_use]
    pub fn concurrency(mut self, hashes: usize) -> Self {
        self.concurrency = hashes.clamp(1, Semaphore::MAX_PERMITS / 2);
        self.with_new_limits()
    }

    /// Sets how many callers may wait for their turn before others get [`PasswordError::Busy`]. Default: 32.
    #[must_use]
    pub fn queue(mut self, callers: usize) -> Self {
        self.queue = callers.min(Semaphore::MAX_PERMITS / 2);
        self.with_new_limits()
    }

    /// Sets the most bytes a password may have. Default: 1,024. OWASP asks for 64 characters or more.
    #[must_use]
    pub fn max_length(mut self, bytes: usize) -> Self {
        self.max_length = bytes;
        self
    }

    /// The hash of a new password with a salt of its own, in PHC format (`$argon2id$v=19$m=19456,t=2,p=1$…`, 97
    /// characters with the default cost).
    ///
    /// # Errors
    /// [`PasswordError::TooLong`], [`PasswordError::Busy`], or a failure of the server.
    pub async fn hash(&self, password: &str) -> Result<String, PasswordError> {
        if password.len() > self.max_length {
            return Err(PasswordError::TooLong(self.max_length));
        }
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(PasswordError::Random)?;
        let salt = SaltString::encode_b64(&salt).map_err(PasswordError::StoredHash)?;
        self.compute(password, move |argon2, password| {
            argon2
                .hash_password(password, &salt)
                .map(|hash| hash.to_string())
                .map_err(PasswordError::StoredHash)
        })
        .await
    }

    /// Whether `password` belongs to `stored`, the hash of the user, or `None` when there is no such user.
    ///
    /// Without a hash the same work is done, so the time of the answer does not tell who has an account. (After
    /// a change of the cost it does for users whose hash is still of the old cost, until they log in.)
    ///
    /// # Errors
    /// [`PasswordError::Busy`], [`PasswordError::StoredHash`], or a failure of the server. A wrong password is
    /// not an error.
    pub async fn verify(&self, password: &str, stored: Option<&str>) -> Result<Verified, PasswordError> {
        if password.len() > self.max_length {
            // no hash was ever made of it, whoever the user is
            return Ok(Verified { ok: false, rehash: false });
        }
        let stored = stored.map(str::to_owned);
        self.compute(password, move |argon2, password| match stored {
            Some(stored) => check(argon2, password, &stored),
            None => {
                std::hint::black_box(decoy(argon2, password)?);
                Ok(Verified { ok: false, rehash: false })
            }
        })
        .await
    }

    fn with_params(params: Params) -> Self {
        Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            running: Arc::new(Semaphore::new(0)),
            admitted: Arc::new(Semaphore::new(0)),
            concurrency: available_parallelism().map_or(1, std::num::NonZero::get),
            queue: 32,
            max_length: 1024,
        }
        .with_new_limits()
    }

    fn with_new_limits(mut self) -> Self {
        self.running = Arc::new(Semaphore::new(self.concurrency));
        self.admitted = Arc::new(Semaphore::new(self.concurrency + self.queue));
        self
    }

    /// Runs `work` on a blocking thread when it is this caller's turn.
    async fn compute<T: Send + 'static>(
        &self,
        password: &str,
        work: impl FnOnce(&Argon2<'static>, &[u8]) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|_| PasswordError::Busy)?;
        // never closed, so this only waits
        let running = self.running.clone().acquire_owned().await.map_err(|_| PasswordError::Busy)?;
        let places: [OwnedSemaphorePermit; 2] = [running, admitted];
        let password = Zeroizing::new(password.as_bytes().to_vec());
        let argon2 = self.argon2.clone();
        web::block(move || {
            let result = work(&argon2, &password);
            drop(places); // moved in: they stay taken when the caller is gone but the memory is not
            result
        })
        .await
        .map_err(PasswordError::Stopping)?
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords")
            .field("params", self.argon2.params())
            .field("concurrency", &self.concurrency)
            .field("queue", &self.queue)
            .field("max_length", &self.max_length)
            .finish()
    }
}

impl PasswordError {
    fn kind(&self) -> &'static ErrorKind {
        match self {
            Self::TooLong(_) => &PASSWORD_TOO_LONG,
            Self::Busy | Self::Stopping(_) => &PASSWORD_CHECKS_BUSY,
            Self::Cost(_) | Self::StoredHash(_) | Self::Random(_) => &PASSWORD_HASHING_FAILED,
        }
    }
}

impl ResponseError for PasswordError {
    fn status_code(&self) -> StatusCode {
        self.kind().status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = self.kind().respond(self);
        if self.status_code() == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}

/// 128 bits, as RFC 9106 section 3.1 recommends for password hashing.
const SALT_BYTES: usize = 16;

/// The work of a check where there is nothing to check.
fn decoy(
    argon2: &Argon2<'static>,
    password: &[u8],
) -> Result<[u8; Params::DEFAULT_OUTPUT_LEN], PasswordError> {
    let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
    argon2.hash_password_into(password, &[0; SALT_BYTES], &mut out).map_err(PasswordError::Cost)?;
    Ok(out)
}

fn check(argon2: &Argon2<'static>, password: &[u8], stored: &str) -> Result<Verified, PasswordError> {
    let hash = PasswordHash::new(stored).map_err(PasswordError::StoredHash)?;
    // without a salt or an output every password would be "wrong", and nobody would learn why
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err(PasswordError::StoredHash(password_hash::Error::PhcStringField));
    }
    let ok = match argon2.verify_password(password, &hash) {
        Ok(()) => true,
        Err(password_hash::Error::Password) => false,
        Err(unreadable) => return Err(PasswordError::StoredHash(unreadable)),
    };
    Ok(Verified { ok, rehash: ok && is_outdated(&hash, argon2.params()) })
}

fn is_outdated(hash: &PasswordHash<'_>, params: &Params) -> bool {
    let same_cost = Params::try_from(hash).is_ok_and(|old| {
        (old.m_cost(), old.t_cost(), old.p_cost()) == (params.m_cost(), params.t_cost(), params.p_cost())
    });
    let output = hash.hash.map_or(0, |output| output.len());
    hash.algorithm != Algorithm::Argon2id.ident()
        || hash.version != Some(Version::V0x13.into())
        || !same_cost
        || output != Params::DEFAULT_OUTPUT_LEN
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an unknown user costs is, to the bit, what a stored hash of the same cost, variant and version costs.
    #[test]
    fn the_work_for_an_unknown_user_is_that_of_a_stored_hash() {
        for (memory_kib, passes, lanes) in [(64, 1, 1), (128, 2, 1), (64, 3, 2)] {
            let passwords = Passwords::with_cost(PasswordCost { memory_kib, passes, lanes }).unwrap();
            let salt = SaltString::encode_b64(&[0; SALT_BYTES]).unwrap();
            let stored = passwords.argon2.hash_password(b"guess", &salt).unwrap().to_string();
            let hash = PasswordHash::new(&stored).unwrap();
            let done = decoy(&passwords.argon2, b"guess").unwrap();
            assert_eq!(hash.hash.unwrap().as_bytes(), done);
            assert!(!is_outdated(&hash, passwords.argon2.params()), "{stored}");
            let params = Params::try_from(&hash).unwrap();
            assert_eq!((params.m_cost(), params.t_cost(), params.p_cost()), (memory_kib, passes, lanes));
        }
    }
}
