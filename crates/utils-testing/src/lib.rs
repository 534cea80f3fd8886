//! Tests of JSON APIs on actix-web and Diesel: requests that explain their failures, whole-resource checks, and a
//! database for every test.
//!
//! ```
//! use actix_web::{App, HttpResponse, web};
//! use serde_json::json;
//! use utils_testing::TestApp;
//!
//! # #[actix_web::main]
//! # async fn main() {
//! async fn greet(name: web::Json<String>) -> HttpResponse {
//!     HttpResponse::Created().json(json!({ "greeting": format!("Hello, {name}") }))
//! }
//!
//! let app = TestApp::new(App::new().route("/greetings", web::post().to(greet))).await;
//! let me = app.client().bearer("token");
//!
//! let answer = me.post("/greetings", "Ada").await.expect(201).value();
//! assert_eq!(answer["greeting"], "Hello, Ada");
//! me.get("/nowhere").await.expect(404);
//! # }
//! ```
//!
//! - [`TestApp`] is an application under test, [`Client`] somebody who talks to it, with headers of their own;
//!   a [`Request`] is sent by awaiting it, a [`Reply`] shows the whole exchange when it is not what a test expects.
//! - [`Program`] is a real server program, talked to over a socket.
//! - [`Crud`] takes a resource through its whole life; [`Privileges`] is a table of who may do what.
#![cfg_attr(
    any(feature = "sqlite", feature = "postgres", feature = "mysql"),
    doc = "- [`Template`] gives every test a database of its own, migrated once, on SQLite, PostgreSQL or MySQL."
)]
#![cfg_attr(
    feature = "jobs",
    doc = "- [`TestJobs`] shows what was enqueued and runs it here and now, at the time that the test sets."
)]
mod app;
mod check;
mod client;
mod compare;
mod crud;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod db;
mod error_body;
mod exchange;
#[cfg(feature = "jobs")]
pub mod jobs;
mod operation;
mod privileges;
mod program;
mod reply;
mod request;
mod resource;
#[cfg(feature = "jobs")]
mod test_jobs;
#[cfg(feature = "token-auth")]
pub mod token_auth;

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub use crate::db::{Template, TestConnection, TestDb};
#[cfg(feature = "jobs")]
pub use crate::test_jobs::{TestJobs, WaitingJob};
pub use crate::{
    app::TestApp,
    check::Check,
    client::Client,
    crud::{Crud, Step},
    operation::Operation,
    privileges::Privileges,
    program::{Answer, Program},
    reply::Reply,
    request::Request,
};
