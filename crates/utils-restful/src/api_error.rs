use std::{error::Error as StdError, fmt, sync::Arc};

use actix_web::{
    HttpResponse, ResponseError,
    body::{BoxBody, MessageBody},
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    web::Bytes,
};

use crate::{
    body::{ErrorBody, reason},
    catalogue::INVALID,
    kind::ErrorKind,
    known,
    shape::is_text_or_nothing,
};

/// What a handler returns: `Result<Json<Post>>`.
pub type Result<T, E = ApiError> = std::result::Result<T, E>;

/// An error that a client may read, and the one error type that a handler needs.
///
/// `?` turns any error into one. Its text goes to the log and the client sees `Internal Server Error (request
/// 5f0c…)`; with the feature `diesel` the errors of Diesel that have an HTTP meaning get it:
///
/// | error | status | code |
/// |---|---|---|
/// | `diesel::result::Error::NotFound` | 404 | `not_found` |
/// | `DatabaseError(UniqueViolation, _)` | 409 | `already_exists` |
/// | no connection of the r2d2 pool in time | 503 | `busy` |
/// | anything else | 500 | `internal` |
///
/// These are found below an error that wraps them as well, unless a [`CauseOf`](crate::CauseOf) says otherwise.
///
/// ```
/// use actix_web::{get, web::{Json, Path}};
/// use utils_restful::{ApiError, OrNotFound, Result, ensure};
///
/// #[get("/notes/{name}")]
/// async fn note(name: Path<String>) -> Result<Json<Vec<String>>> {
///     ensure!(!name.contains(".."), FORBIDDEN, "That is not yours.");
///     if name.len() > 80 {
///         return Err(ApiError::invalid().field("name", "is longer than 80 characters"));
///     }
///     let text = std::fs::read_to_string("notes.txt")?; // hidden and logged, should it fail
///     let line = text.lines().find(|line| line.starts_with(name.as_str())).or_not_found()?;
///     Ok(Json(vec![line.to_owned()]))
/// }
/// ```
///
/// **An error that is an actix response already** (`utils_token_auth`'s 401, another extractor's 415) is one
/// more error to `?`, so it would be hidden as well; [`or_respond`](crate::OrRespond::or_respond) keeps its
/// answer.
pub struct ApiError(Box<Parts>);

struct Parts {
    status: StatusCode,
    kind: Option<ErrorKind>,
    body: ErrorBody,
    /// A body in a form that another library chose; it is sent as it is.
    foreign: Option<Bytes>,
    headers: HeaderMap,
    cause: Option<Cause>,
}

/// Also the type under which the cause lies in the extensions of the error's response, where an error
/// reporter finds it without knowing this crate.
type Cause = Arc<dyn StdError + Send + Sync>;

