use std::{borrow::Cow, cell::Cell, collections::HashSet, fmt};

use actix_web::http::header::{COOKIE, HeaderMap};
use garde::Validate;
use percent_encoding::percent_decode;
use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde_json::{Map, Value};

use crate::{
    engine::{Faults, Reading},
    error::ArgsError,
    rules::collect_valid,
};

/// Reads arguments that are texts by name; a name that is there several times has a list of them.
pub(crate) fn from_pairs<T: DeserializeOwned + Validate>(
    pairs: impl IntoIterator<Item = (String, String)>,
    context: &T::Context,
) -> Result<T, Faults> {
    let mut object = Map::new();
    for (name, text) in pairs {
        match object.get_mut(&name) {
            None => _ = object.insert(name, Value::String(text)),
            Some(Value::Array(texts)) => texts.push(Value::String(text)),
            Some(first) => *first = Value::Array(vec![first.take(), Value::String(text)]),
        }
    }
    collect_valid(&Value::Object(object), Reading::Text, context)
}

/// The pairs of `application/x-www-form-urlencoded` text, as <https://url.spec.whatwg.org/#urlencoded-parsing> reads it,
/// but text that is not UTF-8 is refused instead of repaired.
pub(crate) fn form_pairs(text: &[u8], what: &'static str) -> Result<Vec<(String, String)>, ArgsError> {
    let parts = text.split(|byte| *byte == b'&').filter(|part| !part.is_empty());
    let decoded = parts.map(|part| {
        let end = part.iter().position(|byte| *byte == b'=');
        let (name, value) = end.map_or((part, &b""[..]), |end| (&part[..end], &part[end + 1..]));
        Ok((form_text(name, what)?, form_text(value, what)?))
    });
    decoded.collect()
}

fn form_text(encoded: &[u8], what: &'static str) -> Result<String, ArgsError> {
    let spaced: Cow<'_, [u8]> = match encoded.contains(&b'+') {
        true => encoded.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect(),
        false => encoded.into(),
    };
    decoded(&spaced, what)
}

/// Without the percent-encoding.
fn decoded(encoded: &[u8], what: &'static str) -> Result<String, ArgsError> {
    let text = percent_decode(encoded).decode_utf8().map_err(|_| ArgsError::NotUtf8(what))?;
    Ok(text.into_owned())
}

/// The headers that `T` has fields for, under the names of those fields: case does not matter, and `_` is `-`.
///
/// A type whose fields are not known (it flattens another one) gets all of them, in lower case.
pub(crate) fn header_pairs<T: DeserializeOwned>(headers: &HeaderMap) -> Vec<(String, String)> {
    let fields = field_names::<T>();
    let pairs = headers.iter().filter_map(|(name, value)| {
        let field = match fields {
            Some(fields) => {
                fields.iter().find(|field| field.replace('_', "-").eq_ignore_ascii_case(name.as_str()))?
            }
            None => name.as_str(),
        };
        Some((field.to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
    });
    pairs.collect()
}

/// The cookies that `T` has fields for (all, if those are not known), split as RFC 6265, section 5.4 joins them.
///
/// Of two cookies with one name the first counts: it is the one with the longer path. Values that are
/// percent-encoded UTF-8 are decoded, quotes around them are taken away.
pub(crate) fn cookie_pairs<T: DeserializeOwned>(headers: &HeaderMap) -> Vec<(String, String)> {
    let fields = field_names::<T>();
    let mut pairs = Vec::new();
    let mut known = HashSet::new();
    for header in headers.get_all(COOKIE) {
        let header = String::from_utf8_lossy(header.as_bytes());
        for (name, value) in header.split(';').filter_map(|cookie| cookie.split_once('=')) {
            let (name, value) = (name.trim(), value.trim());
            let is_wanted = fields.is_none_or(|fields| fields.contains(&name));
            if !is_wanted || !known.insert(name.to_owned()) {
                continue;
            }
            let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
            let value = decoded(unquoted.as_bytes(), "cookie").unwrap_or_else(|_| unquoted.to_owned());
            pairs.push((name.to_owned(), value));
        }
    }
    pairs
}

/// The names that serde has for the fields of a struct; `None` for what is no struct or flattens another one.
fn field_names<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
    let names = Cell::new(None);
    // It always ends with an error, once the names are known.
    let _ = T::deserialize(Names(&names));
    names.get()
}

struct Names<'a>(&'a Cell<Option<&'static [&'static str]>>);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Done;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Done> {
        Err(Done)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Done> {
        self.0.set(Some(fields));
        Err(Done)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Done> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map enum identifier ignored_any
    }
}

#[derive(Debug)]
struct Done;

impl fmt::Display for Done {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("done")
    }
}

impl std::error::Error for Done {}

impl de::Error for Done {
    fn custom<M: fmt::Display>(_: M) -> Self {
        Self
    }
}
