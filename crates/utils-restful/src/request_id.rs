use std::{
    cell::Cell,
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    http::header::{HeaderMap, HeaderName, HeaderValue},
};

/// The header that carries the id in both directions.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// What one request is called in the log and in the `x-request-id` header of its answer.
///
/// It is the one that the client or a proxy sent in `x-request-id`, if that is made of 1 to 128 letters,
/// digits, `-`, `_` and `.`; otherwise 16 new hexadecimal digits. It tells requests apart and proves nothing
/// about the sender.
///
/// ```
/// use actix_web::{get, web::Json};
/// use utils_restful::RequestId;
///
/// #[get("/whoami")]
/// async fn whoami(id: RequestId) -> Json<String> {
///     Json(id.to_string())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id that the client sent, or a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let sent = headers.get(HEADER).and_then(|value| value.to_str().ok()).filter(|id| is_plain(id));
        sent.map_or_else(Self::random, |id| Self(id.into()))
    }

    pub(crate) fn header_value(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }

    /// A keyed hash of a counter: unlike a plain counter it differs between processes and says nothing about
    /// the number of requests.
    fn random() -> Self {
        thread_local! {
            static KEY: RandomState = RandomState::new();
            static COUNT: Cell<u64> = const { Cell::new(0) };
        }
        let count = COUNT.get();
        COUNT.set(count.wrapping_add(1));
        let mut hasher = KEY.with(BuildHasher::build_hasher);
        hasher.write_u64(count);
        Self(format!("{:016x}", hasher.finish()).into())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Never fails: without [`Restful`](crate::Restful) around the application the id is made here.
impl FromRequest for RequestId {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let known = req.extensions().get::<Self>().cloned();
        ready(Ok(known.unwrap_or_else(|| {
            let id = Self::of(req.headers());
            req.extensions_mut().insert(id.clone());
            id
        })))
    }
}

/// Keeps line breaks, quotes and whatever else a log viewer would trip over out of the log.
fn is_plain(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}
