use std::collections::BTreeMap;

use actix_web::{HttpResponse, http::StatusCode};
use serde_json::{Map, Value, json};

/// The parts of an error answer: messages about the whole request, and messages by field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorBody {
    /// Messages about the whole request; `_errors` on the wire.
    pub errors: Vec<String>,
    /// Messages by field path, such as `address.zip` or `tags[1]`.
    pub fields: BTreeMap<String, Vec<String>>,
}

impl ErrorBody {
    /// One message about the whole request.
    #[must_use]
    pub fn message(message: impl Into<String>) -> Self {
        Self { errors: vec![message.into()], fields: BTreeMap::new() }
    }

    /// The answer in the default shape; [`Restful`](crate::Restful) turns it into `problem+json` where asked.
    #[must_use]
    pub fn respond(&self, status: StatusCode) -> HttpResponse {
        let mut body = Map::new();
        if !self.errors.is_empty() {
            body.insert("_errors".to_owned(), json!(self.errors));
        }
        for (field, messages) in &self.fields {
            body.insert(field.clone(), json!(messages));
        }
        let mut response = HttpResponse::build(status).json(Value::Object(body));
        response.extensions_mut().insert(self.clone());
        response
    }
}
