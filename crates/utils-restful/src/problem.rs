use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use serde::Serialize;

use crate::{
    body::{ErrorBody, reason},
    request_id::RequestId,
};

/// RFC 9457 problem details; `code` and `errors` (messages by field) are extension members (section 3.2).
#[derive(Debug, Serialize)]
pub(crate) struct Problem<'a> {
    /// `about:blank`: the problem is what the status says (section 4.2.1).
    r#type: &'static str,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    instance: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    errors: &'a BTreeMap<String, Vec<String>>,
}

impl<'a> Problem<'a> {
    pub(crate) fn new(
        status: StatusCode,
        body: &'a ErrorBody,
        code: Option<&'a str>,
        id: &RequestId,
    ) -> Self {
        Self {
            r#type: "about:blank",
            title: reason(status),
            status: status.as_u16(),
            detail: (!body.errors.is_empty()).then(|| body.errors.join(" ")),
            instance: format!("urn:request:{id}"),
            code,
            errors: &body.fields,
        }
    }
}
