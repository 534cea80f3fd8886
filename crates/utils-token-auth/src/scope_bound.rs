//! A renewed token never has a scope that the first token of its session lacked (RFC 9700 section 4.14.2, RFC 6749
//! section 6), whatever the claims function says by then.

use std::collections::BTreeMap;

use serde_json::Value;

/// The scopes in these claims, by the claim they are in: lists of strings, or strings with blanks between.
pub(crate) fn scopes_of(claims: &Value, names: &[&str]) -> BTreeMap<String, Vec<String>> {
    let mut granted = BTreeMap::new();
    for &name in names {
        let scopes: Vec<String> = match claims.get(name) {
            Some(Value::String(text)) => words(text).map(str::to_owned).collect(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => continue,
        };
        granted.insert(name.to_owned(), scopes);
    }
    granted
}

/// The claims without the scopes that the same claim was not granted: a word may mean one thing in one claim and
/// another in another.
pub(crate) fn bound(mut claims: Value, names: &[&str], granted: &BTreeMap<String, Vec<String>>) -> Value {
    for &name in names {
        let granted = granted.get(name).map_or(&[][..], Vec::as_slice);
        let allowed = |scope: &str| granted.iter().any(|known| known == scope);
        match claims.get_mut(name) {
            Some(Value::String(text)) => {
                let kept: Vec<&str> = words(text).filter(|&scope| allowed(scope)).collect();
                *text = kept.join(" ");
            }
            Some(Value::Array(list)) => list.retain(|scope| scope.as_str().is_none_or(allowed)),
            _ => {}
        }
    }
    claims
}

/// All scopes, each once, with blanks between; `None` when there are none.
pub(crate) fn joined(granted: &BTreeMap<String, Vec<String>>) -> Option<String> {
    let mut scopes: Vec<&str> = Vec::new();
    for scope in granted.values().flatten() {
        if !scopes.contains(&scope.as_str()) {
            scopes.push(scope);
        }
    }
    (!scopes.is_empty()).then(|| scopes.join(" "))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').filter(|scope| !scope.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NAMES: &[&str] = &["scope", "scopes"];

    #[test]
    fn scopes_are_found_in_both_spellings() {
        check_found(json!({"scope": "read  write"}), json!({"scope": ["read", "write"]}), Some("read write"));
        check_found(json!({"scopes": ["read", 5]}), json!({"scopes": ["read"]}), Some("read"));
        check_found(
            json!({"scope": "read", "scopes": ["read", "write"]}),
            json!({"scope": ["read"], "scopes": ["read", "write"]}),
            Some("read write"),
        );
        check_found(json!({"scope": 5, "other": "read"}), json!({}), None);
        check_found(json!([]), json!({}), None);
    }

    #[test]
    fn what_was_not_granted_is_taken_out_and_nothing_else() {
        check_bound(
            json!({"scopes": ["read", "admin"], "team": "a"}),
            json!({"scopes": ["read"], "team": "a"}),
        );
        check_bound(
            json!({"scopes": ["read", "write"], "scope": "read write"}),
            json!({"scopes": ["read"], "scope": "read write"}),
        );
        check_bound(json!({"scope": "admin read"}), json!({"scope": "read"}));
        check_bound(json!({"scope": "admin"}), json!({"scope": ""}));
        check_bound(json!({"roles": ["admin"]}), json!({"roles": ["admin"]}));
    }

    fn check_found(claims: Value, scopes: Value, text: Option<&str>) {
        let found = scopes_of(&claims, NAMES);
        assert_eq!(json!(found), scopes);
        assert_eq!(joined(&found).as_deref(), text);
    }

    fn check_bound(claims: Value, expected: Value) {
        let granted = json!({"scope": "read write", "scopes": ["read"]});
        assert_eq!(bound(claims, NAMES, &scopes_of(&granted, NAMES)), expected);
    }

    #[test]
    fn a_claim_that_was_not_there_at_the_login_is_granted_nothing() {
        let granted = scopes_of(&json!({"scope": "read"}), NAMES);
        assert_eq!(bound(json!({"scopes": ["read"]}), NAMES, &granted), json!({"scopes": []}));
    }
}
