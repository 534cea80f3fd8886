//! The board: who sees it, and that what its pages ask for is what the table holds.
use std::future::{Ready, ready};

use actix_web::{
    App, FromRequest, HttpRequest, HttpResponse, dev::Payload, error, http::StatusCode, test,
    test::TestRequest, web,
};
use serde_json::{Value, json};
use utils_jobs::{Board, Clock, Job, Jobs, Worker};

use super::seeing::Letter;

/// An extractor as an application has one: the header says who it is.
struct User(String);

impl FromRequest for User {
    type Error = error::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let name = request.headers().get("user").and_then(|name| name.to_str().ok());
        ready(name.map(|name| Self(name.to_owned())).ok_or_else(|| error::ErrorUnauthorized("who are you?")))
    }
}

fn is_operator(user: User) -> bool {
    user.0 == "operator"
}

/// Jobs in each state apalis has a word for.
async fn some() -> Jobs {
    let jobs = Jobs::builder().clock(Clock::manual()).open("memory:").unwrap();
    let mut worker = Worker::new(&jobs).handle::<Letter>();
    jobs.enqueue_many([Letter::Fine, Letter::Bad, Letter::Later]).await.unwrap();
    assert_eq!(worker.run_due().await.unwrap().total(), 3);
    let cancelled = jobs.enqueue(Letter::Fine).await.unwrap();
    jobs.cancel(&cancelled).await.unwrap();
    jobs.enqueue(Letter::Fine.with().queue("other")).await.unwrap();
    jobs
}

async fn get(jobs: &Jobs, path: &str) -> (StatusCode, String) {
    let app = test::init_service(App::new().service(Board::new(jobs, is_operator))).await;
    let request = TestRequest::get().uri(path).insert_header(("user", "operator")).to_request();
    let answer = test::call_service(&app, request).await;
    let status = answer.status();
    (status, String::from_utf8_lossy(&test::read_body(answer).await).into_owned())
}

async fn api(jobs: &Jobs, path: &str) -> Value {
    let (status, body) = get(jobs, &format!("/api/v1{path}")).await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

#[actix_rt::test]
async fn nobody_gets_in_but_by_the_guard() {
    let jobs = some().await;
    let app = App::new().service(Board::new(&jobs, is_operator));
    let app = test::init_service(app).await;
    for path in
        ["/", "/queues", "/index.html", "/no/such/page", "/api/v1/tasks", "/api/v1/queues/other/tasks"]
    {
        for (user, expected) in [(None, 401), (Some("guest"), 404), (Some("operator"), 200)] {
            let mut request = TestRequest::get().uri(path);
            if let Some(user) = user {
                request = request.insert_header(("user", user));
            }
            let answer = test::try_call_service(&app, request.to_request()).await;
            let status =
                answer.map_or_else(|error| error.as_response_error().status_code(), |ok| ok.status());
            assert_eq!(status, expected, "{path} for {user:?}");
        }
    }
}

#[actix_rt::test]
async fn the_board_changes_nothing() {
    let jobs = some().await;
    let app = test::init_service(App::new().service(Board::new(&jobs, is_operator))).await;
    let before = jobs.counts().await.unwrap();
    for request in [TestRequest::put(), TestRequest::post(), TestRequest::delete(), TestRequest::patch()] {
        let request = request.uri("/api/v1/queues/other/tasks").insert_header(("user", "operator"));
        let answer = test::try_call_service(&app, request.set_json("Fine").to_request()).await;
        let status = answer.map_or_else(|error| error.as_response_error().status_code(), |ok| ok.status());
        assert_eq!(status, 405);
    }
    assert_eq!(jobs.counts().await.unwrap(), before);
}

#[actix_rt::test]
async fn pages_are_served_at_every_path_and_load_nothing_from_elsewhere() {
    let jobs = some().await;
    for path in ["/", "/queues", "/tasks?status=Failed"] {
        let (status, page) = get(&jobs, path).await;
        assert_eq!(status, 200);
        assert!(page.contains("<base href=\"/\""), "{page}");
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("\"//"), "{page}");
    }
}

#[actix_rt::test]
async fn on_a_host_of_its_own_the_other_hosts_keep_their_pages() {
    let jobs = some().await;
    let app = App::new()
        .service(Board::new(&jobs, is_operator).host("jobs.example.org"))
        .route("/queues", web::get().to(async || HttpResponse::Ok().body("mine")));
    let app = test::init_service(app).await;
    let to = |host: &str| {
        TestRequest::get().uri("/queues").insert_header(("host", host)).insert_header(("user", "operator"))
    };
    assert_eq!(test::call_and_read_body(&app, to("example.org").to_request()).await, "mine");
    let board = test::call_and_read_body(&app, to("jobs.example.org").to_request()).await;
    assert!(board.starts_with(b"<!DOCTYPE html>"), "{board:?}");
}

#[actix_rt::test]
async fn the_api_tells_what_the_table_holds() {
    let jobs = some().await;
    let overview = api(&jobs, "/overview").await;
    let number = |title: &str| {
        let found = overview.as_array().unwrap().iter().find(|each| each["title"] == title).unwrap();
        found["value"].as_str().unwrap().parse::<u64>().unwrap()
    };
    let titles = ["TOTAL_JOBS", "PENDING_JOBS", "RUNNING_JOBS", "DONE_JOBS", "FAILED_JOBS", "KILLED_JOBS"];
    assert_eq!(titles.map(number), [5, 2, 0, 1, 1, 1], "{overview}");

    let queues = api(&jobs, "/queues").await;
    let names: Vec<_> = queues.as_array().unwrap().iter().map(|queue| &queue["name"]).collect();
    assert_eq!(names, ["other", "post \"A\", B"]);
    assert_eq!(queues[1]["activity"], json!([0, 0, 0, 0, 0, 0, 0]), "now is not before now");

    let failed = api(&jobs, "/tasks?status=Failed").await;
    assert_eq!(failed.as_array().unwrap().len(), 1, "{failed}");
    let (args, ctx) = (&failed[0]["args"], &failed[0]["ctx"]);
    assert_eq!(
        (args, &ctx["status"], &ctx["queue"]),
        (&json!("Bad"), &json!("Failed"), &json!("post \"A\", B"))
    );
    assert_eq!(ctx["metadata"]["job.error"], "no such street", "{ctx}");
    let id = ctx["task_id"].as_str().unwrap();
    let same = api(&jobs, &format!("/queues/post%20%22A%22,%20B/tasks/{id}")).await;
    assert_eq!(same["ctx"]["metadata"]["job.name"], "letter");
    assert_eq!(get(&jobs, &format!("/api/v1/queues/other/tasks/{id}")).await.0, 404);

    // pages from the newest on, whatever is asked for
    let all = api(&jobs, "/queues/post%20%22A%22,%20B/tasks?page=1&page_size=3").await;
    assert_eq!(all.as_array().unwrap().len(), 3);
    let rest = api(&jobs, "/queues/post%20%22A%22,%20B/tasks?page=2&page_size=3").await;
    assert_eq!(rest.as_array().unwrap().len(), 1);
    assert_eq!(api(&jobs, "/tasks?page=0&page_size=0").await.as_array().unwrap().len(), 1);
    assert_eq!(api(&jobs, "/tasks?page=4294967295&page_size=4294967295").await, json!([]));
    assert_eq!(api(&jobs, "/tasks?status=Queued").await, json!([]));
    assert_eq!(get(&jobs, "/api/v1/nothing").await.0, 404);
}
