//! The servers: each answers `Welcome, <user>` to a request with a token, and differs only in who verifies it.
use std::{
    collections::HashSet,
    future::{Ready, ready},
    net::TcpListener,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use actix_web::{
    App, Error, FromRequest, HttpMessage, HttpRequest, HttpServer,
    body::MessageBody,
    dev::{Payload, ServiceFactory, ServiceRequest, ServiceResponse},
    error::ErrorUnauthorized,
    http::header::AUTHORIZATION,
    web,
};
use actix_web_httpauth::{extractors::bearer::BearerAuth, middleware::HttpAuthentication};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use utils_token_auth::{
    Auth, Client, HttpAuth, KeyError, Keys, MemoryStore, Policy, Refusal, Session, TokenAuth,
};

/// The plain route first: the others are compared with it.
pub(crate) const NAMES: &[&str] = &[
    "plain",
    "utils-token-auth, HS256",
    "utils-token-auth, HS256, none kept",
    "utils-token-auth, EdDSA",
    "utils-token-auth, ES256",
    "jsonwebtoken, hand-written extractor",
    "actix-web-httpauth + jsonwebtoken",
    "actix-web-grants + httpauth + jsonwebtoken",
    "actix-jwt-auth-middleware",
];

const SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";

/// Longer than the others take for their turns.
const PATIENCE: Duration = Duration::from_secs(3600);

macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("../../../crates/utils-token-auth/tests/it/vectors/keys/", $name, ".pem"))
    };
}

pub(crate) fn run(name: &str) -> std::io::Result<()> {
    actix_web::rt::System::new().block_on(async {
        match name {
            // the same request as the first of the others, byte for byte: reading a header is not authentication
            "plain" => {
                let (_, token) = engine(Keys::hs256("1", SECRET), Policy::default()).await?;
                serve(&token, || App::new().route("/protected", web::get().to(plain))).await
            }
            "utils-token-auth, HS256" => ours(Keys::hs256("1", SECRET), Policy::default()).await,
            "utils-token-auth, HS256, none kept" => {
                ours(Keys::hs256("1", SECRET), Policy::default().cached_tokens(0)).await
            }
            "utils-token-auth, EdDSA" => ours(Keys::ed25519("1", pem!("ed25519")), Policy::default()).await,
            "utils-token-auth, ES256" => ours(Keys::es256("1", pem!("es256")), Policy::default()).await,
            "jsonwebtoken, hand-written extractor" => {
                serve(&token(), || {
                    App::new()
                        .app_data(web::Data::new(Verifying::new()))
                        .route("/protected", web::get().to(by_hand))
                })
                .await
            }
            "actix-web-httpauth + jsonwebtoken" => {
                serve(&token(), || {
                    App::new()
                        .app_data(web::Data::new(Verifying::new()))
                        .wrap(HttpAuthentication::bearer(validate))
                        .route("/protected", web::get().to(from_extensions))
                })
                .await
            }
            "actix-web-grants + httpauth + jsonwebtoken" => {
                serve(&token(), || {
                    App::new()
                        .app_data(web::Data::new(Verifying::new()))
                        .wrap(actix_web_grants::GrantsMiddleware::with_extractor(scopes))
                        .wrap(HttpAuthentication::bearer(validate))
                        .route("/protected", web::get().to(granted))
                })
                .await
            }
            "actix-jwt-auth-middleware" => jwt_auth_middleware().await,
            _ => Err(std::io::Error::other("no such server")),
        }
    })
}

/// One worker on a free port; says on standard output which, and with which header to come.
async fn serve<F, T, B>(token: &str, app: F) -> std::io::Result<()>
where
    F: Fn() -> App<T> + Send + Clone + 'static,
    T: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
        > + 'static,
    B: MessageBody + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}\nAuthorization: Bearer {token}", listener.local_addr()?.port());
    HttpServer::new(app).workers(1).keep_alive(PATIENCE).listen(listener)?.run().await
}

async fn plain() -> String {
    format!("Welcome, {}", std::hint::black_box("4242"))
}

#[derive(Serialize, Deserialize)]
struct Claims {
    scopes: Vec<String>,
}

type Engine = TokenAuth<Claims, MemoryStore>;

async fn engine(keys: Result<Keys, KeyError>, policy: Policy) -> std::io::Result<(Engine, String)> {
    let auth = TokenAuth::new(keys.map_err(std::io::Error::other)?, MemoryStore::new(), |_: Session| async {
        Ok::<_, Refusal>(Claims { scopes: scope_list() })
    })
    .policy(policy)
    .build()
    .map_err(std::io::Error::other)?;
    let pair = auth.login("4242", (), Client::unknown()).await.map_err(std::io::Error::other)?;
    Ok((auth, pair.token))
}

