//! What a renewal costs on SQLite, beside the same two statements written by hand in Diesel; and with a million
//! sessions in the table, beside one.
//!
//! The candidates run in turns of a few milliseconds, so that whatever else the machine does falls on all of them
//! alike. Time is the CPU time of the whole process, because the statements run on other threads than the requests.
//!
//! ```text
//! cargo bench -p utils-token-auth --bench renew --features sqlite
//! ```
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)] // a program for people, and failing is an answer
use std::{path::Path, time::Duration};

use actix_web::rt::System;
use diesel::{
    SqliteConnection,
    connection::SimpleConnection,
    prelude::*,
    r2d2::{ConnectionManager, Pool},
};
use jsonwebtoken::{EncodingKey, Header};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utils_token_auth::{
    Client, Clock, DieselStore, Keys, MemoryStore, Pair, Policy, Refusal, Session, Store, TestClock,
    TokenAuth,
};

const SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
const START: i64 = 1_800_000_000_000;
const MILLION: usize = 1_000_000;
/// Sessions that are renewed in turn.
const BUSY: usize = 500;

#[derive(Serialize, Deserialize)]
struct Claims {
    scopes: Vec<String>,
}

fn main() {
    // `cargo test --benches` runs this too: once around, to see that it works
    let real = std::env::args().any(|argument| argument == "--bench");
    let (turns, rounds, million) = if real { (150, 40, MILLION) } else { (1, 2, 1_000) };
    let directory = tempfile::tempdir().unwrap();
    let system = System::new();

    println!("A renewal that rotates, on SQLite");
    let small = system.block_on(Table::new(&directory.path().join("small.sqlite"), 0));
    let by_hand = system.block_on(ByHand::new(&small, Hops::One));
    let by_hand_apart = system.block_on(ByHand::new(&small, Hops::Two));
    let ours = system.block_on(Renewing::new(small.store.clone()));
    run(
        &system,
        turns,
        rounds,
        &mut [
            ("by hand, both statements in one block", &mut async || by_hand.renew().await),
            ("by hand, a block for each", &mut async || by_hand_apart.renew().await),
            ("renew", &mut async || ours.renew().await),
        ],
    );

    println!("\nAsking whether a session was revoked");
    revocations(&system, turns, rounds);

    println!("\n{million} sessions beside {BUSY}");
    let large = system.block_on(Table::new(&directory.path().join("large.sqlite"), million));
    let few = system.block_on(Renewing::new(small.store.clone()));
    let many = system.block_on(Renewing::new(large.store.clone()));
    let memory = system.block_on(Renewing::new(MemoryStore::new()));
    let crowded = MemoryStore::new();
    system.block_on(fill(&crowded, million));
    let crowded = system.block_on(Renewing::new(crowded));
    run(
        &system,
        turns,
        rounds,
        &mut [
            ("renew, SQLite, few", &mut async || few.renew().await),
            ("renew, SQLite, many", &mut async || many.renew().await),
        ],
    );
    run(
        &system,
        turns,
        rounds * 10,
        &mut [
            ("renew, memory, few", &mut async || memory.renew().await),
            ("renew, memory, many", &mut async || crowded.renew().await),
        ],
    );
}

/// What asking for revocations adds to a verification.
fn revocations(system: &actix_web::rt::SystemRunner, turns: usize, rounds: u32) {
    let unknown = utils_token_auth::Sid::from_bytes([0xff; 16]);
    let set = |sessions: u32| {
        let set = utils_token_auth::Revocations::new();
        let session = |number: u32| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
            (utils_token_auth::Sid::from_bytes(bytes), START)
        };
        set.apply(&(0..sessions).map(session).collect::<Vec<_>>());
        set
    };
    let (none, many) = (set(0), set(100_000));
    let ask = |set: &utils_token_auth::Revocations| {
        for _ in 0..1_000 {
            assert!(!std::hint::black_box(set).contains(std::hint::black_box(unknown)));
        }
    };
    run(
        system,
        turns,
        rounds,
        &mut [
            ("1,000 x contains, none revoked", &mut async || ask(&none)),
            ("1,000 x contains, 100,000 revoked", &mut async || ask(&many)),
        ],
    );
}

/// A database with so many sessions of others in it.
struct Table {
    store: DieselStore<SqliteConnection>,
}

impl Table {
    async fn new(path: &Path, others: usize) -> Self {
        let store = DieselStore::<SqliteConnection>::open(&path.display().to_string()).unwrap();
        store.migrate().await.unwrap();
        let mut connection = store.pool().get().unwrap();
        let insert = format!(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {others}) \
             INSERT INTO auth_sessions SELECT randomblob(16), 'user-' || (n % 300000), '{{\"plan\":\"basic\"}}', \
             '[\"read\"]', randomblob(32), n % 50, {START} - n, {START} - n, {START} + 7776000000 - n, NULL, NULL, \
             '192.0.2.1', 'Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0', NULL FROM n"
        );
        if others > 0 {
            connection.batch_execute(&insert).unwrap();
            connection.batch_execute("ANALYZE; PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
        }
        Self { store }
    }
}

