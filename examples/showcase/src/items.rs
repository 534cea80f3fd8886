//! Items: a resource in pages, for tokens with the scopes `items:read` and `items:write`.
use actix_web::{
    HttpRequest, HttpResponse,
    http::header::LOCATION,
    web::{self, Data, Path},
};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use webutils::{
    pagination::{PageParams, Paginate},
    restful::{OrNotFound, OrRespond, Result, ensure},
    token_auth::Auth,
    webargs::{Json, between},
};

use crate::{database::Db, login::Claims, schema::items};

#[derive(Queryable, Selectable, Serialize)]
struct Item {
    id: i32,
    name: String,
    quantity: i32,
    note: Option<String>,
}

/// What a client says of an item.
#[derive(Deserialize, garde::Validate, Insertable, AsChangeset)]
#[diesel(table_name = items, treat_none_as_null = true)]
#[serde(deny_unknown_fields)]
pub(crate) struct ItemFields {
    #[garde(length(chars, min = 1, max = 80))]
    name: String,
    #[garde(custom(between(0, 1_000_000)))]
    quantity: i32,
    #[garde(length(chars, max = 500))]
    note: Option<String>,
}

/// `/items` and `/items/{id}`.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/items").route(web::get().to(list)).route(web::post().to(create))).service(
        web::resource("/items/{id}")
            .route(web::get().to(read))
            .route(web::put().to(update))
            .route(web::delete().to(delete)),
    );
}

async fn list(
    request: HttpRequest,
    auth: Auth<Claims>,
    params: PageParams,
    sessions: Data<Db>,
) -> Result<HttpResponse> {
    auth.require("items:read").or_respond()?;
    let page = sessions
        .run(move |conn| {
            items::table
                .select(Item::as_select())
                .paginate(params)
                .order_by(items::id.asc())
                .load::<Item, _>(conn)
        })
        .await?;
    Ok(HttpResponse::Ok().insert_header(page.links(&request)).json(page))
}

async fn create(
    request: HttpRequest,
    auth: Auth<Claims>,
    Json(fields): Json<ItemFields>,
    sessions: Data<Db>,
) -> Result<HttpResponse> {
    auth.require("items:write").or_respond()?;
    let insert = diesel::insert_into(items::table).values(fields).returning(Item::as_returning());
    let item = sessions.run(move |conn| insert.get_result(conn)).await?;
    let location = format!("{}/{}", request.path(), item.id);
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(item))
}

async fn read(auth: Auth<Claims>, id: Path<i32>, sessions: Data<Db>) -> Result<web::Json<impl Serialize>> {
    auth.require("items:read").or_respond()?;
    let item = items::table.find(*id).select(Item::as_select());
    let item = sessions.run(move |conn| item.first(conn).optional()).await?;
    item.or_not_found().map(web::Json)
}

async fn update(
    auth: Auth<Claims>,
    id: Path<i32>,
    Json(fields): Json<ItemFields>,
    sessions: Data<Db>,
) -> Result<web::Json<impl Serialize>> {
    auth.require("items:write").or_respond()?;
    let update = diesel::update(items::table.find(*id)).set(fields).returning(Item::as_returning());
    let item = sessions.run(move |conn| update.get_result(conn).optional()).await?;
    item.or_not_found().map(web::Json)
}

async fn delete(auth: Auth<Claims>, id: Path<i32>, sessions: Data<Db>) -> Result<HttpResponse> {
    auth.require("items:write").or_respond()?;
    let delete = diesel::delete(items::table.find(*id));
    let deleted = sessions.run(move |conn| delete.execute(conn)).await?;
    ensure!(deleted > 0, NOT_FOUND);
    Ok(HttpResponse::NoContent().finish())
}
