use std::fmt;

use actix_web::{HttpMessage, HttpRequest, http::StatusCode, web};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use crate::error::Error;

/// The fields of a small body, JSON or form; a body of another type has none.
pub(crate) struct Fields(Vec<(String, Value)>);

/// More than any token and its neighbours need.
const MOST_BYTES: usize = 16 * 1024;

impl Fields {
    pub(crate) async fn read(request: &HttpRequest, payload: web::Payload) -> actix_web::Result<Self> {
        let body = payload.to_bytes_limited(MOST_BYTES).await.map_err(|_| {
            actix_web::error::InternalError::new("the body is too large", StatusCode::PAYLOAD_TOO_LARGE)
        })??;
        let kind = request.content_type();
        if body.is_empty() {
            Ok(Self(Vec::new()))
        } else if kind.eq_ignore_ascii_case("application/json") {
            serde_json::from_slice(&body).map_err(|_| Error::Malformed.into())
        } else if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let pairs: Vec<(String, String)> =
                serde_urlencoded::from_bytes(&body).map_err(|_| Error::Malformed)?;
            Ok(Self(pairs.into_iter().map(|(name, value)| (name, Value::String(value))).collect()))
        } else {
            Ok(Self(Vec::new()))
        }
    }

    /// The text of a field; `None` when it is missing, null or empty: a parameter without a value counts as left out
    /// (RFC 6749 section 3.2).
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Error> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (None | Some(Value::Null), None) => Ok(None),
            (Some(Value::String(text)), None) => Ok((!text.is_empty()).then_some(text)),
            // two of them, or no text
            _ => Err(Error::Malformed),
        }
    }
}

/// A JSON object with every member, also those that are there twice: which of two counts must not depend on the reader.
impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> de::Visitor<'de> for Members {
            type Value = Fields;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Fields(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}
