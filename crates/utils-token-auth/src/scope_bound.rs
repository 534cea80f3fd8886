//! A renewed token never has a scope that the first token of its session lacked (RFC 9700 section 4.14.2, RFC 6749
//! section 6), whatever the claims function says by then.

use serde_json::Value;

/// The scopes in these claims: lists of strings, or strings with blanks between.
pub(crate) fn scopes_of(claims: &Value, names: &[&str]) -> Vec<String> {
    let mut scopes: Vec<String> = Vec::new();
    for value in names.iter().filter_map(|name| claims.get(name)) {
        let found: Vec<&str> = match value {
            Value::String(text) => text.split(' ').filter(|scope| !scope.is_empty()).collect(),
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        for scope in found {
            if !scopes.iter().any(|known| known == scope) {
                scopes.push(scope.to_owned());
            }
        }
    }
    scopes
}

/// The claims without the scopes that were not granted.
pub(crate) fn bound(mut claims: Value, names: &[&str], granted: &[String]) -> Value {
    let allowed = |scope: &str| granted.iter().any(|known| known == scope);
    for name in names {
        match claims.get_mut(name) {
            Some(Value::String(text)) => {
                let kept: Vec<&str> =
                    text.split(' ').filter(|scope| !scope.is_empty() && allowed(scope)).collect();
                *text = kept.join(" ");
            }
            Some(Value::Array(list)) => list.retain(|scope| scope.as_str().is_none_or(allowed)),
            _ => {}
        }
    }
    claims
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NAMES: &[&str] = &["scope", "scopes"];

    #[test]
    fn scopes_are_found_in_both_spellings() {
        check_found(json!({"scope": "read  write"}), &["read", "write"]);
        check_found(json!({"scopes": ["read", 5, "a b"]}), &["read", "a b"]);
        check_found(json!({"scope": "read", "scopes": ["read", "write"]}), &["read", "write"]);
        check_found(json!({"scope": 5, "other": "read"}), &[]);
        check_found(json!([]), &[]);
    }

    #[test]
    fn what_was_not_granted_is_taken_out_and_nothing_else() {
        check_bound(
            json!({"scopes": ["read", "admin"], "team": "a"}),
            json!({"scopes": ["read"], "team": "a"}),
        );
        check_bound(json!({"scope": "admin read"}), json!({"scope": "read"}));
        check_bound(json!({"scope": "admin"}), json!({"scope": ""}));
        check_bound(json!({"roles": ["admin"]}), json!({"roles": ["admin"]}));
    }

    fn check_found(claims: Value, scopes: &[&str]) {
        assert_eq!(scopes_of(&claims, NAMES), scopes);
    }

    fn check_bound(claims: Value, expected: Value) {
        assert_eq!(bound(claims, NAMES, &["read".to_owned()]), expected);
    }
}
