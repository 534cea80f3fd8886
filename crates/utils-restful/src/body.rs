use std::collections::BTreeMap;

use actix_web::{HttpResponse, http::StatusCode};
use serde::{Serialize, Serializer, ser::SerializeMap};

/// The parts of an error answer: messages about the whole request, and messages by field.
///
/// It serializes to the default shape: `{"_errors": ["…"], "address.zip": ["…"]}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorBody {
    /// Messages about the whole request; `_errors` on the wire.
    pub errors: Vec<String>,
    /// Messages by field path, such as `address.zip` or `tags[1]`.
    pub fields: BTreeMap<String, Vec<String>>,
}

/// The key of the messages about the whole request.
const WHOLE: &str = "_errors";

impl ErrorBody {
    /// One message about the whole request.
    #[must_use]
    pub fn message(message: impl Into<String>) -> Self {
        Self { errors: vec![message.into()], fields: BTreeMap::new() }
    }

    /// One message about one field.
    #[must_use]
    pub fn field(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::default().with_field(path, message)
    }

    /// Adds a message about a field.
    #[must_use]
    pub fn with_field(mut self, path: impl Into<String>, message: impl Into<String>) -> Self {
        self.fields.entry(path.into()).or_default().push(message.into());
        self
    }

    /// True if there is nothing to say: the answer then shows the status in words.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty() && self.fields.is_empty()
    }

    /// The answer in the default shape; [`Restful`](crate::Restful) turns it into `problem+json` where asked.
    ///
    /// The body itself goes along in the response's extensions, which is where `Restful` finds it.
    /// An empty one is sent as the status in words, such as `{"_errors": ["Not Found"]}`.
    #[must_use]
    pub fn respond(&self, status: StatusCode) -> HttpResponse {
        let mut answer = HttpResponse::build(status);
        let mut response =
            if self.is_empty() { answer.json(Self::message(reason(status))) } else { answer.json(self) };
        response.extensions_mut().insert(self.clone());
        response
    }
}

impl Serialize for ErrorBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        // A client can name a field of its own "_errors"; one key must not appear twice.
        match self.fields.get(WHOLE) {
            Some(clash) => map.serialize_entry(WHOLE, &[self.errors.as_slice(), clash].concat())?,
            None if !self.errors.is_empty() => map.serialize_entry(WHOLE, &self.errors)?,
            None => {}
        }
        for (path, messages) in self.fields.iter().filter(|(path, _)| *path != WHOLE) {
            map.serialize_entry(path, messages)?;
        }
        map.end()
    }
}

/// The status in words.
pub(crate) fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}
