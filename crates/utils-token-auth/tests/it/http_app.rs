//! An application with the whole HTTP surface, and a client for it.
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use actix_web::{
    App, Error as ActixError, HttpRequest, HttpResponse, HttpServer,
    body::{BoxBody, MessageBody},
    dev::{HttpServiceFactory, ServerHandle, Service, ServiceResponse},
    http::{Method, StatusCode},
    test::{self, TestRequest},
    web,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utils_token_auth::{
    Auth, Client, Error, HttpAuth, Keys, MaybeAuth, Pair, Policy, Protect, Refusal, Scopes, Session,
    TestClock, TokenAuth,
};

use crate::spy::Spy;

pub(crate) const START: i64 = 1_700_000_000_000;
pub(crate) const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) scopes: Vec<String>,
}

impl Scopes for Claims {
    fn has_scope(&self, scope: &str) -> bool {
        self.scopes.has_scope(scope)
    }
}

pub(crate) type Engine = TokenAuth<Claims, Spy>;
pub(crate) type Http = HttpAuth<Claims, Spy>;

/// The engine, its clock, and how the application reaches it.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) auth: Engine,
    pub(crate) clock: TestClock,
    pub(crate) store: Spy,
    pub(crate) http: Http,
    /// What the application's user table says of everybody.
    pub(crate) scopes: Arc<Mutex<Vec<String>>>,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::with_policy(Policy::default())
    }

    pub(crate) fn with_policy(policy: Policy) -> Self {
        Self::made_of(Keys::hs256("1", SECRET).unwrap(), policy)
    }

    pub(crate) fn with_keys(keys: Keys) -> Self {
        Self::made_of(keys, Policy::default())
    }

    fn made_of(keys: Keys, policy: Policy) -> Self {
        let clock = TestClock::at(START);
        let store = Spy::default();
        let scopes = Arc::new(Mutex::new(vec!["read".to_owned()]));
        let known = Arc::clone(&scopes);
        let auth = TokenAuth::new(keys, store.clone(), move |_: Session| {
            let scopes = known.lock().unwrap().clone();
            async { Ok::<_, Refusal>(Claims { scopes }) }
        })
        .policy(policy)
        .clock(clock.clone())
        .build()
        .unwrap();
        Self { http: auth.http(), auth, clock, store, scopes }
    }

    /// Changes what everybody is allowed from now on.
    pub(crate) fn allow(&self, scopes: &[&str]) {
        *self.scopes.lock().unwrap() = scopes.iter().map(|&scope| scope.to_owned()).collect();
    }

    /// The same engine, reached in another way.
    pub(crate) fn over(mut self, change: impl FnOnce(Http) -> Http) -> Self {
        self.http = change(self.http);
        self
    }

    pub(crate) fn later(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) async fn login(&self, user: &str) -> Pair {
        self.auth.login(user, (), Client::unknown()).await.unwrap()
    }

    /// Sends one request to a new instance of the application.
    pub(crate) async fn send(&self, request: TestRequest) -> Answer {
        let app = test::init_service(App::new().configure(self.routes())).await;
        Answer::of(app.call(request.to_request()).await).await
    }

    /// Serves the application on a port of its own, to be spoken to in bytes.
    pub(crate) fn serve(&self) -> (SocketAddr, ServerHandle) {
        let site = self.clone();
        let server = HttpServer::new(move || App::new().configure(site.routes()))
            .workers(1)
            .disable_signals()
            .bind(("127.0.0.1", 0))
            .unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_rt::spawn(server);
        (address, handle)
    }

    fn routes(&self) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
        let Self { auth, http, .. } = self.clone();
        move |config| {
            config
                .app_data(web::Data::new(auth))
                .configure(http.routes())
                .configure(http.well_known())
                .route("/login", web::post().to(login))
                .route("/protected", web::to(protected))
                .route("/optional", web::to(optional))
                .route("/write", web::to(write))
                .route("/fresh", web::to(fresh))
                .route("/sure", web::to(sure))
                .route("/both", web::to(both))
                .service(web::scope("/kept").wrap(http.protect()).route("/me", web::to(kept)))
                .service(scope("/area", http.protect()))
                .service(scope("/read", http.protect().scope("read")))
                .service(scope("/admin", http.protect().scope("read").scope("admin")))
                .service(scope("/vault", http.protect().fresh(Duration::from_secs(300)).confirm()));
        }
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(with_token(Method::GET, path, token)).await
    }

    pub(crate) async fn post(&self, path: &str, token: &str) -> Answer {
        self.send(with_token(Method::POST, path, token)).await
    }

    pub(crate) async fn delete(&self, path: &str, token: &str) -> Answer {
        self.send(with_token(Method::DELETE, path, token)).await
    }

    pub(crate) async fn renew(&self, refresh_token: &str) -> Answer {
        self.send(TestRequest::post().uri("/renew").set_form([("refreshToken", refresh_token)])).await
    }

    /// Whether the token still opens a door.
    pub(crate) async fn opens(&self, token: &str) -> bool {
        self.post("/protected", token).await.status == StatusCode::OK
    }
}

