//! The showcase as its user sees it: the real binary over a socket.
#![allow(clippy::unwrap_used, reason = "tests")]

mod items; // the resource: pages, faults, who may do what
mod jobs; // reports in the background, also when the process is killed
mod page; // what a browser gets
mod sessions; // log in, renew, list, revoke
mod start; // command line and first start
mod support;
