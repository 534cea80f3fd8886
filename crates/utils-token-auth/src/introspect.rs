use serde::{Serialize, de::DeserializeOwned};

use crate::{
    clock::whole_ms,
    engine::{Inner, TokenAuth},
    error::Error,
    scope_bound::{joined, scopes_of},
    store::Store,
};

/// What a token is worth at this moment (RFC 7662 section 2.2). A token that is not good says nothing but that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Introspection {
    /// Whether the token is good.
    pub active: bool,
    /// Its scopes, with blanks between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// `Bearer` for an access token, `refresh_token` for a refresh token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_type: Option<&'static str>,
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// When it ends, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// When it was made, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// Its issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Its audience.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
}

impl<C, S> TokenAuth<C, S>
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    /// Says what an access or refresh token is worth at this moment; the store is asked, nothing changes.
    ///
    /// # Errors
    /// [`Error::Store`] when the store did not answer.
    pub async fn introspect(&self, token: &str) -> Result<Introspection, Error> {
        let Inner { refresh, policy, verifier, .. } = &*self.inner;
        let now = self.now();
        if let Some(session) = self.session_of_refresh_token(token).await? {
            let latest =
                refresh.open(token).is_some_and(|presented| presented.generation == session.generation);
            if !latest || !self.live_at(now).holds(&session) {
                return Ok(Introspection::default());
            }
            // unless it is renewed before
            let ends = session.expires_at.min(session.renewed_at + whole_ms(policy.idle));
            return Ok(Introspection {
                active: true,
                scope: joined(&session.scopes),
                token_type: Some("refresh_token"),
                sub: Some(session.user),
                exp: Some(ends.div_euclid(1000)),
                iat: Some(session.renewed_at.div_euclid(1000)),
                iss: policy.issuer.clone(),
                aud: None,
            });
        }
        let Ok(token) = verifier.verify::<C>(token, now) else { return Ok(Introspection::default()) };
        match self.confirm(token.session).await {
            Ok(()) => {}
            Err(Error::Revoked) => return Ok(Introspection::default()),
            Err(error) => return Err(error),
        }
        let claims = serde_json::to_value(&token.claims).map_err(Error::internal)?;
        // a token minted elsewhere may have them in a shape of its own, which says nothing here
        let scopes = scopes_of(&claims, policy.scope_claims).unwrap_or_default();
        Ok(Introspection {
            active: true,
            scope: joined(&scopes),
            token_type: Some("Bearer"),
            sub: Some(token.user),
            exp: Some(token.expires_at),
            iat: Some(token.issued_at),
            iss: policy.issuer.clone(),
            aud: policy.audience.clone(),
        })
    }
}
