use std::{
    fmt::{self, Display},
    net::SocketAddr,
    rc::Rc,
};

use actix_web::http::{
    Method,
    header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue},
};
use serde::Serialize;

use crate::{app::Call, crud::Crud, request::Request};

/// Somebody who talks to a [`TestApp`](crate::TestApp), with headers that all of their requests carry.
#[derive(Clone)]
pub struct Client {
    call: Call,
    headers: Vec<(HeaderName, HeaderValue)>,
    peer: Option<SocketAddr>,
}

impl Client {
    pub(crate) fn new(call: Call) -> Self {
        Self { call, headers: Vec::new(), peer: None }
    }

    /// Adds a header to all requests, in place of one of the same name.
    ///
    /// # Panics
    /// When name or value cannot be in a header.
    #[must_use]
    #[track_caller]
    pub fn header(mut self, name: &str, value: impl Display) -> Self {
        let (name, value) = header(name, &value);
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value));
        self
    }

    /// Takes a header away again.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other.as_str() != name.to_ascii_lowercase());
        self
    }

    /// Sends `Authorization: Bearer` with this token.
    ///
    /// # Panics
    /// When the token cannot be in a header.
    #[must_use]
    #[track_caller]
    pub fn bearer(self, token: impl Display) -> Self {
        self.header(AUTHORIZATION.as_str(), format_args!("Bearer {token}"))
    }

    /// Sends one more cookie.
    ///
    /// # Panics
    /// When the cookie cannot be in a header.
    #[must_use]
    #[track_caller]
    pub fn cookie(self, name: &str, value: impl Display) -> Self {
        let sent = self.headers.iter().find(|(header, _)| *header == COOKIE);
        let cookies = match sent.and_then(|(_, value)| value.to_str().ok()) {
            Some(before) => format!("{before}; {name}={value}"),
            None => format!("{name}={value}"),
        };
        self.header(COOKIE.as_str(), cookies)
    }

    /// Makes all requests come from this address, which handlers see as `peer_addr`.
    #[must_use]
    pub fn peer(mut self, address: SocketAddr) -> Self {
        self.peer = Some(address);
        self
    }

    /// GET.
    ///
    /// # Panics
    /// This and the next four: when `uri` is not a path with an optional query.
    #[track_caller]
    pub fn get(&self, uri: impl Display) -> Request {
        self.request(Method::GET, uri)
    }

    /// POST with a JSON body; for other bodies, or none, see [`request`](Self::request).
    #[track_caller]
    pub fn post(&self, uri: impl Display, body: impl Serialize) -> Request {
        self.request(Method::POST, uri).json(body)
    }

    /// PUT with a JSON body.
    #[track_caller]
    pub fn put(&self, uri: impl Display, body: impl Serialize) -> Request {
        self.request(Method::PUT, uri).json(body)
    }

    /// PATCH with a JSON body.
    #[track_caller]
    pub fn patch(&self, uri: impl Display, body: impl Serialize) -> Request {
        self.request(Method::PATCH, uri).json(body)
    }

    /// DELETE.
    #[track_caller]
    pub fn delete(&self, uri: impl Display) -> Request {
        self.request(Method::DELETE, uri)
    }

    /// Any method, without a body at first.
    #[track_caller]
    pub fn request(&self, method: Method, uri: impl Display) -> Request {
        Request::new(Rc::clone(&self.call), method, &uri.to_string(), self.headers.clone(), self.peer)
    }

    /// Takes the resource at this path through its whole life, see [`Crud`].
    pub fn crud(&self, endpoint: &str) -> Crud {
        Crud::new(self.clone(), endpoint)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("headers", &self.headers)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

#[track_caller]
pub(crate) fn header(name: &str, value: &dyn Display) -> (HeaderName, HeaderValue) {
    let value = value.to_string();
    match (HeaderName::try_from(name), HeaderValue::try_from(&value)) {
        (Ok(name), Ok(value)) => (name, value),
        _ => panic!("this cannot be a header: {name:?}: {value:?}"),
    }
}
