//! Sends what a case asks, and compares what comes back.
use std::collections::{BTreeMap, BTreeSet};

use actix_web::http::{Method, StatusCode, header::AUTHORIZATION};
use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use utils_token_auth::{Sid, Store};

use super::{
    app::{LIFE, Site},
    cases::{Case, Recorded, Step, What, made_anew},
};
use crate::{
    http_app::{Answer, request},
    support::hex,
};

/// What the tutorial says where we say something else: its text, our member, our text.
const OTHER_WORDS: &[(&str, &str, &str)] = &[
    ("logged out", "status", "success"),
    ("you are now disconnected for every device", "message", "you are now disconnected on every device"),
];

/// All that a refused request hears, forms that are not filled in aside.
const REFUSALS: &[(u16, &str)] = &[
    (400, "Resource expected a JSON payload to be provided."),
    (401, "A valid token is required to access this resource"),
    (401, "The provided token was invalid."),
    (403, "the token does not allow this"),
    (404, "there is no such session"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
];

/// One case under way: the values that its requests use, and the sessions that its logins made.
pub(super) struct Replay<S> {
    site: Site<S>,
    values: BTreeMap<String, String>,
    sessions: Vec<SignedIn>,
    /// What no answer but that of a login may show.
    secrets: Vec<String>,
}

struct SignedIn {
    id: Sid,
    user: String,
    /// In seconds since 1970.
    at: i64,
}

/// An answer, and the token it was asked with.
pub(super) struct Exchange {
    pub(super) answer: Answer,
    token: Option<String>,
    is_login: bool,
}

impl<S: Store> Replay<S> {
    pub(super) fn of(case: &Case, store: S) -> Self {
        let minted = case.given.tokens.iter().map(|(name, minted)| (name.clone(), made_anew(minted)));
        Self { site: Site::on(store), values: minted.collect(), sessions: Vec::new(), secrets: Vec::new() }
    }

    /// Does what one step says; `None` when that was no request.
    pub(super) async fn step(&mut self, step: &Step) -> Option<Exchange> {
        self.site.clock.set(step.now * 1000);
        let (method, path, headers, json, body, save) = match &step.what {
            What::Sql { sql } => {
                let id = sql.strip_prefix("DELETE FROM users WHERE id = ").unwrap();
                self.site.delete_user(id.parse().unwrap()).await;
                return None;
            }
            What::Request { method, path, headers, json, body, save } => {
                (method, path, headers, json, body, save)
            }
        };
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = request(method, &self.our_path(path));
        let mut token = None;
        for (name, value) in headers {
            assert_eq!(name, "Authorization");
            let value = self.filled(value);
            let bare = value.strip_prefix("Bearer ").unwrap_or(&value);
            if !bare.is_empty() {
                token = Some(bare.to_owned());
            }
            // an empty header stays one
            let scheme = if bare.is_empty() { "" } else { "Bearer " };
            request = request.append_header((AUTHORIZATION, format!("{scheme}{bare}")));
        }
        if let Some(json) = json {
            request = request.set_json(json);
        }
        if let Some(body) = body {
            request = request.insert_header(("Content-Type", "application/json")).set_payload(body.clone());
        }
        let answer = self.site.send(request).await;
        let is_login = path.ends_with("/login") && answer.status == StatusCode::OK;
        if is_login {
            self.signed_in(&answer.json(), step.now).await;
        }
        for (pointer, name) in save {
            let body = answer.json();
            let value = body.pointer(&format!("/{pointer}")).unwrap().as_str().unwrap();
            self.values.insert(name.clone(), value.to_owned());
        }
        Some(Exchange { answer, token, is_login })
    }

    fn filled(&self, text: &str) -> String {
        self.values
            .iter()
            .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
    }

    /// The path with our id of the session in place of the number, if there is a session of that number.
    fn our_path(&self, path: &str) -> String {
        let path = self.filled(path);
        let Some((start, rest)) = path.split_once("/tokens/") else { return path };
        let number = rest.trim_start_matches('0').trim_end_matches('/');
        let session = number.parse::<usize>().ok().and_then(|number| self.sessions.get(number - 1));
        match session {
            Some(session) => format!("{start}/tokens/{}", rest.replace(number, &session.id.to_string())),
            // well-formed, and nobody's
            None if number == "123469" => format!("{start}/tokens/{}", Sid::from_bytes([0xff; 16])),
            None => path,
        }
    }

    async fn signed_in(&mut self, pair: &Value, at: i64) {
        let (token, refresh_token) =
            (pair["token"].as_str().unwrap(), pair["refreshToken"].as_str().unwrap());
        assert!(!self.secrets.iter().any(|secret| secret == token), "the same token twice");
        let id = claims_of(token)["rfid"].as_str().unwrap().parse().unwrap();
        let session = self.site.auth.store().get(id).await.unwrap().unwrap();
        let (hash, signature) = (session.secret_hash, token.rsplit('.').next().unwrap());
        self.secrets.extend([token, signature, refresh_token].map(str::to_owned));
        self.secrets.extend([
            json!(hash).to_string(),
            hex(&hash),
            STANDARD.encode_to_string(hash),
            URL_SAFE_NO_PAD.encode_to_string(hash),
        ]);
        self.sessions.push(SignedIn { id, user: session.user, at });
    }

    /// What is wrong with an answer whatever was recorded.
    pub(super) fn faults(&self, exchange: &Exchange) -> Vec<String> {
        let (answer, status) = (&exchange.answer, exchange.answer.status.as_u16());
        let mut faults = Vec::new();
        let mut must = |holds: bool, what: &str| {
            if !holds {
                faults.push(format!("{what}: {answer:?}"));
            }
        };
        must(answer.header("Content-Type").starts_with("application/json"), "not JSON");
        must(status < 500, "the server's fault");
        must(
            exchange.is_login || !self.secrets.iter().any(|secret| answer.text.contains(secret)),
            "a secret is shown",
        );
        if matches!(status, 401 | 403) {
            must(answer.challenge().starts_with("Bearer realm="), "no challenge");
        }
        if status >= 400 && !matches!(status, 409 | 422) {
            let body = answer.json();
            let message = body["_errors"][0].as_str().unwrap_or_default();
            must(REFUSALS.contains(&(status, message)), "another text");
        }
        faults
    }

    /// Why an answer is not the recorded one, although its status is. HTML pages of the tutorial are errors in JSON
    /// here, which [`faults`](Self::faults) looks at.
    pub(super) fn departs(&self, exchange: &Exchange, recorded: &Recorded) -> Option<String> {
        let body = exchange.answer.json();
        if let Some(jws) = &recorded.jws {
            let claims = claims_of(body["token"].as_str()?);
            let (header, payload) = (&jws["header"], &jws["payload"]);
            let expected = (&header["iat"], &header["exp"], payload["user_id"].to_string());
            let found = (&claims["iat"], &claims["exp"], claims["user_id"].as_str()?.to_owned());
            return (found != expected).then(|| format!("{claims}, not {jws}"));
        }
        let text = recorded.text.as_deref().filter(|text| !text.starts_with("<!DOCTYPE"));
        let members = recorded.json.as_ref().and_then(Value::as_object);
        let expected = match (text, members.and_then(|members| members.iter().next())) {
            (Some(text), _) => json!({ "message": text }),
            (None, Some((_, Value::Array(tokens)))) => return self.lists(exchange, tokens),
            (None, Some((key, Value::String(text)))) => {
                match (&**key, exchange.answer.status.as_u16(), text.split_once(' ')) {
                    ("msg", ..) => match OTHER_WORDS.iter().find(|(theirs, ..)| theirs == text) {
                        Some((_, member, ours)) => {
                            Map::from_iter([((*member).to_owned(), json!(ours))]).into()
                        }
                        None => json!({ "message": text }),
                    },
                    ("error", 422, Some((field, message))) => json!({ field: [message] }),
                    ("err", 409, _) => json!({ "_errors": [text] }),
                    _ => return None,
                }
            }
            _ => return None,
        };
        (body != expected).then(|| format!("{body}, not {expected}"))
    }

    /// Why this is not the recorded list, without the sessions that are over.
    fn lists(&self, exchange: &Exchange, recorded: &[Value]) -> Option<String> {
        const MEMBERS: [&str; 8] =
            ["createdAt", "current", "expiresAt", "id", "ip", "label", "renewedAt", "userAgent"];
        let body = exchange.answer.json();
        let (now, life) = (self.site.auth.now() / 1000, LIFE.as_secs() as i64);
        let mut expected: Vec<(String, String, String, bool)> = recorded
            .iter()
            .map(|token| {
                let session = &self.sessions[token["id"].as_u64().unwrap() as usize - 1];
                assert_eq!(token["user_id"].to_string(), session.user);
                session
            })
            .filter(|session| session.at + life > now)
            .map(|session| {
                let asks = claims_of(exchange.token.as_deref().unwrap())["rfid"] == session.id.to_string();
                (session.id.to_string(), date(session.at), date(session.at + life), asks)
            })
            .collect();
        let text = |session: &Value, name: &str| session[name].as_str().unwrap_or_default().to_owned();
        let listed = body["tokens"].as_array()?;
        let mut found: Vec<(String, String, String, bool)> = listed
            .iter()
            .map(|session| {
                let current = session["current"].as_bool().unwrap_or_default();
                (text(session, "id"), text(session, "createdAt"), text(session, "expiresAt"), current)
            })
            .collect();
        expected.sort();
        found.sort();
        let members = |session: &Value| {
            session
                .as_object()
                .is_some_and(|session| session.keys().collect::<BTreeSet<_>>().into_iter().eq(MEMBERS.iter()))
        };
        (found != expected || !listed.iter().all(members)).then(|| format!("{body}, not {expected:?}"))
    }
}

fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode_to_vec(payload).unwrap()).unwrap()
}

/// A time in the month that the cases play in, as RFC 3339 writes it.
fn date(seconds: i64) -> String {
    const FIRST_DAY: i64 = 1_699_920_000; // 2023-11-14T00:00:00Z
    let (day, second) = ((seconds - FIRST_DAY).div_euclid(86_400), seconds.rem_euclid(86_400));
    format!("2023-11-{:02}T{:02}:{:02}:{:02}Z", 14 + day, second / 3600, second / 60 % 60, second % 60)
}
