//! What is seen over HTTP.
use std::time::Duration;

use actix_web::{
    App, HttpResponse, error,
    http::header,
    middleware::from_fn,
    test,
    test::TestRequest,
    web::{self, Data, Path},
};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utils_jobs::{
    Context, Failure, Job, Jobs, ProgressStream, TraceParent, Worker, metrics_route, trace_requests,
};

#[derive(Serialize, Deserialize)]
struct Steps(u32);

impl Job for Steps {
    const NAME: &'static str = "steps";
    type Output = u32;

    async fn run(self, ctx: Context) -> Result<u32, Failure> {
        ctx.progress(0.5, "two\nlines");
        tokio::time::sleep(Duration::from_millis(600)).await;
        Ok(self.0)
    }
}

async fn progress(jobs: Data<Jobs>, id: Path<String>) -> actix_web::Result<ProgressStream> {
    let status = jobs.status(&*id).await.map_err(error::ErrorServiceUnavailable)?;
    let status = status.ok_or_else(|| error::ErrorNotFound("no such job"))?;
    let show = |status: &utils_jobs::JobStatus| json!({ "state": status.state, "progress": status.progress, "note": status.note, "result": status.result });
    let quick = Duration::from_millis(50);
    Ok(ProgressStream::new(&jobs, status).poll(quick).keep_alive(Duration::from_millis(150)).show(show))
}

/// The events as (name, data), and how many comments came.
fn read(text: &str) -> (Vec<(String, Value)>, usize) {
    let mut events = Vec::new();
    let mut comments = 0;
    for block in text.split_terminator("\n\n") {
        if block.starts_with(':') {
            comments += 1;
            continue;
        }
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
        events.push((field("event: ").unwrap(), serde_json::from_str(&field("data: ").unwrap()).unwrap()));
    }
    (events, comments)
}

#[actix_rt::test]
async fn the_progress_of_a_job_is_streamed_until_its_end() {
    let jobs = Jobs::open("memory:").unwrap();
    let app = App::new().app_data(Data::new(jobs.clone())).route("/jobs/{id}", web::get().to(progress));
    let app = test::init_service(app).await;
    let id = jobs.enqueue(Steps(7)).await.unwrap();
    let worker = Worker::new(&jobs).handle::<Steps>().start().unwrap();

    let answer = test::call_service(&app, TestRequest::get().uri(&format!("/jobs/{id}")).to_request()).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers().get(header::CONTENT_TYPE).unwrap(), "text/event-stream");
    assert_eq!(answer.headers().get(header::CACHE_CONTROL).unwrap(), "no-store");
    let body = test::read_body(answer).await;
    let (events, comments) = read(std::str::from_utf8(&body).unwrap());

    assert!(comments >= 1, "{body:?}");
    assert!(events.iter().all(|(name, _)| name == "status"), "{events:?}");
    let half = json!({ "state": "running", "progress": 0.5, "note": "two\nlines", "result": null });
    assert_eq!(events.iter().filter(|(_, data)| *data == half).count(), 1, "{events:?}");
    let (_, last) = events.last().unwrap();
    assert_eq!((&last["state"], &last["result"]), (&json!("done"), &json!(7)), "{events:?}");
    assert!(events.windows(2).all(|two| two[0] != two[1]), "only changes are sent: {events:?}");
    worker.stop().await.unwrap();

    // A client that has seen the end is told not to come back.
    let again = TestRequest::get().uri(&format!("/jobs/{id}")).insert_header(("last-event-id", "end"));
    assert_eq!(test::call_service(&app, again.to_request()).await.status(), 204);
    // Who comes late gets the end at once.
    let late = TestRequest::get().uri(&format!("/jobs/{id}")).to_request();
    let body = test::call_and_read_body(&app, late).await;
    let (events, _) = read(std::str::from_utf8(&body).unwrap());
    assert_eq!(events.len(), 1, "{events:?}");
    // The handler decides.
    let none = TestRequest::get().uri("/jobs/none").to_request();
    assert_eq!(test::call_service(&app, none).await.status(), 404);
}

