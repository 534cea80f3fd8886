use actix_web::{HttpResponse, ResponseError, http::StatusCode};
use utils_restful::{ErrorBody, ErrorKind};

/// Why a page was refused. The answer names each field and its range:
/// `422 {"limit": ["must be one whole number from 1 to 100"]}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// The offset is no whole number of 0 or more (up to 2⁶³ − 1), or is given twice.
    #[error("the offset {OFFSET_RANGE}")]
    Offset,
    /// The limit is no whole number from 1 to this maximum, or is given twice.
    #[error("the limit {}", limit_range(*.0))]
    Limit(u32),
    /// Neither the offset nor the limit, whose maximum this is, can be used.
    #[error("the offset {OFFSET_RANGE}, and the limit {}", limit_range(*.0))]
    OffsetAndLimit(u32),
}

/// Every kind of error that this crate answers with.
pub static ERRORS: &[&ErrorKind] = &[&OFFSET_OUT_OF_RANGE, &LIMIT_OUT_OF_RANGE, &PAGE_OUT_OF_RANGE];

static OFFSET_OUT_OF_RANGE: ErrorKind = ErrorKind::new(
    "offset_out_of_range",
    StatusCode::UNPROCESSABLE_ENTITY,
    "Send `offset` once, as a whole number of 0 or more; leave it out to start at the first item.",
);
static LIMIT_OUT_OF_RANGE: ErrorKind = ErrorKind::new(
    "limit_out_of_range",
    StatusCode::UNPROCESSABLE_ENTITY,
    "Send `limit` once, as a whole number in the range that the answer names, and fetch further pages.",
);
static PAGE_OUT_OF_RANGE: ErrorKind = ErrorKind::new(
    "page_out_of_range",
    StatusCode::UNPROCESSABLE_ENTITY,
    "Send `offset` and `limit` at most once each, as whole numbers in the ranges that the answer names.",
);

const OFFSET_RANGE: &str = "must be one whole number, 0 or more";

fn limit_range(max: u32) -> String {
    format!("must be one whole number from 1 to {max}")
}

impl PageError {
    fn kind(&self) -> &'static ErrorKind {
        match self {
            Self::Offset => &OFFSET_OUT_OF_RANGE,
            Self::Limit(_) => &LIMIT_OUT_OF_RANGE,
            Self::OffsetAndLimit(_) => &PAGE_OUT_OF_RANGE,
        }
    }

    fn body(&self) -> ErrorBody {
        match self {
            Self::Offset => ErrorBody::field("offset", OFFSET_RANGE),
            Self::Limit(max) => ErrorBody::field("limit", limit_range(*max)),
            Self::OffsetAndLimit(max) => {
                ErrorBody::field("offset", OFFSET_RANGE).with_field("limit", limit_range(*max))
            }
        }
    }
}

impl ResponseError for PageError {
    fn status_code(&self) -> StatusCode {
        self.kind().status
    }

    fn error_response(&self) -> HttpResponse {
        self.kind().respond_with(&self.body())
    }
}
