//! What a payload may say, A1 to A5, A9, A13, A14, A18 to A22.
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utils_token_auth::{Registered, SignError, Token, Verifier, VerifyError};

use crate::forge::{
    AUDIENCE, CLAIMS, Claims, EXPIRED, ISSUER, LIFETIME, NOT_YET, NOW, OK, SECRET, SESSION, check, claims,
    forge, forge_with, keys, minted, outcome, payload, payload_and, policy, registered, verifier,
    verifier_with,
};

#[track_caller]
fn check_claims(changes: Value, expected: &str) {
    check(&forge(payload(changes)), expected);
}

/// With no leeway, so that a second is a second.
#[track_caller]
fn check_to_the_second(changes: Value, expected: &str) {
    let verifier = verifier_with(|policy| policy.leeway = std::time::Duration::ZERO);
    assert_eq!(outcome(&verifier, &forge(payload(changes.clone())), NOW * 1000), expected, "{changes}");
}

#[test]
fn what_was_signed_is_what_is_read() {
    let token: Token<Claims> = verifier().verify(&minted(), NOW * 1000).unwrap();
    assert_eq!((token.session, &*token.user, token.auth_time), (SESSION, "alice", Some(NOW)));
    assert_eq!((token.issued_at, token.expires_at, token.claims), (NOW, NOW + 900, claims()));
}

#[test]
fn a1_a_token_is_refused_from_the_second_it_expires_in() {
    check_to_the_second(json!({ "exp": NOW + 1 }), OK);
    check_to_the_second(json!({ "exp": NOW }), EXPIRED);
    check_to_the_second(json!({ "exp": NOW - 1 }), EXPIRED);
    let verifier = verifier_with(|policy| policy.leeway = std::time::Duration::ZERO);
    assert_eq!(outcome(&verifier, &minted(), (NOW + 900) * 1000 - 1), OK);
    assert_eq!(outcome(&verifier, &minted(), (NOW + 900) * 1000), EXPIRED);
}

#[test]
fn a1_the_leeway_is_five_seconds_and_not_a_minute() {
    check_claims(json!({ "exp": NOW - 4 }), OK);
    check_claims(json!({ "exp": NOW - 5 }), EXPIRED);
    check_claims(json!({ "exp": NOW - 30 }), EXPIRED);
}

#[test]
fn a1_a_token_without_an_expiry_is_refused() {
    check_claims(json!({ "exp": null }), CLAIMS);
}

#[test]
fn a2_a_token_from_the_future_is_refused_until_then() {
    check_to_the_second(json!({ "nbf": NOW }), OK);
    check_to_the_second(json!({ "nbf": NOW + 1 }), NOT_YET);
    check_claims(json!({ "nbf": NOW + 5 }), OK);
    check_claims(json!({ "nbf": NOW + 6 }), NOT_YET);
    check_claims(json!({ "nbf": i64::MAX }), NOT_YET);
}

#[test]
fn a3_a_time_is_a_whole_number_of_seconds_and_nothing_else() {
    let odd = [
        "null",
        "\"1700000900\"",
        "-1",
        "-0",
        "1700000900.5",
        "1700000900.0",
        "17e8",
        "1e300",
        "1e19",
        "18446744073709551615",
        "9223372036854775808",
        "[]",
        "{}",
        "true",
        "[1700000900]",
    ];
    for value in odd {
        for name in ["exp", "iat", "nbf", "auth_time"] {
            let without = payload(json!({ name: null }));
            let odd = format!("{},\"{name}\":{value}}}", without.strip_suffix('}').unwrap());
            check(&forge(odd), CLAIMS);
        }
    }
    check_claims(json!({ "exp": i64::MAX }), LIFETIME);
}

