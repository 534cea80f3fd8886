//! argon2id: what is stored, who waits, and what the clock tells.
use std::time::{Duration, Instant};

use actix_web::{ResponseError, http::StatusCode};
use utils_token_auth::{PasswordCost, PasswordError, Passwords, Verified};

const RIGHT: Verified = Verified { ok: true, rehash: false };
const OUTDATED: Verified = Verified { ok: true, rehash: true };
const WRONG: Verified = Verified { ok: false, rehash: false };

/// Cheap enough for a test, and dear enough that an operation left out shows on the clock.
fn cheap() -> Passwords {
    with_cost(64, 1, 1)
}

fn with_cost(memory_kib: u32, passes: u32, lanes: u32) -> Passwords {
    Passwords::with_cost(PasswordCost { memory_kib, passes, lanes }).unwrap()
}

#[actix_rt::test]
async fn the_default_is_argon2id_with_the_parameters_of_owasp() {
    let stored = Passwords::new().hash("pässword").await.unwrap();
    assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
    assert_eq!(stored.len(), 97);
    assert_eq!(Passwords::new().verify("pässword", Some(&stored)).await.unwrap(), RIGHT);
}

#[actix_rt::test]
async fn two_hashes_of_one_password_share_nothing() {
    let passwords = cheap();
    let (one, other) = (passwords.hash("same").await.unwrap(), passwords.hash("same").await.unwrap());
    assert_ne!(one, other);
    assert_ne!(one.rsplit('$').nth(1), other.rsplit('$').nth(1), "the salts differ");
}

#[actix_rt::test]
async fn only_the_very_password_is_right() {
    let passwords = cheap();
    let stored = passwords.hash("Correct Horse").await.unwrap();
    for wrong in ["", "correct horse", "Correct Horse ", "Correct Horse\0", "Correct Hors"] {
        assert_eq!(passwords.verify(wrong, Some(&stored)).await.unwrap(), WRONG, "{wrong:?}");
    }
    assert_eq!(passwords.verify("Correct Horse", Some(&stored)).await.unwrap(), RIGHT);
}

#[actix_rt::test]
async fn a_hash_of_another_cost_variant_or_version_is_to_be_made_again() {
    let now = with_cost(64, 1, 1);
    for (memory, passes, lanes) in [(32, 1, 1), (64, 2, 1), (64, 1, 2), (128, 1, 1)] {
        let stored = with_cost(memory, passes, lanes).hash("pw").await.unwrap();
        assert_eq!(now.verify("pw", Some(&stored)).await.unwrap(), OUTDATED, "{stored}");
        assert_eq!(now.verify("no", Some(&stored)).await.unwrap(), WRONG, "a wrong password changes nothing");
    }
    for stored in other_makers() {
        assert_eq!(now.verify("password", Some(&stored)).await.unwrap(), OUTDATED, "{stored}");
    }
}

/// Hashes of the same cost that are not argon2id version 0x13.
fn other_makers() -> Vec<String> {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version, password_hash::SaltString};
    let salt = SaltString::encode_b64(b"somesaltsomesalt").unwrap();
    [
        (Algorithm::Argon2i, Version::V0x13),
        (Algorithm::Argon2d, Version::V0x13),
        (Algorithm::Argon2id, Version::V0x10),
    ]
    .map(|(algorithm, version)| {
        let argon2 = Argon2::new(algorithm, version, Params::new(64, 1, 1, None).unwrap());
        argon2.hash_password(b"password", &salt).unwrap().to_string()
    })
    .to_vec()
}

#[actix_rt::test]
async fn a_hash_made_elsewhere_is_read() {
    // the reference implementation: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -e
    let stored = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    assert_eq!(cheap().verify("password", Some(stored)).await.unwrap(), OUTDATED);
    assert_eq!(cheap().verify("differentpassword", Some(stored)).await.unwrap(), WRONG);
}

