use std::{
    fmt,
    future::Future,
    sync::{Arc, atomic::AtomicBool},
};

use hmac::{Hmac, Mac};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    clock::{Clock, SystemClock},
    engine::{ClaimsFunction, Inner, TokenAuth},
    error::{BuildError, Refusal},
    events::{Event, Events, trace},
    keys::Keys,
    policy::Policy,
    refresh::RefreshKeys,
    revocations::Revocations,
    session::Session,
    store::Store,
    verifier::Verifier,
};

/// Puts an engine together; see [`TokenAuth::new`].
#[must_use = "an engine exists after `build()`"]
pub struct Builder<C, S> {
    keys: Keys,
    store: S,
    claims: ClaimsFunction<C>,
    policy: Policy,
    clock: Arc<dyn Clock>,
    sink: Arc<dyn Fn(&Event) + Send + Sync>,
}

impl<C, S> TokenAuth<C, S>
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    /// Starts an engine: the keys its tokens are signed with, the store of its sessions, and the function that says
    /// what a user's access token holds.
    ///
    /// The function runs at login and at every renewal, so what it says is never older than an access token. It gets
    /// the session with the data that was given to [`login`](Self::login).
    /// Returning [`Refusal::Denied`] refuses a login and ends a session.
    ///
    /// A store may begin it on a thread of its own, with one of its connections in hand. Database work in it belongs in
    /// `web::block`, like anywhere else: a pool that both use could otherwise run dry.
    #[allow(clippy::new_ret_no_self)] // a builder that is named after the engine would say nothing more
    pub fn new<F, Fut>(keys: Keys, store: S, claims: F) -> Builder<C, S>
    where
        F: Fn(Session) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<C, Refusal>> + Send + 'static,
    {
        Builder {
            keys,
            store,
            claims: Box::new(move |session| Box::pin(claims(session))),
            policy: Policy::default(),
            clock: Arc::new(SystemClock),
            sink: Arc::new(trace),
        }
    }
}

impl<C, S> Builder<C, S>
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    /// Sets lives and limits. Default: [`Policy::default`].
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets where the time comes from. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets where events go, instead of to `tracing`. The function is called in the middle of a request: it must not
    /// block.
    pub fn events(mut self, sink: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.sink = Arc::new(sink);
        self
    }

    /// Checks the parts and makes the engine.
    ///
    /// # Errors
    /// [`BuildError`] when the policy makes no sense, or when the first key cannot sign.
    pub fn build(self) -> Result<TokenAuth<C, S>, BuildError> {
        self.policy.check()?;
        self.keys.signing().ok_or(BuildError::NoSigningKey)?;
        let refresh = RefreshKeys::of(&self.keys).ok_or(BuildError::NoSigningKey)?;
        let salts = self.keys.derive(b"utils-token-auth event ids v1");
        let salt = salts.first().and_then(|salt| Hmac::new_from_slice(salt.as_ref()).ok());
        let salt = salt.ok_or(BuildError::NoSigningKey)?;
        let verifier = Verifier::new(self.keys, self.policy.verify_policy())?;
        Ok(TokenAuth::from_inner(Inner {
            verifier,
            refresh,
            store: self.store,
            claims: self.claims,
            policy: self.policy,
            clock: self.clock,
            events: Events::new(self.sink, salt),
            revocations: Revocations::new(),
            warned: AtomicBool::new(false),
        }))
    }
}

impl<C, S> fmt::Debug for Builder<C, S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Builder").field("policy", &self.policy).finish_non_exhaustive()
    }
}
