//! Log in, renew, log out: short-lived access tokens and refresh tokens that can be revoked, in memory.
#![expect(clippy::print_stdout, reason = "a program that says where it listens")]

use std::{collections::HashMap, env, error::Error, time::Duration};

use actix_web::{
    App, Either, HttpServer, Responder,
    http::{
        StatusCode,
        header::{HeaderValue, WWW_AUTHENTICATE},
    },
    web::{self, Data, Form, Html, Json},
};
use serde::{Deserialize, Serialize};
use webutils::{
    restful::{ApiError, OrRespond, Restful, Result},
    token_auth::{
        Auth, Client, Clock, HttpAuth, Keys, MemoryStore, Pair, Policy, Refusal, Session, SystemClock,
        TokenAuth,
    },
};

/// What an access token holds beside its session, its user and its times.
#[derive(Serialize, Deserialize)]
pub(crate) struct Claims {
    scopes: Vec<String>,
}

pub(crate) type Engine = TokenAuth<Claims, MemoryStore>;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = match env::var("PORT") {
        Ok(text) => text.parse().map_err(|_| format!("PORT is {text:?}, which is no port number"))?,
        Err(_) => 5005,
    };
    // The sessions are gone when this process ends, so its key may be too.
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    let engine = engine(Keys::hs256("1", &secret)?, SystemClock)?;
    let _upkeep = engine.start().await?;

    let server = HttpServer::new(move || App::new().configure(routes(&engine)).wrap(Restful::new()));
    let server = server.workers(2).bind(("127.0.0.1", port))?;
    for address in server.addrs() {
        println!("listening on http://{address}, user test, password test; try");
        println!("  curl -d username=test -d password=test http://{address}/login");
    }
    Ok(server.run().await?)
}

/// The engine: its key, its store, and what goes into a token at log-in and at each renewal.
pub(crate) fn engine(keys: Keys, clock: impl Clock) -> Result<Engine, Box<dyn Error>> {
    let policy = Policy::default()
        .access(Duration::from_secs(60 * 60))
        .rotate(false) // the client keeps one refresh token until it logs out
        .leeway(Duration::ZERO) // one machine, one clock
        .subject_claim("user_id");
    let claims = |_: Session| async { Ok::<_, Refusal>(Claims { scopes: vec!["360noscope".to_owned()] }) };
    Ok(TokenAuth::new(keys, MemoryStore::new(), claims).policy(policy).clock(clock).build()?)
}

/// `/login` and `/protected` are ours; `/renew`, `/logout` and `/tokens` come with the engine.
pub(crate) fn routes(engine: &Engine) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    let engine = engine.clone();
    move |config| {
        // `?token=` ends up in logs and in the browser's history: for this demonstration only
        let http = HttpAuth::new(engine.clone()).query_param("token");
        config
            .app_data(Data::new(engine))
            .configure(http.routes())
            .service(web::resource("/login").route(web::post().to(login)))
            .service(web::resource("/protected").route(web::post().to(protected)));
    }
}

/// A form or a JSON object.
type Fields = Either<Form<Vec<(String, String)>>, Json<HashMap<String, String>>>;

async fn login(engine: Data<Engine>, client: Client, fields: Option<Fields>) -> Result<Pair> {
    let username = field(fields.as_ref(), "username");
    if username != Some("test") || field(fields.as_ref(), "password") != Some("test") {
        let challenge = HeaderValue::from_static(r#"Bearer realm="api""#);
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, "The user name or the password is wrong.")
            .header(WWW_AUTHENTICATE, challenge));
    }
    engine.login("test", (), client).await.or_respond()
}

/// The first field of this name.
fn field<'a>(fields: Option<&'a Fields>, name: &str) -> Option<&'a str> {
    match fields? {
        Either::Left(form) => form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()),
        Either::Right(json) => json.get(name).map(String::as_str),
    }
}

async fn protected(auth: Auth<Claims>) -> impl Responder {
    Html::new(format!("Welcome, {}", escaped(&auth.user)))
        .customize()
        .insert_header(("Cache-Control", "private")) // RFC 6750 section 2.3, as `?token=` is allowed
}

/// As text in HTML: a user's name may hold anything.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
