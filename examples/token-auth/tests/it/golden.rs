//! The recorded behaviour of the original example, replayed with the recorded time.
//!
//! The tokens of the recording are signed with its secret of 11 bytes, which is refused here as too short; they are
//! signed again, header and payload left as they are. Where we differ on purpose, `BETTER` holds what comes instead, and
//! docs/guide/coming-from-flask-utils.md the reason.
use std::{collections::BTreeMap, net::SocketAddr, sync::mpsc, thread};

use actix_web::{App, HttpServer};
use base64_simd::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;
use utils_testing::Answer;
use webutils::{
    restful::Restful,
    token_auth::{Keys, TestClock},
};

#[allow(dead_code, reason = "its `main` starts the program")]
#[path = "../../src/main.rs"]
mod example;

const SECRET: &[u8] = b"supersecret, but of 32 bytes or more";

/// The statuses of the steps of these cases, instead of the recorded ones.
const BETTER: &[(&str, &[u16])] = &[
    // bodies
    ("login_json_body", &[200]),
    ("renew_json_body", &[200, 200]),
    ("login_multipart", &[401]),
    // two tokens in one request
    ("protected_both_same", &[400]),
    ("protected_header_valid_query_invalid", &[400]),
    ("protected_header_invalid_query_valid", &[400]),
    ("protected_query_twice_first_wins", &[400]),
    ("protected_query_twice_first_bad", &[400]),
    // RFC 9110 section 11.1, RFC 6750 section 2.1
    ("authorization_upper_case", &[200]),
    ("authorization_two_spaces", &[200]),
    // claims
    ("exp_missing", &[401]),
    ("exp_null", &[401]),
    ("exp_numeric_string", &[401]),
    ("exp_float", &[401]),
    ("exp_list", &[401]),
    ("exp_year_9999", &[401]),
    ("exp_year_10000", &[401]),
    ("exp_1e30", &[401]),
    ("nbf_null", &[401]),
    ("iat_future", &[401]),
    ("iat_null", &[401]),
    ("payload_duplicate_key", &[401]),
    ("payload_big", &[401]),
    ("expiry_boundaries", &[200, 200, 401, 401]),
    ("clock_before_issue", &[200, 401]),
    // signature and header
    ("signature_spare_bits_changed", &[401]),
    ("signature_standard_alphabet", &[401]),
    ("alg_none_empty_signature", &[401]),
    ("alg_none_with_signature", &[401]),
    ("alg_HS384", &[401]),
    ("alg_HS512", &[401]),
    ("typ_missing", &[401]),
    ("typ_other", &[401]),
    ("header_deeply_nested", &[401]),
    // sessions
    ("renew_after_ten_years", &[200, 401, 401]),
    ("logout_twice", &[200, 200, 200]),
    ("logout_token_still_usable", &[200, 200, 401]),
    ("logout_expired_token", &[200, 200]),
];

#[test]
fn the_recorded_cases() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("cases/token_auth.json")).unwrap();
    let better: BTreeMap<&str, &[u16]> = BETTER.iter().copied().collect();
    let clock = TestClock::at(0);
    let server = serve(clock.clone());
    let mut problems = Vec::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        clock.set(millis(&case["given"]["now"]));
        let mut texts = signed_again(&case["given"]["tokens"]);
        let steps = case["given"]["steps"].as_array().unwrap().iter();
        for (index, (step, expected)) in steps.zip(case["expect"]["steps"].as_array().unwrap()).enumerate() {
            if step["now"].is_number() {
                clock.set(millis(&step["now"]));
            }
            let answer = send(server, step, &texts);
            let wanted =
                better.get(name).map_or(expected["status"].as_u64().unwrap(), |all| all[index].into());
            if u64::from(answer.status) != wanted {
                problems.push(format!("{name}, step {index}: expected {wanted}, got {answer}"));
                continue;
            }
            if u64::from(answer.status) == expected["status"].as_u64().unwrap() {
                problems.extend(
                    difference(&answer, expected)
                        .map(|what| format!("{name}, step {index}: {what}\n{answer}")),
                );
            }
            if answer.status >= 400 && !answer.json()["_errors"][0].is_string() {
                problems.push(format!("{name}, step {index}: another shape: {answer}"));
            }
            for (key, variable) in step["save"].as_object().into_iter().flatten() {
                if let Some(text) = answer.json()[key].as_str() {
                    texts.insert(variable.as_str().unwrap().to_owned(), text.to_owned());
                }
            }
        }
    }
    assert!(problems.is_empty(), "{} problems\n{}", problems.len(), problems.join("\n\n"));
    assert_eq!(cases.len(), 131);
    let unknown = better.keys().find(|name| !cases.iter().any(|case| case["name"] == **name));
    assert_eq!(unknown, None, "no such case");
}

