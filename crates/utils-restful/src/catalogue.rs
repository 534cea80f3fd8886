use actix_web::http::StatusCode;

use crate::kind::ErrorKind;

/// Every kind of error that this crate answers with.
pub static ERRORS: &[&ErrorKind] = &[
    &NOT_FOUND,
    &ALREADY_EXISTS,
    &INVALID,
    &BUSY,
    &INTERNAL,
    &EXPECTED_JSON,
    &MALFORMED_JSON,
    &UNEXPECTED_JSON,
    &JSON_TOO_LARGE,
    &BODY_UNREADABLE,
];

pub(crate) static NOT_FOUND: ErrorKind = ErrorKind::new(
    "not_found",
    StatusCode::NOT_FOUND,
    "Nothing with this identifier exists, or the caller may not know that it does.",
);
pub(crate) static ALREADY_EXISTS: ErrorKind = ErrorKind::new(
    "already_exists",
    StatusCode::CONFLICT,
    "A value that must be unique is taken; change it, or update what exists.",
);
pub(crate) static INVALID: ErrorKind = ErrorKind::new(
    "invalid",
    StatusCode::UNPROCESSABLE_ENTITY,
    "The request was understood but its values were refused; the answer names each field.",
);
pub(crate) static BUSY: ErrorKind = ErrorKind::new(
    "busy",
    StatusCode::SERVICE_UNAVAILABLE,
    "No database connection became free in time; send the request again in a moment.",
);
pub(crate) static INTERNAL: ErrorKind = ErrorKind::new(
    "internal",
    StatusCode::INTERNAL_SERVER_ERROR,
    "The server failed; report the request id, the log has the cause under it.",
);
pub(crate) static EXPECTED_JSON: ErrorKind = ErrorKind::new(
    "expected_json",
    StatusCode::BAD_REQUEST,
    "Send a JSON body other than null, with the content type application/json or application/*+json.",
);
pub(crate) static MALFORMED_JSON: ErrorKind = ErrorKind::new(
    "malformed_json",
    StatusCode::BAD_REQUEST,
    "The body is not JSON (RFC 8259), or an object names a key twice; the answer says where.",
);
pub(crate) static UNEXPECTED_JSON: ErrorKind = ErrorKind::new(
    "unexpected_json",
    StatusCode::UNPROCESSABLE_ENTITY,
    "The body is JSON, but not what this resource takes; the answer says what was expected and where.",
);
pub(crate) static JSON_TOO_LARGE: ErrorKind = ErrorKind::new(
    "json_too_large",
    StatusCode::PAYLOAD_TOO_LARGE,
    "Send a smaller body; the answer names the limit in bytes.",
);
pub(crate) static BODY_UNREADABLE: ErrorKind = ErrorKind::new(
    "body_unreadable",
    StatusCode::BAD_REQUEST,
    "The body ended early or could not be decoded; send it again.",
);
