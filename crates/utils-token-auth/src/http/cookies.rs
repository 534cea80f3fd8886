use std::time::Duration;

use actix_web::{
    HttpResponse,
    cookie::{Cookie, SameSite, time},
    dev::RequestHead,
    http::{
        Method,
        header::{self, HeaderName},
    },
};

use crate::{error::Error, pair::Pair};

/// Tokens in cookies that no script can read.
///
/// Both cookies are `__Host-`, `Secure`, `HttpOnly`, `Path=/` and, unless told otherwise, `SameSite=Lax`: no other
/// host and no plain connection can set or see them. `SameSite` alone does not stop a request forged by a sibling
/// domain, so a request that changes something (any method but GET, HEAD, OPTIONS and TRACE, and every handshake that
/// opens a WebSocket or the like, by its header `Upgrade`) must also show that our own pages sent it:
/// `Sec-Fetch-Site: same-origin`, or an `Origin` that is this host by HTTPS (by HTTP on a loopback address), or one that
/// was named as [trusted](Self::trust_origin). Every current browser sends one of the two; a request with neither is
/// refused.
///
/// An answer with tokens then sets cookies, and its body is `{"expiresIn": seconds}` instead of the tokens. The
/// `Authorization` header still works, for clients that are no browsers, and so does `/renew` with the token in its
/// body; a route where they sign in answers with [`Pair::in_body`].
///
/// A renewal that is refused because the session is over makes the browser forget both cookies.
///
/// ```
/// use utils_token_auth::{Cookies, HttpAuth, MemoryStore};
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Claims {}
///
/// fn for_browsers(http: HttpAuth<Claims, MemoryStore>) -> HttpAuth<Claims, MemoryStore> {
///     http.cookies(Cookies::new().strict().trust_origin("https://app.example.com"))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Cookies {
    access: String,
    refresh: String,
    same_site: SameSite,
    origins: Vec<String>,
}

impl Cookies {
    /// The cookies `__Host-token` and `__Host-refresh`, with `SameSite=Lax`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            access: "__Host-token".to_owned(),
            refresh: "__Host-refresh".to_owned(),
            same_site: SameSite::Lax,
            origins: Vec::new(),
        }
    }

    /// Sets the names, behind the prefix `__Host-`: several applications on one host need different ones.
    #[must_use]
    pub fn names(mut self, access: &str, refresh: &str) -> Self {
        self.access = format!("__Host-{access}");
        self.refresh = format!("__Host-{refresh}");
        self
    }

    /// Sends the cookies only with requests from this site's own pages: a link from elsewhere opens signed out.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.same_site = SameSite::Strict;
        self
    }

    /// Sends the cookies with requests from other sites too (`SameSite=None`), for a front end on another site; its
    /// origin must then be [trusted](Self::trust_origin), and allowed by CORS with credentials.
    #[must_use]
    pub fn cross_site(mut self) -> Self {
        self.same_site = SameSite::None;
        self
    }

    /// Accepts requests that change something from the pages of this origin too, such as
    /// `https://app.example.com`: scheme, host and, unless it is the usual one, port, as browsers write it.
    #[must_use]
    pub fn trust_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into().trim_end_matches('/').to_ascii_lowercase());
        self
    }

    #[cfg(feature = "utoipa")]
    pub(crate) fn access_name(&self) -> &str {
        &self.access
    }

    pub(crate) fn access_token<'r>(&self, head: &'r RequestHead) -> Result<Option<&'r str>, Error> {
        one_cookie(head, &self.access)
    }

    pub(crate) fn refresh_token<'r>(&self, head: &'r RequestHead) -> Result<Option<&'r str>, Error> {
        one_cookie(head, &self.refresh)
    }

    /// Refuses a request that changes something unless a page of ours sent it.
    pub(crate) fn check_origin(&self, head: &RequestHead) -> Result<(), Error> {
        // a WebSocket is opened by a GET, from any page and past CORS, and then carries requests of every kind
        let safe = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(&head.method)
            && !head.headers().contains_key(header::UPGRADE);
        if safe || self.is_ours(head) { Ok(()) } else { Err(Error::CrossSite) }
    }

    /// Adds the cookies of a new pair; `session` is how long a session can last at most.
    pub(crate) fn set(
        &self,
        response: &mut HttpResponse,
        pair: &Pair,
        session: Duration,
    ) -> Result<(), Error> {
        let mut add = |name: &str, value: &str, life: Duration| {
            let life = time::Duration::try_from(life).unwrap_or(time::Duration::MAX);
            let cookie = self.cookie(name, value).max_age(life).finish();
            response.add_cookie(&cookie).map_err(|error| Error::internal(error.to_string()))
        };
        add(&self.access, &pair.token, Duration::from_secs(pair.expires_in))?;
        match &pair.refresh_token {
            Some(token) => add(&self.refresh, token, session),
            None => Ok(()),
        }
    }

    /// Makes the browser forget both cookies.
    pub(crate) fn clear(&self, response: &mut HttpResponse) -> Result<(), Error> {
        for name in [&self.access, &self.refresh] {
            // with the attributes of the original, or a browser refuses to change a `__Host-` cookie
            let cookie = self.cookie(name, "").max_age(time::Duration::ZERO).finish();
            response.add_cookie(&cookie).map_err(|error| Error::internal(error.to_string()))?;
        }
        Ok(())
    }

    fn cookie<'c>(&self, name: &'c str, value: &'c str) -> actix_web::cookie::CookieBuilder<'c> {
        Cookie::build(name, value).path("/").secure(true).http_only(true).same_site(self.same_site)
    }

    fn is_ours(&self, head: &RequestHead) -> bool {
        let origin = one_header(head, &header::ORIGIN);
        if let Header::One(origin) = origin
            && self.origins.iter().any(|trusted| trusted == origin)
        {
            return true;
        }
        match one_header(head, &SEC_FETCH_SITE) {
            Header::One(site) => site == "same-origin",
            Header::Unclear => false,
            Header::None => matches!(origin, Header::One(origin) if is_this_host(origin, head)),
        }
    }
}

