use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use url::form_urlencoded;

use crate::error::PageError;

/// Which page a client asks for: `?offset=` (default 0) and `?limit=` (default `DEFAULT`, 1 to `MAX`).
///
/// Only the query string counts, and it is read strictly: a value out of its range, a text, or a parameter
/// given twice is refused with 422 and the name of the field, never changed in silence. Other parameters are
/// not looked at.
///
/// ```
/// use utils_pagination::{PageError, PageParams};
///
/// let params: PageParams = PageParams::parse("offset=40&color=red")?;
/// assert_eq!((params.offset(), params.limit()), (40, 20));
///
/// let refused = PageParams::<50, 500>::parse("limit=501"); // another default and maximum
/// assert_eq!(refused, Err(PageError::Limit(500)));
/// # Ok::<(), PageError>(())
/// ```
///
/// A default above the maximum does not compile:
///
/// ```compile_fail
/// # use utils_pagination::PageParams;
/// let params = PageParams::<200, 100>::default();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageParams<const DEFAULT: u32 = 20, const MAX: u32 = 100> {
    offset: i64,
    limit: i64,
}

impl<const DEFAULT: u32, const MAX: u32> PageParams<DEFAULT, MAX> {
    /// A page that the application chose.
    ///
    /// # Errors
    /// [`PageError`] if the offset is negative or the limit is not from 1 to `MAX`.
    pub fn new(offset: i64, limit: i64) -> Result<Self, PageError> {
        Self::default().with_offset(offset)?.with_limit(limit)
    }

    /// Sets how many items come before the page.
    ///
    /// # Errors
    /// [`PageError::Offset`] if it is negative.
    pub fn with_offset(self, offset: i64) -> Result<Self, PageError> {
        if offset < 0 { Err(PageError::Offset) } else { Ok(Self { offset, ..self }) }
    }

    /// Sets how many items the page has at most.
    ///
    /// # Errors
    /// [`PageError::Limit`] if it is not from 1 to `MAX`.
    pub fn with_limit(self, limit: i64) -> Result<Self, PageError> {
        if (1..=i64::from(MAX)).contains(&limit) {
            Ok(Self { limit, ..self })
        } else {
            Err(PageError::Limit(MAX))
        }
    }

    /// Reads a query string, which the extractor does with the request's.
    ///
    /// # Errors
    /// [`PageError`], which names every parameter that cannot be used.
    pub fn parse(query: &str) -> Result<Self, PageError> {
        let offset =
            only_number(query, "offset", 0).and_then(|offset| Self::default().with_offset(offset).ok());
        let limit = only_number(query, "limit", i64::from(DEFAULT))
            .and_then(|limit| Self::default().with_limit(limit).ok());
        match (offset, limit) {
            (Some(Self { offset, .. }), Some(Self { limit, .. })) => Ok(Self { offset, limit }),
            (None, Some(_)) => Err(PageError::Offset),
            (Some(_), None) => Err(PageError::Limit(MAX)),
            (None, None) => Err(PageError::OffsetAndLimit(MAX)),
        }
    }

    /// How many items come before the page.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// How many items the page has at most.
    #[must_use]
    pub fn limit(&self) -> i64 {
        self.limit
    }
}

/// The first page, of `DEFAULT` items.
impl<const DEFAULT: u32, const MAX: u32> Default for PageParams<DEFAULT, MAX> {
    fn default() -> Self {
        const {
            assert!(
                DEFAULT >= 1 && DEFAULT <= MAX,
                "the default limit of a page must be from 1 to the maximum"
            )
        };
        Self { offset: 0, limit: i64::from(DEFAULT) }
    }
}

impl<const DEFAULT: u32, const MAX: u32> FromRequest for PageParams<DEFAULT, MAX> {
    type Error = PageError;
    type Future = Ready<Result<Self, PageError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::parse(req.query_string()))
    }
}

/// The value of a parameter; `default` if it is absent, `None` if it is no number or is there twice.
fn only_number(query: &str, name: &str, default: i64) -> Option<i64> {
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
    let Some((_, value)) = values.next() else {
        return Some(default);
    };
    if values.next().is_some() { None } else { value.parse().ok() }
}
