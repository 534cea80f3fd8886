//! Sessions of utils-jobs in handlers that fail with the errors of utils-restful.
use std::time::Duration;

use actix_web::{App, HttpResponse, web};
use diesel::{QueryResult, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_query};
use utils_jobs::Sessions;
use utils_restful::{ApiError, Restful};
use utils_testing::TestApp;

type Db = web::Data<Sessions<SqliteConnection>>;

#[derive(diesel::QueryableByName)]
struct Number {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    n: i64,
}

async fn missing(db: Db) -> Result<HttpResponse, ApiError> {
    let number = db.run(|conn| sql_query("SELECT 1 AS n WHERE 0").get_result::<Number>(conn)).await?;
    Ok(HttpResponse::Ok().json(number.n))
}

async fn taken(db: Db) -> Result<HttpResponse, ApiError> {
    let insert = |conn: &mut SqliteConnection| -> QueryResult<()> {
        conn.batch_execute("CREATE TABLE IF NOT EXISTS names (name TEXT UNIQUE)")?;
        conn.batch_execute("INSERT INTO names VALUES ('ann'), ('ann')")
    };
    db.tx(insert).await?;
    Ok(HttpResponse::Ok().finish())
}

async fn busy(db: Db) -> Result<HttpResponse, ApiError> {
    let _the_only_connection = db.pool().get()?;
    db.run(|conn| conn.batch_execute("SELECT 1")).await?;
    Ok(HttpResponse::Ok().finish())
}

async fn broken(db: Db) -> Result<HttpResponse, ApiError> {
    db.run(|conn| conn.batch_execute("SELECT * FROM secret_table")).await?;
    Ok(HttpResponse::Ok().finish())
}

#[actix_rt::test]
async fn a_failure_in_a_session_has_the_status_of_its_cause() {
    let sessions =
        Sessions::<SqliteConnection>::builder(":memory:").timeout(Duration::from_millis(50)).build().unwrap();
    let app = App::new()
        .app_data(web::Data::new(sessions))
        .route("/missing", web::get().to(missing))
        .route("/taken", web::get().to(taken))
        .route("/busy", web::get().to(busy))
        .route("/broken", web::get().to(broken))
        .wrap(Restful::new());
    let me = TestApp::new(app).await.client();
    for (path, status) in [("/missing", 404), ("/taken", 409), ("/busy", 503), ("/broken", 500)] {
        let reply = me.get(path).await.expect(status).expect_header("content-type", "application/json");
        assert!(!reply.text().contains("names") && !reply.text().contains("secret"), "{reply}");
    }
}
