use actix_web::{HttpResponse, ResponseError, error::PayloadError, http::StatusCode};
use utils_restful::{ErrorBody, ErrorKind};

use crate::engine::Faults;

/// Why the arguments of a request were refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArgsError {
    /// They could be read, but are wrong; the answer names every field.
    #[error("the arguments are invalid")]
    Invalid(#[source] Faults),
    /// The body is not JSON.
    #[error("malformed JSON: {0}")]
    MalformedJson(#[source] serde_json::Error),
    /// There is a body, and its content type is not this one.
    #[error("the content type must be {0}")]
    ContentType(&'static str),
    /// The query string or the form is not UTF-8 when decoded.
    #[error("the {0} is not valid UTF-8")]
    NotUtf8(&'static str),
    /// The body is longer than actix's `PayloadConfig` allows.
    #[error("the body is too large")]
    TooLarge,
    /// The body did not arrive as a whole.
    #[error("the body could not be read")]
    Unreadable,
}

impl ArgsError {
    fn kind(&self) -> &'static ErrorKind {
        match self {
            Self::Invalid(_) => &INVALID,
            Self::MalformedJson(_) => &MALFORMED_JSON,
            Self::ContentType(_) => &CONTENT_TYPE,
            Self::NotUtf8(_) => &NOT_UTF8,
            Self::TooLarge => &TOO_LARGE,
            Self::Unreadable => &UNREADABLE,
        }
    }

    /// Of actix's own extractor for bodies.
    pub(crate) fn of_body(error: &actix_web::Error) -> Self {
        match error.as_error::<PayloadError>() {
            Some(PayloadError::Overflow) => Self::TooLarge,
            _ => Self::Unreadable,
        }
    }
}

impl From<Faults> for ArgsError {
    fn from(faults: Faults) -> Self {
        Self::Invalid(faults)
    }
}

impl ResponseError for ArgsError {
    fn status_code(&self) -> StatusCode {
        self.kind().status
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            Self::Invalid(faults) => self.kind().respond_with(&body(faults)),
            _ => self.kind().respond(self),
        }
    }
}

/// Messages by field; those about the arguments as a whole are under `_errors`.
fn body(faults: &Faults) -> ErrorBody {
    let mut fields = faults.messages();
    let errors = fields.remove("").unwrap_or_default();
    ErrorBody { errors, fields }
}

/// Every kind of error that this crate answers with.
pub static ERRORS: &[&ErrorKind] =
    &[&INVALID, &MALFORMED_JSON, &CONTENT_TYPE, &NOT_UTF8, &TOO_LARGE, &UNREADABLE];

static INVALID: ErrorKind = ErrorKind::new(
    "arguments_invalid",
    StatusCode::UNPROCESSABLE_ENTITY,
    "Correct the fields that the answer names; it names all that are wrong.",
);
static MALFORMED_JSON: ErrorKind = ErrorKind::new(
    "arguments_malformed_json",
    StatusCode::BAD_REQUEST,
    "Send JSON as RFC 8259 defines it; the answer says at which line and column it is not.",
);
static CONTENT_TYPE: ErrorKind = ErrorKind::new(
    "arguments_content_type",
    StatusCode::BAD_REQUEST,
    "Send the body with the content type that the answer names.",
);
static NOT_UTF8: ErrorKind = ErrorKind::new(
    "arguments_not_utf8",
    StatusCode::BAD_REQUEST,
    "Encode text as UTF-8 before percent-encoding it.",
);
static TOO_LARGE: ErrorKind = ErrorKind::new(
    "arguments_too_large",
    StatusCode::PAYLOAD_TOO_LARGE,
    "Send a smaller body, or raise the limit of actix's PayloadConfig (256 KiB by default).",
);
static UNREADABLE: ErrorKind =
    ErrorKind::new("arguments_unreadable", StatusCode::BAD_REQUEST, "The body ended early; send it again.");
