//! A renewed token never has a scope that the first token of its session lacked (RFC 9700 section 4.14.2, RFC 6749
//! section 6), whatever the claims function says by then.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Scopes, by the claim they are in.
pub(crate) type Scopes = BTreeMap<String, Vec<String>>;

/// A claim with scopes that cannot be compared, and so not be bound either. Only the log may name it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the scope claim `{0}` must be a string or a list of strings")]
pub(crate) struct NoScopes(String);

/// The scopes in these claims: lists of strings, or strings with blanks between.
pub(crate) fn scopes_of(claims: &Value, names: &[&str]) -> Result<Scopes, NoScopes> {
    let mut found = Scopes::new();
    for &name in names {
        let scopes = match claims.get(name) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => Some(words(text).map(str::to_owned).collect()),
            Some(Value::Array(list)) => list.iter().map(|scope| scope.as_str().map(str::to_owned)).collect(),
            Some(_) => None,
        };
        found.insert(name.to_owned(), scopes.ok_or_else(|| NoScopes(name.to_owned()))?);
    }
    Ok(found)
}

/// The claims without the scopes that the same claim was not granted, and the scopes that are left: a word may mean one
/// thing in one claim and another in another.
pub(crate) fn bound(
    mut claims: Value,
    names: &[&str],
    granted: &Scopes,
) -> Result<(Value, Scopes), NoScopes> {
    let mut left = scopes_of(&claims, names)?;
    for (name, scopes) in &mut left {
        let granted = granted.get(name).map_or(&[][..], Vec::as_slice);
        scopes.retain(|scope| granted.contains(scope));
        match claims.get_mut(name) {
            Some(Value::String(text)) => *text = scopes.join(" "),
            Some(list) => *list = scopes.clone().into(),
            None => {}
        }
    }
    Ok((claims, left))
}

/// What was granted to these claims, as far as it is asked for; `None` when more is asked for, or nothing.
pub(crate) fn narrowed(granted: &Scopes, names: &[&str], asked: Option<&str>) -> Option<Scopes> {
    let mut granted = granted.clone();
    granted.retain(|name, _| names.contains(&&**name));
    let Some(asked) = asked else { return Some(granted) };
    let asked: Vec<&str> = words(asked).collect();
    let known = |scope: &str| granted.values().flatten().any(|granted| granted == scope);
    if asked.is_empty() || !asked.iter().all(|scope| known(scope)) {
        return None;
    }
    for scopes in granted.values_mut() {
        scopes.retain(|scope| asked.contains(&&**scope));
    }
    Some(granted)
}

/// Whether the words are the same, in whatever claim and order.
pub(crate) fn same_words(one: &Scopes, other: &Scopes) -> bool {
    let words = |scopes| -> BTreeSet<&String> { Scopes::values(scopes).flatten().collect() };
    words(one) == words(other)
}

/// All scopes, each once, with blanks between; `None` when there are none.
pub(crate) fn joined(granted: &Scopes) -> Option<String> {
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
        check_found(
            json!({"scope": "read", "scopes": ["read", "write"]}),
            json!({"scope": ["read"], "scopes": ["read", "write"]}),
            Some("read write"),
        );
        check_found(json!({"scope": null, "other": 5}), json!({}), None);
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

    #[test]
    fn a_claim_of_another_shape_is_named() {
        for shape in [json!(5), json!(false), json!({"admin": true}), json!(["read", 5]), json!([["read"]])] {
            let claims = json!({"scope": "read", "scopes": shape});
            assert_eq!(scopes_of(&claims, NAMES), Err(NoScopes("scopes".to_owned())), "{claims}");
            assert_eq!(bound(claims, NAMES, &Scopes::new()).map(drop), Err(NoScopes("scopes".to_owned())));
        }
    }

    fn check_found(claims: Value, scopes: Value, text: Option<&str>) {
        let found = scopes_of(&claims, NAMES).unwrap();
        assert_eq!(json!(found), scopes);
        assert_eq!(joined(&found).as_deref(), text);
    }

    fn check_bound(claims: Value, expected: Value) {
        let granted = json!({"scope": "read write", "scopes": ["read"]});
        let (claims, left) = bound(claims, NAMES, &scopes_of(&granted, NAMES).unwrap()).unwrap();
        assert_eq!(claims, expected);
        assert_eq!(left, scopes_of(&expected, NAMES).unwrap());
    }

    #[test]
    fn a_claim_that_was_not_there_at_the_login_is_granted_nothing() {
        let granted = scopes_of(&json!({"scope": "read"}), NAMES).unwrap();
        assert_eq!(bound(json!({"scopes": ["read"]}), NAMES, &granted).unwrap().0, json!({"scopes": []}));
    }
}
