//! The cache of verified tokens, which each thread has for itself.
use std::rc::Rc;

use serde::Deserialize;
use utils_token_auth::{Keys, Registered, Token, Verifier, VerifyError};

use crate::forge::{Claims, NOW, SESSION, claims, policy, registered};

fn keys() -> Keys {
    Keys::ed25519("1", include_str!("vectors/keys/ed25519.pem")).unwrap()
}

fn verifier() -> Verifier {
    Verifier::new(keys(), policy()).unwrap()
}

fn token(verifier: &Verifier) -> String {
    verifier.sign(&registered(), &claims()).unwrap()
}

fn shared(verifier: &Verifier, token: &str, now: i64) -> Result<Rc<Token<Claims>>, VerifyError> {
    verifier.verify_shared(token, now * 1000)
}

#[test]
fn a_token_is_verified_once_a_thread() {
    let verifier = verifier();
    let token = token(&verifier);
    let first = shared(&verifier, &token, NOW).unwrap();
    assert!(Rc::ptr_eq(&first, &shared(&verifier, &token, NOW).unwrap()));
    assert!(Rc::ptr_eq(&first, &shared(&verifier.clone(), &token, NOW + 1).unwrap()));
    assert_eq!(*first, verifier.verify(&token, NOW * 1000).unwrap());
    // a thread has its own: what it answers comes from the signature
    let user =
        std::thread::spawn(move || shared(&verifier, &token, NOW).unwrap().user.clone()).join().unwrap();
    assert_eq!(user, "alice");
}

#[test]
fn a_token_under_hmac_is_kept_when_it_is_seen_again() {
    let verifier = crate::forge::verifier();
    let token = token(&verifier);
    let first = shared(&verifier, &token, NOW).unwrap();
    let second = shared(&verifier, &token, NOW).unwrap();
    assert!(!Rc::ptr_eq(&first, &second));
    assert!(Rc::ptr_eq(&second, &shared(&verifier, &token, NOW).unwrap()));
}

#[test]
fn no_token_is_kept_when_the_policy_says_so() {
    let mut policy = policy();
    policy.cached_tokens = 0;
    let verifier = Verifier::new(keys(), policy).unwrap();
    let token = token(&verifier);
    let first = shared(&verifier, &token, NOW).unwrap();
    assert!(!Rc::ptr_eq(&first, &shared(&verifier, &token, NOW).unwrap()));
}

#[test]
fn a_kept_token_expires_all_the_same() {
    let verifier = verifier();
    let token = token(&verifier);
    shared(&verifier, &token, NOW).unwrap();
    shared(&verifier, &token, NOW + 904).unwrap();
    assert!(
        matches!(shared(&verifier, &token, NOW + 905), Err(VerifyError::Expired { at }) if at == NOW + 900)
    );
    assert!(shared(&verifier, &token, NOW + 1_000_000).is_err());
}

#[test]
fn a_kept_token_does_not_outlive_a_clock_that_is_set_back() {
    let verifier = verifier();
    let token = verifier.sign(&Registered { not_before: Some(NOW + 60), ..registered() }, &claims()).unwrap();
    shared(&verifier, &token, NOW + 60).unwrap();
    assert!(matches!(shared(&verifier, &token, NOW + 54), Err(VerifyError::NotYet)));
    assert!(matches!(shared(&verifier, &token, NOW - 3600), Err(VerifyError::NotYet)));
    shared(&verifier, &token, NOW + 61).unwrap();
}

#[test]
fn a_text_that_is_not_to_the_byte_the_kept_one_is_refused() {
    refuses_what_is_not_to_the_byte_the_kept_one(&verifier());
    refuses_what_is_not_to_the_byte_the_kept_one(&crate::forge::verifier());
}

fn refuses_what_is_not_to_the_byte_the_kept_one(verifier: &Verifier) {
    let token = token(verifier);
    for _ in 0..2 {
        shared(verifier, &token, NOW).unwrap();
    }
    // the signature, by which a kept token is found, stays as it is
    let (message, signature) = token.rsplit_once('.').unwrap();
    for at in 0..message.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(changed.ends_with(signature));
        assert!(shared(verifier, &changed, NOW).is_err(), "{at}");
    }
    assert!(shared(verifier, &token[1..], NOW).is_err());
    assert!(shared(verifier, signature, NOW).is_err());
    shared(verifier, &token, NOW).unwrap();
}

#[test]
fn verifiers_do_not_see_what_others_keep() {
    let strict = {
        let mut policy = policy();
        policy.audience = Some("orders".to_owned());
        Verifier::new(keys(), policy).unwrap()
    };
    let retired =
        Verifier::new(Keys::ed25519("2", include_str!("vectors/keys/ed25519.pem")).unwrap(), policy())
            .unwrap();
    let verifier = verifier();
    let token = token(&verifier);
    shared(&verifier, &token, NOW).unwrap();
    assert!(matches!(shared(&strict, &token, NOW), Err(VerifyError::Audience)));
    assert!(matches!(shared(&retired, &token, NOW), Err(VerifyError::Invalid)));
}

#[test]
fn a_kept_token_read_as_another_type_is_read_anew() {
    #[derive(Debug, Deserialize)]
    struct Other {
        scopes: (String, String),
    }

    #[derive(Debug, Deserialize)]
    struct Strict {
        #[serde(rename = "tenant")]
        _tenant: String,
    }

    let verifier = verifier();
    let token = token(&verifier);
    shared(&verifier, &token, NOW).unwrap();
    let other = verifier.verify_shared::<Other>(&token, NOW * 1000).unwrap();
    assert_eq!((other.session, &*other.claims.scopes.1), (SESSION, "tokens:read"));
    assert!(matches!(verifier.verify_shared::<Strict>(&token, NOW * 1000), Err(VerifyError::Claims(_))));
    shared(&verifier, &token, NOW).unwrap();
}

#[test]
fn more_tokens_than_are_kept_are_verified_as_well() {
    let mut policy = policy();
    policy.cached_tokens = 2;
    let verifier = Verifier::new(keys(), policy).unwrap();
    let tokens: Vec<String> = (0..20)
        .map(|number| {
            let registered = Registered { subject: format!("user{number}"), ..registered() };
            verifier.sign(&registered, &claims()).unwrap()
        })
        .collect();
    for _ in 0..2 {
        for (number, token) in tokens.iter().enumerate() {
            assert_eq!(shared(&verifier, token, NOW).unwrap().user, format!("user{number}"));
        }
    }
}

#[test]
fn claims_that_use_the_cache_when_they_are_dropped_do_no_harm() {
    struct Nested(Option<(Verifier, String)>);

    impl<'de> Deserialize<'de> for Nested {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            serde::de::IgnoredAny::deserialize(deserializer)?;
            let verifier = verifier();
            let token = token(&verifier);
            shared(&verifier, &token, NOW).unwrap();
            Ok(Self(Some((verifier, token))))
        }
    }

    impl Drop for Nested {
        fn drop(&mut self) {
            let (verifier, token) = self.0.take().unwrap();
            shared(&verifier, &token, NOW).unwrap();
        }
    }

    let mut policy = policy();
    policy.cached_tokens = 1;
    let verifier = Verifier::new(keys(), policy).unwrap();
    for subject in ["one", "two", "three"] {
        let registered = Registered { subject: subject.to_owned(), ..registered() };
        let token = verifier.sign(&registered, &claims()).unwrap();
        assert_eq!(verifier.verify_shared::<Nested>(&token, NOW * 1000).unwrap().user, subject);
    }
}
