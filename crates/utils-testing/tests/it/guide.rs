//! The code of docs/guide/testing.md: it is compiled and run here, and the page shows nothing else.
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpResponse, web};
use diesel::{
    SqliteConnection,
    connection::SimpleConnection,
    prelude::*,
    r2d2::{ConnectionManager, Pool},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utils_jobs::{Clock, Context, Failure, Job, JobConn, Jobs};
use utils_restful::{ApiError, OrNotFound, Restful, ensure};
use utils_testing::{Client, Operation, Step, Template, TestApp, TestJobs};

/// Every line of Rust on the page stands in this file, block by block.
#[test]
fn the_page_shows_only_code_that_runs() {
    let page = include_str!("../../../../docs/guide/testing.md");
    let here: Vec<&str> = include_str!("guide.rs").lines().map(str::trim).collect();
    let mut blocks = 0;
    for block in page.split("```rust\n").skip(1) {
        let block: Vec<&str> = block.split("```").next().unwrap().lines().map(str::trim).collect();
        assert!(
            here.windows(block.len()).any(|lines| lines == block),
            "not in guide.rs:\n{}",
            block.join("\n")
        );
        blocks += 1;
    }
    assert!(blocks >= 7, "{blocks} blocks");
}

diesel::table! { posts { id -> Integer, title -> Text, author -> Text } }

type SqlitePool = Pool<ConnectionManager<SqliteConnection>>;
type Row = (i32, String, String);

fn caller(request: &HttpRequest) -> Result<String, ApiError> {
    let header = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let token = header.and_then(|header| header.strip_prefix("Bearer "));
    ensure!(token.is_some(), UNAUTHORIZED, "Sign in first.");
    Ok(token.unwrap_or_default().to_owned())
}

fn shown((id, title, author): &Row) -> Value {
    json!({"id": id, "title": title, "author": author})
}

async fn list(pool: web::Data<SqlitePool>) -> Result<HttpResponse, ApiError> {
    let rows: Vec<Row> = web::block(move || posts::table.load(&mut pool.get().unwrap())).await??;
    Ok(HttpResponse::Ok()
        .json(json!({"totalItems": rows.len(), "items": rows.iter().map(shown).collect::<Vec<_>>()})))
}

async fn create(
    request: HttpRequest,
    pool: web::Data<SqlitePool>,
    jobs: web::Data<Jobs>,
    body: web::Json<Value>,
) -> Result<HttpResponse, ApiError> {
    let author = caller(&request)?;
    ensure!(author != "reader", FORBIDDEN, "You may only read.");
    let Some(title) = body["title"].as_str().filter(|title| !title.is_empty()).map(str::to_owned) else {
        return Err(ApiError::invalid().field("title", "is missing"));
    };
    let row = web::block(move || {
        let conn: &mut SqliteConnection = &mut pool.get().unwrap();
        conn.immediate_transaction(|conn| {
            let new = (posts::title.eq(title), posts::author.eq(author));
            let row: Row = diesel::insert_into(posts::table)
                .values(new)
                .returning(posts::all_columns)
                .get_result(conn)?;
            announce(conn, &jobs, row.0);
            Ok::<_, diesel::result::Error>(row)
        })
    });
    Ok(HttpResponse::Created().json(shown(&row.await??)))
}

fn announce<C: JobConn>(conn: &mut C, jobs: &Jobs, post: i32) {
    jobs.enqueue_in(conn, Announce { post }.after(Duration::from_secs(3_600))).unwrap();
}

async fn read(pool: web::Data<SqlitePool>, id: web::Path<i32>) -> Result<HttpResponse, ApiError> {
    let row: Option<Row> =
        web::block(move || posts::table.find(*id).first(&mut pool.get().unwrap()).optional()).await??;
    Ok(HttpResponse::Ok().json(shown(&row.or_not_found()?)))
}

async fn update(
    request: HttpRequest,
    pool: web::Data<SqlitePool>,
    id: web::Path<i32>,
    body: web::Json<Value>,
) -> Result<HttpResponse, ApiError> {
    ensure!(caller(&request)? != "reader", FORBIDDEN, "You may only read.");
    let title = body["title"].as_str().unwrap_or_default().to_owned();
    let changed = web::block(move || {
        diesel::update(posts::table.find(*id)).set(posts::title.eq(title)).execute(&mut pool.get().unwrap())
    });
    ensure!(changed.await?? == 1, NOT_FOUND, "No such post.");
    Ok(HttpResponse::NoContent().finish())
}

async fn remove(
    request: HttpRequest,
    pool: web::Data<SqlitePool>,
    id: web::Path<i32>,
) -> Result<HttpResponse, ApiError> {
    ensure!(caller(&request)? != "reader", FORBIDDEN, "You may only read.");
    let removed =
        web::block(move || diesel::delete(posts::table.find(*id)).execute(&mut pool.get().unwrap()))
            .await??;
    ensure!(removed == 1, NOT_FOUND, "No such post.");
    Ok(HttpResponse::NoContent().finish())
}

fn routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/posts").get(list).post(create));
    config.service(web::resource("/posts/{id}").get(read).put(update).delete(remove));
}

