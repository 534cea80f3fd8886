//! When an answer agrees with what was sent.
use serde_json::{Map, Value};

/// Names the first of `keys` in which `got` differs from `wanted`.
///
/// A key that `wanted` does not have is a mistake of the test: it would compare nothing.
pub(crate) fn differs<'a>(
    got: &Map<String, Value>,
    wanted: &Map<String, Value>,
    keys: impl IntoIterator<Item = &'a String>,
) -> Option<String> {
    keys.into_iter().find_map(|key| match (got.get(key), wanted.get(key)) {
        (_, None) => Some(format!("`{key}` is to be compared, but there is no such key to compare with")),
        (None, Some(wanted)) => Some(format!("`{key}` is missing, expected {wanted}")),
        (Some(got), Some(wanted)) if same(got, wanted) => None,
        (Some(got), Some(wanted)) => Some(format!("`{key}` is {got}, expected {wanted}")),
    })
}

/// Equal, where `1` and `1.0` are one number but `1`, `true` and `"1"` are not the same.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, one)| other.get(key).is_some_and(|other| same(one, other)))
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_compare_as_in_the_recorded_cases() {
        let cases: Vec<Value> = serde_json::from_str(include_str!("../tests/it/cases/testing.json")).unwrap();
        let mut checked = 0;
        for case in cases.iter().filter(|case| case["given"]["op"] == "equalDicts") {
            let given = &case["given"];
            let keys: Vec<String> = serde_json::from_value(given["keys"].clone()).unwrap();
            let dicts: Vec<Map<String, Value>> = serde_json::from_value(given["dicts"].clone()).unwrap();
            let expected = match case["name"].as_str().unwrap() {
                // recorded as equal, and marked there as wrong: `True == 1`, and a misspelt key that nobody has
                "equal_dicts_int_vs_bool" | "equal_dicts_key_missing_in_both" => false,
                _ => case["expect"]["result"].as_bool().unwrap(),
            };
            let difference = differs(&dicts[1], &dicts[0], &keys);
            assert_eq!(difference.is_none(), expected, "{}: {difference:?}", case["name"]);
            checked += 1;
        }
        assert!(checked >= 8, "{checked} cases");
    }
}
