use std::{fmt, net::SocketAddr};

use actix_web::{
    http::{
        Method, StatusCode, Uri,
        header::{HeaderMap, HeaderName, HeaderValue},
    },
    web::Bytes,
};

/// The most characters of a body that a failure shows.
const SHOWN: usize = 4_000;

/// A request as it was sent.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
    pub(crate) peer: Option<SocketAddr>,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Why the body ended before its end.
    pub(crate) broken: Option<String>,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n  > {} {}", self.method, self.uri)?;
        write_headers(f, '>', self.headers.iter().map(|(name, value)| (name, value)))?;
        write_body(f, '>', &self.body)
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n  < {}", self.status)?;
        write_headers(f, '<', self.headers.iter())?;
        match &self.broken {
            Some(why) => write!(f, "\n  < (the body broke off: {why})"),
            None if self.body.is_empty() => write!(f, "\n  < (no body)"),
            None => write_body(f, '<', &self.body),
        }
    }
}

fn write_headers<'a>(
    f: &mut fmt::Formatter<'_>,
    side: char,
    headers: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>,
) -> fmt::Result {
    let mut headers: Vec<_> = headers.collect();
    headers.sort_by_key(|(name, _)| name.as_str());
    headers.iter().try_for_each(|(name, value)| {
        write!(f, "\n  {side} {name}: {}", String::from_utf8_lossy(value.as_bytes()))
    })
}

fn write_body(f: &mut fmt::Formatter<'_>, side: char, body: &[u8]) -> fmt::Result {
    if body.is_empty() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(body);
    let shown = text.char_indices().nth(SHOWN).map_or(&*text, |(end, _)| &text[..end]);
    shown.lines().try_for_each(|line| write!(f, "\n  {side} {line}"))?;
    if shown.len() < text.len() {
        write!(f, "\n  {side} (… {} bytes in all)", body.len())?;
    }
    Ok(())
}
