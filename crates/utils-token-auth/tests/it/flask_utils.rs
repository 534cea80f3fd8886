//! The recorded answers of flask-utils' example application, asked again of ours.
//!
//! `cases/token_auth_http.json` holds what the original answered over HTTP, at a frozen clock. Its tokens were signed
//! with a secret of 11 bytes, which is refused here, so they are signed anew with a longer one; whoever moves an
//! application over and takes its tokens along does the same with `accept_header`. Where an answer is another one on
//! purpose, [`DIFFERENT`] says why.
use actix_web::{
    App, HttpResponse,
    dev::Service,
    http::{Method, StatusCode},
    test::{self, TestRequest},
    web,
};
use base64_simd::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};
use std::{collections::BTreeMap, time::Duration};
use utils_token_auth::{
    Auth, Client, Error, HttpAuth, Keys, MaybeAuth, MemoryStore, Pair, Policy, Refusal, Session, TestClock,
    TokenAuth,
};

use crate::{
    http_app::{Answer, Claims},
    support::hex,
};

/// What is answered otherwise than by the original: the status of each step, and why.
const DIFFERENT: &[(&str, &[u16], &str)] = &[
    ("protected_both_same", &[400], "two sources of a token are refused (RFC 6750 section 2)"),
    ("protected_header_valid_query_invalid", &[400], "as above"),
    ("protected_header_invalid_query_valid", &[400], "as above"),
    ("protected_query_twice_first_wins", &[400], "as above, when both are in the query"),
    ("protected_query_twice_first_bad", &[400], "as above, when both are in the query"),
    ("authorization_upper_case", &[200], "a scheme is read in any case (RFC 9110 section 11.1)"),
    ("authorization_two_spaces", &[200], "one or more blanks (RFC 6750 section 2.1)"),
    ("exp_missing", &[401], "without `exp` a token would never end"),
    ("exp_null", &[401], "an odd claim is the client's fault, not a 500"),
    ("exp_numeric_string", &[401], "as above"),
    ("exp_list", &[401], "as above"),
    ("exp_year_10000", &[401], "as above"),
    ("exp_1e30", &[401], "as above"),
    ("nbf_null", &[401], "as above"),
    ("iat_null", &[401], "as above"),
    ("exp_float", &[401], "a time is a whole number"),
    ("iat_float", &[401], "a time is a whole number"),
    ("exp_year_9999", &[401], "a token that lives longer than the policy allows is refused"),
    ("iat_future", &[401], "a token from the future is refused"),
    ("clock_before_issue", &[200, 401], "a token from the future is refused"),
    ("signature_spare_bits_changed", &[401], "a signature has one spelling (RFC 4648 section 3.5)"),
    ("signature_standard_alphabet", &[401], "a signature has one spelling (RFC 7515 section 2)"),
    ("alg_none_empty_signature", &[401], "`none` is the client's fault, not a 500"),
    ("alg_none_with_signature", &[401], "`none` is the client's fault, not a 500"),
    ("alg_HS384", &[401], "one key, one algorithm (RFC 8725 section 3.1)"),
    ("alg_HS512", &[401], "one key, one algorithm (RFC 8725 section 3.1)"),
    ("typ_missing", &[401], "only headers that were named are accepted"),
    ("typ_other", &[401], "only headers that were named are accepted"),
    ("header_deeply_nested", &[401], "only headers that were named are accepted; no 500"),
    ("payload_duplicate_key", &[401], "a claim that is there twice is refused (RFC 7519 section 4)"),
    ("payload_big", &[401], "a token has at most 4096 bytes"),
    ("renew_json_body", &[200, 200], "JSON bodies are read as well"),
    ("renew_after_ten_years", &[200, 401, 401], "a session ends when it is idle"),
    ("logout_twice", &[200, 200, 200], "whoever is signed out already is signed out (RFC 7009 section 2.2)"),
    ("logout_token_still_usable", &[200, 200, 401], "access tokens end with their session"),
    ("logout_expired_token", &[200, 200], "logging out ends the session, also with a token that has expired"),
    (
        "expiry_boundaries",
        &[200, 200, 401, 401],
        "`exp` is the first second of refusal (RFC 7519 section 4.1.4)",
    ),
];

/// Cases about a setting that does not exist here.
const WITHOUT_COUNTERPART: &[(&str, &str)] = &[
    ("query_only_with_header", "the header is always read (RFC 6750 section 2.1)"),
    ("other_secret_ok", "an engine has its own keys; two engines are two types of claims or two scopes"),
    ("empty_secret_alg_none", "an empty secret is an error at construction"),
    ("empty_secret_app_token", "an empty secret is an error at construction"),
    ("auth_required_outside_parse", "there is one extractor, not two decorators to put in order"),
];

