//! Typed request arguments for actix-web; every wrong field reported at once.
//!
#![cfg_attr(feature = "actix", doc = "```")]
#![cfg_attr(not(feature = "actix"), doc = "```ignore")]
//! use actix_web::{App, http::StatusCode, post, test, web};
//! use serde_json::json;
//! use utils_webargs::{Json, between};
//!
//! #[derive(serde::Deserialize, garde::Validate)]
//! struct NewPost {
//!     #[garde(length(min = 3))]
//!     title: String,
//!     #[garde(custom(between(1, 5)))]
//!     stars: u8,
//!     #[garde(skip)]
//!     tags: Vec<String>,
//! }
//!
//! #[post("/posts")]
//! async fn create(Json(post): Json<NewPost>) -> String {
//!     post.title
//! }
//!
//! # #[actix_web::main]
//! # async fn main() {
//! let app = test::init_service(App::new().service(create)).await;
//! let post = test::TestRequest::post().uri("/posts").set_json(json!({"title": "a", "stars": 9}));
//! let answer = test::call_service(&app, post.to_request()).await;
//! assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
//! assert_eq!(
//!     test::read_body_json::<serde_json::Value, _>(answer).await,
//!     json!({
//!         "title": ["Shorter than minimum length 3."],
//!         "stars": ["Must be between 1 and 5."],
//!         "tags": ["Missing data for required field."],
//!     })
//! );
//! # }
//! ```
//!
//! - The extractors are named as actix's own: `Json`, `Query`, `Form`, `Path`, `Headers`, `Cookies`. Their types derive
//!   serde's `Deserialize` and garde's `Validate`, nothing of ours. They need the feature `actix`, which is on by
//!   default.
//! - [`between`], [`length_between`] and [`one_of`] are rules for `#[garde(custom(..))]` that garde's own cannot word.
//! - [`collect`] and [`collect_valid`] find every fault of a value that comes from somewhere else: a file, a CSV row, a
//!   message. utils-config uses them for settings.
//!
//! What is wrong is answered with 422 and `{"field.path[1]": ["…"]}`; JSON that is malformed with 400. Field names are
//! those of serde. garde knows the names in Rust; they are told apart from serde's as far as they differ in case and
//! underscores only, as `#[serde(rename_all = "camelCase")]` makes them.
#[cfg(feature = "actix")]
mod duplicates;
mod engine;
#[cfg(feature = "actix")]
mod error;
#[cfg(feature = "actix")]
mod extract;
#[cfg(feature = "actix")]
mod json;
mod rules;
#[cfg(feature = "actix")]
mod text;

pub use crate::{
    engine::{Fault, Faults, Problem, Reading, Survey, collect, survey},
    rules::{between, collect_valid, length_between, one_of},
};
#[cfg(feature = "actix")]
pub use crate::{
    error::{ArgsError, ERRORS},
    extract::{Arguments, Cookies, Form, Headers, Json, Path, Query},
};
