//! The web process: enqueues letters and tells how they stand.
#![expect(clippy::print_stdout, reason = "a program that says where it listens")]

use std::{env, error::Error};

use actix_web::{App, HttpServer};
use webutils::restful::Restful;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listen = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let jobs = jobs::open()?;
    let server = HttpServer::new(move || App::new().configure(jobs::routes(&jobs)).wrap(Restful::new()));
    let server =
        server.workers(2).bind(&listen).map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    for address in server.addrs() {
        println!("listening on http://{address}");
    }
    Ok(server.run().await?)
}
