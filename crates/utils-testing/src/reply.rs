use std::{collections::BTreeSet, fmt};

use actix_web::{
    http::header::{CONTENT_TYPE, HeaderMap},
    web::Bytes,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::exchange::{Received, Sent};

/// An answer, and the request that it answers.
///
/// Every check panics at the test's own line and shows the whole exchange:
///
/// ```text
/// expected 201, got 401 Unauthorized
///   > POST /posts
///   > content-type: application/json
///   > {"title":"x"}
///   < 401 Unauthorized
///   < content-type: application/json
///   < www-authenticate: Bearer
///   < {"_errors":["Sign in first."]}
/// ```
#[derive(Debug, Clone)]
pub struct Reply {
    sent: Sent,
    received: Received,
}

#[allow(clippy::return_self_not_must_use, reason = "a check has done its work when it returns")]
impl Reply {
    pub(crate) fn new(sent: Sent, received: Received) -> Self {
        Self { sent, received }
    }

    /// Checks the status.
    ///
    /// # Panics
    /// When it is another, or the body broke off.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        if self.status() != status {
            panic!("expected {status}, got {}{self}", self.received.status);
        }
        self.unbroken()
    }

    /// Checks that the status is one of 200 to 299.
    ///
    /// # Panics
    /// When it is not, or the body broke off.
    #[track_caller]
    pub fn expect_success(self) -> Self {
        if !self.received.status.is_success() {
            panic!("expected success, got {}{self}", self.received.status);
        }
        self.unbroken()
    }

    /// Checks that the answer refuses exactly these fields, in any order; `_errors` stands for the whole request.
    ///
    /// Reads the default error shape and RFC 9457 problem details. The status has to be one of 400 to 499.
    ///
    /// # Panics
    /// When fields are missing or too many, or when the answer is not an error of the client's.
    #[track_caller]
    pub fn expect_errors(self, fields: &[&str]) -> Self {
        if !self.received.status.is_client_error() {
            panic!("expected errors of {fields:?}, got {}{self}", self.received.status);
        }
        let Some(refused) = self.refused_fields() else {
            panic!("expected errors of {fields:?}, got a body that names no fields{self}");
        };
        let expected: BTreeSet<String> = fields.iter().map(|&field| field.to_owned()).collect();
        if refused != expected {
            panic!("expected errors of {expected:?}, got errors of {refused:?}{self}");
        }
        self
    }

    /// Checks a header of the answer; one of several of the same name is enough.
    ///
    /// # Panics
    /// When the header is missing or has another value.
    #[track_caller]
    pub fn expect_header(self, name: &str, value: &str) -> Self {
        if !self.received.headers.get_all(name).any(|sent| sent.as_bytes() == value.as_bytes()) {
            panic!("expected the header {name}: {value}{self}");
        }
        self
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON, or not of this type; the message says where.
    #[track_caller]
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.received.body).unwrap_or_else(|error| {
            panic!("expected the JSON of {}: {error}{self}", std::any::type_name::<T>())
        })
    }

    /// The body as any JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    #[track_caller]
    #[must_use]
    pub fn value(&self) -> Value {
        self.json()
    }

    /// The body as text.
    ///
    /// # Panics
    /// When it is not UTF-8.
    #[track_caller]
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.received.body)
            .unwrap_or_else(|error| panic!("expected text: {error}{self}"))
    }

    /// The body as it came.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.received.body
    }

    /// The status as a number.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.received.status.as_u16()
    }

    /// The first header of this name, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.received.headers.get(name)?.to_str().ok()
    }

    /// All headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.received.headers
    }

    #[track_caller]
    fn unbroken(self) -> Self {
        if self.received.broken.is_some() {
            panic!("the body broke off{self}");
        }
        self
    }

    fn refused_fields(&self) -> Option<BTreeSet<String>> {
        let body: Value = serde_json::from_slice(&self.received.body).ok()?;
        let is_problem = self.header(CONTENT_TYPE.as_str())?.starts_with("application/problem+json");
        if !is_problem {
            return Some(body.as_object()?.keys().cloned().collect());
        }
        let mut refused: BTreeSet<String> = body
            .get("errors")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(field, _)| field.clone())
            .collect();
        if body.get("detail").is_some() || refused.is_empty() {
            refused.insert("_errors".to_owned());
        }
        Some(refused)
    }
}

/// The whole exchange.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.sent, self.received)
    }
}
