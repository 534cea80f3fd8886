use std::borrow::Cow;

use actix_web::{
    dev::RequestHead,
    http::header::{AUTHORIZATION, HeaderValue},
};

use super::Options;
use crate::error::Error;

/// An access token as it came with a request.
pub(crate) struct Presented<'r> {
    pub(crate) token: Cow<'r, str>,
    pub(crate) source: Source,
}

/// Where in the request it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Header,
    Query,
    Cookie,
}

/// The access token of a request, looked for wherever the options allow.
///
/// Two of them are refused, in one place or in two (RFC 6750 sections 2 and 3.1): what one part of a system takes for
/// the user must not be different from what another takes.
pub(crate) fn find<'r>(head: &'r RequestHead, options: &Options) -> Result<Option<Presented<'r>>, Error> {
    let mut found = authorization(head)?.map(|token| Presented { token, source: Source::Header });
    if let Some(name) = &options.query_param
        && let Some(query) = head.uri.query()
        && let Some(token) = parameter(query, name)?
    {
        found = only(found, Presented { token, source: Source::Query })?;
    }
    if let Some(cookies) = &options.cookies
        && let Some(token) = cookies.access_token(head)?
    {
        found = only(found, Presented { token: token.into(), source: Source::Cookie })?;
    }
    Ok(found)
}

fn only<'r>(found: Option<Presented<'r>>, another: Presented<'r>) -> Result<Option<Presented<'r>>, Error> {
    if found.is_some() { Err(Error::Malformed) } else { Ok(Some(another)) }
}

fn authorization(head: &RequestHead) -> Result<Option<Cow<'_, str>>, Error> {
    let mut values = head.headers().get_all(AUTHORIZATION);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::Malformed);
    }
    bearer(value)
}

/// `Bearer`, in any case (RFC 9110 section 11.1), one or more blanks, and the token (RFC 6750 section 2.1).
///
/// Another scheme is none of our business. The word alone, or with anything but a blank behind it, is a client that
/// meant to send a token.
fn bearer(value: &HeaderValue) -> Result<Option<Cow<'_, str>>, Error> {
    const SCHEME: usize = "bearer".len();

    let bytes = value.as_bytes().trim_ascii();
    let Some((scheme, rest)) = bytes.split_at_checked(SCHEME) else { return Ok(None) };
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Ok(None);
    }
    match rest.first() {
        Some(b' ') => Ok(Some(text(rest.trim_ascii_start()))),
        Some(&byte) if is_token_character(byte) => Ok(None),
        _ => Err(Error::Malformed),
    }
}

/// What is not UTF-8 is a token as well, if one that no key has signed. `from_utf8_lossy` alone looks at every byte by
/// itself, which was over a third of what a request with a kept token paid.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// `tchar` of RFC 9110 section 5.6.2: what the name of a scheme consists of.
fn is_token_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn parameter<'r>(query: &'r str, name: &str) -> Result<Option<Cow<'r, str>>, Error> {
    let pairs: Vec<(Cow<'r, str>, Cow<'r, str>)> =
        serde_urlencoded::from_str(query).map_err(|_| Error::Malformed)?;
    let mut values = pairs.into_iter().filter(|(key, _)| key == name).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Error::Malformed),
        (value, None) => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MALFORMED: &str = "malformed";

    fn check(value: &[u8], expected: Option<&str>) {
        let value = HeaderValue::from_bytes(value).unwrap();
        let read = bearer(&value).unwrap_or(Some(MALFORMED.into()));
        assert_eq!(read.as_deref(), expected, "{value:?}");
    }

    #[test]
    fn the_scheme_is_read_in_any_case_and_the_blanks_in_any_number() {
        for value in
            ["Bearer t", "bearer t", "BEARER t", "bEaReR t", "Bearer  t", " Bearer t ", "Bearer    t\t"]
        {
            check(value.as_bytes(), Some("t"));
        }
        check(b"Bearer a b", Some("a b"));
        check(b"Bearer \"t\"", Some("\"t\""));
        check(b"Bearer t\xfft", Some("t\u{fffd}t"));
    }

    #[test]
    fn another_scheme_is_no_token() {
        for value in
            ["", "t", "Basic abc", "Basic abc, Bearer t", "XBearer t", "Bearerx t", "Bearer-t x", "DPoP t"]
        {
            check(value.as_bytes(), None);
        }
    }

    #[test]
    fn the_scheme_without_a_blank_and_a_token_is_malformed() {
        for value in
            [&b"Bearer"[..], b"bearer ", b"Bearer\tt", b"Bearer,t", b"Bearer=t", b"Bearer\xa0t", b"Bearer:t"]
        {
            check(value, Some(MALFORMED));
        }
    }
}
