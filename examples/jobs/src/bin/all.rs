//! Web and worker in one process, where one is enough. More of either may run beside it.
use std::error::Error;

use jobs::Letter;
use webutils::jobs::{Worker, shutdown_signal};

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let jobs = jobs::open()?;
    let serves = jobs::serve(&jobs, shutdown_signal());
    // Both hear of SIGTERM by themselves, and when one fails the other does not go on alone.
    let works = async { Ok(Worker::new(&jobs).handle::<Letter>().concurrency(4).run().await?) };
    tokio::try_join!(serves, works)?;
    Ok(())
}
