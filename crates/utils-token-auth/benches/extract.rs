//! What authentication adds to a request: routes with it, beside the same route without.
//!
//! The application is called without a socket, so the ratios are those of the framework's and our own work alone: a
//! server has the cost of its connections on top of both. Measured as in `verify`.
//!
//! ```text
//! cargo bench -p utils-token-auth --bench extract
//! ```
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)] // a program of its own, run by hand
use std::{hint::black_box, time::Duration};

use actix_web::{
    App, HttpRequest,
    dev::Service,
    http::header::AUTHORIZATION,
    test::{self, TestRequest},
    web,
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use utils_token_auth::{Auth, Client, Keys, MaybeAuth, MemoryStore, Refusal, Session, TokenAuth};

const SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
const TURNS: usize = 100;
const ROUNDS: u32 = 200;

#[derive(Clone, Serialize, Deserialize)]
struct Claims {
    scopes: Vec<String>,
}

/// The same claims, as a hand-written extractor has them.
#[derive(Serialize, Deserialize)]
struct AllClaims {
    sub: String,
    exp: u64,
    iat: u64,
    scopes: Vec<String>,
}

#[actix_web::main]
async fn main() {
    let turns = if std::env::args().any(|argument| argument == "--bench") { TURNS } else { 1 };
    #[cfg(feature = "aws-lc")]
    jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default().unwrap();

    group("HS256", turns, Keys::hs256("1", SECRET).unwrap()).await;
    let key = include_str!("../tests/it/vectors/keys/es256.pem");
    group("ES256", turns, Keys::es256("1", key).unwrap()).await;
}

async fn group(name: &str, turns: usize, keys: Keys) {
    let auth = TokenAuth::new(keys, MemoryStore::new(), |_: Session| async {
        Ok::<_, Refusal>(Claims { scopes: vec!["360noscope".to_owned(), "tokens:read".to_owned()] })
    })
    .build()
    .unwrap();
    let token = auth.login("4242", (), Client::unknown()).await.unwrap().token;
    let http = auth.http();

    let decoding = DecodingKey::from_secret(SECRET);
    let validation = Validation::new(Algorithm::HS256);
    let by_hand = move |request: HttpRequest| {
        let header = request.headers().get(AUTHORIZATION).unwrap().to_str().unwrap();
        let token = header.strip_prefix("Bearer ").unwrap();
        let claims = jsonwebtoken::decode::<AllClaims>(token, &decoding, &validation).unwrap().claims;
        async move { welcome(&claims.sub) }
    };
    let app = test::init_service(
        App::new()
            .configure(http.routes())
            .route("/plain", web::get().to(async || welcome(black_box("4242"))))
            .route("/auth", web::get().to(async |auth: Auth<Claims>| welcome(&auth.user)))
            .route("/maybe", web::get().to(async |auth: MaybeAuth<Claims>| welcome(&auth.0.unwrap().user)))
            .route("/by-hand", web::get().to(by_hand))
            .service(
                web::scope("/area")
                    .wrap(http.protect())
                    .route("/me", web::get().to(async |auth: Auth<Claims>| welcome(&auth.user))),
            ),
    )
    .await;

    let encoded = jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        &AllClaims {
            sub: "4242".to_owned(),
            exp: 4_000_000_000,
            iat: 1_700_000_000,
            scopes: vec!["360noscope".to_owned(), "tokens:read".to_owned()],
        },
        &EncodingKey::from_secret(SECRET),
    )
    .unwrap();
    let paths = [
        ("no authentication", "/plain", &token),
        ("Auth", "/auth", &token),
        ("MaybeAuth", "/maybe", &token),
        ("protect() and Auth", "/area/me", &token),
        ("jsonwebtoken by hand, HS256", "/by-hand", &encoded),
    ];
    println!("\n{name}, a token of {} bytes", token.len());
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); paths.len()];
    for number in 0..turns {
        for offset in 0..paths.len() {
            let at = (number + offset) % paths.len();
            let (_, path, token) = paths[at];
            let requests: Vec<_> = (0..ROUNDS)
                .map(|_| {
                    let header = (AUTHORIZATION, format!("Bearer {token}"));
                    TestRequest::get().uri(path).insert_header(header).to_request()
                })
                .collect();
            let before = cpu_time();
            for request in requests {
                black_box(app.call(request).await.unwrap());
            }
            let spent = cpu_time().saturating_sub(before);
            times[at].push(spent.as_nanos() as f64 / f64::from(ROUNDS));
        }
    }
    for (at, (name, ..)) in paths.iter().enumerate() {
        let fastest = times[at].iter().copied().fold(f64::INFINITY, f64::min);
        let mut added: Vec<f64> = times[at].iter().zip(&times[0]).map(|(ours, plain)| ours - plain).collect();
        added.sort_by(f64::total_cmp);
        println!("  {name:<28} {fastest:>8.0} ns   {:>+8.0} ns", added[added.len() / 2]);
    }
}

fn welcome(user: &str) -> String {
    format!("Welcome, {user}")
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}
