//! A queue that two programs share: `web` enqueues letters, `worker` writes them. `all` is both in one process.
#![expect(clippy::print_stdout, reason = "the programs say where they listen")]

use std::{env, error::Error, time::Duration};

use actix_web::{
    App, HttpResponse, HttpServer,
    web::{self, Data, Path},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use webutils::{
    jobs::{Backoff, Context, Failure, Job, Jobs, JobsError, Policy},
    restful::{OrNotFound, Restful, Result},
    webargs::Json,
};

/// A letter to be written. Both programs know the type; its name and its fields are what stands in the database.
#[derive(Debug, Serialize, Deserialize, garde::Validate)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    /// To whom.
    #[garde(length(chars, min = 1, max = 100))]
    pub to: String,
}

impl Job for Letter {
    const NAME: &'static str = "letters.write";
    type Output = String;

    fn policy() -> Policy {
        let backoff = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(60)).full_jitter();
        Policy::new().queue("letters").attempts(5).backoff(backoff).timeout(Duration::from_secs(30))
    }

    async fn run(self, ctx: Context) -> std::result::Result<String, Failure> {
        ctx.progress(0.5, "the ink dries");
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(format!("Dear {}, greetings from {}", self.to, ctx.name()))
    }
}

/// The queue in the database of `DATABASE_URL`, by default the file `jobs.sqlite`; its tables are made when they are
/// missing.
///
/// # Errors
/// When the URL is none of a database, or the database does not let us in.
pub fn open() -> std::result::Result<Jobs, JobsError> {
    let url = env::var("DATABASE_URL").unwrap_or_else(|_| "sqlite:jobs.sqlite".to_owned());
    let jobs = Jobs::open(&url)?;
    jobs.migrate()?;
    Ok(jobs)
}

/// Serves on the address of `LISTEN`, by default `127.0.0.1:8080`, until it is to stop: then the requests that it has are
/// answered, and no new ones are taken.
///
/// # Errors
/// When the address cannot be had.
pub async fn serve(
    jobs: &Jobs,
    stop: impl Future<Output = ()> + 'static,
) -> std::result::Result<(), Box<dyn Error>> {
    let listen = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let jobs = jobs.clone();
    let server = HttpServer::new(move || App::new().configure(routes(&jobs)).wrap(Restful::new()));
    let server =
        server.workers(2).bind(&listen).map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    for address in server.addrs() {
        println!("listening on http://{address}");
    }
    let server = server.disable_signals().run();
    let handle = server.handle();
    actix_web::rt::spawn(async move {
        stop.await;
        handle.stop(true).await;
    });
    Ok(server.await?)
}

/// `POST /letters` and `GET /letters/{id}`.
pub fn routes(jobs: &Jobs) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    let jobs = Data::new(jobs.clone());
    move |config| {
        config
            .app_data(jobs)
            .service(web::resource("/letters").route(web::post().to(write)))
            .service(web::resource("/letters/{id}").route(web::get().to(read)));
    }
}

async fn write(Json(letter): Json<Letter>, jobs: Data<Jobs>) -> Result<HttpResponse> {
    let id = jobs.enqueue(letter).await?;
    Ok(HttpResponse::Accepted().json(json!({ "id": id.as_str() })))
}

async fn read(id: Path<String>, jobs: Data<Jobs>) -> Result<web::Json<serde_json::Value>> {
    let status = jobs.status(id.as_str()).await?.or_not_found()?;
    Ok(web::Json(json!({
        "state": status.state.as_str(),
        "progress": status.progress,
        "note": status.note,
        "result": status.result,
    })))
}