#[actix_rt::test]
async fn a_stored_hash_that_cannot_be_read_is_an_error_of_the_server() {
    for stored in ["", "plain", "$2b$12$abcdefghijklmnopqrstuv", "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ"] {
        let error = cheap().verify("pw", Some(stored)).await.unwrap_err();
        assert!(matches!(error, PasswordError::StoredHash(_)), "{stored:?}: {error:?}");
        assert_eq!(error.status_code(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(error.to_string(), "the stored password hash cannot be read");
    }
}

#[actix_rt::test]
async fn an_unknown_user_costs_the_work_of_a_wrong_password() {
    let passwords = with_cost(4096, 2, 1);
    let stored = passwords.hash("right").await.unwrap();
    let (mut known, mut unknown) = (Duration::MAX, Duration::MAX);
    for _ in 0..12 {
        let start = Instant::now();
        assert_eq!(passwords.verify("wrong", Some(&stored)).await.unwrap(), WRONG);
        known = known.min(start.elapsed());
        let start = Instant::now();
        assert_eq!(passwords.verify("wrong", None).await.unwrap(), WRONG);
        unknown = unknown.min(start.elapsed());
    }
    // the fastest of twelve: a busy machine is not three times as slow each time, while a pass or half of the memory
    // left out is noticed, and an early return would be a thousand times faster
    assert!(unknown > known / 3 && known > unknown / 3, "known {known:?}, unknown {unknown:?}");
}

#[actix_rt::test]
async fn a_password_may_have_as_many_bytes_as_the_limit() {
    let passwords = cheap().max_length(8);
    let stored = passwords.hash("12345678").await.unwrap();
    assert_eq!(passwords.verify("12345678", Some(&stored)).await.unwrap(), RIGHT);
    let error = passwords.hash("éééé9").await.unwrap_err();
    assert_eq!(error.to_string(), "a password may have at most 8 bytes");
    assert_eq!(error.status_code(), StatusCode::UNPROCESSABLE_ENTITY);
    for stored in [Some(stored.as_str()), None] {
        assert_eq!(passwords.verify(&"1".repeat(1 << 20), stored).await.unwrap(), WRONG);
    }
}

#[actix_rt::test]
async fn a_cost_that_argon2_cannot_have_is_refused() {
    for (memory_kib, passes, lanes) in [(7, 1, 1), (64, 0, 1), (64, 1, 0), (15, 1, 2)] {
        let cost = PasswordCost { memory_kib, passes, lanes };
        assert!(matches!(Passwords::with_cost(cost), Err(PasswordError::Cost(_))), "{cost:?}");
    }
}

#[actix_rt::test]
async fn a_flood_is_refused_and_those_who_were_let_in_are_served() {
    let passwords = with_cost(1024, 1, 1).concurrency(1).queue(3);
    let results = futures_util::future::join_all((0..20).map(|_| passwords.verify("pw", None))).await;
    let served = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(served, 4, "one running and three waiting");
    let error = results.into_iter().find_map(Result::err).unwrap();
    assert!(matches!(error, PasswordError::Busy));
    let answer = error.error_response();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers().get("Retry-After").unwrap(), "1");
    assert!(passwords.verify("pw", None).await.is_ok(), "the places are free again");
}

#[actix_rt::test]
async fn a_caller_that_goes_away_keeps_its_place_until_its_hash_is_done() {
    let passwords = with_cost(32 * 1024, 4, 1).concurrency(1).queue(0);
    let checking = passwords.verify("pw", None);
    // polled once, so that it runs, and dropped as when a client disconnects
    assert!(futures_util::FutureExt::now_or_never(checking).is_none());
    assert!(matches!(passwords.verify("pw", None).await, Err(PasswordError::Busy)));
    let waiting = Instant::now();
    while matches!(passwords.verify("pw", None).await, Err(PasswordError::Busy)) {
        assert!(waiting.elapsed() < Duration::from_secs(60), "the place never became free");
        actix_rt::time::sleep(Duration::from_millis(5)).await;
    }
}

#[actix_rt::test]
async fn neither_debug_nor_an_error_shows_a_password_or_a_hash() {
    let passwords = cheap().max_length(8);
    let shown = format!("{passwords:?} {:?}", passwords.hash("sesame, open now").await.unwrap_err());
    assert!(!shown.contains("sesame"), "{shown}");
    let shown = format!("{:?}", passwords.verify("sesame", Some("$sesame$hash")).await.unwrap_err());
    assert!(!shown.contains("sesame"), "{shown}");
}
