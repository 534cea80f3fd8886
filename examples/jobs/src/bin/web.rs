//! The web process: enqueues letters and tells how they stand.
use std::error::Error;

use webutils::jobs::shutdown_signal;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let jobs = jobs::open()?;
    jobs::serve(&jobs, shutdown_signal()).await
}
