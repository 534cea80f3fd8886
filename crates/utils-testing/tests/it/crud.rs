//! What the recorded cases do not cover.
use std::sync::Mutex;

use actix_web::{App, HttpResponse, web};
use expect_test::expect;
use serde_json::{Value, json};
use utils_testing::{Crud, Step, TestApp};

use crate::{
    failures::failure_of,
    things::{Things, serve},
};

async fn things(things: Things) -> Crud {
    let (app, _) = serve(things).await;
    app.client().crud("/things").create(json!({"name": "a", "size": 1})).update(json!({"name": "b"}))
}

#[track_caller]
fn first_line(failed: Option<crate::failures::Failure>) -> String {
    failed.expect("it passed").message.lines().next().unwrap().to_owned()
}

#[actix_rt::test]
async fn a_failure_names_step_and_key_at_the_line_of_the_await() {
    let crud = things(Things { fault: "put_not_stored".to_owned(), ..Things::default() }).await;
    let check = async {
        crud.run().await;
    };
    let line = line!() - 2;
    let failed = failure_of(check).await.unwrap();
    assert_eq!((failed.file.as_str(), failed.line), (file!(), line));
    expect![[r#"
        crud of /things: read after update: `name` is "a", expected "b"
          > GET /things/1
          < 200 OK
          < content-type: application/json
          < {"created":"c1","id":1,"name":"a","size":1}"#]]
    .assert_eq(&failed.message);
}

#[actix_rt::test]
async fn each_step_can_be_switched_off() {
    let steps = [Step::List, Step::Create, Step::Read, Step::Update, Step::Delete];
    for off in 0..32 {
        let (app, store) = serve(Things::default()).await;
        let mut crud = app.client().crud("/things").create(json!({"name": "a"})).update(json!({"name": "b"}));
        let has = |step: usize| off & (1 << step) == 0;
        for (index, step) in steps.iter().enumerate().filter(|(index, _)| !has(*index)) {
            let _ = index;
            crud = crud.without(*step);
        }
        crud.run().await;
        let [list, create, read, update, delete] = [0, 1, 2, 3, 4].map(|step| usize::from(has(step)));
        let of_object = create * (1 + list + read + update * (1 + read) + delete * (1 + read) + list);
        assert_eq!(store.asked().len(), list + of_object, "{off:05b}: {:?}", store.asked());
    }
}

#[actix_rt::test]
async fn without_delete_the_last_list_still_has_the_object() {
    let (app, _) = serve(Things::default()).await;
    let crud = app.client().crud("/things").create(json!({"name": "a"})).update(json!({"name": "b"}));
    crud.starts_with(0).without(Step::Delete).run().await;
    app.client().crud("/things").starts_with(1).object(1).update(json!({"name": "c"})).run().await;
    app.client().get("/things/1").await.expect(404);
}

#[actix_rt::test]
async fn a_misspelt_key_is_a_failure_and_not_a_check_that_checks_nothing() {
    let crud = things(Things::default()).await.compares(&["name", "sice"]);
    expect!["crud of /things: create: `sice` is to be compared, but there is no such key to compare with"]
        .assert_eq(&first_line(failure_of(crud.run()).await));
    let crud = things(Things::default()).await.keeps(&["craeted"]);
    expect!["crud of /things: update: it has to keep this: `craeted` is to be compared, but there is no such key to compare with"]
        .assert_eq(&first_line(failure_of(crud.run()).await));
}

#[actix_rt::test]
async fn keeping_something_needs_an_answer_that_shows_it() {
    let things = things(Things { statuses: [("put".to_owned(), 204)].into(), ..Things::default() }).await;
    let crud = things.clone().keeps(&["created"]).without(Step::Read);
    expect!["crud of /things: update: no answer shows what it kept"]
        .assert_eq(&first_line(failure_of(crud.run()).await));
    things.keeps(&["created"]).run().await;
}

#[actix_rt::test]
async fn a_page_that_is_read_as_an_array_says_what_to_call() {
    let crud = things(Things { paginated: true, ..Things::default() }).await;
    expect![[
        r#"crud of /things: list: the answer is not an array; if it is a page, call `.items("items")`"#
    ]]
    .assert_eq(&first_line(failure_of(crud.run()).await));
    let crud = things(Things::default()).await.items("items");
    expect!["crud of /things: list: no list under `items`"]
        .assert_eq(&first_line(failure_of(crud.run()).await));
}

#[derive(serde::Deserialize)]
struct Offset {
    #[serde(default)]
    offset: usize,
}

/// 201 with a Location and no body, pages of 2, PATCH, a path with a slash at its end.
#[actix_rt::test]
async fn answers_without_bodies_and_short_pages_are_fine() {
    type Rows = web::Data<Mutex<Vec<(usize, Value)>>>;
    async fn list(rows: Rows, page: web::Query<Offset>) -> HttpResponse {
        let rows = rows.lock().unwrap();
        let items: Vec<_> = rows.iter().skip(page.offset).take(2).map(|(_, row)| row.clone()).collect();
        HttpResponse::Ok()
            .json(json!({"offset": page.offset, "limit": 2, "totalItems": rows.len(), "items": items}))
    }
    async fn create(rows: Rows, mut body: web::Json<Value>) -> HttpResponse {
        let mut rows = rows.lock().unwrap();
        let id = rows.last().map_or(0, |(id, _)| *id) + 1;
        body["id"] = json!(id.to_string());
        rows.push((id, body.into_inner()));
        HttpResponse::Created().insert_header(("Location", format!("http://host/notes/{id}/?x=1"))).finish()
    }
    async fn read(rows: Rows, id: web::Path<usize>) -> HttpResponse {
        let rows = rows.lock().unwrap();
        rows.iter()
            .find(|(other, _)| *other == *id)
            .map_or_else(|| HttpResponse::NotFound().finish(), |(_, row)| HttpResponse::Ok().json(row))
    }
    async fn update(rows: Rows, id: web::Path<usize>, body: web::Json<Value>) -> HttpResponse {
        let mut rows = rows.lock().unwrap();
        let (_, row) = rows.iter_mut().find(|(other, _)| *other == *id).unwrap();
        row["text"] = body["text"].clone();
        HttpResponse::NoContent().finish()
    }
    async fn delete(rows: Rows, id: web::Path<usize>) -> HttpResponse {
        rows.lock().unwrap().retain(|(other, _)| *other != *id);
        HttpResponse::Accepted().finish()
    }
    let rows: Vec<_> = (1..=5_usize).map(|id| (id, json!({"id": id.to_string()}))).collect();
    let rows = web::Data::new(Mutex::new(rows));
    let one = web::resource("/notes/{id}/").get(read).patch(update).delete(delete);
    let app = App::new().app_data(rows).service(web::resource("/notes/").get(list).post(create)).service(one);
    let crud = TestApp::new(app).await.client().crud("/notes/").item_path("/{id}/").items("items");
    let crud = crud.update_with(actix_web::http::Method::PATCH);
    crud.create(json!({"text": "a"})).update(json!({"text": "b"})).keeps(&["id"]).run().await;
}