async fn fill(store: &MemoryStore, sessions: usize) {
    let auth = engine(store.clone(), TestClock::at(START));
    let pair = auth.login("somebody", (), Client::unknown()).await.unwrap();
    let session = store.get(pair.session).await.unwrap().unwrap();
    for number in 0..sessions {
        let id = utils_token_auth::Sid::random().unwrap();
        let user = format!("user-{}", number % 300_000);
        store.insert(Session { id, user, ..session.clone() }).await.unwrap();
    }
}

fn engine<S: Store>(store: S, clock: TestClock) -> TokenAuth<Claims, S> {
    async fn claims(_: Session) -> Result<Claims, Refusal> {
        Ok(Claims { scopes: vec!["read".to_owned()] })
    }
    let century = Duration::from_secs(36_525 * 86_400);
    let policy = Policy::default().idle(century).absolute(century);
    let keys = Keys::hs256("1", SECRET).unwrap();
    TokenAuth::new(keys, store, claims).policy(policy).clock(clock).events(|_| {}).build().unwrap()
}

/// Clients of the engine that renew in turn, each time after the grace.
struct Renewing<S> {
    auth: TokenAuth<Claims, S>,
    clock: TestClock,
    tokens: std::cell::RefCell<std::collections::VecDeque<String>>,
}

impl<S: Store> Renewing<S> {
    async fn new(store: S) -> Self {
        let clock = TestClock::at(START);
        let auth = engine(store, clock.clone());
        let mut tokens = std::collections::VecDeque::new();
        for number in 0..BUSY {
            let client =
                Client::unknown().ip([192, 0, 2, 1].into()).user_agent("Mozilla/5.0 (X11; Linux x86_64)");
            let pair = auth.login(&format!("busy-{number}"), (), client).await.unwrap();
            tokens.push_back(pair.refresh_token.unwrap());
        }
        Self { auth, clock, tokens: tokens.into() }
    }

    async fn renew(&self) {
        self.clock.advance(Duration::from_secs(60));
        let token = self.tokens.borrow_mut().pop_front().unwrap();
        let client =
            Client::unknown().ip([192, 0, 2, 1].into()).user_agent("Mozilla/5.0 (X11; Linux x86_64)");
        let Pair { refresh_token, .. } = self.auth.renew(&token, client).await.unwrap();
        self.tokens.borrow_mut().push_back(refresh_token.unwrap());
    }
}

diesel::table! {
    auth_sessions (id) {
        id -> Binary,
        user_id -> Text,
        data -> Text,
        scopes -> Text,
        secret_hash -> Binary,
        generation -> Integer,
        created_at -> BigInt,
        renewed_at -> BigInt,
        expires_at -> BigInt,
        revoked_at -> Nullable<BigInt>,
        revoked_why -> Nullable<SmallInt>,
        ip -> Nullable<Text>,
        user_agent -> Nullable<Text>,
        label -> Nullable<Text>,
    }
}

/// The whole row, as a hand-written handler has it.
#[derive(Queryable)]
#[allow(dead_code)] // the handler does not look at every column, the statement does
struct Row {
    id: Vec<u8>,
    user_id: String,
    data: String,
    scopes: String,
    secret_hash: Vec<u8>,
    generation: i32,
    created_at: i64,
    renewed_at: i64,
    expires_at: i64,
    revoked_at: Option<i64>,
    revoked_why: Option<i16>,
    ip: Option<String>,
    user_agent: Option<String>,
    label: Option<String>,
}

#[derive(Clone, Copy)]
enum Hops {
    One,
    Two,
}

/// What somebody would write in an afternoon: the row by its id, the checks, the conditional UPDATE, a token.
struct ByHand {
    pool: Pool<ConnectionManager<SqliteConnection>>,
    hops: Hops,
    clock: TestClock,
    key: EncodingKey,
    ids: std::cell::RefCell<std::collections::VecDeque<Vec<u8>>>,
    secret: [u8; 32],
}

#[derive(Serialize)]
struct AllClaims<'a> {
    rfid: String,
    sub: &'a str,
    exp: i64,
    iat: i64,
    auth_time: i64,
    scopes: [&'a str; 1],
}

type Connection = diesel::r2d2::PooledConnection<ConnectionManager<SqliteConnection>>;

fn select(connection: &mut Connection, id: &[u8]) -> Row {
    auth_sessions::table.find(id).first(connection).unwrap()
}

