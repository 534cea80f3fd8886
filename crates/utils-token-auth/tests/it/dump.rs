//! R10: whoever has read the whole database, and the keys as well, still cannot renew.
use diesel::{SqliteConnection, connection::SimpleConnection, prelude::*};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use utils_token_auth::{DieselStore, Policy, Sid, Store};

use crate::support::{SECOND, SECRET, World};

/// What the thief reads: every value of the row.
#[derive(QueryableByName)]
struct Dump {
    #[diesel(sql_type = diesel::sql_types::Text)]
    row: String,
}

/// The refresh token's keys, derived as the library does. A thief with the configured secret can do this too.
fn refresh_keys() -> (u8, Hmac<Sha256>) {
    let (_, secret) = Hkdf::<Sha256>::extract(Some(b"utils-token-auth"), SECRET);
    let derived = |purpose: &[u8]| {
        let mut key = [0; 32];
        secret.expand(purpose, &mut key).unwrap();
        key
    };
    let mac = Hmac::new_from_slice(&derived(b"utils-token-auth refresh token v1")).unwrap();
    (derived(b"utils-token-auth refresh key byte v1")[0], mac)
}

fn forge(session: Sid, generation: u32, family_secret: &[u8]) -> String {
    let (byte, mut mac) = refresh_keys();
    let signed = [&[byte], &session.as_bytes()[..], &generation.to_be_bytes(), family_secret].concat();
    mac.update(b"uta-rt");
    mac.update(&signed);
    let tag = mac.finalize().into_bytes();
    base64_simd::URL_SAFE_NO_PAD.encode_to_string([&signed, &tag[..16]].concat())
}

#[actix_web::test]
async fn r10_the_database_and_the_keys_are_not_enough_to_renew() {
    let directory = tempfile::tempdir().unwrap();
    let url = directory.path().join("sessions.sqlite").display().to_string();
    let store = DieselStore::<SqliteConnection>::open(&url).unwrap();
    store.migrate().await.unwrap();
    let world = World::on(store, Policy::default());
    let stolen = directory.path().join("stolen.sqlite").display().to_string();
    is_not_enough(&world, || {
        let mut connection = SqliteConnection::establish(&url).unwrap();
        connection.batch_execute(&format!("VACUUM INTO '{stolen}'")).unwrap();
        let row: Dump = diesel::sql_query(
            "SELECT hex(id) || hex(user_id) || hex(data) || hex(scopes) || hex(secret_hash) || \
             printf('%016x%016x%016x%016x', generation, created_at, renewed_at, expires_at) || \
             coalesce(hex(ip), '') || coalesce(hex(user_agent), '') || coalesce(hex(label), '') AS row FROM auth_sessions",
        )
        .get_result(&mut connection)
        .unwrap();
        (row.bytes(), std::fs::read(&stolen).unwrap())
    })
    .await;
}

#[cfg(feature = "postgres")]
mod postgres {
    use diesel::PgConnection;

    use super::*;

    #[actix_web::test]
    async fn r10_a_dump_of_postgres_and_the_keys_are_not_enough_to_renew() {
        let schema = crate::stores::postgres::Schema::new();
        let store = DieselStore::<PgConnection>::open(&schema.url()).unwrap();
        store.migrate().await.unwrap();
        is_not_enough(&World::on(store, Policy::default()), || {
            let mut connection = PgConnection::establish(&schema.url()).unwrap();
            let mut read = |columns: &str| -> Vec<u8> {
                let query = format!("SELECT {columns} AS row FROM auth_sessions");
                diesel::sql_query(query).get_result::<Dump>(&mut connection).unwrap().bytes()
            };
            let binary = read("encode(id, 'hex') || encode(secret_hash, 'hex')");
            let all = read("encode(convert_to(auth_sessions::text, 'UTF8'), 'hex')");
            ([binary.clone(), all.clone()].concat(), [binary, all].concat())
        })
        .await;
    }
}

#[cfg(feature = "mysql")]
mod mysql {
    use diesel::MysqlConnection;

    use super::*;

    #[actix_web::test]
    async fn r10_a_dump_of_mysql_and_the_keys_are_not_enough_to_renew() {
        let database = crate::stores::mysql::Database::new();
        let store = DieselStore::<MysqlConnection>::open(&database.url()).unwrap();
        store.migrate().await.unwrap();
        is_not_enough(&World::on(store, Policy::default()), || {
            let mut connection = MysqlConnection::establish(&database.url()).unwrap();
            let row: Dump = diesel::sql_query(
                "SELECT CONCAT(hex(id), hex(user_id), hex(data), hex(scopes), hex(secret_hash), \
                 lpad(hex(generation), 16, '0'), lpad(hex(created_at), 16, '0'), lpad(hex(renewed_at), 16, '0'), \
                 lpad(hex(expires_at), 16, '0'), coalesce(hex(ip), ''), coalesce(hex(user_agent), ''), \
                 coalesce(hex(label), '')) AS `row` FROM auth_sessions",
            )
            .get_result(&mut connection)
            .unwrap();
            (row.bytes(), row.bytes())
        })
        .await;
    }
}

impl Dump {
    fn bytes(&self) -> Vec<u8> {
        let pairs = (0..self.row.len() / 2).map(|byte| &self.row[2 * byte..2 * byte + 2]);
        pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }
}

/// `steal` reads the values of the only row, and all the bytes that hold it.
async fn is_not_enough<S: Store>(world: &World<S>, steal: impl FnOnce() -> (Vec<u8>, Vec<u8>)) {
    let genuine = world.login("ana").await;
    let refresh = genuine.refresh_token.unwrap();

    // the thief's forgery is right in everything but the secret: with it, it is the genuine token
    let bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(&refresh).unwrap();
    assert_eq!(forge(genuine.session, 0, &bytes[21..37]), refresh);

    let (values, file) = steal();
    assert!(!contains(&file, &bytes[21..37]), "the secret itself is in the file");
    assert!(!contains(&file, &bytes[37..]), "the tag is in the file");
    assert!(!contains(&file, refresh.as_bytes()) && !contains(&file, genuine.token.as_bytes()));

    let mut candidates: Vec<Vec<u8>> = values.windows(16).map(<[u8]>::to_vec).collect();
    candidates.extend(values.windows(32).map(|window| Sha256::digest(window)[..16].to_vec()));
    candidates.push(SECRET[..16].to_vec());
    assert!(candidates.len() > 100);
    for candidate in candidates {
        for generation in [0, 1] {
            world.refused(&forge(genuine.session, generation, &candidate)).await;
        }
    }
    // a wrong secret is no proof of a copy: the session goes on
    world.later(SECOND);
    world.rotated(&refresh).await;
}

fn contains(file: &[u8], bytes: &[u8]) -> bool {
    file.windows(bytes.len()).any(|window| window == bytes)
}
