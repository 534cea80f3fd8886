//! Attacks through the form of a token, A7, A8, A19, and against its signature.
use serde_json::json;
use utils_token_auth::{Keys, Verifier};

use crate::forge::{
    HEADER, INVALID, MALFORMED, NOW, OK, SECRET, TOO_LONG, b64, check, claims, forge, forge_with, minted,
    outcome, payload, policy, registered, verifier_with,
};

fn all_algorithms() -> Vec<(&'static str, Verifier)> {
    let secret = [7; 64];
    [
        ("HS256", Keys::hs256("1", &secret)),
        ("HS384", Keys::hs384("1", &secret)),
        ("HS512", Keys::hs512("1", &secret)),
        ("EdDSA", Keys::ed25519("1", include_str!("vectors/keys/ed25519.pem"))),
        ("ES256", Keys::es256("1", include_str!("vectors/keys/es256.pem"))),
        ("RS256", Keys::rs256("1", include_str!("vectors/keys/rs256.pem"))),
    ]
    .map(|(name, keys)| (name, Verifier::new(keys.unwrap(), policy()).unwrap()))
    .into()
}

fn refused(verifier: &Verifier, token: &str) {
    let outcome = outcome(verifier, token, NOW * 1000);
    assert!(outcome == INVALID || outcome == MALFORMED, "{outcome}: {token:?}");
}

#[test]
fn a7_a_signature_has_one_spelling() {
    for (name, verifier) in all_algorithms() {
        let token = verifier.sign(&registered(), &claims()).unwrap();
        assert_eq!(outcome(&verifier, &token, NOW * 1000), OK, "{name}");
        for end in ["=", "==", "\n", "\r\n", "\0", " ", "\t", "%20", "A", ".", "\u{a0}"] {
            refused(&verifier, &format!("{token}{end}"));
            refused(&verifier, &format!("{end}{token}"));
        }
        let (message, signature) = token.rsplit_once('.').unwrap();
        refused(&verifier, &format!("{message}.{}", signature.replace('-', "+").replace('_', "/") + "+"));
        refused(&verifier, &format!("{message}.{}?{}", &signature[..9], &signature[10..]));
        refused(&verifier, &format!("{message}. {}", &signature[1..]));
        refused(&verifier, &format!("{message}.{}\n{}", &signature[..9], &signature[9..]));
    }
}

