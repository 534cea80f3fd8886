//! utils-config and utils-release alone: settings from a file and the environment, and what is wrong with them, all at
//! once. Neither crate brings actix-web.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to its user")]

use std::process::ExitCode;

use serde::Deserialize;
use utils_config::Secret;

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "they are only shown")]
struct Settings {
    listen: std::net::SocketAddr,
    workers: u8,
    database: Database,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "they are only shown")]
struct Database {
    host: String,
    password: Secret<String>,
}

fn main() -> ExitCode {
    println!("release {}", utils_release::release!());
    match utils_config::load("SHOP").optional_file("settings.toml").build::<Settings>() {
        Ok(settings) => {
            println!("{settings}"); // where each came from, secrets masked
            ExitCode::SUCCESS
        }
        Err(problems) => {
            eprintln!("{problems}");
            ExitCode::FAILURE
        }
    }
}
