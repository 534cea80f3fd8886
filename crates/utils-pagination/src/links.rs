use actix_web::{
    HttpRequest,
    http::header::{self, HeaderName, HeaderValue, InvalidHeaderValue, TryIntoHeaderPair},
};
use url::form_urlencoded::{self, Serializer};

use crate::page::{Page, Slice};

/// A `Link` header (RFC 8288) to the first, previous, next and last page.
///
/// The targets are relative (`<?color=red&offset=40&limit=20>; rel="next"`), so that they are right behind
/// any proxy; the other parameters of the request stay.
///
/// ```
/// use actix_web::{HttpRequest, HttpResponse, get};
/// use utils_pagination::{Page, PageParams};
///
/// #[get("/numbers")]
/// async fn numbers(params: PageParams, req: HttpRequest) -> HttpResponse {
///     let page = Page::of(0..1_000, &params);
///     HttpResponse::Ok().insert_header(page.links(&req)).json(page)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links(String);

impl Links {
    /// The value of the header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T> Page<T> {
    /// Links to the other pages of the list that `req` asked for: `first`, `last`, and where there is one,
    /// `prev` and `next`. From beyond the end, `prev` is the last page.
    #[must_use]
    pub fn links(&self, req: &HttpRequest) -> Links {
        let last = (self.total_items - 1).max(0) / self.limit.max(1) * self.limit;
        let has_next = self.offset.saturating_add(self.limit) < self.total_items;
        links(req.query_string(), self.limit, self.offset, Some(last), has_next)
    }
}

impl<T> Slice<T> {
    /// Links to other pages of the list that `req` asked for: `first`, and where there is one, `prev` and
    /// `next`.
    #[must_use]
    pub fn links(&self, req: &HttpRequest) -> Links {
        links(req.query_string(), self.limit, self.offset, None, self.has_more)
    }
}

fn links(query: &str, limit: i64, offset: i64, last: Option<i64>, has_next: bool) -> Links {
    let prev = (offset > 0).then(|| (offset - limit).max(0).min(last.unwrap_or(i64::MAX)));
    let next = has_next.then(|| offset.saturating_add(limit));
    let targets = [("first", Some(0)), ("prev", prev), ("next", next), ("last", last)];
    let links = targets.into_iter().filter_map(|(relation, offset)| {
        Some(format!("<?{}>; rel=\"{relation}\"", query_of(query, offset?, limit)))
    });
    Links(links.collect::<Vec<_>>().join(", "))
}

fn query_of(query: &str, offset: i64, limit: i64) -> String {
    let others =
        form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "offset" && name != "limit");
    // percent-encodes everything that could end the target or the header
    Serializer::new(String::new())
        .extend_pairs(others)
        .append_pair("offset", &offset.to_string())
        .append_pair("limit", &limit.to_string())
        .finish()
}

impl TryIntoHeaderPair for Links {
    type Error = InvalidHeaderValue;

    fn try_into_pair(self) -> Result<(HeaderName, HeaderValue), Self::Error> {
        Ok((header::LINK, HeaderValue::from_str(&self.0)?))
    }
}