#[test]
fn a7_the_spare_bits_of_a_signature_are_zero() {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (name, verifier) in all_algorithms() {
        let token = verifier.sign(&registered(), &claims()).unwrap();
        let (before, last) = token.split_at(token.len() - 1);
        let accepted: Vec<char> = ALPHABET
            .chars()
            .filter(|character| outcome(&verifier, &format!("{before}{character}"), NOW * 1000) == OK)
            .collect();
        assert_eq!(accepted, last.chars().collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn a7_a_payload_is_base64url_even_when_we_signed_it() {
    // the segments as they are, signed as they are
    let signed = |payload: &str| {
        use hmac::Mac;
        let message = format!("{}.{payload}", b64(HEADER));
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(SECRET).unwrap();
        mac.update(message.as_bytes());
        format!("{message}.{}", b64(mac.finalize().into_bytes()))
    };
    // of a length that leaves spare bits in the last character
    let good = (0..3)
        .map(|spaces| b64(payload(json!({})) + &" ".repeat(spaces)))
        .find(|text| text.len() % 4 == 2)
        .unwrap();
    check(&signed(&good), OK);
    let (before, last) = good.split_at(good.len() - 1);
    let spare = char::from(last.as_bytes()[0] + 1);
    for bad in [
        format!("{good}="),
        format!("{good}=="),
        format!("{before}{spare}"),
        format!("{before}{last}A\n"),
        format!(" {good}"),
        format!("{}?{}", &good[..9], &good[10..]),
        format!("{}+{}", &good[..9], &good[10..]),
        format!("{}.{}", &good[..8], &good[8..]),
        good.replace('J', "%4A"),
        "A".to_owned(),
    ] {
        check(&signed(&bad), MALFORMED);
    }
}

#[test]
fn a8_a_token_has_three_segments() {
    let token = minted();
    let parts: Vec<&str> = token.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    for text in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        "a".to_owned(),
        "a.b".to_owned(),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{header}.{payload}.{signature}.{signature}"),
        format!("{header}.{payload}.{payload}.{signature}.{signature}"),
        format!("{token}."),
        format!(".{token}"),
        format!("{header}.{payload}..{signature}"),
    ] {
        check(&text, MALFORMED);
    }
    check("a.b.c", INVALID);
    check(&format!("{header}.{signature}.{payload}"), INVALID);
    check(&format!("{payload}.{header}.{signature}"), INVALID);
}

#[test]
fn a8_the_json_serialization_is_refused() {
    let token = minted();
    let parts: Vec<&str> = token.split('.').collect();
    let flat = json!({ "protected": parts[0], "payload": parts[1], "signature": parts[2] });
    check(&flat.to_string(), MALFORMED);
    let general =
        json!({ "payload": parts[1], "signatures": [{ "protected": parts[0], "signature": parts[2] }] });
    check(&general.to_string(), MALFORMED);
    check(&format!("[\"{token}\"]"), MALFORMED);
    check(&format!("\"{token}\""), MALFORMED);
}

#[test]
fn a8_an_encrypted_token_is_refused() {
    let header = b64(r#"{"alg":"dir","enc":"A256GCM"}"#);
    check(&format!("{header}..{}.{}.{}", b64([1; 12]), b64([2; 40]), b64([3; 16])), MALFORMED);
}

#[test]
fn a19_a_long_token_is_not_looked_at() {
    // correctly signed, so that nothing but the length can refuse it
    let of_length = |length: usize| {
        (0..)
            .map(|padding| forge(payload(json!({})) + &" ".repeat(padding)))
            .find(|token| token.len() >= length)
            .unwrap()
    };
    check(&of_length(4093), OK);
    let long = of_length(4097);
    check(&long, TOO_LONG);
    let roomy = verifier_with(|policy| policy.max_token = long.len());
    assert_eq!(outcome(&roomy, &long, NOW * 1000), OK);
    check(&forge(payload(json!({})) + &" ".repeat(1 << 20)), TOO_LONG);
    check(&"a".repeat(100 << 20), TOO_LONG);
}

#[test]
fn a_signature_that_was_cut_is_refused() {
    for (_, verifier) in all_algorithms() {
        let token = verifier.sign(&registered(), &claims()).unwrap();
        let signature = token.rsplit_once('.').unwrap().1.len();
        for cut in 1..=signature {
            refused(&verifier, &token[..token.len() - cut]);
        }
    }
}

#[test]
fn one_flipped_bit_anywhere_is_refused() {
    for (name, verifier) in all_algorithms() {
        let token = verifier.sign(&registered(), &claims()).unwrap();
        // signatures of the other algorithms are slow to refuse: every fifth position, one bit
        let (bits, step): (&[u8], usize) =
            if name.starts_with("HS") { (&[0, 1, 2, 3, 4, 5, 6], 1) } else { (&[0], 5) };
        for at in (0..token.len()).step_by(step) {
            for bit in bits {
                let mut bytes = token.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                refused(&verifier, std::str::from_utf8(&bytes).unwrap());
            }
        }
    }
}

#[test]
fn a_token_in_another_case_is_refused() {
    let token = minted();
    check(&token.to_uppercase(), INVALID);
    check(&token.to_lowercase(), INVALID);
    let (message, signature) = token.rsplit_once('.').unwrap();
    check(&format!("{message}.{}", signature.to_uppercase()), INVALID);
}

#[test]
fn a_payload_under_the_signature_of_another_is_refused() {
    let (alice, mallory) = (minted(), forge(payload(json!({ "sub": "mallory" }))));
    let (message, _) = alice.rsplit_once('.').unwrap();
    let (_, signature) = mallory.rsplit_once('.').unwrap();
    check(&format!("{message}.{signature}"), INVALID);
}

#[test]
fn the_signature_of_another_secret_is_refused() {
    let mut close = *SECRET;
    close[31] ^= 1;
    for secret in [&close[..], b"", b"secret", &SECRET[..31], &[&SECRET[..], b"\0"].concat()] {
        let expected = if secret == [&SECRET[..], b"\0"].concat() {
            // RFC 2104: HMAC pads a short key with zeros, so this is the same key; a ring would have to be given it
            OK
        } else {
            INVALID
        };
        check(&forge_with(secret, HEADER, payload(json!({}))), expected);
    }
}

#[test]
fn an_elliptic_curve_signature_may_come_in_its_two_forms_and_names_one_session() {
    // (r, s) and (r, n - s) both verify, RFC 6979 aside: which is why revocation goes by session and never by token
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let keys = Keys::es256("1", include_str!("vectors/keys/es256.pem")).unwrap();
    let verifier = Verifier::new(keys, policy()).unwrap();
    let token = verifier.sign(&registered(), &claims()).unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(signature).unwrap();
    let mut borrow = 0_i16;
    for at in (0..32).rev() {
        let difference = i16::from(ORDER[at]) - i16::from(bytes[32 + at]) - borrow;
        bytes[32 + at] = difference.rem_euclid(256) as u8;
        borrow = i16::from(difference < 0);
    }
    let twin = format!("{message}.{}", b64(&bytes));
    assert_ne!(twin, token);
    assert_eq!(outcome(&verifier, &twin, NOW * 1000), OK);
    // a DER signature, a zero one, and one that is longer are not among them
    for bytes in [vec![0; 64], [&bytes[..], &[0]].concat(), [&[0x30, 0x44, 2, 32], &bytes[..]].concat()] {
        refused(&verifier, &format!("{message}.{}", b64(bytes)));
    }
}

/// After Reparaz, Balasch and Verbauwhede, "Dude, is my code constant time?" (2016): the times of two classes of
/// refused tokens, one wrong in the first byte of the signature, the other in the last, by Welch's t-test.
#[test]
#[ignore = "a measurement of some seconds, for a machine that does nothing else"]
fn a_wrong_first_byte_takes_as_long_as_a_wrong_last_one() {
    let verifier = crate::forge::verifier();
    let token = minted();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(signature).unwrap();
    let wrong_at = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x55;
        format!("{message}.{}", b64(bytes))
    };
    let classes = [wrong_at(0), wrong_at(31)];
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..200_000_u32 {
        let class = (round.wrapping_mul(2_654_435_761) >> 31) as usize;
        let begin = std::time::Instant::now();
        for _ in 0..8 {
            let _ = std::hint::black_box(verifier.verify::<serde_json::Value>(&classes[class], NOW * 1000));
        }
        times[class].push(begin.elapsed().as_nanos() as f64);
    }
    // interrupts are far slower than anything measured here
    let mut all = times.concat();
    all.sort_by(f64::total_cmp);
    let limit = all[all.len() * 9 / 10];
    let [first, last] = times.map(|mut times| {
        times.retain(|time| *time <= limit);
        let count = times.len() as f64;
        let mean = times.iter().sum::<f64>() / count;
        let variance = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    });
    let t = (first.0 - last.0) / (first.1 + last.1).sqrt();
    println!("first byte {:.1} ns, last byte {:.1} ns, t = {t:.2}", first.0, last.0);
    assert!(t.abs() < 10.0, "t = {t}");
}