pub(crate) fn request(method: Method, path: &str) -> TestRequest {
    TestRequest::default().method(method).uri(path)
}

pub(crate) fn with_token(method: Method, path: &str, token: &str) -> TestRequest {
    request(method, path).insert_header(("Authorization", format!("Bearer {token}")))
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: Vec<(String, String)>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of<B: MessageBody + 'static>(answer: Result<ServiceResponse<B>, ActixError>) -> Self {
        let response = match answer {
            Ok(response) => response.map_into_boxed_body().into_parts().1,
            Err(error) => HttpResponse::from_error(error),
        };
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let status = response.status();
        let body = actix_web::body::to_bytes::<BoxBody>(response.into_body()).await.unwrap();
        Self { status, headers, text: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
            .collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.all(name).first().copied().unwrap_or_default()
    }

    pub(crate) fn challenge(&self) -> &str {
        self.header("WWW-Authenticate")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Status and body, and the challenge if there is one.
    pub(crate) fn summary(&self) -> String {
        let challenge =
            if self.challenge().is_empty() { String::new() } else { format!(" [{}]", self.challenge()) };
        format!("{}: {}{challenge}", self.status.as_u16(), self.text)
    }
}

fn scope(path: &str, protect: Protect<Claims>) -> impl HttpServiceFactory + use<> {
    web::scope(path).wrap(protect).route("/me", web::to(protected)).route("/optional", web::to(optional))
}

async fn login(auth: web::Data<Engine>, client: Client, user: String) -> Result<Pair, Error> {
    let user = if user.is_empty() { "ann" } else { &user };
    auth.login(user, (), client).await
}

async fn protected(auth: Auth<Claims>) -> String {
    format!("Welcome, {}", auth.user)
}

async fn optional(auth: MaybeAuth<Claims>) -> String {
    format!("Welcome, {}", auth.0.as_ref().map_or("stranger", |auth| &auth.user))
}

async fn write(auth: Auth<Claims>) -> Result<&'static str, Error> {
    auth.require("read")?.require("write")?;
    Ok("written")
}

async fn fresh(auth: Auth<Claims>) -> Result<&'static str, Error> {
    auth.fresh(Duration::from_secs(300))?;
    Ok("fresh")
}

async fn sure(auth: Auth<Claims>) -> Result<&'static str, Error> {
    auth.confirm().await?;
    Ok("sure")
}

/// An answer with what the address asks for as its `Cache-Control`.
async fn kept(auth: Auth<Claims>, request: HttpRequest) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    for value in request.headers().get_all("x-cache-control") {
        answer.append_header(("Cache-Control", value.clone()));
    }
    answer.body(auth.user.clone())
}

async fn both(one: Auth<Claims>, other: MaybeAuth<Claims>) -> String {
    format!("{} {}", one.user, other.0.map(|auth| auth.user.clone()).unwrap_or_default())
}
