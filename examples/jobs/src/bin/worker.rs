//! The worker process: writes letters until it is told to stop. Start as many as you like.
use std::error::Error;

use jobs::Letter;
use webutils::jobs::Worker;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let jobs = jobs::open()?;
    // SIGTERM: takes no more jobs and lets the running ones end
    Ok(Worker::new(&jobs).handle::<Letter>().concurrency(4).run().await?)
}
