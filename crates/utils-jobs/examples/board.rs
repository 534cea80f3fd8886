//! Jobs of three kinds, and the apalis board over them, for whoever is on this machine.
//!
//! ```text
//! cargo run -p utils-jobs --example board --features board
//! ```
//! Then open <http://127.0.0.1:8091/>. `/metrics` on port 8092 is for Prometheus: the board wants a port of its own.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpServer, web};
use serde::{Deserialize, Serialize};
use utils_jobs::{Board, Context, Failure, Job, Jobs, Policy, Worker, metrics_route};

#[derive(Serialize, Deserialize)]
struct SendMail {
    to: String,
}

impl Job for SendMail {
    const NAME: &'static str = "mail.send";
    type Output = String;

    fn policy() -> Policy {
        Policy::new().queue("mail").attempts(2).concurrency(2)
    }

    async fn run(self, ctx: Context) -> Result<String, Failure> {
        ctx.progress(0.5, "connected");
        tokio::time::sleep(Duration::from_millis(400)).await;
        if self.to.contains('7') {
            return Err(Failure::new("the mailbox is full"));
        }
        Ok(format!("delivered to {}", self.to))
    }
}

#[derive(Serialize, Deserialize)]
struct Report {
    month: u32,
}

impl Job for Report {
    const NAME: &'static str = "report";
    type Output = u32;

    fn policy() -> Policy {
        Policy::new().queue("reports")
    }

    async fn run(self, _: Context) -> Result<u32, Failure> {
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(self.month * 100)
    }
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let jobs = Jobs::open("memory:")?;
    let worker = Worker::new(&jobs).handle::<SendMail>().handle::<Report>().concurrency(4).start()?;
    jobs.enqueue_many((0..40).map(|n| SendMail { to: format!("user{n}@example.org") })).await?;
    jobs.enqueue_many((1..=12).map(|month| Report { month })).await?;
    jobs.enqueue(Report { month: 1 }.after(Duration::from_secs(3_600))).await?;

    let metrics = web::Data::new(jobs.clone());
    let metrics = HttpServer::new(move || {
        App::new().app_data(metrics.clone()).route("/metrics", web::get().to(metrics_route))
    });
    // An application's guard asks an extractor of its own: Board::new(&jobs, |user: User| user.is_operator)
    let is_local = |request: HttpRequest| request.peer_addr().is_some_and(|peer| peer.ip().is_loopback());
    let board = HttpServer::new(move || App::new().service(Board::new(&jobs, is_local)));

    println!("the board: http://127.0.0.1:8091/   metrics: http://127.0.0.1:8092/metrics");
    let metrics = metrics.workers(1).bind(("127.0.0.1", 8092))?.run();
    let board = board.workers(1).bind(("127.0.0.1", 8091))?.run();
    futures_util::try_join!(metrics, board)?;
    Ok(worker.stop().await?)
}
