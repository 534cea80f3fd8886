//! The example as its user sees it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod golden; // what the original did, replayed
mod program; // the real binary over a socket