#[derive(Serialize, Deserialize)]
struct Announce {
    post: i32,
}

impl Job for Announce {
    const NAME: &'static str = "posts.announce";
    type Output = ();

    async fn run(self, _: Context) -> Result<(), Failure> {
        Ok(())
    }
}

static DATABASE: Template<SqliteConnection> = Template::sqlite(|conn| {
    // here stands `conn.run_pending_migrations(MIGRATIONS)?;`
    utils_jobs::migrate(conn)?;
    conn.batch_execute(
        "CREATE TABLE posts (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, author TEXT NOT NULL)",
    )?;
    Ok(())
});

struct Setup {
    app: TestApp,
    jobs: Jobs,
}

async fn setup() -> Setup {
    let db = DATABASE.fresh();
    let jobs = Jobs::builder().clock(Clock::manual()).sessions(db.sessions());
    let app = App::new()
        .app_data(web::Data::new(db.pool().clone()))
        .app_data(web::Data::new(jobs.clone()))
        .app_data(web::Data::new(db)) // the database goes when the application goes
        .configure(routes)
        .wrap(Restful::new());
    Setup { app: TestApp::new(app).await, jobs }
}

async fn client() -> Client {
    setup().await.app.client()
}

#[actix_web::test]
async fn a_post_has_an_author() {
    let me = client().await.bearer("ann");
    let post = me.post("/posts", json!({"title": "One"})).await.expect(201).value();
    assert_eq!(post["author"], "ann");
}

#[actix_web::test]
async fn a_post_needs_a_title() {
    let me = client().await.bearer("ann");
    me.post("/posts", json!({})).await.expect(422).expect_errors(&["title"]);
}

#[actix_web::test]
async fn posts_can_be_created_read_updated_and_deleted() {
    let me = client().await.bearer("ann");
    me.crud("/posts")
        .items("items")
        .create(json!({"title": "One"}))
        .update(json!({"title": "Two"}))
        .keeps(&["author"])
        .run()
        .await;
}

#[actix_web::test]
async fn posts_need_no_update() {
    let me = client().await.bearer("ann");
    me.crud("/posts").items("items").create(json!({"title": "One"})).without(Step::Update).run().await;
}

#[actix_web::test]
async fn everybody_may_do_what_they_may() {
    let Setup { app, .. } = setup().await;
    let (anon, reader, ann) = (app.client(), app.client().bearer("reader"), app.client().bearer("ann"));
    let maker = ann.clone();
    app.privileges("/posts")
        .body(json!({"title": "x"}))
        .object(move || {
            let post = maker.post("/posts", json!({"title": "fresh"}));
            async { post.await.expect(201).value()["id"].clone() }
        })
        //                  list get  post put  delete
        .row("anon", &anon, [200, 200, 401, 401, 401])
        .row("reader", &reader, [200, 200, 403, 403, 403])
        .row("ann", &ann, [200, 200, 201, 204, 204])
        .run()
        .await;
}

#[actix_web::test]
async fn patch_is_not_allowed() {
    let Setup { app, .. } = setup().await;
    let anon = app.client();
    app.privileges("/posts").columns([Operation::PATCH]).object_id(1).row("anon", &anon, [405]).run().await;
}

#[actix_web::test]
async fn a_post_is_announced_an_hour_later() {
    let Setup { app, jobs } = setup().await;
    let mut background = TestJobs::new(&jobs, |worker| worker.handle::<Announce>());

    let post = app.client().bearer("ann").post("/posts", json!({"title": "One"})).await.expect(201).value();

    let announce = background.expect_one::<Announce>().await;
    assert_eq!(announce.job.post, post["id"]);
    assert_eq!(announce.starts_in, Duration::from_secs(3_600));
    assert_eq!(background.advance(Duration::from_secs(3_600)).await.succeeded, 1);
    background.expect_nothing().await;
}

#[actix_web::test]
async fn a_refused_post_is_not_announced() {
    let Setup { app, jobs } = setup().await;
    app.client().bearer("reader").post("/posts", json!({"title": "One"})).await.expect(403);
    TestJobs::new(&jobs, |worker| worker).expect_nothing().await;
}
