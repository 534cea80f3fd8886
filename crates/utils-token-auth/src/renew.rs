//! Renewal: idempotent, and never twice in a hurry.
//!
//! A client may lose the answer, several tabs may share one refresh token, and a thief may have a copy. So a renewal
//! that is repeated within the grace gets the same successor; a refresh token that is itself younger than the grace
//! stays, and only the access token is new, so that a late answer can never overwrite a newer refresh token; and any
//! other generation means that somebody kept a copy, which ends the session.

use futures_util::FutureExt;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    clock::whole_ms,
    engine::{ClaimsFuture, TokenAuth},
    error::{Error, Refusal},
    events::EventKind,
    pair::Pair,
    policy::Policy,
    refresh::RefreshToken,
    scope_bound::{bound, joined, narrowed, same_words},
    session::{Client, Session, Why},
    store::{Rotate, Store, Which},
};

/// A genuine refresh token, and when and from where it came.
struct Request {
    presented: RefreshToken,
    client: Client,
    arrived: i64,
    /// The scopes that the access token is to have, with blanks between; all that were granted if there are none.
    scope: Option<String>,
}

enum Decision<C> {
    /// There is no such session, or the token has not its secret.
    Unknown,
    /// The session is over.
    Over(Session),
    /// Somebody kept a copy of the token.
    Copied(Session),
    /// It asks for scopes that were not granted.
    NotGranted,
    /// All is there but the rotation.
    Ready(Box<Prepared>),
    /// The claims function has something to wait for.
    Waiting(Box<Waiting<C>>),
}

struct Waiting<C> {
    request: Request,
    session: Session,
    standing: Standing,
    claims: ClaimsFuture<C>,
}

/// All that a renewal needs, before anything has changed.
struct Prepared {
    session: Session,
    standing: Standing,
    /// The successor of the token that was presented.
    next: RefreshToken,
    token: Result<Minted, NoToken>,
    step: Rotate,
}

/// A new access token.
struct Minted {
    token: String,
    /// Its scopes, where they are not to a word those that were granted, or where some were asked for.
    scope: Option<String>,
}

/// Why there is no access token.
enum NoToken {
    Denied,
    Failed(Error),
}

impl Prepared {
    /// The step of the session, if one is due and the access token is there.
    fn rotate(&self) -> Option<Rotate> {
        (self.standing == Standing::Due && self.token.is_ok()).then(|| self.step.clone())
    }
}

/// How the refresh token of a live session is answered.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// The latest one, due for its successor.
    Due,
    /// The latest one, so new that it stays.
    Young,
    /// The one before, whose successor may not have reached the client.
    JustReplaced,
}

