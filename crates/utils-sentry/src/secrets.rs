//! What counts as a secret, and how it is taken out of text.
use serde_json::Value;

/// What stands where a secret was.
pub(crate) const FILTERED: &str = "[Filtered]";

/// Parts of names whose values are secret, in lower case without separators.
const SECRET_NAMES: [&str; 17] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "authorization",
    "cookie",
    "session",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "csrf",
    "xsrf",
    "jwt",
    "signature",
    "dsn",
];

/// Names that are secret as a whole, and harmless as a part of others (`author`, `spinning`).
const SECRET_WORDS: [&str; 5] = ["auth", "pwd", "pass", "pin", "otp"];

/// Whether the value under this name is a secret: `Authorization`, `refreshToken`, `db.password`,
/// `X-Api-Key`.
pub(crate) fn is_secret(name: &str) -> bool {
    let name: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    SECRET_WORDS.contains(&name.as_str()) || SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

/// Replaces what is secret by its name, at any depth, and what is in texts.
pub(crate) fn scrub_value(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                if is_secret(name) && !value.is_null() {
                    *value = FILTERED.into();
                } else {
                    scrub_value(value);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(scrub_value),
        Value::String(text) => *text = scrub_text(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A query string or a form, with the values of secret names replaced.
pub(crate) fn scrub_pairs(pairs: &str) -> String {
    let scrubbed = pairs.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}={FILTERED}"),
        _ => scrub_text(pair),
    });
    scrubbed.collect::<Vec<_>>().join("&")
}

/// A text without what looks like a secret in it: `password=…`, `"token": "…"`, `Bearer …`, a JWT, and the
/// user and password of a URL. It cannot know a secret that nothing announces.
pub(crate) fn scrub_text(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.find(|c| !is_of_word(c)).unwrap_or(rest.len()));
        let follows = value_after(word, after);
        if word.starts_with("eyJ") && word.matches('.').count() == 2 {
            clean.push_str(FILTERED); // a JSON object in base64url, twice, and a signature
            rest = after;
        } else if let Some(user_info) = after.strip_prefix("://").and_then(user_info) {
            clean.extend([word, "://", FILTERED]);
            rest = &after["://".len() + user_info.len()..];
        } else if let Some((separator, value)) = follows {
            clean.extend([word, separator, FILTERED]);
            rest = &after[separator.len() + value.len()..];
        } else {
            let next = after.chars().next().map_or(0, char::len_utf8);
            clean.push_str(word);
            clean.push_str(&after[..next]);
            rest = &after[next..];
        }
    }
    clean
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// The secret that a word announces, with what stands between them.
fn value_after<'a>(word: &str, after: &'a str) -> Option<(&'a str, &'a str)> {
    let separator = if word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("basic") {
        after.find(|c| c != ' ').filter(|spaces| *spaces > 0)?
    } else if is_secret(word) {
        // `password=x`, `password: x`, `"password": "x"`, `password: Some("x")`
        let sign = after
            .find(|c| !matches!(c, '"' | '\'' | ' '))
            .filter(|at| after[*at..].starts_with(['=', ':']))?;
        let value = after[sign..].find(|c| !matches!(c, '=' | ':' | ' '))? + sign;
        value + if after[value..].starts_with("Some(") { "Some(".len() } else { 0 }
    } else {
        return None;
    };
    let (separator, value) = after.split_at(separator);
    let length = match value.chars().next()? {
        quote @ ('"' | '\'') => value[1..].find(quote).map_or(value.len(), |end| end + 2),
        // an authorization has two words, and a whole header may be quoted in a text
        _ if is_scheme(value) => {
            let scheme = value.find(' ').unwrap_or(value.len());
            let token = value[scheme..].trim_start();
            value.len() - token.len() + end_of_value(token)
        }
        _ => end_of_value(value),
    };
    (length > 0).then(|| (separator, &value[..length]))
}

fn is_scheme(value: &str) -> bool {
    let first = value.split(' ').next().unwrap_or_default();
    ["bearer", "basic", "digest"].iter().any(|scheme| first.eq_ignore_ascii_case(scheme))
}

fn end_of_value(value: &str) -> usize {
    value
        .find(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '&' | ')' | '}' | ']' | '"' | '\''))
        .unwrap_or(value.len())
}

/// The `user:password` of what comes after `://`.
fn user_info(authority: &str) -> Option<&str> {
    let end =
        authority.find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '<' | '>'));
    let authority = &authority[..end.unwrap_or(authority.len())];
    authority.rfind('@').map(|at| &authority[..at])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_secrets_are_known_in_every_spelling() {
        for name in [
            "Authorization",
            "X-Api-Key",
            "refreshToken",
            "DB_PASSWORD",
            "set-cookie",
            "client.secret",
            "auth",
            "pwd",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["author", "title", "user-agent", "accept", "spinning", "passenger", "x-request-id", ""] {
            assert!(!is_secret(name), "{name}");
        }
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(scrub_text(text), expected);
    }

    #[test]
    fn announced_secrets_leave_a_text() {
        check("password=hunter2 for x", "password=[Filtered] for x");
        check("password: hunter2, port: 5", "password: [Filtered], port: 5");
        check(r#"{"token": "a b", "n": 1}"#, r#"{"token": [Filtered], "n": 1}"#);
        check(r#"Config { api_key: Some("k"), port: 5 }"#, "Config { api_key: Some([Filtered]), port: 5 }");
        check("Authorization: Bearer abc.def next", "Authorization: [Filtered] next");
        check("sent bearer abc== to it", "sent bearer [Filtered] to it");
        check("Cookie: id=1", "Cookie: [Filtered]");
        check(
            "could not reach postgres://me:pa%40ss@db:5432/x, again",
            "could not reach postgres://[Filtered]@db:5432/x, again",
        );
        check("redis://:p@h", "redis://[Filtered]@h");
        check("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln there", "got [Filtered] there");
    }

    #[test]
    fn other_text_stays_as_it_is() {
        for text in [
            "",
            "No such file or directory (os error 2)",
            "unexpected token",
            "the token is expired",
            "é: ü=ö ☃",
            "http://example.org/a@b?x=1",
            "mail me@example.org",
            "a: b, c = d",
            "the author: me",
            "password",
            "password=",
            "Bearer",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn values_are_scrubbed_by_name_at_any_depth() {
        let mut value =
            json!({"a": [{"password": "x", "n": 1}], "token": {"deep": 1}, "t": "secret=x", "secret": null});
        scrub_value(&mut value);
        assert_eq!(
            value,
            json!({
                "a": [{"password": FILTERED, "n": 1}],
                "token": FILTERED,
                "t": "secret=[Filtered]",
                "secret": null,
            })
        );
    }

    #[test]
    fn pairs_are_scrubbed_by_name() {
        assert_eq!(
            scrub_pairs("a=1&token=x&b=password%3Dx&flag"),
            "a=1&token=[Filtered]&b=password%3Dx&flag"
        );
    }
}
