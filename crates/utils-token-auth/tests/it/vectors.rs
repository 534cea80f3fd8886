//! Test vectors of others: Wycheproof, the RFC 7520 cookbook, JSONTestSuite.
use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::{Value, json};
use utils_token_auth::{KeyError, Keys, Verifier, VerifyError};

use crate::forge::{self, Claims, INVALID, NOW, SECRET, forge, forge_with, outcome, payload, policy};

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/vectors").join(name)
}

fn read(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Whether a key's holder signed this token. The payloads of the vectors are no claims, so the best that can become of
/// one is that its claims cannot be read.
fn signed(keys: Keys, token: &str) -> bool {
    let mut policy = policy();
    policy.max_token = 1 << 20;
    let verifier = Verifier::new(keys, policy).unwrap();
    match verifier.verify::<Value>(token, NOW * 1000) {
        Ok(_) | Err(VerifyError::Claims(_)) => true,
        Err(VerifyError::Malformed | VerifyError::Invalid) => false,
        Err(other) => panic!("{other}"),
    }
}

/// The keys, accepting the header of this token if such a header can be accepted at all.
fn accepting(keys: Keys, kid: &str, token: &str) -> Keys {
    let header = token.split('.').next().unwrap();
    let header =
        base64_simd::URL_SAFE_NO_PAD.decode_to_vec(header).ok().and_then(|it| String::from_utf8(it).ok());
    match header {
        Some(header) => keys.clone().accept_header(kid, &header).unwrap_or(keys),
        None => keys,
    }
}

#[test]
fn wycheproof_json_web_signatures() {
    // Labels that must not be followed:
    let judged_by_hand: BTreeMap<u64, (bool, &str)> = [
        (
            367,
            (true, "labelled invalid for its padding, yet to the byte the token of case 357, labelled valid"),
        ),
        (370, (true, "as 367")),
        (
            372,
            (
                false,
                "labelled valid with a ? in the header; base64url has no such character, RFC 7515 section 2",
            ),
        ),
        (373, (false, "labelled valid with a ? in the payload")),
        (
            346,
            (
                false,
                "a PS384 token of a key whose alg is PS256; one key, one algorithm, RFC 8725 section 3.1",
            ),
        ),
        (350, (false, "as 346")),
        (347, (false, "ES512 on P-521, which is not supported")),
        (351, (false, "as 347")),
    ]
    .into();

    let suite = read(folder("wycheproof/json_web_signature_test.json"));
    let (mut cases, mut genuine) = (0, 0);
    for group in suite["testGroups"].as_array().unwrap() {
        let jwk = group.get("public").or(group.get("private")).unwrap();
        let keys = Keys::from_jwk(jwk);
        for test in group["tests"].as_array().unwrap() {
            cases += 1;
            let number = test["tcId"].as_u64().unwrap();
            let labelled = test["result"] == "valid";
            let expected = judged_by_hand.get(&number).map_or(labelled, |(judged, why)| {
                assert_ne!(*judged, labelled, "case {number} needs no judgement: {why}");
                *judged
            });
            let token = test["jws"].as_str().map_or_else(|| test["jws"].to_string(), str::to_owned);
            let accepted = keys.as_ref().is_ok_and(|keys| {
                let keys = accepting(keys.clone(), jwk["kid"].as_str().unwrap(), &token);
                signed(keys, &token)
            });
            assert_eq!(accepted, expected, "case {number}: {}", test["comment"]);
            genuine += usize::from(accepted);
        }
    }
    assert_eq!((cases, genuine), (401, 42));
}

#[test]
fn rfc_7520_and_rfc_8037_compact_examples() {
    for example in [
        "jws/4_1.rsa_v15_signature.json",
        "jws/4_2.rsa-pss_signature.json",
        "jws/4_4.hmac-sha2_integrity_protection.json",
        "curve25519/jws.json",
    ] {
        let example = read(folder("rfc7520-cookbook").join(example));
        let mut jwk = example["input"]["key"].clone();
        jwk["alg"] = example["input"]["alg"].clone();
        jwk["kid"] = jwk.get("kid").cloned().unwrap_or_else(|| "none".into());
        let kid = jwk["kid"].as_str().unwrap();
        let token = example["output"]["compact"].as_str().unwrap();
        let keys = accepting(Keys::from_jwk(&jwk).unwrap(), kid, token);
        assert!(signed(keys.clone(), token), "{}", example["title"]);
        let (message, signature) = token.rsplit_once('.').unwrap();
        let turned: String = signature.chars().rev().collect();
        assert!(!signed(keys, &format!("{message}.{turned}")), "{}", example["title"]);
    }
}

#[test]
fn rfc_7520_forms_that_are_not_compact_are_refused() {
    for example in [
        "jws/4_5.signature_with_detached_content.json",
        "jws/4_6.protecting_specific_header_fields.json",
        "jws/4_7.protecting_content_only.json",
        "jws/4_8.multiple_signatures.json",
        "rfc7797/4.2.hmac-sha2_b64_false.json",
        "rfc7797/hmac-sha2_b64_false.json",
    ] {
        let example = read(folder("rfc7520-cookbook").join(example));
        let jwk = read(folder("rfc7520-cookbook/jwk/3_5.symmetric_key_mac_computation.json"));
        let mut forms = 0;
        for form in ["compact", "json", "json_flat"].iter().filter_map(|form| example["output"].get(form)) {
            forms += 1;
            let token = form.as_str().map_or_else(|| form.to_string(), str::to_owned);
            let keys = accepting(Keys::from_jwk(&jwk).unwrap(), jwk["kid"].as_str().unwrap(), &token);
            assert!(!signed(keys, &token), "{}: {token}", example["title"]);
        }
        assert!(forms > 0);
    }
}

#[test]
fn rfc_7520_json_web_keys() {
    let key = |name: &str, algorithm: Option<&str>| {
        let mut jwk = read(folder("rfc7520-cookbook/jwk").join(name));
        if let Some(algorithm) = algorithm {
            jwk["alg"] = algorithm.into();
        }
        Keys::from_jwk(&jwk)
    };
    let private = key("3_4.rsa_private_key.json", Some("RS256")).unwrap();
    let public = key("3_3.rsa_public_key.json", Some("RS256")).unwrap();
    assert_eq!(private.jwks(), public.jwks());
    let token =
        Verifier::new(private, policy()).unwrap().sign(&forge::registered(), &forge::claims()).unwrap();
    assert_eq!(outcome(&Verifier::new(public, policy()).unwrap(), &token, NOW * 1000), "ok");

    key("3_5.symmetric_key_mac_computation.json", None).unwrap();
    assert!(matches!(key("3_6.symmetric_key_encryption.json", None), Err(KeyError::Jwk("use"))));
    assert!(
        matches!(key("3_1.ec_public_key.json", None), Err(KeyError::Jwk("kty"))),
        "P-521 is not supported"
    );
    assert!(matches!(key("3_3.rsa_public_key.json", None), Err(KeyError::Jwk("alg"))), "RS256 or PS256?");
}

/// Every file of JSONTestSuite, with its name: `y_` is JSON, `n_` is not, `i_` is for the reader to decide.
fn json_test_suite() -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(folder("json-test-suite/test_parsing")).unwrap();
    let files: Vec<_> = files
        .map(|file| file.unwrap())
        .map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap()))
        .collect();
    assert_eq!(files.len(), 318);
    files
}

