//! What the recorded cases do not cover.
use actix_web::{
    App, HttpRequest, HttpResponse,
    http::Method,
    web::{self, Data},
};
use expect_test::expect;
use serde_json::json;
use std::sync::Mutex;
use utils_testing::{Operation, Privileges, TestApp};

use crate::failures::{failure, failure_of};

/// Posts that anybody may read, readers may (wrongly) change, and authors may do everything with.
async fn posts() -> TestApp {
    type Posts = Data<Mutex<Vec<u32>>>;
    async fn answer(request: HttpRequest, posts: Posts) -> HttpResponse {
        let mut posts = posts.lock().unwrap();
        let id = request.match_info().get("id").map(|id| id.parse::<u32>().unwrap());
        if id.is_some_and(|id| !posts.contains(&id)) {
            return HttpResponse::NotFound().finish();
        }
        let header = request.headers().get("authorization").map(|value| value.to_str().unwrap());
        match (request.method(), header) {
            (&Method::GET, _) => HttpResponse::Ok().json(&*posts),
            (_, None) => HttpResponse::Unauthorized().finish(),
            (&Method::PUT, Some("Bearer reader" | "Bearer author")) => HttpResponse::Ok().finish(),
            (_, Some("Bearer reader")) => HttpResponse::Forbidden().finish(),
            (&Method::DELETE, _) => {
                posts.retain(|post| Some(*post) != id);
                HttpResponse::NoContent().finish()
            }
            (&Method::POST, _) if id.is_some() => HttpResponse::Accepted().finish(),
            _ => {
                let id = posts.last().unwrap_or(&0) + 1;
                posts.push(id);
                HttpResponse::Created().json(id)
            }
        }
    }
    let app = App::new().app_data(Data::new(Mutex::new(Vec::<u32>::new())));
    let app = app.route("/posts", web::route().to(answer));
    let app = app
        .route("/posts/{id}", web::route().to(answer))
        .route("/posts/{id}/publish", web::route().to(answer));
    TestApp::new(app).await
}

fn table(app: &TestApp) -> Privileges {
    let maker = app.client().bearer("author");
    app.privileges("/posts").object(move || {
        let post = maker.post("/posts", json!({}));
        async { post.await.expect(201).value() }
    })
}

#[actix_rt::test]
async fn a_table_that_holds_passes_and_each_cell_has_a_fresh_object() {
    let app = posts().await;
    let (anon, reader, author) = (app.client(), app.client().bearer("reader"), app.client().bearer("author"));
    table(&app)
        //              list get  post put  delete
        .row("anon", &anon, [200, 200, 401, 401, 401])
        .row("reader", &reader, [200, 200, 403, 200, 403])
        .row("author", &author, [200, 200, 201, 200, 204])
        .row("author again", &author, [200, 200, 201, 200, 204])
        .run()
        .await;
}

#[actix_rt::test]
async fn all_cells_that_differ_are_reported_at_once_at_the_line_of_the_await() {
    let app = posts().await;
    let (anon, reader) = (app.client(), app.client().bearer("reader"));
    let table = table(&app).row("anon", &anon, [200, 200, 401, 401, 404]);
    let table = table.row("reader", &reader, [200, Privileges::SKIP, 403, 403, 403]);
    let check = async {
        table.run().await;
    };
    let line = line!() - 2;
    let failed = failure_of(check).await.unwrap();
    assert_eq!((failed.file.as_str(), failed.line), (file!(), line));
    expect![[r#"
        privileges of /posts: 2 of 9 differ
                      list      get       post      put       delete
          anon        200       200       401       401       401≠404!
          reader      200       -         403       200≠403!  403

        anon, delete: expected 404, got 401
          > DELETE /posts/3
          < 401 Unauthorized
          < (no body)

        reader, put: expected 403, got 200
          > PUT /posts/4
          > authorization: Bearer reader
          > content-type: application/json
          > {}
          < 200 OK
          < (no body)"#]]
    .assert_eq(&failed.message);
}

#[actix_rt::test]
async fn operations_of_ones_own_are_columns() {
    let app = posts().await;
    let publish = Operation::new("publish", Method::POST, "/{id}/publish");
    let (reader, author) = (app.client().bearer("reader"), app.client().bearer("author"));
    table(&app)
        .columns([Operation::PATCH, publish])
        .row("reader", &reader, [403, 403])
        .row("author", &author, [201, 202])
        .run()
        .await;
}

#[actix_rt::test]
async fn an_operation_of_the_document_that_no_row_tries_is_a_failure() {
    let app = posts().await;
    let document = json!({"paths": {
        "/posts": {"get": {}, "post": {}, "parameters": []},
        "/posts/{post_id}": {"get": {}, "delete": {}, "summary": "one"},
        "/posts/{post_id}/publish": {"post": {}},
        "/postscript": {"get": {}},
        "/users": {"get": {}},
    }});
    let anon = app.client();
    let short = table(&app).covers(&document).row("anon", &anon, [200, 200, 401, 401, Privileges::SKIP]);
    let message = failure_of(short.run()).await.unwrap().message;
    let last = message.lines().last().unwrap();
    assert_eq!(last, "no row tries: DELETE /posts/{post_id}, POST /posts/{post_id}/publish");

    let publish = Operation::new("publish", Method::POST, "/{id}/publish");
    let columns = [Operation::LIST, Operation::GET, Operation::POST, Operation::DELETE, publish];
    table(&app).columns(columns).covers(&document).row("anon", &anon, [200, 200, 401, 401, 401]).run().await;
}

#[actix_rt::test]
async fn tables_that_cannot_be_are_refused() {
    let app = posts().await;
    let anon = app.client();
    let failed = failure(|| app.privileges("/posts").row("anon", &anon, [200, 200]));
    assert!(failed.message.contains("a row needs as many cells as there are columns"), "{}", failed.message);
    let failed = failure(|| table(&app).row("anon", &anon, [200; 5]).columns([Operation::LIST]));
    assert_eq!(failed.message, "the columns have to be set before the rows");
    let failed = failure_of(app.privileges("/posts").row("anon", &anon, [200; 5]).run()).await.unwrap();
    assert_eq!(failed.message, "privileges of /posts: `get` needs an object, call `.object(..)`");
}
