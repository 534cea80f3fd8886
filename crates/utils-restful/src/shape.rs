use std::{collections::BTreeMap, io};

use actix_web::{
    Error, HttpResponse,
    body::{BoxBody, MessageBody},
    error::JsonPayloadError,
    http::{
        Method, StatusCode, Uri,
        header::{self, HeaderMap, HeaderValue},
    },
};
use serde::Serialize;

use crate::{
    accept::PROBLEM_JSON,
    body::{ErrorBody, reason},
    expected_json::EXPECTED,
    kind::ErrorKind,
    plain::LeaveAlone,
    problem::Problem,
    request_id::RequestId,
};

/// What is known about a request before it is answered.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) id: RequestId,
    /// The client reads RFC 9457 problem details.
    pub(crate) problem: bool,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
}

/// Who chose the text of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Words {
    /// The handler wrote it.
    Handler,
    /// It is the `Display` of an error, which for a server's fault names its files, tables and hosts.
    Error,
    /// It is an error of the operating system: for nobody's eyes, whatever status actix gives it.
    System,
    /// actix's text says less than this one.
    Better(&'static str),
}

impl Words {
    pub(crate) fn of(error: Option<&Error>) -> Self {
        match error {
            None => Self::Handler,
            Some(error) if error.as_error::<io::Error>().is_some() => Self::System,
            Some(error) => match error.as_error() {
                Some(JsonPayloadError::ContentType) => Self::Better(EXPECTED),
                _ => Self::Error,
            },
        }
    }

    /// The text as the client gets it; empty where the status has to do.
    fn shown(self, text: String, status: StatusCode) -> ErrorBody {
        let hidden = match self {
            Self::Handler => status == StatusCode::INTERNAL_SERVER_ERROR,
            Self::Error => status.is_server_error(),
            Self::System => true,
            Self::Better(better) => return ErrorBody::message(better),
        };
        if hidden || text.is_empty() { ErrorBody::default() } else { ErrorBody::message(text) }
    }
}

/// Gives an answer its shape.
pub(crate) fn shape(response: HttpResponse, words: Words, exchange: &Exchange) -> HttpResponse {
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        shape_error(response, words, exchange)
    } else if is_wrappable(status) && is_text(response.headers()) && !is_exempt(&response) {
        shape_text(response)
    } else {
        response
    }
}

fn shape_error(response: HttpResponse, words: Words, exchange: &Exchange) -> HttpResponse {
    let status = response.status();
    let known = response.extensions().get::<ErrorBody>().cloned();
    let code = response.extensions().get::<ErrorKind>().map(|kind| kind.code);
    let (response, mut body) = match known {
        // Made by this workspace's crates: already in the default shape unless there is something to add.
        Some(body) if !exchange.problem && !body.is_empty() => return vary_by_accept(response),
        Some(body) => (response, body),
        None if !is_text_or_nothing(response.headers()) || is_exempt(&response) => return response,
        None => match take_text(response) {
            (response, Some(text)) => (response, words.shown(text, status)),
            (response, None) => return response,
        },
    };
    if body.is_empty() && status.is_server_error() {
        body = ErrorBody::message(format!("{} (request {})", reason(status), exchange.id));
    }
    let response = if exchange.problem {
        with_body(response, PROBLEM_JSON, json_text(&Problem::new(status, &body, code, &exchange.id)))
    } else if body.is_empty() {
        with_body(response, "application/json", json_text(&ErrorBody::message(reason(status))))
    } else {
        with_body(response, "application/json", json_text(&body))
    };
    vary_by_accept(response)
}

fn shape_text(response: HttpResponse) -> HttpResponse {
    match take_text(response) {
        (response, Some(text)) => {
            with_body(response, "application/json", json_text(&BTreeMap::from([("message", text)])))
        }
        (response, None) => response,
    }
}

/// The body as text, if all of it is at hand (a stream is not) and it is UTF-8.
fn take_text(response: HttpResponse) -> (HttpResponse, Option<String>) {
    let (head, body) = response.into_parts();
    match body.try_into_bytes() {
        Ok(bytes) => {
            let text = std::str::from_utf8(&bytes).ok().map(str::to_owned);
            (head.set_body(BoxBody::new(bytes)), text)
        }
        Err(stream) => (head.set_body(stream), None),
    }
}

fn with_body(response: HttpResponse, content_type: &'static str, body: String) -> HttpResponse {
    let mut response = response.set_body(BoxBody::new(body));
    let headers = response.headers_mut();
    for outdated in [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::TRANSFER_ENCODING] {
        headers.remove(outdated);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Maps of strings and lists of strings: nothing in them that JSON could not hold.
fn json_text(body: &impl Serialize) -> String {
    serde_json::to_string(body).unwrap_or_default()
}

/// Tells caches that another `Accept` gets another answer (RFC 9110, 12.5.5).
fn vary_by_accept(mut response: HttpResponse) -> HttpResponse {
    let told =
        response.headers().get_all(header::VARY).filter_map(|value| value.to_str().ok()).any(|names| {
            names.split(',').map(str::trim).any(|name| name == "*" || name.eq_ignore_ascii_case("accept"))
        });
    if !told {
        response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    }
    response
}

/// Successes and redirects that have a body of their own: not 204, 205 and 304 (which have none) nor 206
/// (part of one).
fn is_wrappable(status: StatusCode) -> bool {
    let bare = [
        StatusCode::NO_CONTENT,
        StatusCode::RESET_CONTENT,
        StatusCode::PARTIAL_CONTENT,
        StatusCode::NOT_MODIFIED,
    ];
    (status.is_success() || status.is_redirection()) && !bare.contains(&status)
}

pub(crate) fn is_text_or_nothing(headers: &HeaderMap) -> bool {
    !headers.contains_key(header::CONTENT_TYPE) || is_text(headers)
}

/// `text/plain` as actix gives it to a string. Other parameters mean another format, such as the
/// `text/plain; version=0.0.4` of metrics.
fn is_text(headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let mut parts = content_type.split(';').map(str::trim);
    parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("text/plain"))
        && parts.all(|parameter| {
            parameter.eq_ignore_ascii_case("charset=utf-8")
                || parameter.eq_ignore_ascii_case("charset=us-ascii")
        })
}

/// A body that must stay as it is: by the handler's wish, a download, or one that is compressed already.
fn is_exempt(response: &HttpResponse) -> bool {
    response.extensions().get::<LeaveAlone>().is_some()
        || response.headers().contains_key(header::CONTENT_DISPOSITION)
        || response.headers().contains_key(header::CONTENT_ENCODING)
}
