//! What verifying a token costs, beside `jsonwebtoken::decode` of the same token.
//!
//! The candidates of a group run in turns of a few milliseconds, so that whatever else the machine does falls on all
//! of them alike. Time is the CPU time of this thread; the figure of a candidate is its fastest turn, the ratio is the
//! median of the ratios to the first candidate, turn by turn.
//!
//! ```text
//! cargo bench -p utils-token-auth --bench verify
//! cargo bench -p utils-token-auth --bench verify --features aws-lc
//! ```
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)] // a bench: it stops at the first problem and prints
use std::{
    hint::black_box,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use utils_token_auth::{Keys, Registered, Sid, Verifier, VerifyPolicy};

const SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
const TURNS: usize = 200;
const TURN: Duration = Duration::from_millis(3);

#[derive(Serialize, Deserialize)]
struct Claims {
    scopes: Vec<String>,
}

/// The same claims, as a hand-written extractor has them.
#[derive(Serialize, Deserialize)]
struct AllClaims {
    rfid: String,
    sub: String,
    exp: u64,
    iat: u64,
    auth_time: u64,
    scopes: Vec<String>,
}

macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("../tests/it/vectors/keys/", $name, ".pem"))
    };
}

fn main() {
    // `cargo test --benches` runs this too: once around, to see that it works
    let turns = if std::env::args().any(|argument| argument == "--bench") { TURNS } else { 1 };
    // the process is ours: with two providers built, jsonwebtoken's own functions want one to be named
    #[cfg(feature = "aws-lc")]
    jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default().unwrap();

    let hs256 = (EncodingKey::from_secret(SECRET), DecodingKey::from_secret(SECRET));
    group("HS256", turns, Keys::hs256("1", SECRET).unwrap(), Algorithm::HS256, hs256);
    let ed = (pem!("ed25519"), pem!("ed25519.pub"));
    let pair = (
        EncodingKey::from_ed_pem(ed.0.as_bytes()).unwrap(),
        DecodingKey::from_ed_pem(ed.1.as_bytes()).unwrap(),
    );
    group("EdDSA", turns, Keys::ed25519("1", ed.0).unwrap(), Algorithm::EdDSA, pair);
    let es = (pem!("es256"), pem!("es256.pub"));
    let pair = (
        EncodingKey::from_ec_pem(es.0.as_bytes()).unwrap(),
        DecodingKey::from_ec_pem(es.1.as_bytes()).unwrap(),
    );
    group("ES256", turns, Keys::es256("1", es.0).unwrap(), Algorithm::ES256, pair);
    let rs = (pem!("rs256"), pem!("rs256.pub"));
    let pair = (
        EncodingKey::from_rsa_pem(rs.0.as_bytes()).unwrap(),
        DecodingKey::from_rsa_pem(rs.1.as_bytes()).unwrap(),
    );
    group("RS256", turns, Keys::rs256("1", rs.0).unwrap(), Algorithm::RS256, pair);
}

fn group(name: &str, turns: usize, keys: Keys, algorithm: Algorithm, pair: (EncodingKey, DecodingKey)) {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let verifier = Verifier::new(keys, VerifyPolicy::default()).unwrap();
    let registered = Registered {
        session: Sid::from_bytes([7; 16]),
        subject: "4242".to_owned(),
        issued_at: now,
        expires_at: now + 900,
        not_before: None,
        auth_time: Some(now),
    };
    let claims = Claims { scopes: vec!["360noscope".to_owned(), "tokens:read".to_owned()] };
    let token = verifier.sign(&registered, &claims).unwrap();
    let (encoding, decoding) = pair;
    let validation = Validation::new(algorithm);
    let clock = || i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();

    println!("\n{name}, a token of {} bytes", token.len());
    run(
        turns,
        &mut [
            ("jsonwebtoken::decode", &mut || {
                black_box(
                    jsonwebtoken::decode::<AllClaims>(black_box(&token), &decoding, &validation).unwrap(),
                );
            }),
            ("verify", &mut || {
                black_box(verifier.verify::<Claims>(black_box(&token), clock()).unwrap());
            }),
            ("verify_shared, hot", &mut || {
                black_box(verifier.verify_shared::<Claims>(black_box(&token), clock()).unwrap());
            }),
        ],
    );
    let all = AllClaims {
        rfid: registered.session.to_string(),
        sub: registered.subject.clone(),
        exp: registered.expires_at as u64,
        iat: now as u64,
        auth_time: now as u64,
        scopes: claims.scopes.clone(),
    };
    let header =
        Header { typ: Some("at+jwt".to_owned()), kid: Some("1".to_owned()), ..Header::new(algorithm) };
    run(
        turns,
        &mut [
            ("jsonwebtoken::encode", &mut || {
                black_box(jsonwebtoken::encode(&header, black_box(&all), &encoding).unwrap());
            }),
            ("sign", &mut || {
                black_box(verifier.sign(black_box(&registered), &claims).unwrap());
            }),
        ],
    );
}

type Candidate<'a> = (&'a str, &'a mut dyn FnMut());

fn run(turns: usize, candidates: &mut [Candidate<'_>]) {
    // how often each fits into a turn, after warming up
    let often: Vec<u32> = candidates
        .iter_mut()
        .map(|(_, work)| {
            work();
            let once = turn(1, work).max(turn(20, work) / 20).max(Duration::from_nanos(1));
            u32::try_from((TURN.as_nanos() / once.as_nanos()).clamp(1, 100_000)).unwrap()
        })
        .collect();
    let mut times: Vec<Vec<f64>> = vec![Vec::with_capacity(turns); candidates.len()];
    for number in 0..turns {
        // another one begins each time
        for offset in 0..candidates.len() {
            let at = (number + offset) % candidates.len();
            let spent = turn(often[at], candidates[at].1);
            times[at].push(spent.as_nanos() as f64 / f64::from(often[at]));
        }
    }
    for (at, (name, _)) in candidates.iter().enumerate() {
        let fastest = times[at].iter().copied().fold(f64::INFINITY, f64::min);
        let mut ratios: Vec<f64> =
            times[at].iter().zip(&times[0]).map(|(ours, first)| ours / first).collect();
        ratios.sort_by(f64::total_cmp);
        println!("  {name:<22} {fastest:>10.0} ns   {:.3} x", ratios[ratios.len() / 2]);
    }
}

/// The CPU time of this thread for so many rounds.
fn turn(rounds: u32, work: &mut dyn FnMut()) -> Duration {
    let before = cpu_time();
    for _ in 0..rounds {
        work();
    }
    cpu_time().saturating_sub(before)
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}
