//! An application that can go wrong in every way, and the one way to ask it.
use std::io;

use actix_web::{
    Error, HttpResponse,
    body::{MessageBody, to_bytes},
    dev::{ServiceRequest, ServiceResponse},
    error,
    http::{
        StatusCode,
        header::{self, HeaderMap},
    },
    middleware::Next,
    test::{self, TestRequest},
    web::{self, ServiceConfig},
};
use serde::Deserialize;
use serde_json::{Value, json};
use utils_restful::{ApiError, ErrorBody, ErrorKind, OrNotFound, Plain, RequestId, Restful, message};

/// What no answer may contain.
pub(crate) const SECRETS: [&str; 3] = ["hunter2", "/srv/private", "panic text"];

static SOLD_OUT: ErrorKind = ErrorKind::new("sold_out", StatusCode::CONFLICT, "Try another one.");

#[derive(Deserialize)]
struct Person {
    age: u8,
}

/// What a client sees.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// One line that a person can read.
    pub(crate) fn line(&self) -> String {
        format!("{} {} {}", self.status.as_u16(), self.header("content-type"), self.body)
    }
}

/// Sends a request to the application below with `restful` around it.
pub(crate) async fn ask(restful: Restful, request: TestRequest) -> Answer {
    let app = actix_web::App::new()
        .app_data(web::JsonConfig::default().limit(64))
        .configure(routes)
        .wrap(actix_web::middleware::from_fn(gate))
        .wrap(restful);
    let service = test::init_service(app).await;
    // a server turns an `Err` into its response just so
    let response = match test::try_call_service(&service, request.to_request()).await {
        Ok(response) => response.into_parts().1.map_into_boxed_body(),
        Err(error) => error.error_response(),
    };
    read(response).await
}

pub(crate) async fn read(response: HttpResponse) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    let Ok(bytes) = to_bytes(response.into_body()).await else { panic!("the body broke off") };
    Answer { status, headers, body: String::from_utf8(bytes.to_vec()).unwrap() }
}

/// A request with everything that a line of a table says.
pub(crate) fn request(line: &str) -> TestRequest {
    let mut words = line.splitn(4, ' ');
    let method = words.next().unwrap().parse().unwrap();
    let mut request =
        TestRequest::with_uri(words.next().unwrap()).method(method).insert_header(("x-request-id", "req-1"));
    if let Some(content_type) = words.next() {
        request = request
            .insert_header((header::CONTENT_TYPE, content_type))
            .set_payload(words.next().unwrap_or_default().to_owned());
    }
    request
}

/// Another middleware, inside: it refuses some paths without asking the handlers.
async fn gate<B: MessageBody>(req: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    match req.path() {
        "/gate/401" => {
            let mut refused = error::ErrorUnauthorized("Sign in first.");
            refused.add_response_mapper(|mut response| {
                let challenge = header::HeaderValue::from_static("Bearer");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
                response
            });
            Err(refused)
        }
        "/gate/response" => {
            let response = HttpResponse::Forbidden().body("Not from here.");
            Err(error::InternalError::from_response("hunter2", response).into())
        }
        "/gate/500" => Err(error::ErrorInternalServerError("password=hunter2")),
        "/gate/io" => Err(io::Error::new(io::ErrorKind::NotFound, "/srv/private/x is not there").into()),
        "/gate/panic" => panic!("panic text"),
        _ => next.call(req).await,
    }
}

pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/only-post").route(web::post().to(async || "ok")))
        .route("/json", web::post().to(async |_: web::Json<Person>| "ok"))
        .route("/query", web::get().to(async |_: web::Query<Person>| "ok"))
        .route("/form", web::post().to(async |_: web::Form<Person>| "ok"))
        .route("/path/{n}", web::get().to(async |n: web::Path<u8>| format!("number {n}")))
        .route("/header", web::get().to(async |_: web::Header<header::ContentType>| "ok"))
        .route("/age", web::post().to(async |body: web::Json<Person>| format!("{} years", body.age)));
    config
        .route("/fs", web::get().to(async || Ok::<_, ApiError>(std::fs::read_to_string("/srv/private")?)))
        .route("/io/500", web::get().to(async || Err::<String, _>(io::Error::other("password=hunter2"))))
        .route(
            "/io/404",
            web::get().to(async || {
                Err::<String, _>(io::Error::new(io::ErrorKind::NotFound, "/srv/private/x is not there"))
            }),
        )
        .route(
            "/std/503",
            web::get().to(async || Err::<String, _>(error::ErrorServiceUnavailable("hunter2"))),
        )
        .route("/text/500", web::get().to(async || ("password=hunter2", StatusCode::INTERNAL_SERVER_ERROR)))
        .route("/text/503", web::get().to(async || ("Back at noon.", StatusCode::SERVICE_UNAVAILABLE)))
        .route("/text/403", web::get().to(async || ("That is not yours.", StatusCode::FORBIDDEN)))
        .route("/body/400", web::get().to(async || HttpResponse::BadRequest().body("What?")))
        .route("/bytes/400", web::get().to(async || HttpResponse::BadRequest().body(&b"\xff\xfe"[..])))
        .route("/bare/410", web::get().to(async || HttpResponse::Gone().finish()))
        .route("/panic", web::get().to(async || -> String { panic!("panic text") }))
        .route("/panic/at-once", web::get().to(panics_at_once));
    config
        .route(
            "/api/403",
            web::get().to(async || Err::<String, _>(ApiError::from_status(StatusCode::FORBIDDEN))),
        )
        .route(
            "/api/500",
            web::get().to(async || {
                Err::<String, _>(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "The printer is on fire."))
            }),
        )
        .route(
            "/api/429",
            web::get().to(async || {
                let later = header::HeaderValue::from_static("7");
                Err::<String, _>(
                    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "Slow down.")
                        .header(header::RETRY_AFTER, later),
                )
            }),
        )
        .route(
            "/api/kind",
            web::get().to(async || Err::<String, _>(ApiError::of(&SOLD_OUT, "No tickets left."))),
        )
        .route("/api/none", web::get().to(async || None::<String>.or_not_found()))
        .route(
            "/api/fields",
            web::get().to(async || {
                Err::<String, _>(
                    ApiError::invalid()
                        .field("age", "must be 18 or more")
                        .field("age", "must be even")
                        .field("tags[1]", "is empty"),
                )
            }),
        )
        .route(
            "/api/mixed",
            web::get().to(async || {
                Err::<String, _>(
                    ApiError::invalid()
                        .field("_errors", "no such field")
                        .message("All of it is odd.")
                        .field("a", "is odd"),
                )
            }),
        )
        .route("/kind", web::get().to(async || SOLD_OUT.respond("No tickets left.")))
        .route(
            "/kind/fields",
            web::get().to(async || SOLD_OUT.respond_with(&ErrorBody::field("seat", "is taken"))),
        );
    config
        .route("/own/json", web::get().to(async || HttpResponse::Conflict().json(json!({"mine": 1}))))
        .route(
            "/own/html",
            web::get().to(async || HttpResponse::NotFound().content_type("text/html").body("<h1>no</h1>")),
        )
        .route("/own/long", web::get().to(async || HttpResponse::BadGateway().json("long ".repeat(100_000))))
        .route("/own/stream", web::get().to(async || HttpResponse::BadGateway().streaming(chunks())))
        .route(
            "/own/packed",
            web::get().to(async || {
                HttpResponse::NotFound().insert_header((header::CONTENT_ENCODING, "br")).body("packed")
            }),
        )
        .route(
            "/page",
            web::get().to(async || HttpResponse::Ok().content_type("text/html").body("<h1>yes</h1>")),
        );
    config
        .route("/text", web::get().to(async || "hello"))
        .route("/text", web::head().to(async || "hello"))
        .route("/text/empty", web::get().to(async || ""))
        .route("/text/201", web::get().to(async || ("made", StatusCode::CREATED)))
        .route("/text/301", web::get().to(async || ("moved", StatusCode::MOVED_PERMANENTLY)))
        .route("/text/204", web::get().to(async || HttpResponse::NoContent().finish()))
        .route(
            "/text/metrics",
            web::get()
                .to(async || HttpResponse::Ok().content_type("text/plain; version=0.0.4").body("up 1\n")),
        )
        .route(
            "/text/download",
            web::get().to(async || {
                HttpResponse::Ok()
                    .content_type("text/plain")
                    .insert_header((header::CONTENT_DISPOSITION, "attachment"))
                    .body("rows")
            }),
        )
        .route(
            "/text/stream",
            web::get().to(async || {
                HttpResponse::Ok().content_type("text/plain; charset=utf-8").streaming(chunks())
            }),
        )
        .route("/text/plain", web::get().to(async || Plain("as it is")))
        .route("/message", web::get().to(async || message("made").with_status(StatusCode::CREATED)))
        .route(
            "/message/500",
            web::get().to(async || {
                message("The printer is on fire.").with_status(StatusCode::INTERNAL_SERVER_ERROR)
            }),
        )
        .route(
            "/vary",
            web::get().to(async || {
                HttpResponse::NotFound().insert_header((header::VARY, "origin, Accept")).finish()
            }),
        )
        .route("/id", web::get().to(async |id: RequestId| id.to_string()));
}

/// Not async: it panics before there is a future.
fn panics_at_once() -> std::future::Ready<String> {
    panic!("panic text")
}

fn chunks() -> impl futures_util::Stream<Item = Result<web::Bytes, io::Error>> + 'static {
    futures_util::stream::iter([Ok(web::Bytes::from_static(b"one ")), Ok(web::Bytes::from_static(b"two"))])
}