const SECRET: &[u8] = b"supersecret, and long enough for HS256";

#[derive(Deserialize)]
struct Case {
    name: String,
    given: Given,
    expect: Expected,
}

#[derive(Deserialize)]
struct Given {
    now: f64,
    #[serde(default)]
    tokens: BTreeMap<String, Minted>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Minted {
    jwt: String,
    secret: Option<String>,
}

#[derive(Deserialize)]
struct Step {
    method: String,
    path: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    form: Option<Vec<(String, String)>>,
    json: Option<Value>,
    #[serde(default)]
    save: BTreeMap<String, String>,
    now: Option<f64>,
}

#[derive(Deserialize)]
struct Expected {
    steps: Vec<Recorded>,
}

#[derive(Deserialize)]
struct Recorded {
    status: u16,
    json: Option<Value>,
    text: Option<String>,
    jwt: Option<Value>,
}

#[actix_rt::test]
async fn the_recorded_cases_of_flask_utils_are_answered_alike() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("cases/token_auth_http.json")).unwrap();
    assert_eq!(cases.len(), 133);
    let mut wrong = Vec::new();
    for case in &cases {
        if WITHOUT_COUNTERPART.iter().any(|(name, _)| *name == case.name) {
            continue;
        }
        let different = DIFFERENT.iter().find(|(name, ..)| *name == case.name);
        let recorded: Vec<u16> = case.expect.steps.iter().map(|step| step.status).collect();
        let answers = replay(case).await;
        let found: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
        match different {
            Some((_, statuses, _)) if found == *statuses && found != recorded => {}
            Some((_, statuses, _)) => wrong.push(format!("{}: {found:?}, not {statuses:?}", case.name)),
            None => wrong.extend(
                answers
                    .iter()
                    .zip(&case.expect.steps)
                    .filter_map(|(answer, recorded)| departs(answer, recorded))
                    .map(|why| format!("{}: {recorded:?} {found:?} {why}", case.name)),
            ),
        }
        for answer in answers.iter().filter(|answer| answer.status == StatusCode::UNAUTHORIZED) {
            assert!(answer.challenge().starts_with("Bearer realm="), "{}: {answer:?}", case.name);
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
    for name in
        DIFFERENT.iter().map(|(name, ..)| name).chain(WITHOUT_COUNTERPART.iter().map(|(name, _)| name))
    {
        assert!(cases.iter().any(|case| case.name == *name), "no case {name}");
    }
}

async fn replay(case: &Case) -> Vec<Answer> {
    let clock = TestClock::at(0);
    let keys =
        Keys::hs256("1", SECRET).unwrap().accept_header("1", r#"{"typ":"JWT","alg":"HS256"}"#).unwrap();
    let auth = TokenAuth::new(keys, MemoryStore::new(), |_: Session| async {
        Ok::<_, Refusal>(Claims { scopes: vec!["360noscope".to_owned()] })
    })
    .policy(
        Policy::default()
            .access(Duration::from_secs(3600))
            .leeway(Duration::ZERO)
            .subject_claim("user_id")
            .rotate(false),
    )
    .clock(clock.clone())
    .build()
    .unwrap();
    let http = auth.http().query_param("token");
    let app = test::init_service(App::new().configure(routes(auth, &http))).await;

    let mut known: BTreeMap<String, String> =
        case.given.tokens.iter().map(|(name, minted)| (name.clone(), sign_anew(minted))).collect();
    set(&clock, case.given.now);
    let mut answers = Vec::new();
    for step in &case.given.steps {
        if let Some(now) = step.now {
            set(&clock, now);
        }
        let fill = |text: &str| {
            known
                .iter()
                .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
        };
        let method = Method::from_bytes(step.method.as_bytes()).unwrap();
        let mut request = TestRequest::default().method(method).uri(&fill(&step.path));
        for (name, value) in &step.headers {
            request = request.append_header((name.as_str(), fill(value)));
        }
        if let Some(form) = &step.form {
            request =
                request.set_form(form.iter().map(|(name, value)| (name, fill(value))).collect::<Vec<_>>());
        }
        if let Some(json) = &step.json {
            request = request.set_json(serde_json::from_str::<Value>(&fill(&json.to_string())).unwrap());
        }
        let answer = Answer::of(app.call(request.to_request()).await).await;
        for (key, name) in &step.save {
            if let Some(value) = serde_json::from_str::<Value>(&answer.text)
                .ok()
                .and_then(|body| Some(body.get(key)?.as_str()?.to_owned()))
            {
                known.insert(name.clone(), value);
            }
        }
        answers.push(answer);
    }
    answers
}

fn set(clock: &TestClock, seconds: f64) {
    clock.set((seconds * 1000.0) as i64);
}

/// Why the answer is not the recorded one. HTML pages of the original are errors in JSON here.
fn departs(answer: &Answer, recorded: &Recorded) -> Option<String> {
    if answer.status.as_u16() != recorded.status {
        return Some(format!("status {}", answer.status));
    }
    if let Some(jwt) = &recorded.jwt {
        let token = answer.json()["token"].as_str()?.to_owned();
        let claims = claims_of(&token);
        return ["exp", "iat", "scopes", "user_id"]
            .into_iter()
            .find(|name| claims[*name] != jwt["claims"][*name])
            .map(|name| format!("{name} in {claims}"));
    }
    if let Some(expected) = &recorded.json {
        let (mut found, mut expected) = (answer.json(), expected.clone());
        for body in [&mut found, &mut expected] {
            if let Some(members) = body.as_object_mut() {
                members.remove("raw_token_len"); // our ids are shorter
                let id = members.get_mut("token").and_then(|token| token.get_mut("refresh_token_id"));
                if let Some(id) = id.filter(|id| *id != "a".repeat(32).as_str()) {
                    *id = json!("an id");
                }
            }
        }
        return (found != expected).then(|| format!("{found}, not {expected}"));
    }
    let text = recorded.text.as_deref().filter(|text| !text.contains("<!DOCTYPE"))?;
    (answer.text != text).then(|| format!("{}, not {text}", answer.text))
}

fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode_to_vec(payload).unwrap()).unwrap()
}

