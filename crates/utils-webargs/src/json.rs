use garde::Validate;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{
    duplicates::duplicate_keys,
    engine::{Fault, Faults, Problem, Reading, search},
    error::ArgsError,
    rules::{FieldNames, broken_rules, collect_valid},
};

/// Reads JSON. What is valid is read once, by serde_json; only what is not goes through the engine.
///
/// No body, and `null` where the type does not take it, are an object without fields: no arguments.
pub(crate) fn from_json<T: DeserializeOwned + Validate>(
    body: &[u8],
    context: &T::Context,
) -> Result<T, ArgsError> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    match serde_json::from_slice::<T>(body) {
        Ok(read) => {
            let broken = broken_rules(&read, context, || names::<T>(body), |_| true);
            if broken.is_empty() { Ok(read) } else { Err(Faults::new(broken).into()) }
        }
        Err(error) if error.is_data() => Err(faults::<T>(body, context)?.into()),
        Err(error) => Err(ArgsError::MalformedJson(error)),
    }
}

fn faults<T: DeserializeOwned + Validate>(body: &[u8], context: &T::Context) -> Result<Faults, ArgsError> {
    let value = match serde_json::from_slice(body).map_err(ArgsError::MalformedJson)? {
        Value::Null => Value::Object(Map::new()),
        value => value,
    };
    Ok(match collect_valid::<T>(&value, Reading::Typed, context) {
        Err(faults) => faults,
        // A `Value` holds each key once, the last of its values.
        Ok(_) => Faults::new(duplicates(body)),
    })
}

fn duplicates(body: &[u8]) -> Vec<Fault> {
    let paths = duplicate_keys(body);
    if paths.is_empty() {
        return Faults::one("", Problem::Invalid).into_vec();
    }
    paths.into_iter().map(|path| Fault { path, problem: Problem::Duplicate }).collect()
}

fn names<T: DeserializeOwned>(body: &[u8]) -> FieldNames {
    let value = serde_json::from_slice(body).unwrap_or_default();
    FieldNames::of(&search::<T>(&value, Reading::Typed), &value, Reading::Typed)
}
