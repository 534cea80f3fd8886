//! Jobs: the contract on every backend, and what only databases and processes can show.
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod batches;
#[cfg(feature = "board")]
mod board;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod crowd;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod database;
#[cfg(feature = "sqlite")]
mod end_to_end;
mod exposed;
pub(crate) mod flow;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod kill;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod leases;
mod memory;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod outage;
mod plain;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "redis"))]
#[cfg_attr(not(any(feature = "postgres", feature = "mysql")), allow(dead_code))] // some of its ways to fail
mod proxy;
mod recorded;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod refused;
mod relay;
mod release;
mod rules;
mod seeing;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod silent;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod soon;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod ticks;
mod told;
#[cfg(feature = "actix")]
mod web;
