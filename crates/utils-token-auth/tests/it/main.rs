//! The crate's integration tests: one binary, one module for each part.
#![allow(clippy::unwrap_used)] // also in the functions that tests share
mod attacks_http;
mod attacks_refresh;
mod claims;
mod cookies;
mod delays;
#[cfg(feature = "sqlite")]
mod dump;
mod faulty_stores;
mod flask_utils;
mod forge;
mod hooked;
mod http_app;
mod http_extract;
mod http_oauth;
mod http_requirements;
mod http_restful;
mod http_routes;
mod jws_cache;
mod jws_differential;
mod jws_engine;
mod jws_header;
mod jws_shape;
mod keys;
#[cfg(feature = "utoipa")]
mod openapi;
#[cfg(feature = "password")]
mod password;
#[cfg(feature = "redis")]
mod redis;
mod refresh;
#[cfg(feature = "sqlite")]
mod revocation;
mod security_reference;
mod sessions;
mod sims;
mod spy;
mod stores;
mod support;
#[cfg(feature = "password")]
mod throttle;
mod tutorial;
mod vectors;