#[test]
fn json_test_suite_as_a_payload() {
    let mut policy = policy();
    policy.max_token = 1 << 20;
    let verifier = Verifier::new(forge::keys(), policy).unwrap();
    let good = payload(json!({}));
    let good = good.strip_suffix('}').unwrap();
    for (name, file) in json_test_suite() {
        // by itself it holds no claims of ours, whatever it is
        let alone = verifier.verify::<Value>(&forge(&file), NOW * 1000);
        assert!(matches!(alone, Err(VerifyError::Claims(_))), "{name}");
        // as the value of a claim: of one that is read, and of one that is ignored
        let within = forge([good.as_bytes(), b",\"value\":", &file, b"}"].concat());
        let read = verifier.verify::<Value>(&within, NOW * 1000);
        let ignored = verifier.verify::<Claims>(&within, NOW * 1000);
        match &name[..2] {
            "y_" => assert!(read.is_ok() && ignored.is_ok(), "{name}: {read:?}"),
            "n_" => assert!(read.is_err() && ignored.is_err(), "{name}: {ignored:?}"),
            _ => {}
        }
    }
}

#[test]
fn json_test_suite_as_a_header() {
    let verifier = forge::verifier();
    for (name, file) in json_test_suite() {
        let token = {
            let lossless = base64_simd::URL_SAFE_NO_PAD.encode_to_string(&file);
            let good = forge_with(SECRET, "{}", payload(json!({})));
            format!("{lossless}.{}", good.split_once('.').unwrap().1)
        };
        let refusal = outcome(&verifier, &token, NOW * 1000);
        assert!([INVALID, forge::MALFORMED, forge::TOO_LONG].contains(&&*refusal), "{name}: {refusal}");
        if let Ok(header) = String::from_utf8(file) {
            let token = forge_with(SECRET, &header, payload(json!({})));
            let refusal = outcome(&verifier, &token, NOW * 1000);
            assert!([INVALID, forge::MALFORMED, forge::TOO_LONG].contains(&&*refusal), "{name}: {refusal}");
            // nor can one be configured: none of them names the key's algorithm
            assert!(matches!(forge::keys().accept_header("1", &header), Err(KeyError::Header)), "{name}");
        }
    }
}