impl<C, S> TokenAuth<C, S>
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    /// Trades a refresh token for a new access token, and for a new refresh token when it is time.
    ///
    /// When the answer has a refresh token, the client replaces its own; when it has none, the client keeps its own.
    /// A retry after a lost answer gets the same refresh token within [`Policy::grace`].
    ///
    /// # Errors
    /// [`Error::Grant`] for every refresh token that is not good any more, with nothing that tells the reasons apart;
    /// [`Error::Store`] or [`Error::Claims`] when it cannot be said at the moment: the same token can be tried again.
    pub async fn renew(&self, refresh_token: &str, client: Client) -> Result<Pair, Error> {
        self.renew_within(refresh_token, client, None).await
    }

    /// As `renew`, with no more than these scopes in the access token; the refresh token keeps its grant (RFC 6749
    /// section 6). [`Error::ScopeNotGranted`] when that is less than they are, and nothing changes then.
    pub(crate) async fn renew_within(
        &self,
        refresh_token: &str,
        client: Client,
        scope: Option<&str>,
    ) -> Result<Pair, Error> {
        let store = &self.inner.store;
        let presented = self.inner.refresh.open(refresh_token).ok_or(Error::Grant)?;
        let id = presented.session;
        let scope = scope.map(str::to_owned);
        let request = Request { presented, client: client.tidy(), arrived: self.now(), scope };
        let engine = self.clone();
        let decide = move |session| engine.decide(request, session);
        let (decision, moved) = store.get_then_rotate(id, decide).await.map_err(Error::store)?;

        let (prepared, moved, waited) = match decision {
            Decision::Unknown => return Err(Error::Grant),
            Decision::Over(session) => {
                self.inner.events.send(EventKind::UsedAfterEnd, &session.user, Some(id), self.now());
                return Err(Error::Grant);
            }
            Decision::Copied(session) => return self.end_copied(&session).await,
            Decision::NotGranted => return Err(Error::ScopeNotGranted),
            Decision::Ready(prepared) => (*prepared, moved, false),
            Decision::Waiting(waiting) => {
                let Waiting { request, session, standing, claims } = *waiting;
                let claims = claims.await;
                let prepared = self.prepare(request, session, standing, claims);
                let moved = match prepared.rotate() {
                    Some(rotate) => store.rotate(rotate).await.map_err(Error::store)?,
                    None => false,
                };
                (prepared, moved, true)
            }
        };
        self.answer(prepared, moved, waited).await
    }

    /// `moved`: whether the session made its step. `waited`: whether it was read before a claims function that took its
    /// time.
    async fn answer(&self, prepared: Prepared, moved: bool, waited: bool) -> Result<Pair, Error> {
        let Prepared { session, standing, next, token, step } = prepared;
        let (id, now) = (session.id, step.live.now);
        let minted = match token {
            Ok(minted) => minted,
            Err(NoToken::Denied) => {
                self.revoke(Which::One { user: &session.user, id }, Why::Denied).await?;
                return Err(Error::Grant);
            }
            Err(NoToken::Failed(error)) => return Err(error),
        };
        match standing {
            Standing::Young if !waited => self.renewed(&session, minted, None, false, now),
            Standing::JustReplaced if !waited => self.renewed(&session, minted, Some(&next), false, now),
            Standing::Due if moved => {
                let rotates = self.inner.policy.rotate;
                self.renewed(&session, minted, rotates.then_some(&next), rotates, now)
            }
            standing => {
                // somebody else may have moved it, or ended it: a fresh statement sees which
                let session = self.inner.store.get(id).await.map_err(Error::store)?.ok_or(Error::Grant)?;
                if !self.live_at(self.now()).holds(&session) {
                    return Err(Error::Grant);
                }
                // further on than that, this request was slow: its token was the latest when it came in, so it is
                // no copy, but its answer must not bring an old refresh token back
                let same = session.generation == next.generation && standing != Standing::Young;
                self.renewed(&session, minted, same.then_some(&next), false, now)
            }
        }
    }

    /// What to do about a genuine refresh token, by its session. It runs where the store's statements do, so that a
    /// claims function with nothing to wait for costs no second change of threads.
    fn decide(&self, request: Request, session: Option<Session>) -> (Decision<C>, Option<Rotate>) {
        let known = session.filter(|session| request.presented.secret.has_hash(&session.secret_hash));
        let Some(session) = known else { return (Decision::Unknown, None) };
        let now = self.now();
        if !self.live_at(now).holds(&session) {
            return (Decision::Over(session), None);
        }
        let policy = &self.inner.policy;
        let Some(standing) = Standing::of(&request.presented, &session, policy, request.arrived, now) else {
            return (Decision::Copied(session), None);
        };
        if request.scope.is_some()
            && narrowed(&session.scopes, policy.scope_claims, request.scope.as_deref()).is_none()
        {
            return (Decision::NotGranted, None);
        }
        let mut claims = (self.inner.claims)(session.clone());
        match (&mut claims).now_or_never() {
            Some(claims) => {
                let prepared = self.prepare(request, session, standing, claims);
                let rotate = prepared.rotate();
                (Decision::Ready(Box::new(prepared)), rotate)
            }
            None => (Decision::Waiting(Box::new(Waiting { request, session, standing, claims })), None),
        }
    }

    /// Everything that can fail, before the generation moves.
    fn prepare(
        &self,
        request: Request,
        session: Session,
        standing: Standing,
        claims: Result<C, Refusal>,
    ) -> Prepared {
        let Request { presented, client, scope, .. } = request;
        // the application may have taken its time, and the grace of the others begins with the rotation
        let live = self.live_at(self.now());
        let policy = &self.inner.policy;
        let token = match claims {
            Ok(claims) => serde_json::to_value(claims)
                .map_err(Error::internal)
                .and_then(|claims| self.mint(&session, claims, scope.as_deref(), live.now))
                .map_err(NoToken::Failed),
            Err(Refusal::Denied) => Err(NoToken::Denied),
            Err(Refusal::Unavailable(cause)) => Err(NoToken::Failed(Error::Claims(cause))),
        };
        let next = RefreshToken { generation: presented.generation.saturating_add(1), ..presented };
        let to = if policy.rotate { next.generation } else { session.generation };
        let client = client.or(&session.client);
        let step = Rotate { id: session.id, from: session.generation, to, live, client };
        Prepared { session, standing, next, token, step }
    }

    /// The access token with these claims, of which scopes are left that were granted and, if some were, asked for.
    fn mint(
        &self,
        session: &Session,
        claims: serde_json::Value,
        scope: Option<&str>,
        now: i64,
    ) -> Result<Minted, Error> {
        let names = self.inner.policy.scope_claims;
        let allowed = narrowed(&session.scopes, names, scope).ok_or(Error::ScopeNotGranted)?;
        let (claims, left) = bound(claims, names, &allowed).map_err(Error::internal)?;
        let words = joined(&left);
        let scope = match scope {
            // they were granted, and the user has none of them any more
            Some(_) if words.is_none() => return Err(Error::ScopeNotGranted),
            Some(_) => words,
            None => (!same_words(&left, &allowed)).then(|| words.unwrap_or_default()),
        };
        Ok(Minted { token: self.sign(session, &claims, now)?, scope })
    }

    fn renewed(
        &self,
        session: &Session,
        Minted { token, scope }: Minted,
        refresh: Option<&RefreshToken>,
        rotated: bool,
        now: i64,
    ) -> Result<Pair, Error> {
        let mut pair = self.pair(session, token, refresh, now)?;
        pair.scope = scope;
        self.inner.events.send(EventKind::Renewed { rotated }, &session.user, Some(session.id), now);
        Ok(pair)
    }

    async fn end_copied(&self, session: &Session) -> Result<Pair, Error> {
        self.inner.events.send(EventKind::Reused, &session.user, Some(session.id), self.now());
        self.revoke(Which::One { user: &session.user, id: session.id }, Why::Reuse).await?;
        Err(Error::Grant)
    }
}

impl Standing {
    /// `None` for a token that is older, or from a future that a restored backup forgot: somebody kept a copy.
    ///
    /// A request counts from its arrival: what it waited for a connection makes its token no older.
    fn of(
        presented: &RefreshToken,
        session: &Session,
        policy: &Policy,
        arrived: i64,
        now: i64,
    ) -> Option<Self> {
        let grace = whole_ms(policy.grace);
        // a clock that was set back must not keep a token young, or replaced just now, for an hour
        let recent = arrived - session.renewed_at <= grace && session.renewed_at - now <= grace;
        if presented.generation == session.generation {
            let young = recent && (session.generation > 0 || !policy.rotate);
            return Some(if young { Self::Young } else { Self::Due });
        }
        let before = session.generation.checked_sub(1) == Some(presented.generation);
        (before && recent).then_some(Self::JustReplaced)
    }
}
