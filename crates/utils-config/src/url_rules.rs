//! What the parts of a URL may be, and how they are encoded.
use std::{fmt::Write, net::Ipv6Addr};

use crate::url::UrlError;

/// Which characters are percent-encoded in a part, beside control characters and each `%` that begins no escape.
pub(crate) struct Encoding {
    reserved: &'static str,
    /// A path keeps its letters, as it does when it is read.
    beyond_ascii: bool,
}

/// RFC 3986, section 3.2.1 allows unreserved characters, sub-delimiters and `:`.
pub(crate) const PASSWORD: Encoding = Encoding { reserved: " \"#/<>?@[\\]^`{|}", beyond_ascii: true };
/// The first `:` ends the user name.
pub(crate) const USERNAME: Encoding = Encoding { reserved: " \"#/<>?@[\\]^`{|}:", beyond_ascii: true };
/// What would end the path, and blanks.
pub(crate) const PATH: Encoding = Encoding { reserved: " ?#", beyond_ascii: false };

impl Encoding {
    pub(crate) fn encode(&self, text: &str, keeps_escapes: bool) -> String {
        let mut encoded = String::with_capacity(text.len());
        for (at, character) in text.char_indices() {
            let is_escape = || {
                text.as_bytes().get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
            };
            let encodes = match character {
                '%' => !(keeps_escapes && is_escape()),
                _ if character.is_control() => true,
                _ if character.is_ascii() => self.reserved.contains(character),
                _ => self.beyond_ascii,
            };
            if encodes {
                for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing to a string never fails.
                    _ = write!(encoded, "%{byte:02X}");
                }
            } else {
                encoded.push(character);
            }
        }
        encoded
    }
}

pub(crate) fn split_off(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// RFC 3986, section 3.1.
pub(crate) fn valid_scheme(scheme: &str) -> Result<String, UrlError> {
    let is_valid = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if is_valid { Ok(scheme.to_ascii_lowercase()) } else { Err(UrlError::Scheme) }
}

/// Host and port of what follows the userinfo.
pub(crate) fn split_port(address: &str) -> Result<(&str, &str), UrlError> {
    if let Some(end) = address.rfind(']') {
        let (host, rest) = address.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, port)),
            None if rest.is_empty() => Ok((host, "")),
            None => Err(UrlError::Ipv6),
        };
    }
    if address.contains('[') {
        return Err(UrlError::Ipv6);
    }
    let (host, port) = address.split_once(':').unwrap_or((address, ""));
    if port.contains([',', ';', ':']) {
        // `h1:27017,h2:27018` and `h1:5672;amqp://h2:5672`.
        return Err(if port.contains([',', ';']) { UrlError::SeveralHosts } else { UrlError::Host });
    }
    Ok((host, port))
}

/// The host in lower case. A zone or an escape after a `%` keeps its case.
pub(crate) fn valid_host(host: &str) -> Result<String, UrlError> {
    if host.starts_with('[') || host.contains(['[', ']']) {
        let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).ok_or(UrlError::Ipv6)?;
        let address = inside.split_once('%').map_or(inside, |(address, _)| address);
        let is_address = address.parse::<Ipv6Addr>().is_ok() || is_future_address(inside);
        if !is_address || inside.contains(invalid_in_host) {
            return Err(UrlError::Ipv6);
        }
    } else if host.contains(';') {
        return Err(UrlError::SeveralHosts);
    } else if host.contains([':', '@'])
        || host.contains(invalid_in_host)
        || host.contains(looks_like_a_delimiter)
    {
        return Err(UrlError::Host);
    }
    let (name, rest) = host.split_at(host.find('%').unwrap_or(host.len()));
    Ok(name.to_lowercase() + rest)
}

/// `v1.anything`: RFC 3986, section 3.2.2, for what comes after IPv6.
fn is_future_address(inside: &str) -> bool {
    inside.strip_prefix(['v', 'V']).and_then(|rest| rest.split_once('.')).is_some_and(|(version, address)| {
        !version.is_empty() && !address.is_empty() && version.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

fn invalid_in_host(character: char) -> bool {
    character.is_whitespace() || character.is_control() || "/?#\\<>\"^`{|}".contains(character)
}

/// Characters that Unicode normalization (NFKC) turns into, or into something with, `/`, `?`, `#`, `@` or `:`. A program
/// that normalizes the host would see another one.
pub(crate) fn looks_like_a_delimiter(character: char) -> bool {
    matches!(
        character,
        '\u{2047}'
            ..='\u{2049}'
                | '\u{2100}'
                | '\u{2101}'
                | '\u{2105}'
                | '\u{2106}'
                | '\u{2a74}'
                | '\u{fe13}'
                | '\u{fe16}'
                | '\u{fe55}'
                | '\u{fe56}'
                | '\u{fe5f}'
                | '\u{fe6b}'
                | '\u{ff03}'
                | '\u{ff0f}'
                | '\u{ff1a}'
                | '\u{ff1f}'
                | '\u{ff20}'
    )
}

pub(crate) fn parse_port(port: &str) -> Result<Option<u16>, UrlError> {
    if port.is_empty() {
        return Ok(None);
    }
    // `parse` alone would take a plus sign.
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UrlError::Port);
    }
    port.parse().map(Some).map_err(|_| UrlError::Port)
}
