use std::{
    fmt::{self, Display},
    future::{Future, IntoFuture},
    net::SocketAddr,
    pin::Pin,
};

use actix_web::{
    http::{
        Method, Uri,
        header::{CONTENT_TYPE, HeaderName, HeaderValue},
    },
    web::Bytes,
};
use serde::Serialize;

use crate::{app::Call, client, exchange::Sent, reply::Reply};

/// A request that is sent when it is awaited.
#[must_use = "a request is sent by awaiting it"]
pub struct Request {
    call: Call,
    sent: Sent,
}

impl Request {
    #[track_caller]
    pub(crate) fn new(
        call: Call,
        method: Method,
        uri: &str,
        headers: Vec<(HeaderName, HeaderValue)>,
        peer: Option<SocketAddr>,
    ) -> Self {
        let parsed = uri.parse::<Uri>().ok().filter(|parsed| parsed.path().starts_with('/'));
        let Some(uri) = parsed else { panic!("this is not a path, or not percent-encoded: {uri:?}") };
        Self { call, sent: Sent { method, uri, headers, body: Bytes::new(), peer } }
    }

    /// Sets a header, in place of the client's of the same name; the client's others stay.
    ///
    /// # Panics
    /// When name or value cannot be in a header.
    #[track_caller]
    pub fn header(mut self, name: &str, value: impl Display) -> Self {
        let (name, value) = client::header(name, &value);
        self.sent.headers.retain(|(other, _)| *other != name);
        self.sent.headers.push((name, value));
        self
    }

    /// Adds parameters to the query string, form-encoded.
    ///
    /// # Panics
    /// When the parameters are not pairs, or not a struct of plain values.
    #[track_caller]
    pub fn query(mut self, parameters: impl Serialize) -> Self {
        let added = encoded(&parameters);
        let path = self.sent.uri.path();
        let uri = match self.sent.uri.query() {
            Some(query) => format!("{path}?{query}&{added}"),
            None => format!("{path}?{added}"),
        };
        self.sent.uri = uri.parse().unwrap_or_else(|error| panic!("not a query string: {added:?}: {error}"));
        self
    }

    /// Sends JSON.
    ///
    /// # Panics
    /// When the body has no JSON form.
    #[track_caller]
    pub fn json(self, body: impl Serialize) -> Self {
        let body = serde_json::to_vec(&body).unwrap_or_else(|error| panic!("the body is not JSON: {error}"));
        self.body("application/json", body)
    }

    /// Sends a form, as browsers do.
    ///
    /// # Panics
    /// When the form is not made of pairs, or a struct of plain values.
    #[track_caller]
    pub fn form(self, form: impl Serialize) -> Self {
        let body = encoded(&form);
        self.body("application/x-www-form-urlencoded", body)
    }

    /// Sends these bytes as this content type, whatever they are.
    ///
    /// # Panics
    /// When the content type cannot be in a header.
    #[track_caller]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.sent.body = body.into();
        self.header(CONTENT_TYPE.as_str(), content_type)
    }
}

impl IntoFuture for Request {
    type Output = Reply;
    type IntoFuture = Pin<Box<dyn Future<Output = Reply>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let received = (self.call)(self.sent.clone()).await;
            Reply::new(self.sent, received)
        })
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Request").field(&self.sent).finish()
    }
}

#[track_caller]
fn encoded(form: &impl Serialize) -> String {
    serde_urlencoded::to_string(form).unwrap_or_else(|error| panic!("this cannot be form-encoded: {error}"))
}
