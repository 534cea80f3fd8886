use actix_web::{HttpResponse, ResponseError, error::PayloadError, http::StatusCode};

use crate::{
    body::ErrorBody,
    catalogue::{BODY_UNREADABLE, EXPECTED_JSON, JSON_TOO_LARGE, MALFORMED_JSON, UNEXPECTED_JSON},
    expected_json::EXPECTED,
    kind::ErrorKind,
};

/// Why [`ExpectedJson`](crate::ExpectedJson) refused a body.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExpectedJsonError {
    /// There is no body, it is `null`, or its content type is not JSON.
    #[error("{EXPECTED}")]
    Missing,
    /// The body is not JSON. The source says why, and where.
    #[error("malformed JSON: {0}")]
    Malformed(#[source] serde_json::Error),
    /// The body is JSON, but does not fit the type that the handler takes.
    #[error("{0}")]
    Unexpected(#[source] serde_json::Error),
    /// The body is longer than this many bytes.
    #[error("the JSON payload is larger than the limit of {0} bytes")]
    TooLarge(usize),
    /// The body ended early, or its encoding is broken.
    #[error("the body could not be read")]
    Unreadable(#[source] PayloadError),
}

impl ExpectedJsonError {
    fn kind(&self) -> &'static ErrorKind {
        match self {
            Self::Missing => &EXPECTED_JSON,
            Self::Malformed(_) => &MALFORMED_JSON,
            Self::Unexpected(_) => &UNEXPECTED_JSON,
            Self::TooLarge(_) => &JSON_TOO_LARGE,
            Self::Unreadable(_) => &BODY_UNREADABLE,
        }
    }
}

impl ResponseError for ExpectedJsonError {
    fn status_code(&self) -> StatusCode {
        self.kind().status
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            // clients look for this sentence; where the fault is comes after it
            Self::Malformed(_) => self.kind().respond_with(&ErrorBody {
                errors: vec![EXPECTED.to_owned(), self.to_string()],
                ..ErrorBody::default()
            }),
            Self::Missing | Self::Unexpected(_) | Self::TooLarge(_) | Self::Unreadable(_) => {
                self.kind().respond(self)
            }
        }
    }
}