async fn ours(keys: Result<Keys, KeyError>, policy: Policy) -> std::io::Result<()> {
    let (auth, token) = engine(keys, policy).await?;
    let http = HttpAuth::new(auth);
    serve(&token, move || {
        // as the others: without the routes for renewing and for listing sessions
        App::new().configure(http.extractors()).route(
            "/protected",
            web::get().to(|auth: Auth<Claims>| async move { format!("Welcome, {}", auth.user) }),
        )
    })
    .await
}

/// The claims as a program that uses jsonwebtoken has them.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct AllClaims {
    rfid: String,
    sub: String,
    scopes: Vec<String>,
    exp: u64,
    iat: u64,
}

fn scope_list() -> Vec<String> {
    vec!["360noscope".to_owned(), "tokens:read".to_owned()]
}

fn all_claims() -> AllClaims {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let rfid = "BwcHBwcHBwcHBwcHBwcHBw".to_owned();
    AllClaims { rfid, sub: "4242".to_owned(), scopes: scope_list(), exp: now + 900, iat: now }
}

fn token() -> String {
    let header = Header { kid: Some("1".to_owned()), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, &all_claims(), &EncodingKey::from_secret(SECRET)).expect("a token")
}

/// Made once a worker, as its documentation advises.
struct Verifying {
    key: DecodingKey,
    validation: Validation,
}

impl Verifying {
    fn new() -> Self {
        Self { key: DecodingKey::from_secret(SECRET), validation: Validation::new(Algorithm::HS256) }
    }

    fn decode(&self, token: &str) -> Option<AllClaims> {
        jsonwebtoken::decode(token, &self.key, &self.validation).ok().map(|data| data.claims)
    }
}

struct ByHand(AllClaims);

impl FromRequest for ByHand {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let claims = request.app_data::<web::Data<Verifying>>().and_then(|verifying| {
            let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
            verifying.decode(value.strip_prefix("Bearer ")?)
        });
        ready(claims.map(ByHand).ok_or_else(|| ErrorUnauthorized("no")))
    }
}

async fn by_hand(ByHand(claims): ByHand) -> String {
    format!("Welcome, {}", claims.sub)
}

async fn validate(
    request: ServiceRequest,
    bearer: BearerAuth,
) -> Result<ServiceRequest, (Error, ServiceRequest)> {
    let claims =
        request.app_data::<web::Data<Verifying>>().and_then(|verifying| verifying.decode(bearer.token()));
    match claims {
        Some(claims) => {
            request.extensions_mut().insert(claims);
            Ok(request)
        }
        None => Err((ErrorUnauthorized("no"), request)),
    }
}

async fn from_extensions(claims: web::ReqData<AllClaims>) -> String {
    format!("Welcome, {}", claims.sub)
}

async fn scopes(request: &ServiceRequest) -> Result<HashSet<String>, Error> {
    let extensions = request.extensions();
    Ok(extensions.get::<AllClaims>().into_iter().flat_map(|claims| claims.scopes.iter().cloned()).collect())
}

#[actix_web_grants::protect("360noscope")]
async fn granted(claims: web::ReqData<AllClaims>) -> String {
    format!("Welcome, {}", claims.sub)
}

#[derive(Clone, Debug, Serialize, Deserialize, actix_jwt_auth_middleware::FromRequest)]
struct MiddlewareClaims {
    rfid: String,
    sub: String,
    scopes: Vec<String>,
}

async fn with_middleware(claims: MiddlewareClaims) -> String {
    format!("Welcome, {}", claims.sub)
}

async fn jwt_auth_middleware() -> std::io::Result<()> {
    use actix_jwt_auth_middleware::{Authority, TokenSigner, use_jwt::UseJWTOnApp};
    use jwt_compact::alg::{Hs256, Hs256Key};

    fn signer() -> TokenSigner<MiddlewareClaims, Hs256> {
        TokenSigner::new()
            .signing_key(Hs256Key::new(SECRET))
            .algorithm(Hs256)
            .access_token_lifetime(Duration::from_secs(900))
            .build()
            .expect("a signer")
    }

    let AllClaims { rfid, sub, scopes, .. } = all_claims();
    let cookie = signer().create_access_cookie(&MiddlewareClaims { rfid, sub, scopes }).expect("a cookie");
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}\naccess_token: {}", listener.local_addr()?.port(), cookie.value());
    HttpServer::new(|| {
        // by its own header: its reading of `Authorization` answers 400 to every token
        let authority = Authority::<MiddlewareClaims, Hs256, _, _>::new()
            .refresh_authorizer(|| async { Ok(()) })
            .enable_header_tokens(true)
            .enable_authorization_header(false)
            .enable_cookie_tokens(false)
            .token_signer(Some(signer()))
            .verifying_key(Hs256Key::new(SECRET))
            .build()
            .expect("an authority");
        App::new().use_jwt(authority, web::scope("").route("/protected", web::get().to(with_middleware)))
    })
    .workers(1)
    .keep_alive(PATIENCE)
    .listen(listener)?
    .run()
    .await
}