fn update(connection: &mut Connection, row: &Row, now: i64) {
    let live = auth_sessions::table
        .find(&row.id)
        .filter(auth_sessions::generation.eq(row.generation))
        .filter(auth_sessions::revoked_at.is_null())
        .filter(auth_sessions::expires_at.gt(now))
        .filter(auth_sessions::renewed_at.ge(now - 3_155_760_000_000));
    let moved = diesel::update(live)
        .set((
            auth_sessions::generation.eq(row.generation + 1),
            auth_sessions::renewed_at.eq(now),
            auth_sessions::ip.eq(&row.ip),
            auth_sessions::user_agent.eq(&row.user_agent),
        ))
        .execute(connection)
        .unwrap();
    assert_eq!(moved, 1);
}

impl ByHand {
    async fn new(table: &Table, hops: Hops) -> Self {
        // sessions of the engine's, so that the rows are the same
        let renewing = Renewing::new(table.store.clone()).await;
        let tokens = renewing.tokens.into_inner();
        let ids = tokens
            .iter()
            .map(|token| base64_simd::URL_SAFE_NO_PAD.decode_to_vec(token).unwrap()[1..17].to_vec())
            .collect::<std::collections::VecDeque<_>>();
        Self {
            pool: table.store.pool().clone(),
            hops,
            clock: renewing.clock,
            key: EncodingKey::from_secret(SECRET),
            ids: ids.into(),
            secret: [7; 32],
        }
    }

    async fn renew(&self) {
        self.clock.advance(Duration::from_secs(60));
        let now = self.clock.now_ms();
        let id = self.ids.borrow_mut().pop_front().unwrap();
        self.ids.borrow_mut().push_back(id.clone());
        let row = match self.hops {
            Hops::One => {
                let pool = self.pool.clone();
                actix_web::web::block(move || {
                    let mut connection = pool.get().unwrap();
                    let row = select(&mut connection, &id);
                    update(&mut connection, &row, now);
                    row
                })
                .await
                .unwrap()
            }
            Hops::Two => {
                let pool = self.pool.clone();
                let row = actix_web::web::block(move || select(&mut pool.get().unwrap(), &id)).await.unwrap();
                let pool = self.pool.clone();
                actix_web::web::block(move || {
                    update(&mut pool.get().unwrap(), &row, now);
                    row
                })
                .await
                .unwrap()
            }
        };
        // what it would compare, and what it would answer
        assert!(
            row.secret_hash != Sha256::digest(self.secret)[..]
                && row.expires_at > now
                && row.revoked_at.is_none()
        );
        let mut refresh = [0; 32];
        getrandom::fill(&mut refresh).unwrap();
        let claims = AllClaims {
            rfid: base64_simd::URL_SAFE_NO_PAD.encode_to_string(&row.id),
            sub: &row.user_id,
            exp: now / 1000 + 900,
            iat: now / 1000,
            auth_time: row.created_at / 1000,
            scopes: ["read"],
        };
        let access = jsonwebtoken::encode(&Header::default(), &claims, &self.key).unwrap();
        std::hint::black_box((access, base64_simd::URL_SAFE_NO_PAD.encode_to_string(refresh)));
    }
}

type Candidate<'a> = (&'a str, &'a mut dyn AsyncWork);

/// A future of each call, whatever its type.
trait AsyncWork {
    fn rounds(&mut self, system: &actix_web::rt::SystemRunner, rounds: u32);
}

impl<F: AsyncFnMut()> AsyncWork for F {
    fn rounds(&mut self, system: &actix_web::rt::SystemRunner, rounds: u32) {
        system.block_on(async {
            for _ in 0..rounds {
                self().await;
            }
        });
    }
}

fn run(system: &actix_web::rt::SystemRunner, turns: usize, rounds: u32, candidates: &mut [Candidate<'_>]) {
    let mut times: Vec<Vec<f64>> = vec![Vec::with_capacity(turns); candidates.len()];
    for (_, work) in candidates.iter_mut() {
        work.rounds(system, rounds);
    }
    for number in 0..turns {
        // another one begins each time
        for offset in 0..candidates.len() {
            let at = (number + offset) % candidates.len();
            let before = cpu_time();
            candidates[at].1.rounds(system, rounds);
            let spent = cpu_time().saturating_sub(before);
            times[at].push(spent.as_nanos() as f64 / f64::from(rounds));
        }
    }
    for (at, (name, _)) in candidates.iter().enumerate() {
        let mut sorted = times[at].clone();
        sorted.sort_by(f64::total_cmp);
        let mut ratios: Vec<f64> =
            times[0].iter().zip(&times[at]).map(|(first, this)| first / this).collect();
        ratios.sort_by(f64::total_cmp);
        let median = sorted[sorted.len() / 2] / 1000.0;
        println!("  {name:<38} {median:>8.1} µs   {:.3} x the rate of the first", ratios[ratios.len() / 2]);
    }
}

/// The CPU time of the process.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}
