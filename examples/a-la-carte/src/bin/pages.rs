//! utils-pagination alone: `GET /words?offset=&limit=` over a table, without any other crate of the kit.
#![expect(clippy::print_stdout, reason = "a program that says where it listens")]

use std::error::Error;

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer, error, get,
    web::{self, Data},
};
use diesel::{
    connection::SimpleConnection,
    prelude::*,
    r2d2::{ConnectionManager, Pool},
};
use utils_pagination::{PageParams, Paginate};

diesel::table! {
    /// What is paged through.
    words (id) {
        /// Its place.
        id -> Integer,
        /// The word.
        text -> Text,
    }
}

type Db = Pool<ConnectionManager<SqliteConnection>>;

#[get("/words")]
async fn list(
    request: HttpRequest,
    params: PageParams<10, 50>,
    db: Data<Db>,
) -> actix_web::Result<HttpResponse> {
    let page = web::block(move || {
        let mut conn = db.get().map_err(|error| error.to_string())?;
        let page = words::table.select(words::text).paginate(params).order_by(words::id);
        page.load::<String, _>(&mut conn).map_err(|error| error.to_string())
    });
    let page = page.await?.map_err(error::ErrorInternalServerError)?;
    Ok(HttpResponse::Ok().insert_header(page.links(&request)).json(page))
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // one connection: a database in memory belongs to it
    let db = Db::builder().max_size(1).build(ConnectionManager::new(":memory:"))?;
    db.get()?.batch_execute(
        "CREATE TABLE words (id INTEGER PRIMARY KEY NOT NULL, text TEXT NOT NULL);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 95)
         INSERT INTO words SELECT i, 'word ' || i FROM n;",
    )?;
    let port = std::env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let server = HttpServer::new(move || App::new().app_data(Data::new(db.clone())).service(list)).workers(1);
    let server = server.bind(format!("127.0.0.1:{port}"))?;
    for address in server.addrs() {
        println!("listening on http://{address}, try http://{address}/words?offset=40&limit=3");
    }
    Ok(server.run().await?)
}
