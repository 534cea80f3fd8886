//! Renewal: idempotent, and never twice in a hurry.
//!
//! A client may lose the answer, several tabs may share one refresh token, and a thief may have a copy. So a renewal
//! that is repeated within the grace gets the same successor; a refresh token that is itself younger than the grace
//! stays, and only the access token is new, so that a late answer can never overwrite a newer refresh token; and any
//! other generation means that somebody kept a copy, which ends the session.

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    clock::whole_ms,
    engine::{Inner, TokenAuth},
    error::Error,
    events::EventKind,
    pair::Pair,
    policy::Policy,
    refresh::RefreshToken,
    scope_bound::bound,
    session::{Client, Session, Why},
    store::{Rotate, Store, Which},
};

/// How a genuine refresh token relates to its live session.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// The latest one, due for its successor.
    Due,
    /// The latest one, so new that it stays.
    Young,
    /// The one before, whose successor may not have reached the client.
    JustReplaced,
    /// Older, or from a future that a restored backup forgot.
    Copied,
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
        let Inner { store, refresh, policy, .. } = &*self.inner;
        let presented = refresh.open(refresh_token).ok_or(Error::Grant)?;
        let now = self.now();
        let live = self.live_at(now);

        let session = store.get(presented.session).await.map_err(Error::store)?.ok_or(Error::Grant)?;
        if !presented.secret.has_hash(&session.secret_hash) {
            return Err(Error::Grant);
        }
        if !live.holds(&session) {
            self.inner.events.send(EventKind::UsedAfterEnd, &session.user, Some(session.id), now);
            return Err(Error::Grant);
        }
        let standing = Standing::of(&presented, &session, policy, now);
        if standing == Standing::Copied {
            return self.end_copied(&session, now).await;
        }

        // everything that can fail comes before the generation moves
        let Some(claims) = self.claims_of(&session).await? else {
            self.revoke(Which::One { user: &session.user, id: session.id }, Why::Denied).await?;
            return Err(Error::Grant);
        };
        let claims = serde_json::to_value(claims).map_err(Error::internal)?;
        let claims = bound(claims, policy.scope_claims, &session.scopes);
        let token = self.sign(&session, &claims, now)?;

        let next = RefreshToken { generation: presented.generation.saturating_add(1), ..presented };
        match standing {
            Standing::Young => self.renewed(&session, token, None, false, now),
            Standing::JustReplaced => self.renewed(&session, token, Some(&next), false, now),
            Standing::Copied => self.end_copied(&session, now).await,
            Standing::Due => {
                let to = if policy.rotate { next.generation } else { session.generation };
                let client = client.tidy().or(&session.client);
                let rotate = Rotate { id: session.id, from: session.generation, to, live, client };
                if store.rotate(rotate).await.map_err(Error::store)? {
                    return self.renewed(&session, token, policy.rotate.then_some(&next), policy.rotate, now);
                }
                // somebody else moved it, or it ended: a fresh statement sees which
                let session = store.get(session.id).await.map_err(Error::store)?.ok_or(Error::Grant)?;
                if !live.holds(&session) {
                    return Err(Error::Grant);
                }
                // further on than that, this request was slow: its token was the latest when it came in, so it is
                // no copy, but its answer must not bring an old refresh token back
                let same = session.generation == next.generation;
                self.renewed(&session, token, same.then_some(&next), false, now)
            }
        }
    }

    fn renewed(
        &self,
        session: &Session,
        token: String,
        refresh: Option<&RefreshToken>,
        rotated: bool,
        now: i64,
    ) -> Result<Pair, Error> {
        let pair = self.pair(session, token, refresh, now)?;
        self.inner.events.send(EventKind::Renewed { rotated }, &session.user, Some(session.id), now);
        Ok(pair)
    }

    async fn end_copied(&self, session: &Session, now: i64) -> Result<Pair, Error> {
        self.inner.events.send(EventKind::Reused, &session.user, Some(session.id), now);
        self.revoke(Which::One { user: &session.user, id: session.id }, Why::Reuse).await?;
        Err(Error::Grant)
    }
}

impl Standing {
    fn of(presented: &RefreshToken, session: &Session, policy: &Policy, now: i64) -> Self {
        let grace = whole_ms(policy.grace);
        let age = now - session.renewed_at;
        if presented.generation == session.generation {
            // a clock that was set back must not keep a token young for an hour
            let recent = (-grace..=grace).contains(&age);
            let young = recent && (session.generation > 0 || !policy.rotate);
            return if young { Self::Young } else { Self::Due };
        }
        if session.generation.checked_sub(1) == Some(presented.generation) && age <= grace {
            return Self::JustReplaced;
        }
        Self::Copied
    }
}
