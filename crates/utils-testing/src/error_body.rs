//! Reads the error shapes of utils-restful: the default one, and RFC 9457 problem details.
use serde_json::{Map, Value};
use utils_restful::ErrorBody;

/// `None` when the body is no error of either shape.
pub(crate) fn read(content_type: &str, body: &[u8]) -> Option<ErrorBody> {
    let mut body: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let mut read = ErrorBody::default();
    if content_type.starts_with("application/problem+json") {
        read.errors = body.get("detail").and_then(messages).unwrap_or_default();
        if let Some(Value::Object(fields)) = body.remove("errors") {
            body = fields;
        } else {
            // a problem has a title, even if it has nothing else to say
            let title = || body.get("title").and_then(messages).unwrap_or_default();
            read.errors = if read.errors.is_empty() { title() } else { read.errors };
            return Some(read);
        }
    } else if let Some(whole) = body.remove("_errors") {
        read.errors = messages(&whole)?;
    }
    for (field, said) in &body {
        read.fields.insert(field.clone(), messages(said)?);
    }
    (!read.is_empty()).then_some(read)
}

/// A message, or a list of them.
fn messages(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(message) => Some(vec![message.clone()]),
        Value::Array(messages) => {
            messages.iter().map(|message| message.as_str().map(str::to_owned)).collect()
        }
        _ => None,
    }
}