impl ApiError {
    /// An error with a status and a message for the client.
    ///
    /// The message is sent as it is, with a 500 too: put no internal detail into it.
    #[must_use]
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self::with(status, None, ErrorBody::message(message))
    }

    /// An error that shows its status in words, such as `{"_errors": ["Forbidden"]}`.
    #[must_use]
    pub fn from_status(status: StatusCode) -> Self {
        Self::with(status, None, ErrorBody::default())
    }

    /// An error of a kind that the application keeps in a table, with its stable code.
    #[must_use]
    pub fn of(kind: &ErrorKind, message: impl Into<String>) -> Self {
        Self::with(kind.status, Some(*kind), ErrorBody::message(message))
    }

    /// 422; say what is wrong by [`field`](Self::field) and [`message`](Self::message).
    #[must_use]
    pub fn invalid() -> Self {
        Self::with(INVALID.status, Some(INVALID), ErrorBody::default())
    }

    /// Adds a message about a field, named by its path, such as `title`, `address.zip` or `tags[1]`.
    #[must_use]
    pub fn field(mut self, path: impl Into<String>, message: impl Into<String>) -> Self {
        self.0.body = self.0.body.with_field(path, message);
        self
    }

    /// Adds a message about the whole request.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.0.body.errors.push(message.into());
        self
    }

    /// Adds a header to the answer, such as `Retry-After`.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.append(name, value);
        self
    }

    /// Sets what lies behind the error; it is logged if the status is 500 or above, and never sent.
    ///
    /// Error reporters find it in the extensions of the response, as an `Arc<dyn Error + Send + Sync>`.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.cause = Some(Cause::from(cause.into()));
        self
    }

    /// The answer of an error that knows how to answer: its status, headers, messages and code.
    ///
    /// ```
    /// use actix_web::{error::ErrorImATeapot, http::StatusCode};
    /// use utils_restful::ApiError;
    ///
    /// let error = ApiError::from_response(ErrorImATeapot("short and stout"));
    /// assert_eq!(error.status(), StatusCode::IM_A_TEAPOT);
    /// assert_eq!(error.body().errors, ["short and stout"]);
    /// ```
    #[must_use]
    pub fn from_response(error: impl Into<actix_web::Error>) -> Self {
        let error = error.into();
        let response = error.error_response();
        let cause = response.extensions().get::<Cause>().cloned();
        let cause =
            cause.unwrap_or_else(|| Box::<dyn StdError + Send + Sync>::from(format!("{error:?}")).into());
        let status = response.status();
        let kind = response.extensions().get::<ErrorKind>().copied();
        let known = response.extensions().get::<ErrorBody>().cloned();
        let mut headers = response.headers().clone();
        let is_text = is_text_or_nothing(&headers);
        let mut foreign = None;
        let body = known.unwrap_or_else(|| match response.into_body().try_into_bytes() {
            Ok(bytes) if !is_text => {
                foreign = Some(bytes);
                ErrorBody::default()
            }
            // the text of a server's fault was not chosen for the client
            Ok(bytes) if !bytes.is_empty() && !status.is_server_error() => {
                ErrorBody::message(String::from_utf8_lossy(&bytes))
            }
            _ => ErrorBody::default(),
        });
        headers.remove(header::CONTENT_LENGTH);
        if foreign.is_none() {
            headers.remove(header::CONTENT_TYPE);
        }
        Self(Box::new(Parts { status, kind, body, foreign, headers, cause: Some(cause) }))
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The messages for the client; empty where the status says it all or the cause is hidden.
    #[must_use]
    pub fn body(&self) -> &ErrorBody {
        &self.0.body
    }

    /// What lies behind the error, for the log.
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }

    fn with(status: StatusCode, kind: Option<ErrorKind>, body: ErrorBody) -> Self {
        Self(Box::new(Parts { status, kind, body, foreign: None, headers: HeaderMap::new(), cause: None }))
    }

    pub(crate) fn bare(kind: &'static ErrorKind) -> Self {
        Self::with(kind.status, Some(*kind), ErrorBody::default())
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for ApiError {
    fn from(cause: E) -> Self {
        let mut error = Self::bare(known::kind_of(&cause));
        error.0.cause = Some(Arc::new(cause));
        error
    }
}

/// The messages for the client, not the cause.
impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.body.is_empty() {
            return f.write_str(reason(self.0.status));
        }
        let fields =
            self.0.body.fields.iter().map(|(path, messages)| format!("{path}: {}", messages.join(", ")));
        let all: Vec<_> = self.0.body.errors.iter().cloned().chain(fields).collect();
        f.write_str(&all.join("; "))
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiError")
            .field("status", &self.0.status)
            .field("body", &self.0.body)
            .field("cause", &self.0.cause)
            .finish_non_exhaustive()
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.0.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = match &self.0.foreign {
            Some(bytes) => HttpResponse::with_body(self.0.status, BoxBody::new(bytes.clone())),
            None => self.0.body.respond(self.0.status),
        };
        if let Some(kind) = self.0.kind {
            response.extensions_mut().insert(kind);
        }
        if let Some(cause) = &self.0.cause {
            response.extensions_mut().insert(Arc::clone(cause));
        }
        for (name, value) in &self.0.headers {
            response.headers_mut().append(name.clone(), value.clone());
        }
        response
    }
}
