//! Log-in, which is the application's, and the engine that takes over from there.
use std::error::Error;

use actix_web::{
    Either,
    http::header::{HeaderValue, WWW_AUTHENTICATE},
    web::{Data, Form, Json},
};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use webutils::{
    restful::{ApiError, OrRespond, Result, StatusCode},
    token_auth::{
        Client, DieselStore, Keys, MemoryThrottle, Pair, Passwords, Refusal, Scopes, Session, Throttle,
        TokenAuth,
    },
};

use crate::{database::Db, schema::users};

/// What an access token holds beside its session, its user and its times.
#[derive(Serialize, Deserialize)]
pub(crate) struct Claims {
    scope: String,
}

impl Scopes for Claims {
    fn has_scope(&self, scope: &str) -> bool {
        self.scope.has_scope(scope)
    }
}

pub(crate) type Engine = TokenAuth<Claims, DieselStore<SqliteConnection>>;

/// The engine, with its sessions in the application's database. What a user may do is read again at every renewal.
pub(crate) async fn engine(sessions: &Db, secret: &[u8]) -> std::result::Result<Engine, Box<dyn Error>> {
    let store = DieselStore::new(sessions.pool().clone());
    store.migrate().await?;
    let sessions = sessions.clone();
    let claims = move |session: Session| {
        let sessions = sessions.clone();
        async move {
            let user = users::table.filter(users::username.eq(session.user)).select(users::scopes);
            let scope: Option<String> = sessions.run(move |conn| user.first(conn).optional()).await?;
            scope.map(|scope| Claims { scope }).ok_or(Refusal::Denied)
        }
    };
    Ok(TokenAuth::new(Keys::hs256("1", secret)?, store, claims).build()?)
}

#[derive(Deserialize)]
pub(crate) struct Credentials {
    username: String,
    password: String,
    /// What the user calls this device.
    device: Option<String>,
}

/// `POST /login`, as a form or as JSON.
pub(crate) async fn login(
    credentials: Either<Form<Credentials>, Json<Credentials>>,
    mut client: Client,
    engine: Data<Engine>,
    sessions: Data<Db>,
    passwords: Data<Passwords>,
    throttle: Data<Throttle<MemoryThrottle>>,
) -> Result<Pair> {
    let Credentials { username, password, device } = match credentials {
        Either::Left(form) => form.into_inner(),
        Either::Right(json) => json.into_inner(),
    };
    if device.as_ref().is_some_and(|name| !name.trim().is_empty()) {
        client.label = device;
    }
    let attempt = throttle.attempt(&username, client.ip).await.or_respond()?; // 429 with Retry-After
    let ok = match check(&username, &password, &sessions, &passwords).await {
        Ok(ok) => ok,
        Err(error) => {
            attempt.cancel().await.or_respond()?; // the password was not looked at
            return Err(error);
        }
    };
    if !ok {
        let challenge = HeaderValue::from_static(r#"Bearer realm="api""#);
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, "The user name or the password is wrong.")
            .header(WWW_AUTHENTICATE, challenge));
    }
    attempt.succeeded().await.or_respond()?;
    engine.login(&username, (), client).await.or_respond()
}

/// Whether the password is the user's. It takes as long for a user who does not exist.
async fn check(username: &str, password: &str, sessions: &Db, passwords: &Passwords) -> Result<bool> {
    let hash_of = users::table.filter(users::username.eq(username.to_owned())).select(users::password_hash);
    let stored: Option<String> = sessions.run(move |conn| hash_of.first(conn).optional()).await?;
    let verified = passwords.verify(password, stored.as_deref()).await.or_respond()?;
    if verified.rehash {
        // hashed at another cost than we would today
        let hash = passwords.hash(password).await.or_respond()?;
        let user = users::table.filter(users::username.eq(username.to_owned()));
        let update = diesel::update(user).set(users::password_hash.eq(hash));
        sessions.run(move |conn| update.execute(conn)).await?;
    }
    Ok(verified.ok)
}