#[actix_rt::test]
async fn a_stream_ends_in_time_and_when_the_job_is_gone() {
    let jobs = Jobs::open("memory:?retention=1d").unwrap();
    let id = jobs.enqueue(Steps(1)).await.unwrap();
    let status = jobs.status(&id).await.unwrap().unwrap();
    let stream = ProgressStream::new(&jobs, status.clone()).at_most(Duration::from_millis(120));
    let events: Vec<_> = stream.events().collect().await;
    assert_eq!(events.len(), 1, "{events:?}");

    jobs.cancel(&id).await.unwrap();
    jobs.advance(Duration::from_secs(60));
    jobs.purge(utils_jobs::State::Cancelled, Duration::from_secs(1)).await.unwrap();
    let stream = ProgressStream::new(&jobs, status).poll(Duration::from_millis(50));
    let events: Vec<_> = stream.events().map(|event| event.unwrap()).collect().await;
    assert_eq!(events.last().unwrap(), "event: gone\nid: end\ndata: {}\n\n");
}

#[actix_rt::test]
async fn the_ends_of_other_jobs_do_not_make_a_stream_busy() {
    let jobs = Jobs::open("memory:").unwrap();
    let id = jobs.enqueue(Steps(1)).await.unwrap();
    let status = jobs.status(&id).await.unwrap().unwrap();
    let looks = std::rc::Rc::new(std::cell::Cell::new(0));
    let counted = std::rc::Rc::clone(&looks);
    let stream = ProgressStream::new(&jobs, status)
        .poll(Duration::from_secs(5))
        .at_most(Duration::from_millis(500))
        .show(move |_| json!(counted.replace(counted.get() + 1)));
    let busy = jobs.clone();
    let noise = actix_web::rt::spawn(async move {
        loop {
            let other = busy.enqueue(Steps(2)).await.unwrap();
            busy.cancel(&other).await.unwrap();
        }
    });
    let _: Vec<_> = stream.events().collect().await;
    noise.abort();
    assert_eq!(looks.get(), 2, "at the beginning and at the end");
}

#[actix_rt::test]
async fn a_request_and_the_job_that_it_enqueues_have_one_trace() {
    async fn enqueue(jobs: Data<Jobs>, trace: web::ReqData<TraceParent>) -> HttpResponse {
        let id = jobs.enqueue(Steps(1)).await.unwrap();
        let status = jobs.status(&id).await.unwrap().unwrap();
        assert_eq!(status.meta["traceparent"], trace.to_string());
        HttpResponse::Ok().body(trace.to_string())
    }
    let jobs = Jobs::memory();
    let app = App::new()
        .app_data(Data::new(jobs))
        .wrap(from_fn(trace_requests))
        .route("/", web::post().to(enqueue));
    let app = test::init_service(app).await;
    let sent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let with = TestRequest::post().uri("/").insert_header(("traceparent", sent)).to_request();
    assert_eq!(test::call_and_read_body(&app, with).await, sent);
    let malformed = TestRequest::post().uri("/").insert_header(("traceparent", "00-zz")).to_request();
    let new = test::call_and_read_body(&app, malformed).await;
    assert_ne!(new, sent);
    assert!(std::str::from_utf8(&new).unwrap().parse::<TraceParent>().is_ok());
}

#[actix_rt::test]
async fn metrics_are_answered_in_the_format_of_prometheus() {
    let jobs = Jobs::memory();
    jobs.enqueue(Steps(1)).await.unwrap();
    let app = App::new().app_data(Data::new(jobs)).route("/metrics", web::get().to(metrics_route));
    let app = test::init_service(app).await;
    let answer = test::call_service(&app, TestRequest::get().uri("/metrics").to_request()).await;
    assert_eq!(answer.headers().get(header::CONTENT_TYPE).unwrap(), utils_jobs::METRICS_CONTENT_TYPE);
    let text = test::read_body(answer).await;
    let text = std::str::from_utf8(&text).unwrap();
    assert!(text.contains("utils_jobs_jobs{queue=\"default\",state=\"waiting\"} 1\n"), "{text}");
}
