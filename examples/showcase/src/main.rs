//! One binary that shows the crates together: log-in and devices, items in pages, reports in the background, a web page.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to its user")]

mod app;
mod database;
mod items;
mod login;
mod page;
mod reports;
mod schema;
mod settings;

use std::{error::Error, process::ExitCode, time::Duration};

use actix_web::{App, HttpServer};
use webutils::{
    jobs::{Jobs, Worker},
    restful::Restful,
};

use crate::{app::Parts, reports::ItemsReport, settings::Settings};

#[actix_web::main]
async fn main() -> ExitCode {
    let settings = match Settings::read(std::env::args().skip(1), std::env::var("DATABASE_URL").ok()) {
        Ok(Some(settings)) => settings,
        Ok(None) => {
            println!("{}", settings::HELP);
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("showcase: {problem}\n\n{}", settings::HELP);
            return ExitCode::from(2);
        }
    };
    match serve(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("showcase: {problem}");
            let mut cause = problem.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: Settings) -> Result<(), Box<dyn Error>> {
    let level = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr).init();
    let release = webutils::release::release!(); // the macro: it is this package's version that counts
    tracing::info!(release, "starting");

    let sessions = database::open(&settings.database_url)?;
    // A short lease: the jobs of a killed process are run again within 3 s instead of 40.
    let jobs = Jobs::builder().lease(Duration::from_secs(2)).sessions(sessions.clone());
    jobs.migrate()?;
    let engine = login::engine(&sessions, &database::key(&sessions)?).await?;
    database::seed(&sessions).await?;

    let _upkeep = engine.start().await?; // knows what was revoked before the first request comes
    let worker =
        Worker::new(&jobs).handle::<ItemsReport>().shutdown_within(Duration::from_secs(5)).start()?;

    let parts = Parts::new(sessions, jobs, engine);
    let server = HttpServer::new(move || App::new().configure(app::routes(&parts)).wrap(Restful::new()))
        .workers(2)
        .shutdown_timeout(5)
        .bind(settings.listen)
        .map_err(|error| format!("cannot listen on {}: {error}", settings.listen))?;
    for address in server.addrs() {
        println!("listening on http://{address}");
        println!("log in as demo / demo in a browser, or try");
        println!("  curl -d username=demo -d password=demo http://{address}/api/v1/login");
    }
    server.run().await?;
    worker.stop().await?; // lets a running report end, or puts it back
    Ok(())
}
