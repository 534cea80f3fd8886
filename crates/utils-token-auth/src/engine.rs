use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::{Arc, atomic::AtomicBool},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Sid,
    claims::{Registered, Token},
    clock::{Clock, whole_ms},
    error::{Error, Refusal},
    events::{EventKind, Events},
    pair::Pair,
    policy::{Policy, Stale},
    refresh::{FamilySecret, REFRESH_TOKEN_LENGTH, RefreshKeys, RefreshToken},
    revocations::Revocations,
    scope_bound::scopes_of,
    session::{Client, LiveAt, Session, SessionInfo, Why},
    store::{Store, Which},
    verifier::{Verifier, VerifyError},
};

/// The engine: signs users in, renews, ends and lists their sessions, and verifies access tokens.
///
/// A clone is the same engine. Nothing in it depends on actix.
pub struct TokenAuth<C, S> {
    pub(crate) inner: Arc<Inner<C, S>>,
}

pub(crate) struct Inner<C, S> {
    pub(crate) verifier: Verifier,
    pub(crate) refresh: RefreshKeys,
    pub(crate) store: S,
    pub(crate) claims: ClaimsFunction<C>,
    pub(crate) policy: Policy,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: Events,
    pub(crate) revocations: Revocations,
    /// Whether the log says already that nobody called `start`.
    pub(crate) warned: AtomicBool,
}

/// A session that was opened just now.
#[derive(Clone, Copy)]
struct Opened {
    id: Sid,
    created_at: i64,
    now: i64,
}

pub(crate) type ClaimsFunction<C> = Box<dyn Fn(Session) -> ClaimsFuture<C> + Send + Sync>;
pub(crate) type ClaimsFuture<C> = Pin<Box<dyn Future<Output = Result<C, Refusal>> + Send>>;

