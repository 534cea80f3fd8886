//! Session ids, secrets, key files, key rings.
use serde_json::{Value, json};
use utils_token_auth::{KeyError, Keys, Sid, SignError, Verifier, VerifierError, VerifyPolicy};

use crate::forge::{self, INVALID, NOW, OK, SECRET, claims, outcome, registered};

macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("vectors/keys/", $name, ".pem"))
    };
}

fn verifier(keys: Keys) -> Verifier {
    Verifier::new(keys, VerifyPolicy::default()).unwrap()
}

fn sign(keys: Keys) -> String {
    verifier(keys).sign(&registered(), &claims()).unwrap()
}

#[test]
fn a_session_id_survives_text_and_json() {
    for _ in 0..100 {
        let session = Sid::random().unwrap();
        assert_eq!(session.to_string().len(), 22);
        assert_eq!(session.to_string().parse(), Ok(session));
        let json = serde_json::to_string(&session).unwrap();
        assert_eq!(json, format!("\"{session}\""));
        assert_eq!(serde_json::from_str::<Sid>(&json).unwrap(), session);
    }
}

#[test]
fn a_session_id_has_one_spelling_in_base64url() {
    for text in ["", "-_v7-_v7-_v7-_v7-_v7-x", "-_v7-_v7-_v7-_v7-_v7-", "-_v7-_v7-_v7-_v7-_v7-w==", "é"] {
        assert!(text.parse::<Sid>().is_err(), "{text}");
    }
}

#[test]
fn the_hexadecimal_id_of_flask_utils_is_read() {
    let session: Sid = "0f8fad5bd9cb469fA16570867728950E".parse().unwrap();
    assert_eq!(session.as_bytes()[..4], [0x0f, 0x8f, 0xad, 0x5b]);
    assert!("0f8fad5bd9cb469fa16570867728950g".parse::<Sid>().is_err());
}

#[test]
fn a12_a_short_secret_is_refused_at_construction() {
    for (made, needed) in [
        (Keys::hs256("1", &[7; 31]), 32),
        (Keys::hs256("1", b""), 32),
        (Keys::hs384("1", &[7; 47]), 48),
        (Keys::hs512("1", &[7; 63]), 64),
    ] {
        assert!(matches!(made, Err(KeyError::WeakSecret { needed: n, .. }) if n == needed));
    }
    Keys::hs256("1", &[7; 32]).unwrap();
    Keys::hs384("1", &[7; 48]).unwrap();
    Keys::hs512("1", &[7; 64]).unwrap();
}

#[test]
fn a12_a_short_rsa_key_is_refused_at_construction() {
    for (bytes, bits) in
        [([vec![0; 128], vec![0xff; 128]].concat(), 1024), ([&[0x7f][..], &[0xff; 255]].concat(), 2047)]
    {
        let jwk = json!({ "kty": "RSA", "alg": "RS256", "kid": "1", "n": b64_of(&bytes), "e": "AQAB" });
        assert!(matches!(Keys::from_jwk(&jwk), Err(KeyError::WeakRsaKey { bits: found }) if found == bits));
    }
    // aws-lc refuses to read such a private key in the first place
    let refused = Keys::rs256("1", pem!("rs1024"));
    assert!(matches!(refused, Err(KeyError::WeakRsaKey { bits: 1024 } | KeyError::Unreadable(_))));
}

#[test]
fn a12_a_public_key_is_not_taken_as_a_secret() {
    let ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1u4nAIqBqNqLqAqyqyqyqyqyqyqyqyqyqyqyqyqyqy";
    for text in [pem!("rs256.pub"), pem!("es256.pub"), pem!("ed25519.pub"), pem!("rs256.crt"), ssh] {
        assert!(matches!(Keys::hs256("1", text.as_bytes()), Err(KeyError::PublicKeyAsSecret)), "{text}");
    }
}

