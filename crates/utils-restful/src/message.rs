use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, Responder, body::BoxBody, http::StatusCode};

use crate::body::ErrorBody;

/// An answer of one sentence: `{"message": "…"}`, or `{"_errors": ["…"]}` if its status is 400 or above.
///
/// ```
/// use actix_web::{http::StatusCode, post};
/// use utils_restful::{Message, message};
///
/// #[post("/reports")]
/// async fn start() -> Message {
///     message("The report is being written.").with_status(StatusCode::ACCEPTED)
/// }
/// ```
///
/// The words are sent with a 500 too, unlike the text of an error.
#[must_use]
pub fn message(text: impl Into<String>) -> Message {
    Message { text: text.into(), status: StatusCode::OK }
}

/// See [`message`](message()).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    text: String,
    status: StatusCode,
}

impl Message {
    /// Sets the status. Default: 200.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

impl Responder for Message {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        if self.status.is_client_error() || self.status.is_server_error() {
            return ErrorBody::message(self.text).respond(self.status);
        }
        HttpResponse::build(self.status).json(BTreeMap::from([("message", self.text)]))
    }
}
