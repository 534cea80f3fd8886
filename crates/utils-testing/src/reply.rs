use std::{collections::BTreeSet, fmt};

use actix_web::{
    http::header::{CONTENT_TYPE, HeaderMap, SET_COOKIE},
    web::Bytes,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use utils_restful::ErrorBody;

use crate::{
    error_body,
    exchange::{Received, Sent},
};

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
        let errors = self.errors();
        let whole = (!errors.errors.is_empty()).then_some("_errors");
        let refused: BTreeSet<&str> = errors.fields.keys().map(String::as_str).chain(whole).collect();
        let expected: BTreeSet<&str> = fields.iter().copied().collect();
        if refused != expected {
            panic!("expected errors of {expected:?}, got errors of {refused:?}{self}");
        }
        self
    }

    /// The messages of an error, in whichever of the two shapes they came.
    ///
    /// # Panics
    /// When the body is neither.
    #[track_caller]
    #[must_use]
    pub fn errors(&self) -> ErrorBody {
        let content_type = self.header(CONTENT_TYPE.as_str()).unwrap_or_default();
        error_body::read(content_type, &self.received.body)
            .unwrap_or_else(|| panic!("expected errors, got a body that holds none{self}"))
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

    /// The value of a cookie that the answer sets; empty when it deletes it.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let cookies = self.received.headers.get_all(SET_COOKIE).filter_map(|header| header.to_str().ok());
        cookies
            .filter_map(|cookie| cookie.split(';').next()?.split_once('='))
            .find_map(|(other, value)| (other.trim() == name).then_some(value.trim()))
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
}

/// The whole exchange.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.sent, self.received)
    }
}
