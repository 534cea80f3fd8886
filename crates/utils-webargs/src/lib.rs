//! Typed request arguments for actix-web; every wrong field reported at once.
mod engine;
mod rules;

pub use crate::{
    engine::{Fault, Faults, Problem, Reading, collect},
    rules::{between, collect_valid, length_between, one_of},
};