impl Default for Cookies {
    fn default() -> Self {
        Self::new()
    }
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[derive(Clone, Copy)]
enum Header<'r> {
    None,
    One(&'r str),
    /// Several, or not text.
    Unclear,
}

fn one_header<'r>(head: &'r RequestHead, name: &HeaderName) -> Header<'r> {
    let mut values = head.headers().get_all(name);
    match (values.next(), values.next()) {
        (None, _) => Header::None,
        (Some(value), None) => value.to_str().map_or(Header::Unclear, Header::One),
        (Some(_), Some(_)) => Header::Unclear,
    }
}

/// Whether an `Origin` is the host that this request was sent to. A page that came by plain HTTP may have been altered
/// on its way, so it only counts on this very machine.
fn is_this_host(origin: &str, head: &RequestHead) -> bool {
    let host = match (one_header(head, &header::HOST), head.uri.authority()) {
        (Header::One(host), _) => host,
        (Header::None, Some(authority)) => authority.as_str(),
        _ => return false,
    };
    match origin.split_once("://") {
        Some(("https", origin_host)) => origin_host.eq_ignore_ascii_case(host.trim_end_matches(":443")),
        Some(("http", origin_host)) => is_loopback(host) && origin_host.eq_ignore_ascii_case(host),
        _ => false,
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    ["localhost", "127.0.0.1", "[::1]"].contains(&name)
}

/// The value of a cookie. Two of one name cannot come from us: a `__Host-` cookie has one path and no domain.
fn one_cookie<'r>(head: &'r RequestHead, name: &str) -> Result<Option<&'r str>, Error> {
    let mut found = None;
    let lines = head.headers().get_all(header::COOKIE);
    // as bytes: the cookies of others may hold any, and none of them is a reason not to see ours
    for pair in lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b';')) {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        let Some(value) = value else { continue };
        let value = str::from_utf8(value).map_err(|_| Error::Malformed)?;
        if found.replace(value).is_some() {
            return Err(Error::Malformed);
        }
    }
    Ok(found)
}