/// The same token under the longer secret, if it was rightly signed under the short one.
fn sign_anew(minted: &Minted) -> String {
    let Some((signed, _)) =
        minted.jwt.rsplit_once('.').filter(|_| minted.secret.as_deref() == Some("supersecret"))
    else {
        return minted.jwt.clone();
    };
    let header = URL_SAFE_NO_PAD.decode_to_vec(signed.split('.').next().unwrap()).unwrap_or_default();
    let header: Value = serde_json::from_slice(&header).unwrap_or_default();
    macro_rules! mac {
        ($hash:ty) => {{
            let mut mac = Hmac::<$hash>::new_from_slice(SECRET).unwrap();
            mac.update(signed.as_bytes());
            URL_SAFE_NO_PAD.encode_to_string(mac.finalize().into_bytes())
        }};
    }
    let signature = match header["alg"].as_str() {
        Some("HS384") => mac!(Sha384),
        Some("HS512") => mac!(Sha512),
        _ => mac!(Sha256),
    };
    format!("{signed}.{signature}")
}

type Engine = TokenAuth<Claims, MemoryStore>;

fn routes(
    auth: Engine,
    http: &HttpAuth<Claims, MemoryStore>,
) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    let (header_only, http) = (auth.http(), http.clone());
    move |config| {
        config
            .app_data(web::Data::new(auth))
            .configure(http.routes())
            .route("/login", web::post().to(login))
            .service(web::resource("/protected").route(web::post().to(protected)))
            .service(
                web::scope("/lab/header-only").configure(header_only.extractors()).route("", web::to(echo)),
            )
            .route("/lab/echo", web::to(echo))
            .route("/lab/optional", web::to(optional));
    }
}

#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
}

async fn login(auth: web::Data<Engine>, form: web::Form<Credentials>) -> Result<Pair, Error> {
    assert_eq!((&*form.username, &*form.password), ("test", "test"));
    auth.login(&form.username, (), Client::unknown()).await
}

async fn protected(auth: Auth<Claims>) -> String {
    format!("Welcome, {}", auth.user)
}

async fn echo(auth: Auth<Claims>) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "token": attributes(&auth) }))
}

async fn optional(auth: MaybeAuth<Claims>) -> HttpResponse {
    HttpResponse::Ok().json(match &auth.0 {
        Some(auth) => json!({ "token": attributes(auth) }),
        None => json!({ "token": null, "raw_token": null }),
    })
}

fn attributes(auth: &Auth<Claims>) -> Value {
    let id = hex(auth.session.as_bytes());
    json!({
        "audience": null,
        "expiry": auth.expires_at as f64,
        "issued_at": auth.issued_at as f64,
        "issuer": null,
        "not_before": null,
        "refresh_token_id": id,
        "scopes": auth.claims.scopes,
        "subject": null,
        "user_id": auth.user,
    })
}
