use std::fmt::Display;

use actix_web::{HttpResponse, http::StatusCode};

use crate::body::ErrorBody;

/// One kind of error: what a client may rely on, whatever the message says.
///
/// Each crate keeps its kinds in one static table, from which the error catalogue of the docs is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorKind {
    /// Stable and unique over all crates: `snake_case`, such as `limit_too_large`.
    pub code: &'static str,
    /// The HTTP status of the answer.
    pub status: StatusCode,
    /// What the reader can do about it, in a sentence.
    pub help: &'static str,
}

impl ErrorKind {
    /// A kind for a crate's static table.
    #[must_use]
    pub const fn new(code: &'static str, status: StatusCode, help: &'static str) -> Self {
        Self { code, status, help }
    }

    /// The answer for an error of this kind: `{"_errors": [message]}` with the kind's status.
    ///
    /// `message` reaches the client, so it must hold no internal detail.
    #[must_use]
    pub fn respond(&self, message: impl Display) -> HttpResponse {
        self.respond_with(&ErrorBody::message(message.to_string()))
    }

    /// The answer for an error of this kind that has messages by field, or several of them.
    #[must_use]
    pub fn respond_with(&self, body: &ErrorBody) -> HttpResponse {
        let mut response = body.respond(self.status);
        response.extensions_mut().insert(*self);
        response
    }
}