impl<C, S> TokenAuth<C, S>
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    pub(crate) fn from_inner(inner: Inner<C, S>) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// Opens a session for a user whose password, or whatever the application asks for, was right.
    ///
    /// `data` is kept with the session for the claims function. Each login makes a new session with a new id.
    ///
    /// # Errors
    /// [`Error::Grant`] when the claims function denies; [`Error::UserId`], [`Error::Store`], [`Error::Claims`] or
    /// [`Error::Internal`] when it could not be done. No session exists then.
    pub async fn login(&self, user: &str, data: impl Serialize, client: Client) -> Result<Pair, Error> {
        let data = serde_json::to_value(data).map_err(Error::internal)?;
        let (pair, opened) = self.open_session(user, data, client, None).await?;
        if let Err(error) = self.evict(user, opened).await {
            // the session exists; the next login tries again
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "sessions above the limit were not ended"
            );
        }
        Ok(pair)
    }

    /// Gives a signed-in user a new session in the place of the one they have: after a change of privileges for
    /// example, so that a token stolen before it is worth nothing after it.
    ///
    /// Nobody proved who they are, so the new session is as old as the one before: its tokens have the same
    /// `auth_time`, it ends when the other would have ended, and it is no further session by
    /// [`Policy::max_sessions`]. To sign a user in anew, [`login`](Self::login) and then [`revoke`](Self::revoke).
    ///
    /// # Errors
    /// [`Error::Revoked`] when the user has no such session, or it is over, also if it ended in the meantime: no session
    /// takes its place. The others as [`login`](Self::login), also when the session they had could not be ended; it
    /// goes on then, and the new one, whose tokens nobody has, is ended if the store answers by now.
    pub async fn replace(
        &self,
        user: &str,
        session: Sid,
        data: impl Serialize,
        client: Client,
    ) -> Result<Pair, Error> {
        let data = serde_json::to_value(data).map_err(Error::internal)?;
        let before = self.live(session).await?;
        if before.user != user {
            return Err(Error::Revoked);
        }
        let (pair, _) = self.open_session(user, data, client, Some(&before)).await?;
        let error = match self.revoke(Which::One { user, id: session }, Why::Replaced).await {
            Ok(1..) => return Ok(pair),
            // somebody ended it: what took its place would undo that
            Ok(0) => Error::Revoked,
            Err(error) => error,
        };
        if let Err(error) = self.revoke(Which::One { user, id: pair.session }, Why::Replaced).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a session that nobody has the tokens of goes on until it is purged"
            );
        }
        Err(error)
    }

    /// Ends the session of an access or refresh token; whether it did. A token that is unknown or of a session that is
    /// over is not an error: the client is signed out, as it wished (RFC 7009 section 2.2).
    ///
    /// An access token that has expired ends its session too, as long as the session could be renewed: whoever logs
    /// out means the session, and the refresh token would otherwise stay good for weeks. It can do nothing else.
    ///
    /// # Errors
    /// [`Error::Store`] when the store did not answer: the session is not ended then.
    pub async fn logout(&self, token: &str) -> Result<bool, Error> {
        let Some((user, id)) = self.owner(token).await? else { return Ok(false) };
        Ok(self.revoke(Which::One { user: &user, id }, Why::Logout).await? > 0)
    }

    /// Ends sessions; how many. In this process their access tokens are refused from when it returns; in the others from
    /// when they ask the store next, which they do every [`Policy::sync`] after [`start`](Self::start). What is being
    /// answered at that moment is answered to the end, and a WebSocket that is open stays open.
    ///
    /// Of several sessions, this process too asks the store which they were. If the store fails then, they are ended all
    /// the same, and this process hears of them with the next question.
    ///
    /// # Errors
    /// [`Error::Store`] when the store did not answer.
    pub async fn revoke(&self, which: Which<'_>, why: Why) -> Result<usize, Error> {
        let Inner { store, events, revocations, .. } = &*self.inner;
        let now = self.now();
        let sessions = store.revoke(which, why, now).await.map_err(Error::store)?;
        if sessions == 0 {
            return Ok(0);
        }
        let session = match which {
            Which::One { id, .. } => {
                revocations.apply(&[(id, now)]);
                Some(id)
            }
            Which::Others { .. } | Which::All { .. } => {
                // a database only says how many; which ones, it says like to every other process
                match store.revoked_since(now).await {
                    Ok(revoked) => revocations.apply(&revoked),
                    // they are ended, and the next `sync` hears of them
                    Err(error) => tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "sessions were ended, but which ones is not known yet"
                    ),
                }
                None
            }
        };
        events.send(EventKind::Revoked { why, sessions }, which.user(), session, now);
        Ok(sessions)
    }

    /// The live sessions of a user, the one renewed last first; `current` is marked.
    ///
    /// # Errors
    /// [`Error::Store`] when the store did not answer.
    pub async fn list(&self, user: &str, current: Option<Sid>) -> Result<Vec<SessionInfo>, Error> {
        let sessions = self.inner.store.list(user, self.live_at(self.now())).await.map_err(Error::store)?;
        Ok(sessions.into_iter().map(|session| session.info(current)).collect())
    }

    /// Verifies an access token, without asking the store.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Expired`] or [`Error::Revoked`]; [`Error::Stale`] under [`Stale::Deny`].
    pub fn verify(&self, access_token: &str) -> Result<Token<C>, Error> {
        let now = self.now();
        let token = self.inner.verifier.verify(access_token, now)?;
        self.admit(token.session, now)?;
        Ok(token)
    }

    /// As [`verify`](Self::verify), from this thread's cache where the token's signature is dear to check; see
    /// [`Verifier::verify_shared`]. A revoked session is refused here as well.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verify_shared(&self, access_token: &str) -> Result<Rc<Token<C>>, Error> {
        let now = self.now();
        let token = self.inner.verifier.verify_shared(access_token, now)?;
        self.admit(token.session, now)?;
        Ok(token)
    }

    /// Asks the store whether a session is live, for routes that must not rely on what was true a second ago.
    ///
    /// # Errors
    /// [`Error::Revoked`] when it is over; [`Error::Store`] when the store did not answer.
    pub async fn confirm(&self, session: Sid) -> Result<(), Error> {
        self.live(session).await.map(drop)
    }

    /// The engine's policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.inner.policy
    }

    /// The engine's store.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.inner.store
    }

    /// The verifier of access tokens; it knows nothing of revocations.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.inner.verifier
    }

    /// The sessions that were revoked lately.
    #[must_use]
    pub fn revocations(&self) -> &Revocations {
        &self.inner.revocations
    }

    /// The time, in milliseconds since 1970, by the engine's clock.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.inner.clock.now_ms()
    }

    pub(crate) fn live_at(&self, now: i64) -> LiveAt {
        LiveAt { now, idle_since: now - whole_ms(self.inner.policy.idle) }
    }

    /// Whether a verified token's session may pass.
    pub(crate) fn admit(&self, session: Sid, now: i64) -> Result<(), Error> {
        self.warn_if_not_started();
        let Inner { policy, revocations, .. } = &*self.inner;
        if let Stale::Deny { after } = policy.stale {
            let fresh = revocations.synced_at().is_some_and(|at| now - at <= whole_ms(after));
            if !fresh {
                return Err(Error::Stale);
            }
        }
        if revocations.contains(session) {
            return Err(Error::Revoked);
        }
        Ok(())
    }

    /// The session with this id, as long as it is live.
    async fn live(&self, id: Sid) -> Result<Session, Error> {
        let now = self.now();
        match self.inner.store.get(id).await.map_err(Error::store)? {
            Some(found) if self.live_at(now).holds(&found) => Ok(found),
            found => {
                if let Some(revoked) = found.and_then(|found| found.revoked) {
                    self.inner.revocations.apply(&[(id, revoked.at)]);
                }
                Err(Error::Revoked)
            }
        }
    }

    /// Makes a session, in the place of `before` if there is one; it, and when and as what it was opened.
    async fn open_session(
        &self,
        user: &str,
        data: serde_json::Value,
        client: Client,
        before: Option<&Session>,
    ) -> Result<(Pair, Opened), Error> {
        let Inner { store, policy, events, .. } = &*self.inner;
        if user.is_empty() || user.len() > 255 || user.contains('\0') {
            return Err(Error::UserId);
        }
        let now = self.now();
        let secret = FamilySecret::random().map_err(|error| Error::internal(error.to_string()))?;
        let mut session = Session {
            id: Sid::random().map_err(Error::internal)?,
            user: user.to_owned(),
            data,
            scopes: BTreeMap::new(),
            secret_hash: secret.hash(),
            generation: 0,
            created_at: now,
            renewed_at: now,
            expires_at: now,
            revoked: None,
            client: client.tidy(),
        };
        begin(&mut session, now, policy, before);
        let claims = match self.claims_of(&session).await? {
            Some(claims) => serde_json::to_value(claims).map_err(Error::internal)?,
            None => return Err(Error::Grant),
        };
        session.scopes = scopes_of(&claims, policy.scope_claims).map_err(Error::internal)?;
        // the application may have taken its time, and the session begins now
        let now = self.now();
        begin(&mut session, now, policy, before);
        if session.expires_at <= now {
            return Err(Error::Revoked); // it was to take the place of one that is over by now
        }

        // everything that can fail comes before the session exists
        let token = self.sign(&session, &claims, now)?;
        let refresh = RefreshToken { session: session.id, generation: 0, secret };
        let mut pair = self.pair(&session, token, Some(&refresh), now)?;
        pair.opened = true;
        let opened = Opened { id: session.id, created_at: session.created_at, now };
        store.insert(session).await.map_err(Error::store)?;
        events.send(EventKind::Created, user, Some(opened.id), now);
        self.warn_if_not_started();
        Ok((pair, opened))
    }

    /// Ends the sessions above the policy's limit, those renewed longest ago first.
    ///
    /// `login` was opened just now. It comes after the sessions of logins that were later still, so that of two logins
    /// at once one stays, and before all others.
    async fn evict(&self, user: &str, login: Opened) -> Result<(), Error> {
        let Some(max) = self.inner.policy.max_sessions else { return Ok(()) };
        let mut sessions =
            self.inner.store.list(user, self.live_at(login.now)).await.map_err(Error::store)?;
        let login = (login.created_at, login.id);
        // a stable sort: within each of the three the one renewed last stays first
        sessions.sort_by_key(|session| login.cmp(&(session.created_at, session.id)));
        for session in sessions.into_iter().skip(usize::try_from(max).unwrap_or(usize::MAX)) {
            self.revoke(Which::One { user, id: session.id }, Why::Evicted).await?;
        }
        Ok(())
    }

    /// The user and the session of an access or refresh token of ours.
    async fn owner(&self, token: &str) -> Result<Option<(String, Sid)>, Error> {
        if let Some(session) = self.session_of_refresh_token(token).await? {
            return Ok(Some((session.user, session.id)));
        }
        let now = self.now();
        match self.access_token_of_ours(token, now) {
            Some(Token { user, session, expires_at, .. }) => {
                if now < expires_at.saturating_mul(1000) {
                    return Ok(Some((user, session)));
                }
                let found = self.inner.store.get(session).await.map_err(Error::store)?;
                let live = found.is_some_and(|found| found.user == user && self.live_at(now).holds(&found));
                Ok(live.then_some((user, session)))
            }
            None => Ok(None),
        }
    }

    /// An access token that our key signed, also when its time is over; no revocation is looked at.
    pub(crate) fn access_token_of_ours(&self, token: &str, now: i64) -> Option<Token<C>> {
        let verifier = &self.inner.verifier;
        match verifier.verify::<C>(token, now) {
            Err(VerifyError::Expired { at }) => verifier.verify(token, at.saturating_mul(1000) - 1).ok(),
            verified => verified.ok(),
        }
    }

    /// The session of a genuine refresh token, whatever its generation and whether or not it is live.
    pub(crate) async fn session_of_refresh_token(&self, token: &str) -> Result<Option<Session>, Error> {
        if token.len() != REFRESH_TOKEN_LENGTH {
            return Ok(None);
        }
        let Some(presented) = self.inner.refresh.open(token) else { return Ok(None) };
        let session = self.inner.store.get(presented.session).await.map_err(Error::store)?;
        Ok(session.filter(|session| presented.secret.has_hash(&session.secret_hash)))
    }

    /// What the application says about this session; `None` when it denies.
    pub(crate) async fn claims_of(&self, session: &Session) -> Result<Option<C>, Error> {
        match (self.inner.claims)(session.clone()).await {
            Ok(claims) => Ok(Some(claims)),
            Err(Refusal::Denied) => Ok(None),
            Err(Refusal::Unavailable(cause)) => Err(Error::Claims(cause)),
        }
    }

    pub(crate) fn sign(
        &self,
        session: &Session,
        claims: &serde_json::Value,
        now: i64,
    ) -> Result<String, Error> {
        let registered = Registered {
            session: session.id,
            subject: session.user.clone(),
            issued_at: now.div_euclid(1000),
            expires_at: self.access_ends(session, now).div_euclid(1000),
            not_before: None,
            auth_time: Some(session.created_at.div_euclid(1000)),
        };
        self.inner.verifier.sign(&registered, claims).map_err(Error::internal)
    }

    /// When an access token minted now ends: never after its session.
    fn access_ends(&self, session: &Session, now: i64) -> i64 {
        let whole_seconds = whole_ms(self.inner.policy.access) / 1000 * 1000;
        (now + whole_seconds).min(session.expires_at)
    }

    pub(crate) fn pair(
        &self,
        session: &Session,
        token: String,
        refresh: Option<&RefreshToken>,
        now: i64,
    ) -> Result<Pair, Error> {
        let refresh_token = match refresh {
            Some(refresh) => {
                Some(self.inner.refresh.mint(refresh).ok_or_else(|| Error::internal("no refresh key"))?)
            }
            None => None,
        };
        let seconds = self.access_ends(session, now).div_euclid(1000) - now.div_euclid(1000);
        Ok(Pair {
            session: session.id,
            token,
            refresh_token,
            expires_in: u64::try_from(seconds).unwrap_or(0),
            scope: None,
            opened: false,
        })
    }
}

/// Sets the times of a session that begins now; one in the place of another was signed in to when that one was, and
/// ends when that one would have ended.
fn begin(session: &mut Session, now: i64, policy: &Policy, before: Option<&Session>) {
    session.renewed_at = now;
    (session.created_at, session.expires_at) = match before {
        Some(before) => (before.created_at, before.expires_at),
        None => (now, now + whole_ms(policy.absolute)),
    };
}

impl<C, S> Clone for TokenAuth<C, S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<C, S> fmt::Debug for TokenAuth<C, S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TokenAuth")
            .field("policy", &self.inner.policy)
            .field("revocations", &self.inner.revocations)
            .finish_non_exhaustive()
    }
}
