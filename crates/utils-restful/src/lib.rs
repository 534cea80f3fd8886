//! Every response and every error of an actix-web application in one JSON shape.
//!
//! ```
//! use actix_web::{App, get, web::{Json, Path}};
//! use utils_restful::{ApiError, Restful, Result, ensure};
//!
//! #[get("/posts/{id}")]
//! async fn post(id: Path<u64>) -> Result<Json<Vec<u8>>> {
//!     ensure!(*id != 13, FORBIDDEN, "That is not yours."); // 403 {"_errors":["That is not yours."]}
//!     if *id > 1_000 {
//!         return Err(ApiError::invalid().field("id", "is too large")); // 422 {"id":["is too large"]}
//!     }
//!     // if it fails: 500 {"_errors":["Internal Server Error (request 5f0c…)"]}
//!     Ok(Json(std::fs::read("post.bin")?))
//! }
//!
//! #[get("/hello")]
//! async fn hello() -> &'static str {
//!     "hello"                                                     // 200 {"message":"hello"}
//! }
//!
//! let app = App::new().service(post).service(hello).wrap(Restful::new());
//! // GET /nowhere: 404 {"_errors":["Not Found"]}
//! ```
//!
//! - [`Restful`], the middleware: unknown paths, wrong methods, whatever extractors refuse, panics and text
//!   answers.
//! - [`ApiError`], [`ensure!`], [`OrNotFound`], [`OrRespond`]: errors of handlers, with `?` on anything.
//! - [`ErrorKind`], [`ErrorBody`] and [`CauseOf`], for crates with errors of their own: a stable code, messages
//!   by field, and causes that are not the client's business.
//! - [`ExpectedJson`], the body that has to be JSON; [`message`](message()) and [`Plain`], answers of one
//!   sentence.
#![cfg_attr(feature = "decimal", doc = "- [`Exact`], a decimal that keeps every digit on the wire.")]
//!
//! Success strings are `{"message": "…"}`; errors are `{"_errors": ["…"]}`, errors of fields
//! `{"field.path[1]": ["…"]}` with 422. Clients that send `Accept: application/problem+json` get RFC 9457
//! problem details instead.
//!
//! actix answers 404, not 405, to a wrong method of an `App::route` or a `#[get]` function, because the
//! method is part of what is routed by; `web::resource("/posts").route(web::get().to(list))` answers 405 with
//! `Allow`.
mod accept;
mod api_error;
mod body;
mod catalogue;
mod cause_of;
mod error;
#[cfg(feature = "decimal")]
mod exact;
mod expected_json;
mod kind;
mod known;
mod log;
mod message;
mod output_json;
mod plain;
mod problem;
mod request_id;
mod restful;
mod results;
mod shape;
mod unique_keys;

pub use actix_web::http::StatusCode;

#[cfg(feature = "decimal")]
pub use crate::exact::Exact;
pub use crate::{
    api_error::{ApiError, Result},
    body::ErrorBody,
    catalogue::ERRORS,
    cause_of::CauseOf,
    error::ExpectedJsonError,
    expected_json::{ExpectedJson, ExpectedJsonConfig},
    kind::ErrorKind,
    message::{Message, message},
    output_json::output_json,
    plain::Plain,
    request_id::RequestId,
    restful::{Restful, RestfulService},
    results::{OrNotFound, OrRespond},
};
