//! Every response and every error of an actix-web application in one JSON shape.
mod body;
mod kind;

pub use crate::{body::ErrorBody, kind::ErrorKind};
