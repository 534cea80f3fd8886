use std::collections::BTreeMap;

use actix_web::{HttpResponse, http::StatusCode};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::body::ErrorBody;

/// The answer that flask-utils' function of this name makes of any value, for handlers that are moved over.
///
/// - A string is `{"message": "…"}`, with a status of 400 or above `{"_errors": ["…"]}`.
/// - An object with a `message` and a status of 400 or above gets `_errors` in its place: a list as it is,
///   `null` as an empty list, anything else as a list of one. Its other keys stay.
/// - Everything else is sent as it is, decimals with every digit; nothing is sent with 204, 205 and 304.
///
/// ```
/// use utils_restful::{StatusCode, output_json};
///
/// let made = output_json("made", StatusCode::CREATED)?;       // {"message":"made"}
/// let refused = output_json("no", StatusCode::FORBIDDEN)?;    // {"_errors":["no"]}
/// # assert_eq!(made.status(), 201);
/// # assert_eq!(refused.status(), 403);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// New code has no need of it: return [`Json`](actix_web::web::Json), a string, [`message`](crate::message())
/// or an [`ApiError`](crate::ApiError).
///
/// # Errors
/// `data` cannot be written as JSON, such as a map with keys that are lists.
pub fn output_json(data: impl Serialize, status: StatusCode) -> Result<HttpResponse, serde_json::Error> {
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok(HttpResponse::new(status));
    }
    let data = to_raw_value(&data)?; // the text, not a Value: a Value would round decimals
    let refused = status.is_client_error() || status.is_server_error();
    if let Ok(text) = serde_json::from_str::<String>(data.get()) {
        return Ok(match refused {
            true => ErrorBody::message(text).respond(status),
            false => HttpResponse::build(status).json(BTreeMap::from([("message", text)])),
        });
    }
    if refused && data.get().starts_with('{') {
        let mut object: BTreeMap<String, Box<RawValue>> = serde_json::from_str(data.get())?;
        if let Some(message) = object.remove("message") {
            return errors_of(object, &message, status);
        }
    }
    Ok(HttpResponse::build(status).json(data))
}

fn errors_of(
    mut others: BTreeMap<String, Box<RawValue>>,
    message: &RawValue,
    status: StatusCode,
) -> Result<HttpResponse, serde_json::Error> {
    let errors: Vec<Box<RawValue>> = match message.get() {
        "null" => Vec::new(),
        list if list.starts_with('[') => serde_json::from_str(list)?,
        one => vec![RawValue::from_string(one.to_owned())?],
    };
    let texts =
        errors.iter().map(|error| serde_json::from_str::<String>(error.get())).collect::<Result<Vec<_>, _>>();
    if let (Ok(errors), true) = (texts, others.is_empty()) {
        return Ok(ErrorBody { errors, ..ErrorBody::default() }.respond(status));
    }
    others.insert("_errors".to_owned(), to_raw_value(&errors)?);
    Ok(HttpResponse::build(status).json(others))
}
