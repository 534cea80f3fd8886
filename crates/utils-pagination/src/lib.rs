//! Offset pages over any Diesel query, for actix-web handlers.
//!
//! ```
//! use actix_web::{get, web::Json};
//! use utils_pagination::{Page, PageParams};
//!
//! #[get("/numbers")]
//! async fn numbers(params: PageParams) -> Json<Page<u64>> {
//!     Json(Page::of(0..1_000, &params))
//! }
//! // GET /numbers?offset=40&limit=2: {"offset":40,"limit":2,"totalItems":1000,"items":[40,41]}
//! // GET /numbers?limit=101:         422 {"limit":["must be one whole number from 1 to 100"]}
//! ```
//!
//! - [`PageParams`] reads `?offset=` and `?limit=`; [`Page`] is the JSON answer, [`Slice`] the one without a
//!   total.
//! - [`Paginate`] gives `.paginate(params).order_by(…).load(conn)` to Diesel's queries, with the features
//!   `sqlite`, `postgres` and `mysql`. MySQL 8.0 or MariaDB 10.2 are needed for common table expressions.
//! - [`Links`] is the `Link` header to the other pages.
mod count;
mod error;
mod links;
mod page;
mod paginate;
mod params;

pub use crate::{
    count::CountOf,
    error::{ERRORS, PageError},
    links::Links,
    page::{Page, Slice},
    paginate::{CappedPage, OrderedPage, Paginate, Paginated},
    params::PageParams,
};
