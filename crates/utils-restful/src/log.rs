//! What the log says about a failure, so that the answer need not.
use std::{
    error::Error as StdError,
    fmt::{self, Write},
};

use actix_web::{Error, HttpResponse};

use crate::{api_error::ApiError, body::ErrorBody, shape::Exchange};

/// An answer of 500 and above, with the error it was made from if there is one.
pub(crate) fn server_error(exchange: &Exchange, response: &HttpResponse) {
    match response.error() {
        Some(error) => failure(exchange, error),
        None => {
            let said = response.extensions().get::<ErrorBody>().map(|body| body.errors.join(" "));
            let said = said.unwrap_or_else(|| beginning(response.body()));
            write(exchange, response.status().as_u16(), &said);
        }
    }
}

pub(crate) fn failure(exchange: &Exchange, error: &Error) {
    write(exchange, error.as_response_error().status_code().as_u16(), &describe(error));
}

pub(crate) fn panic(exchange: &Exchange, said: &str) {
    write(exchange, 500, &format!("panic: {said}"));
}

/// The path goes without its query, which may hold tokens.
fn write(exchange: &Exchange, status: u16, cause: &str) {
    tracing::error!(
        request_id = exchange.id.as_str(),
        method = exchange.method.as_str(),
        path = exchange.uri.path(),
        status,
        "request failed: {cause}"
    );
}

/// The beginning of a body that the application made itself: it may be long.
fn beginning(body: &impl fmt::Debug) -> String {
    let mut beginning = Beginning(String::new());
    if write!(beginning, "{body:?}").is_err() {
        beginning.0.push('…');
    }
    beginning.0
}

/// Takes no more than [`LONGEST`] bytes, so that no more than these are formatted.
struct Beginning(String);

/// More than a message needs.
const LONGEST: usize = 1024;

impl Write for Beginning {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LONGEST - self.0.len();
        let end = text.floor_char_boundary(room);
        self.0.push_str(&text[..end]);
        if end == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

fn describe(error: &Error) -> String {
    if let Some(error) = error.as_error::<ApiError>() {
        let mut text = error.to_string();
        let mut cause = error.cause();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}"); // a String takes everything
            cause = StdError::source(error);
        }
        return text;
    }
    // actix shows an error's text and its Debug form, not its source; derived Debug forms contain the source.
    let (text, detail) = (error.to_string(), format!("{error:?}"));
    if detail.contains(&text) { detail } else { format!("{text}: {detail}") }
}