#[test]
fn a4_a_claim_of_ours_that_is_there_twice_is_refused() {
    for name in ["rfid", "sub", "exp", "iat", "auth_time"] {
        let good: Value = serde_json::from_str(&payload(json!({}))).unwrap();
        check(&forge(payload_and(&format!("\"{name}\":{}", good[name]))), CLAIMS);
    }
    check(&forge(payload_and(&format!("\"nbf\":{NOW},\"nbf\":{NOW}"))), CLAIMS);
    check(&forge(payload_and(r#""iss":"a","iss":"a""#)), CLAIMS);
}

#[test]
fn a4_an_escaped_name_is_the_same_name() {
    let without = payload(json!({ "exp": null }));
    let escaped = format!("{},\"e\\u0078p\":{}}}", without.strip_suffix('}').unwrap(), NOW + 900);
    check(&forge(escaped), OK);
    check(&forge(payload_and(&format!("\"e\\u0078p\":{}", NOW + 900))), CLAIMS);
}

#[test]
fn a4_a_claim_of_the_application_that_is_there_twice_is_refused() {
    check(&forge(payload_and(r#""scopes":["admin"]"#)), CLAIMS);
    check(&forge(payload_and(r#""unknown":1,"unknown":2"#)), CLAIMS);
    check(&forge(payload_and(r#""unknown":1,"unkn\u006fwn":2"#)), CLAIMS);
    // a type that would take the last one
    let twice = forge(payload_and(r#""role":"user","role":"admin""#));
    assert!(matches!(verifier().verify::<Value>(&twice, NOW * 1000), Err(VerifyError::Claims(_))));
    // far more names than are kept at hand
    let mut many: Vec<String> = (0..40).map(|number| format!("\"claim{number}\":0")).collect();
    check(&forge(payload_and(&many.join(","))), OK);
    many.push("\"claim39\":1".to_owned());
    check(&forge(payload_and(&many.join(","))), CLAIMS);
    many.push("\"claim2\":1".to_owned());
    many.remove(40);
    check(&forge(payload_and(&many.join(","))), CLAIMS);
}

#[test]
fn a5_unknown_claims_are_ignored() {
    check(&forge(payload_and(r#""unknown":[1,{"deep":[null]}],"jti":"x""#)), OK);
}

#[test]
fn a9_a_payload_is_utf_8_without_a_mark_and_nothing_follows_it() {
    let good = payload(json!({}));
    check(&forge(format!("\u{feff}{good}")), CLAIMS);
    check(&forge(format!("{good}x")), CLAIMS);
    check(&forge(format!("{good}{{}}")), CLAIMS);
    check(&forge(format!("{good}\0")), CLAIMS);
    check(&forge(format!(" {good}\n")), OK);
    let utf_16: Vec<u8> = good.encode_utf16().flat_map(u16::to_be_bytes).collect();
    check(&forge(utf_16), CLAIMS);
    for bytes in [&b"\xff"[..], b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"] {
        let ignored = [payload_and("\"x\":\"").trim_end_matches('}').as_bytes(), bytes, b"\"}"].concat();
        check(&forge(ignored), CLAIMS);
    }
}

#[test]
fn a9_a_lone_surrogate_in_a_claim_of_the_application_is_refused() {
    for text in [r"\ud800", r"\udfff", r"\ud800x"] {
        let bad = payload(json!({ "scopes": null }));
        check(&forge(format!("{},\"scopes\":[\"{text}\"]}}", bad.strip_suffix('}').unwrap())), CLAIMS);
    }
}

#[test]
fn a_payload_that_is_no_object_is_refused() {
    for text in ["", "[]", "\"text\"", "null", "true", "1", "{", "{}", "[{}]", "{\"exp\":", "{'exp':1}"] {
        check(&forge(text), CLAIMS);
    }
}

#[test]
fn deep_nesting_is_refused_without_a_panic() {
    let deep = |depth| payload_and(&format!("\"deep\":{}{}", "[".repeat(depth), "]".repeat(depth)));
    check(&forge(deep(100)), OK);
    // serde_json skips an ignored value without recursion; one that is read has a limit of 128
    let far = forge(deep(200));
    assert!(matches!(verifier().verify::<Value>(&far, NOW * 1000), Err(VerifyError::Claims(_))));
}

#[test]
fn a13_the_issuer_must_be_ours_when_we_have_one() {
    let verifier = verifier_with(|policy| policy.issuer = Some("https://auth.example".to_owned()));
    for (issuer, expected) in [
        (json!("https://auth.example"), OK),
        (json!("https://auth.example/"), ISSUER),
        (json!("https://evil.example"), ISSUER),
        (json!(""), ISSUER),
        (json!(null), ISSUER), // that is: none
        (json!(5), CLAIMS),
        (json!(["https://auth.example"]), CLAIMS),
    ] {
        let token = forge(payload(json!({ "iss": issuer })));
        assert_eq!(outcome(&verifier, &token, NOW * 1000), expected, "{issuer}");
    }
    assert_eq!(outcome(&verifier, &forge(payload_and("\"iss\":null")), NOW * 1000), CLAIMS);
    check_claims(json!({ "iss": "https://anybody.example" }), OK);
    let own = verifier.sign(&registered(), &claims()).unwrap();
    assert_eq!(outcome(&verifier, &own, NOW * 1000), OK);
}

#[test]
fn a14_the_audience_must_be_ours() {
    let verifier = verifier_with(|policy| policy.audience = Some("orders".to_owned()));
    for (audience, with_ours, without_ours) in [
        (json!("orders"), OK, AUDIENCE),
        (json!(["billing", "orders"]), OK, AUDIENCE),
        (json!("billing"), AUDIENCE, AUDIENCE),
        (json!(["billing"]), AUDIENCE, AUDIENCE),
        (json!([]), AUDIENCE, AUDIENCE),
        (json!("orders "), AUDIENCE, AUDIENCE),
        (json!(null), AUDIENCE, OK), // that is: none
        (json!(5), CLAIMS, CLAIMS),
        (json!(["orders", 5]), CLAIMS, CLAIMS),
        (json!([["orders"]]), CLAIMS, CLAIMS),
        (json!({ "orders": true }), CLAIMS, CLAIMS),
    ] {
        let token = forge(payload(json!({ "aud": audience })));
        assert_eq!(outcome(&verifier, &token, NOW * 1000), with_ours, "{audience}");
        check(&token, without_ours);
    }
    let own = verifier.sign(&registered(), &claims()).unwrap();
    assert_eq!(outcome(&verifier, &own, NOW * 1000), OK);
}

#[test]
fn a20_a_token_issued_in_the_future_is_refused() {
    check_claims(json!({ "iat": NOW + 5, "exp": NOW + 900 }), OK);
    check_claims(json!({ "iat": NOW + 6, "exp": NOW + 900 }), NOT_YET);
    check_claims(json!({ "iat": null }), CLAIMS);
}

#[test]
fn a20_a_login_in_the_future_does_not_count_as_fresh() {
    check_claims(json!({ "auth_time": NOW + 6 }), NOT_YET);
    check_claims(json!({ "auth_time": null }), OK);
}

#[test]
fn a22_a_token_that_lives_longer_than_ours_is_refused_whoever_signed_it() {
    check_claims(json!({ "exp": NOW + 900 }), OK);
    check_claims(json!({ "exp": NOW + 901 }), LIFETIME);
    check_claims(json!({ "iat": 0 }), LIFETIME);
    let refused = verifier().sign(&Registered { expires_at: NOW + 901, ..registered() }, &claims());
    assert!(matches!(refused, Err(SignError::Lifetime)));
}

#[test]
fn the_session_must_be_a_session_id() {
    let good = SESSION.to_string();
    for session in
        [json!(null), json!(&good[..21]), json!(format!("{good}A")), json!(7), json!(""), json!([good])]
    {
        check_claims(json!({ "rfid": session }), CLAIMS);
    }
    check_claims(json!({ "rfid": "0f8fad5bd9cb469fa16570867728950e" }), OK);
}

#[test]
fn the_user_is_one_string() {
    for subject in [json!(null), json!(4242), json!(["alice"]), json!({ "id": "alice" }), json!(true)] {
        check_claims(json!({ "sub": subject }), CLAIMS);
    }
    // two spellings of one name are two users: nothing is normalised, nothing is cut at a NUL
    for user in ["é", "e\u{301}", "alice\0", "\u{202e}ecila", ""] {
        let token: Token<Claims> =
            verifier().verify(&forge(payload(json!({ "sub": user }))), NOW * 1000).unwrap();
        assert_eq!(token.user, user);
    }
}

#[test]
fn scopes_have_the_type_the_application_gave_them() {
    for scopes in [json!("360noscope"), json!([1]), json!({}), json!(null), json!([null])] {
        check_claims(json!({ "scopes": scopes }), CLAIMS);
    }
}

#[test]
fn a_million_scopes_are_too_long_to_be_looked_at() {
    let many = forge(payload(json!({ "scopes": vec!["s"; 1_000_000] })));
    check(&many, crate::forge::TOO_LONG);
    let refused = verifier().sign(&registered(), &Claims { scopes: vec!["s".to_owned(); 1_000_000] });
    assert!(matches!(refused, Err(SignError::TooLong)));
}

#[test]
fn a_payload_beyond_the_room_on_the_stack_is_read() {
    let claims = Claims { scopes: vec!["s".repeat(2500)] };
    let token = verifier().sign(&registered(), &claims).unwrap();
    assert_eq!(verifier().verify::<Claims>(&token, NOW * 1000).unwrap().claims, claims);
}

#[test]
fn claims_with_a_name_of_ours_are_not_signed() {
    for name in ["rfid", "sub", "exp", "iat", "nbf", "auth_time", "iss", "aud"] {
        let refused = verifier().sign(&registered(), &json!({ name: 1 }));
        assert!(matches!(refused, Err(SignError::Taken(taken)) if taken == name));
    }
    for (claims, expected) in [
        (json!([]), "the claims are not an object"),
        (json!(null), "the claims are not an object"),
        (json!("x"), "the claims are not an object"),
    ] {
        assert_eq!(verifier().sign(&registered(), &claims).unwrap_err().to_string(), expected);
    }
}

#[test]
fn claims_with_a_name_twice_are_not_signed() {
    #[derive(Serialize)]
    struct Twice {
        role: &'static str,
        #[serde(flatten)]
        rest: Value,
    }
    let refused = verifier().sign(&registered(), &Twice { role: "user", rest: json!({ "role": "admin" }) });
    assert!(matches!(refused, Err(SignError::Taken(taken)) if taken == "role"));
}

#[test]
fn any_serde_type_can_hold_the_claims() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Nothing {}

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Rich {
        tenant_id: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        nick: Option<String>,
        #[serde(flatten)]
        rest: std::collections::BTreeMap<String, Value>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Either {
        User { name: String },
        Robot { job: u8 },
    }

    fn survives<C: Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(claims: C) {
        let token = verifier().sign(&registered(), &claims).unwrap();
        assert_eq!(verifier().verify::<C>(&token, NOW * 1000).unwrap().claims, claims);
    }

    survives(Nothing {});
    survives(Rich { tenant_id: 7, nick: None, rest: [("é\"".to_owned(), json!([1, null]))].into() });
    survives(Either::User { name: "x".to_owned() });
    survives(Either::Robot { job: 3 });
    survives(json!({ "a": { "b": [1.5, "c"] } }));
    survives(std::collections::BTreeMap::from([("k".to_owned(), 1_u8)]));
}

#[test]
fn a_token_of_flask_utils_is_taken_over() {
    // PyJWT's header; the user in `user_id`, the session as a UUID, an hour of life
    let header = r#"{"typ":"JWT","alg":"HS256"}"#;
    let keys = keys().accept_header("1", header).unwrap();
    let mut policy = policy();
    policy.subject_claim = "user_id";
    policy.access = std::time::Duration::from_secs(3600);
    let verifier = Verifier::new(keys, policy).unwrap();
    let payload = json!({ "exp": NOW + 3600, "iat": NOW, "rfid": "0f8fad5bd9cb469fa16570867728950e",
        "user_id": "test", "scopes": ["360noscope"] });
    let taken_over = forge_with(SECRET, header, payload.to_string());
    let token: Token<Claims> = verifier.verify(&taken_over, NOW * 1000).unwrap();
    assert_eq!((&*token.user, token.auth_time), ("test", None));
    // and ours are minted with the same claim
    let own = verifier.sign(&registered(), &claims()).unwrap();
    assert_eq!(verifier.verify::<Claims>(&own, NOW * 1000).unwrap().user, "alice");
    assert!(matches!(verifier.sign(&registered(), &json!({ "user_id": 1 })), Err(SignError::Taken(_))));
}

#[test]
fn the_subject_cannot_take_the_name_of_another_claim() {
    let mut policy = policy();
    policy.subject_claim = "exp";
    assert!(Verifier::new(keys(), policy).is_err());
}

#[test]
fn a21_no_refusal_shows_the_token() {
    let token = minted();
    let parts: Vec<&str> = token.split('.').collect();
    for (text, at) in [(&*token, NOW + 10_000), (&token[..token.len() - 1], NOW), (parts[1], NOW)] {
        let error = verifier().verify::<Claims>(text, at * 1000).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!parts.iter().any(|part| shown.contains(part)), "{shown}");
    }
}