#[test]
fn every_algorithm_signs_what_its_public_key_verifies() {
    let secret = [7; 64];
    let private_and_public: [(&str, Keys, Keys); 6] = [
        ("HS256", Keys::hs256("k", &secret).unwrap(), Keys::hs256("k", &secret).unwrap()),
        ("HS384", Keys::hs384("k", &secret).unwrap(), Keys::hs384("k", &secret).unwrap()),
        ("HS512", Keys::hs512("k", &secret).unwrap(), Keys::hs512("k", &secret).unwrap()),
        (
            "EdDSA",
            Keys::ed25519("k", pem!("ed25519")).unwrap(),
            Keys::ed25519_public("k", pem!("ed25519.pub")).unwrap(),
        ),
        (
            "ES256",
            Keys::es256("k", pem!("es256")).unwrap(),
            Keys::es256_public("k", pem!("es256.pub")).unwrap(),
        ),
        (
            "RS256",
            Keys::rs256("k", pem!("rs256")).unwrap(),
            Keys::rs256_public("k", pem!("rs256.pub")).unwrap(),
        ),
    ];
    for (algorithm, private, public) in private_and_public {
        let token = sign(private.clone());
        assert!(
            token.starts_with(&forge::b64(format!(r#"{{"alg":"{algorithm}","typ":"at+jwt","kid":"k"}}"#)))
        );
        assert_eq!(outcome(&verifier(private.clone()), &token, NOW * 1000), OK, "{algorithm}");
        assert_eq!(outcome(&verifier(public.clone()), &token, NOW * 1000), OK, "{algorithm}");
        assert_eq!(private.jwks(), public.jwks());
        if !algorithm.starts_with("HS") {
            let refused = verifier(public).sign(&registered(), &claims());
            assert!(matches!(refused, Err(SignError::NoSigningKey)), "{algorithm}");
        }
    }
}

#[test]
fn both_forms_of_an_rsa_file_are_the_same_key() {
    let (pkcs8, pkcs1) =
        (Keys::rs256("k", pem!("rs256")).unwrap(), Keys::rs256("k", pem!("rs256.pkcs1")).unwrap());
    assert_eq!(pkcs8.jwks(), pkcs1.jwks());
    assert_eq!(outcome(&verifier(pkcs1), &sign(pkcs8), NOW * 1000), OK);
}

#[test]
fn a_file_of_another_kind_is_refused() {
    for (what, made) in [
        ("a public key cannot sign", Keys::es256("k", pem!("es256.pub"))),
        ("nor an RSA one", Keys::rs256("k", pem!("rs256.pub"))),
        ("a private key has no place at a verifier", Keys::es256_public("k", pem!("es256"))),
        ("another algorithm", Keys::es256("k", pem!("ed25519"))),
        ("another algorithm", Keys::ed25519("k", pem!("es256"))),
        ("another algorithm", Keys::ed25519_public("k", pem!("rs256.pub"))),
        ("a certificate", Keys::rs256_public("k", pem!("rs256.crt"))),
        ("the older form for curves", Keys::es256("k", pem!("es256.sec1"))),
        ("a compressed point", Keys::es256_public("k", pem!("es256.compressed.pub"))),
        ("nothing", Keys::es256("k", "")),
        ("two keys", Keys::ed25519("k", concat!(pem!("ed25519"), pem!("ed25519")))),
        ("damaged", Keys::ed25519("k", &pem!("ed25519").replace("MC4CAQ", "MC4CAA"))),
        ("cut", Keys::rs256("k", &without_line(5, pem!("rs256")))),
    ] {
        assert!(made.is_err(), "{what}");
    }
}

#[test]
fn a_key_id_is_visible_ascii() {
    for kid in ["", " ", "a b", "a\n", "é", &"k".repeat(65)] {
        assert!(matches!(Keys::hs256(kid, SECRET), Err(KeyError::Kid)), "{kid:?}");
    }
    let odd = r#"2026-11/"\"#;
    assert_eq!(
        outcome(
            &verifier(Keys::hs256(odd, SECRET).unwrap()),
            &sign(Keys::hs256(odd, SECRET).unwrap()),
            NOW * 1000
        ),
        OK
    );
}

#[test]
fn rotating_a_key_signs_nobody_out() {
    let (old, new) = (Keys::hs256("old", &[1; 32]).unwrap(), Keys::ed25519("new", pem!("ed25519")).unwrap());
    let issued_before = sign(old.clone());
    let ring = new.clone().and_verify(old);
    let rotated = verifier(ring.clone());
    assert_eq!(outcome(&rotated, &issued_before, NOW * 1000), OK);
    assert_eq!(outcome(&rotated, &sign(ring), NOW * 1000), OK);
    assert_eq!(outcome(&verifier(new), &issued_before, NOW * 1000), INVALID);
}

#[test]
fn only_the_first_key_signs() {
    let ring = Keys::es256_public("1", pem!("es256.pub")).unwrap().and_verify(forge::keys());
    assert!(Verifier::new(ring.clone(), VerifyPolicy::default()).is_err(), "two keys are called 1");
    let ring = Keys::es256_public("2", pem!("es256.pub")).unwrap().and_verify(forge::keys());
    assert!(matches!(verifier(ring).sign(&registered(), &claims()), Err(SignError::NoSigningKey)));
}

#[test]
fn two_keys_cannot_share_an_id() {
    let ring = forge::keys().and_verify(Keys::hs256("1", &[9; 32]).unwrap());
    let refused = Verifier::new(ring, VerifyPolicy::default());
    assert_eq!(refused.unwrap_err(), VerifierError::DuplicateKid("1".to_owned()));
}

#[test]
fn the_key_set_holds_public_keys_only() {
    let ring = Keys::ed25519("e", pem!("ed25519"))
        .unwrap()
        .and_verify(Keys::hs256("h", SECRET).unwrap())
        .and_verify(Keys::es256("p", pem!("es256")).unwrap())
        .and_verify(Keys::rs256_public("r", pem!("rs256.pub")).unwrap());
    let jwks = verifier(ring).jwks();
    let shown: Vec<Value> = jwks["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| {
            let mut names: Vec<_> = key.as_object().unwrap().keys().cloned().collect();
            names.sort_unstable();
            json!([key["kid"], key["kty"], key["alg"], key["use"], names.join(" ")])
        })
        .collect();
    assert_eq!(
        Value::from(shown),
        json!([
            ["e", "OKP", "EdDSA", "sig", "alg crv kid kty use x"],
            ["p", "EC", "ES256", "sig", "alg crv kid kty use x y"],
            ["r", "RSA", "RS256", "sig", "alg e kid kty n use"],
        ])
    );
    assert_eq!(forge::keys().jwks(), json!({ "keys": [] }));
}

#[test]
fn a_key_set_that_was_published_verifies_elsewhere() {
    for private in [
        Keys::ed25519("k", pem!("ed25519")).unwrap(),
        Keys::es256("k", pem!("es256")).unwrap(),
        Keys::rs256("k", pem!("rs256")).unwrap(),
    ] {
        let published = private.jwks();
        let elsewhere = Keys::from_jwk(&published["keys"][0]).unwrap();
        assert_eq!(outcome(&verifier(elsewhere), &sign(private), NOW * 1000), OK);
    }
}

#[test]
fn a_json_web_key_with_its_private_members_signs() {
    // RFC 8037 appendix A.1, RFC 7517 appendix A.2
    let ed25519 = json!({ "kty": "OKP", "crv": "Ed25519", "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let p256 = json!({ "kty": "EC", "crv": "P-256", "kid": "1", "d": "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM" });
    for jwk in [&ed25519, &p256] {
        let keys = Keys::from_jwk(jwk).unwrap();
        assert_eq!(outcome(&verifier(keys.clone()), &sign(keys.clone()), NOW * 1000), OK);
        assert!(keys.jwks()["keys"][0].get("d").is_none());
    }
    // RFC 8037 appendix A.3
    let thumbprint = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
    assert_eq!(Keys::from_jwk(&ed25519).unwrap().jwks()["keys"][0]["kid"], thumbprint);
    // the public half of another key
    let mixed = json!({ "kty": "OKP", "crv": "Ed25519", "d": ed25519["d"], "x": b64_of(&[9; 32]) });
    assert!(matches!(Keys::from_jwk(&mixed), Err(KeyError::Mismatch)));
}

#[test]
fn a_secret_comes_as_a_json_web_key_too() {
    let jwk = json!({ "kty": "oct", "alg": "HS256", "kid": "1", "k": b64_of(SECRET) });
    let keys = Keys::from_jwk(&jwk).unwrap();
    assert_eq!(outcome(&verifier(keys.clone()), &forge::minted(), NOW * 1000), OK);
    assert_eq!(keys.jwks(), json!({ "keys": [] }));
}

#[test]
fn a_json_web_key_for_something_else_is_refused() {
    let good = json!({ "kty": "oct", "alg": "HS256", "kid": "1", "k": b64_of(SECRET) });
    for change in [
        json!({ "use": "enc" }),
        json!({ "key_ops": ["encrypt"] }),
        json!({ "key_ops": "verify" }),
        json!({ "alg": "none" }),
        json!({ "alg": "ES256" }),
        json!({ "alg": null }),
        json!({ "kty": "RSA" }),
        json!({ "kty": null }),
        json!({ "kid": null }),
        json!({ "kid": 1 }),
        json!({ "k": b64_of(&SECRET[..31]) }),
        json!({ "k": "a+b" }),
        json!({ "k": null }),
    ] {
        let mut jwk = good.clone();
        for (name, value) in change.as_object().unwrap() {
            match value {
                Value::Null => jwk.as_object_mut().unwrap().remove(name),
                value => jwk.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        assert!(Keys::from_jwk(&jwk).is_err(), "{change}");
    }
    for jwk in
        [json!({}), json!([]), json!("k"), json!({ "kty": "OKP", "crv": "Ed25519", "x": b64_of(&[1; 31]) })]
    {
        assert!(Keys::from_jwk(&jwk).is_err(), "{jwk}");
    }
}

#[test]
fn a21_debug_shows_no_key_and_no_whole_session_id() {
    let keys = Keys::es256("asym", pem!("es256")).unwrap().and_verify(forge::keys());
    assert_eq!(format!("{keys:?}"), r#"Keys {"asym": "ES256", "1": "HS256"}"#);
    let shown = format!("{:?}", verifier(keys));
    assert!(shown.contains("Keys {") && !shown.contains("0123456789abcdef"), "{shown}");
    assert_eq!(format!("{:?}", forge::SESSION), "Sid(BwcH…)");
}

fn without_line(number: usize, text: &str) -> String {
    let lines = text.lines().enumerate().filter(|(at, _)| *at != number);
    lines.map(|(_, line)| format!("{line}\n")).collect()
}

fn b64_of(bytes: &[u8]) -> String {
    forge::b64(bytes)
}