/// What differs beside the status.
fn difference(answer: &Answer, expected: &Value) -> Option<String> {
    let content_type = expected["headers"]["Content-Type"].as_str().unwrap_or_default();
    if answer.status >= 400 && content_type.starts_with("text/html") {
        return None; // the original's pages are JSON here
    }
    if answer
        .header("content-type")
        .is_none_or(|ours| !content_type.starts_with(ours.split(';').next().unwrap()))
    {
        return Some(format!("expected {content_type}"));
    }
    if let Some(text) = expected["text"].as_str() {
        return (answer.text() != text).then(|| format!("expected {text}"));
    }
    let ours = answer.json();
    for (name, value) in expected["json"].as_object().unwrap() {
        let pattern = value.as_str().is_some_and(|text| text.starts_with("${"));
        if !(ours[name] == *value || pattern && ours[name].is_string()) {
            return Some(format!("expected {name}: {value}"));
        }
    }
    if ours.as_object().unwrap().len() != expected["json"].as_object().unwrap().len() {
        return Some(format!("expected {}", expected["json"]));
    }
    let claims = expected["jwt"]["claims"].as_object()?;
    let payload = ours["token"].as_str().unwrap().split('.').nth(1).unwrap();
    let ours: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode_to_vec(payload).unwrap()).unwrap();
    let differs = |(name, value): &(&String, &Value)| *name != "rfid" && ours[name.as_str()] != **value;
    claims.iter().find(differs).map(|(name, value)| format!("expected the claim {name}: {value}, got {ours}"))
}

fn signed_again(tokens: &Value) -> BTreeMap<String, String> {
    let tokens = tokens.as_object().into_iter().flatten();
    let again = |jwt: &str| match jwt.rsplit_once('.') {
        Some((message, signature)) if signature == sign(b"supersecret", message) => {
            format!("{message}.{}", sign(SECRET, message))
        }
        _ => jwt.to_owned(), // altered, or signed with something else: as it was
    };
    tokens.map(|(name, token)| (name.clone(), again(token["jwt"].as_str().unwrap()))).collect()
}

fn sign(secret: &[u8], message: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(message.as_bytes());
    URL_SAFE_NO_PAD.encode_to_string(mac.finalize().into_bytes())
}

fn millis(time: &Value) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "times of the recording")]
    let millis = (time.as_f64().unwrap() * 1_000.0) as i64;
    millis
}

fn send(server: SocketAddr, step: &Value, texts: &BTreeMap<String, String>) -> Answer {
    let filled = |text: &str| {
        texts.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
    };
    let (mut headers, mut body) = (String::new(), String::new());
    for header in step["headers"].as_array().into_iter().flatten() {
        headers.push_str(&format!(
            "{}: {}\r\n",
            header[0].as_str().unwrap(),
            filled(header[1].as_str().unwrap())
        ));
    }
    if let Some(form) = step["form"].as_array() {
        let pair =
            |pair: &Value| format!("{}={}", pair[0].as_str().unwrap(), filled(pair[1].as_str().unwrap()));
        body = form.iter().map(pair).collect::<Vec<_>>().join("&");
        headers.push_str("content-type: application/x-www-form-urlencoded\r\n");
    } else if !step["json"].is_null() {
        body = filled(&step["json"].to_string());
        headers.push_str("content-type: application/json\r\n");
    } else if let Some(parts) = step["multipart"].as_array() {
        for part in parts {
            let (name, value) = (part[0].as_str().unwrap(), part[1].as_str().unwrap());
            body.push_str(&format!(
                "--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            ));
        }
        body.push_str("--x--\r\n");
        headers.push_str("content-type: multipart/form-data; boundary=x\r\n");
    }
    let (method, path) = (step["method"].as_str().unwrap(), filled(step["path"].as_str().unwrap()));
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    Answer::to_request(server, format!("{head}{headers}\r\n{body}").as_bytes())
}

/// The example's application, with a clock of ours, on a port of its own. It ends with the tests.
fn serve(clock: TestClock) -> SocketAddr {
    let keys =
        Keys::hs256("1", SECRET).unwrap().accept_header("1", r#"{"typ":"JWT","alg":"HS256"}"#).unwrap();
    let engine = example::engine(keys, clock).unwrap();
    let (sender, address) = mpsc::channel();
    thread::spawn(move || {
        actix_rt::System::new().block_on(async {
            let server =
                HttpServer::new(move || App::new().configure(example::routes(&engine)).wrap(Restful::new()));
            let server = server.workers(1).bind(("127.0.0.1", 0)).unwrap();
            sender.send(server.addrs()[0]).unwrap();
            server.run().await.unwrap();
        });
    });
    address.recv().unwrap()
}
