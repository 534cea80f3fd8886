use std::{future::Future, pin::Pin};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{self, HeaderMap},
    web::BytesMut,
};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use crate::{error::ExpectedJsonError, unique_keys::check_keys};

/// What a client is told that sends no JSON.
pub(crate) const EXPECTED: &str = "Resource expected a JSON payload to be provided.";

/// A body that has to be JSON; the extractor says clearly when it is not.
///
/// ```
/// use actix_web::{post, web::Json};
/// use serde_json::Value;
/// use utils_restful::ExpectedJson;
///
/// #[post("/echo")]
/// async fn echo(ExpectedJson(body): ExpectedJson<Value>) -> Json<Value> {
///     Json(body)
/// }
/// ```
///
/// | the body | the answer |
/// |---|---|
/// | is missing, blank or `null`, or its type is not `application/json` or `application/*+json` | 400 `{"_errors": ["Resource expected a JSON payload to be provided."]}` |
/// | is malformed, not UTF-8, nested more than 127 deep, or names a key twice in one object | 400, the same message and a second one with line and column |
/// | is JSON of another form than `T` | 422, what was expected and where |
/// | is longer than [`ExpectedJsonConfig::limit`] | 413 |
///
/// `0`, `false`, `""`, `[]` and `{}` are values. Parameters of the content type, such as a charset, and its
/// case do not matter. `ExpectedJson<Box<serde_json::value::RawValue>>` keeps every digit of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedJson<T>(pub T);

impl<T> ExpectedJson<T> {
    /// The value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T: DeserializeOwned> ExpectedJson<T> {
    /// Reads a body that arrived as a whole; `headers` are the request's.
    fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, ExpectedJsonError> {
        if !is_json(headers) || matches!(body.trim_ascii(), b"" | b"null") {
            return Err(ExpectedJsonError::Missing);
        }
        // RFC 8259, section 4: what a parser makes of a repeated name is unpredictable, so nobody may rely on
        // it.
        check_keys(body).map_err(ExpectedJsonError::Malformed)?;
        serde_json::from_slice(body).map(Self).map_err(|error| match error.is_data() {
            true => ExpectedJsonError::Unexpected(error),
            false => ExpectedJsonError::Malformed(error),
        })
    }
}

/// How much JSON [`ExpectedJson`] takes; put it into `app_data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedJsonConfig {
    limit: usize,
}

impl ExpectedJsonConfig {
    /// Sets the longest body, in bytes. Default: 2 MiB.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }
}

impl Default for ExpectedJsonConfig {
    fn default() -> Self {
        Self { limit: 2 * 1024 * 1024 }
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for ExpectedJson<T> {
    type Error = ExpectedJsonError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ExpectedJsonError>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let config = req.app_data::<ExpectedJsonConfig>().copied().unwrap_or_default();
        let req = req.clone();
        let payload = payload.take();
        Box::pin(async move { Self::parse(req.headers(), &read(payload, config.limit).await?) })
    }
}

async fn read(mut payload: Payload, limit: usize) -> Result<BytesMut, ExpectedJsonError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(ExpectedJsonError::Unreadable)?;
        if body.len() + chunk.len() > limit {
            return Err(ExpectedJsonError::TooLarge(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}
