//! Attacks through the header, A6, A10, A11, A15 to A17. Every token here is correctly signed with the key it names
//! or with whatever the attacker has; none may be accepted.
use std::net::TcpListener;

use base64_simd::STANDARD;
use serde_json::{Value, json};
use utils_token_auth::{KeyError, Keys, Verifier};

use crate::forge::{
    self, HEADER, INVALID, MALFORMED, NOW, OK, SECRET, b64, check, claims, forge_with, minted, outcome,
    payload, policy, registered,
};

macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("vectors/keys/", $name, ".pem"))
    };
}

/// A token with this header, signed with our own key.
#[track_caller]
fn check_header(header: &str, expected: &str) {
    check(&forge_with(SECRET, header, payload(json!({}))), expected);
}

#[test]
fn the_header_we_mint_is_accepted() {
    check_header(HEADER, OK);
    assert!(minted().starts_with(&b64(HEADER)));
}

#[test]
fn a6_unknown_critical_parameters_are_refused() {
    check_header(r#"{"alg":"HS256","typ":"at+jwt","kid":"1","crit":["x"],"x":1}"#, INVALID);
    check_header(r#"{"alg":"HS256","typ":"at+jwt","kid":"1","crit":[]}"#, INVALID);
    check_header(r#"{"alg":"HS256","typ":"at+jwt","kid":"1","b64":false,"crit":["b64"]}"#, INVALID);
}

#[test]
fn a6_no_header_with_critical_parameters_can_be_accepted() {
    for header in [
        r#"{"alg":"HS256","crit":["x"]}"#,
        r#"{"alg":"HS256","b64":false}"#,
        r#"{"alg":"HS256","zip":"DEF"}"#,
        r#"{"alg":"dir","enc":"A256GCM"}"#,
        r#"{"alg":"none"}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"typ":"JWT"}"#,
        "[]",
        "",
    ] {
        assert!(matches!(forge::keys().accept_header("1", header), Err(KeyError::Header)), "{header}");
    }
    let refused = forge::keys().accept_header("2", r#"{"alg":"HS256"}"#);
    assert!(matches!(refused, Err(KeyError::UnknownKid(kid)) if kid == "2"));
}

#[test]
fn a10_no_token_chooses_no_signature() {
    for name in ["none", "None", "NONE", "nOnE", "", "null"] {
        let header = format!(r#"{{"alg":"{name}","typ":"at+jwt","kid":"1"}}"#);
        check_header(&header, INVALID);
        check(&format!("{}.{}.", b64(&header), b64(payload(json!({})))), MALFORMED);
        check(&format!("{}.{}", b64(&header), b64(payload(json!({})))), MALFORMED);
    }
    let unsigned = format!("{}.{}.", b64(HEADER), b64(payload(json!({}))));
    check(&unsigned, MALFORMED);
    check_header(r#"{"typ":"at+jwt","kid":"1"}"#, INVALID);
    check_header(r#"{"alg":["HS256"],"typ":"at+jwt","kid":"1"}"#, INVALID);
    check_header(r#"{"alg":{"x":"HS256"},"typ":"at+jwt","kid":"1"}"#, INVALID);
}

#[test]
fn a10_a_public_key_is_no_hmac_secret() {
    let rings = [
        ("RS256", Keys::rs256("1", pem!("rs256")).unwrap(), pem!("rs256.pub")),
        ("ES256", Keys::es256("1", pem!("es256")).unwrap(), pem!("es256.pub")),
        ("EdDSA", Keys::ed25519("1", pem!("ed25519")).unwrap(), pem!("ed25519.pub")),
    ];
    for (algorithm, keys, pem) in rings {
        let jwk = keys.jwks()["keys"][0].clone();
        let verifier = Verifier::new(keys, policy()).unwrap();
        let der = STANDARD
            .decode_to_vec(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>())
            .unwrap();
        let secrets: Vec<Vec<u8>> = vec![
            pem.into(),
            pem.trim_end().into(),
            pem.replace('\n', "\r\n").into(),
            der,
            ssh(&jwk),
            jwk.to_string().into(),
            serde_json::to_vec_pretty(&jwk).unwrap(),
            base64_simd::URL_SAFE_NO_PAD
                .decode_to_vec(jwk.get("x").or(jwk.get("n")).unwrap().as_str().unwrap())
                .unwrap(),
        ];
        for secret in secrets {
            for named in ["HS256", algorithm] {
                let header = format!(r#"{{"alg":"{named}","typ":"at+jwt","kid":"1"}}"#);
                let token = forge_with(&secret, &header, payload(json!({})));
                assert_eq!(outcome(&verifier, &token, NOW * 1000), INVALID, "{algorithm} as {named}");
            }
        }
    }
}

/// A public key as `authorized_keys` has it, RFC 4253 section 6.6.
fn ssh(jwk: &Value) -> Vec<u8> {
    let bytes = |name: &str| base64_simd::URL_SAFE_NO_PAD.decode_to_vec(jwk[name].as_str().unwrap()).unwrap();
    let (name, parts) = match jwk["kty"].as_str().unwrap() {
        "RSA" => ("ssh-rsa", vec![bytes("e"), [vec![0], bytes("n")].concat()]),
        "EC" => {
            ("ecdsa-sha2-nistp256", vec![b"nistp256".to_vec(), [vec![4], bytes("x"), bytes("y")].concat()])
        }
        _ => ("ssh-ed25519", vec![bytes("x")]),
    };
    let parts = [vec![name.as_bytes().to_vec()], parts].concat();
    let blob: Vec<u8> =
        parts.iter().flat_map(|part| [&(part.len() as u32).to_be_bytes()[..], part].concat()).collect();
    format!("{name} {}", STANDARD.encode_to_string(blob)).into_bytes()
}

#[test]
fn a11_a_key_verifies_its_own_algorithm_only() {
    // the same secret, another hash
    let secret = [7; 64];
    let hs256 = Verifier::new(Keys::hs256("1", &secret).unwrap(), policy()).unwrap();
    for other in [Keys::hs384("1", &secret).unwrap(), Keys::hs512("1", &secret).unwrap()] {
        let token = Verifier::new(other, policy()).unwrap().sign(&registered(), &claims()).unwrap();
        assert_eq!(outcome(&hs256, &token, NOW * 1000), INVALID);
        let (_, rest) = token.split_once('.').unwrap();
        assert_eq!(outcome(&hs256, &format!("{}.{rest}", b64(HEADER)), NOW * 1000), INVALID);
    }
    // the same elliptic curve key under other names
    let keys = Keys::es256("1", pem!("es256")).unwrap();
    let verifier = Verifier::new(keys, policy()).unwrap();
    let token = verifier.sign(&registered(), &claims()).unwrap();
    let (_, rest) = token.split_once('.').unwrap();
    for name in ["ES256K", "ES384", "EdDSA", "es256"] {
        let header = b64(format!(r#"{{"alg":"{name}","typ":"at+jwt","kid":"1"}}"#));
        assert_eq!(outcome(&verifier, &format!("{header}.{rest}"), NOW * 1000), INVALID, "{name}");
    }
}

#[test]
fn a11_a_json_web_key_verifies_its_own_algorithm_only() {
    let mut jwk = Keys::rs256("1", pem!("rs256")).unwrap().jwks()["keys"][0].clone();
    let token = Verifier::new(Keys::rs256("1", pem!("rs256")).unwrap(), policy())
        .unwrap()
        .sign(&registered(), &claims())
        .unwrap();
    for (algorithm, expected) in
        [("RS256", OK), ("RS384", INVALID), ("RS512", INVALID), ("PS256", INVALID), ("PS512", INVALID)]
    {
        jwk["alg"] = algorithm.into();
        let verifier = Verifier::new(Keys::from_jwk(&jwk).unwrap(), policy()).unwrap();
        assert_eq!(outcome(&verifier, &token, NOW * 1000), expected, "{algorithm}");
    }
}

#[test]
fn a15_the_type_is_at_jwt_exactly() {
    for typ in ["JWT", "refresh+jwt", "AT+JWT", "at+JWT", "application/at+jwt", "at+jwt ", "", "logout+jwt"] {
        check_header(&format!(r#"{{"alg":"HS256","typ":"{typ}","kid":"1"}}"#), INVALID);
    }
    check_header(r#"{"alg":"HS256","kid":"1"}"#, INVALID);
    check_header(r#"{"alg":"HS256","typ":null,"kid":"1"}"#, INVALID);
}

#[test]
fn a16_a_key_id_only_selects_among_our_keys() {
    let odd = [
        "2",
        "",
        "../../dev/null",
        "/dev/null",
        "' OR 1=1 --",
        "1' UNION SELECT 'key",
        "https://evil.example/key",
        "|id",
        "1\\u0000",
        "\\u0031",
        "１",
        "1 ",
        "l",
    ];
    for kid in odd {
        let header = format!(r#"{{"alg":"HS256","typ":"at+jwt","kid":"{kid}"}}"#);
        check_header(&header, INVALID);
        // what an implementation that reads such a file or row would use as the key
        check(&forge_with(b"", &header, payload(json!({}))), INVALID);
    }
    check_header(r#"{"alg":"HS256","typ":"at+jwt"}"#, INVALID);
    check_header(r#"{"alg":"HS256","typ":"at+jwt","kid":1}"#, INVALID);
    check_header(r#"{"alg":"HS256","typ":"at+jwt","kid":["1"]}"#, INVALID);
    let long = format!(r#"{{"alg":"HS256","typ":"at+jwt","kid":"{}"}}"#, "1".repeat(64 * 1024));
    check_header(&long, forge::TOO_LONG);
}

#[test]
fn a16_a_retired_key_is_no_key() {
    let retired = Verifier::new(Keys::hs256("0", SECRET).unwrap(), policy()).unwrap();
    check(&retired.sign(&registered(), &claims()).unwrap(), INVALID);
}

#[test]
fn a17_keys_that_a_token_brings_along_are_not_fetched() {
    let canary = TcpListener::bind("127.0.0.1:0").unwrap();
    canary.set_nonblocking(true).unwrap();
    let url = format!("http://{}/key", canary.local_addr().unwrap());
    for name in ["jku", "x5u", "jwk", "x5c", "kid", "iss"] {
        check_header(&format!(r#"{{"alg":"HS256","typ":"at+jwt","kid":"1","{name}":"{url}"}}"#), INVALID);
        check_header(&format!(r#"{{"alg":"HS256","typ":"at+jwt","{name}":"{url}"}}"#), INVALID);
    }
    let nobody = canary.accept().unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a17_a_key_inside_a_token_is_not_used() {
    let attacker = [9; 32];
    let jwk = json!({ "kty": "oct", "k": b64(attacker) });
    let header = format!(r#"{{"alg":"HS256","typ":"at+jwt","kid":"1","jwk":{jwk}}}"#);
    check(&forge_with(&attacker, &header, payload(json!({}))), INVALID);
    check(&forge_with(&attacker, HEADER, payload(json!({}))), INVALID);
    let attacker = Keys::ed25519("1", pem!("ed25519")).unwrap();
    let verifier = Verifier::new(Keys::es256("1", pem!("es256")).unwrap(), policy()).unwrap();
    let token = Verifier::new(attacker, policy()).unwrap().sign(&registered(), &claims()).unwrap();
    assert_eq!(outcome(&verifier, &token, NOW * 1000), INVALID);
}

#[test]
fn another_spelling_of_our_header_is_refused() {
    check_header(r#"{"alg": "HS256","typ":"at+jwt","kid":"1"}"#, INVALID);
    check_header(r#"{"typ":"at+jwt","alg":"HS256","kid":"1"}"#, INVALID);
    check_header(r#"{"alg":"HS256","typ":"at+jwt","kid":"1"} "#, INVALID);
    check_header(r#"{"alg":"HS256","typ":"at+jwt","kid":"1","kid":"1"}"#, INVALID);
    check_header(r#"{"alg":"none","alg":"HS256","typ":"at+jwt","kid":"1"}"#, INVALID);
    check_header(r#"{"alg":"HS256","typ":"at+jwt","kid":"1","zip":"DEF"}"#, INVALID);
    check_header(r#"{"alg":"HS256","typ":"at+jwt","kid":"1","enc":"A256GCM"}"#, INVALID);
    check_header(r#"{"alg":"hs256","typ":"at+jwt","kid":"1"}"#, INVALID);
    check_header("\u{feff}{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"1\"}", INVALID);
}

#[test]
fn a_header_that_is_no_json_object_is_refused() {
    for header in ["x", "[]", "null", "\"HS256\"", "{", &"[".repeat(1000)] {
        check_header(header, INVALID);
    }
    check_header("", MALFORMED);
}

#[test]
fn an_accepted_header_is_accepted_to_the_letter() {
    let accepted = r#"{"alg":"HS256","typ":"JWT"}"#;
    let keys = forge::keys().accept_header("1", accepted).unwrap();
    let verifier = Verifier::new(keys, policy()).unwrap();
    for (header, expected) in [
        (accepted, OK),
        (HEADER, OK),
        (r#"{"typ":"JWT","alg":"HS256"}"#, INVALID),
        (r#"{"alg":"HS256","typ":"JWT" }"#, INVALID),
    ] {
        let token = forge_with(SECRET, header, payload(json!({})));
        assert_eq!(outcome(&verifier, &token, NOW * 1000), expected, "{header}");
    }
}
