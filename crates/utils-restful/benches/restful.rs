//! What `Restful` costs a request: `cargo bench -p utils-restful`. The same service with and without it, without a
//! socket; the best of several rounds, because other programs only ever add time.
#![allow(clippy::print_stdout)] // the table is what it is for
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use actix_web::{
    App, Error,
    body::MessageBody,
    dev::{Service, ServiceResponse},
    test::{self, TestRequest},
    web::{self, ServiceConfig},
};
use utils_restful::{ApiError, Restful, StatusCode};

const ROUNDS: u32 = 15;
const REQUESTS: u32 = 20_000;

fn routes(config: &mut ServiceConfig) {
    config
        .route("/json", web::get().to(async || web::Json([1, 2, 3])))
        .route("/text", web::get().to(async || "hello"))
        .route(
            "/denied",
            web::get().to(async || Err::<String, _>(ApiError::new(StatusCode::FORBIDDEN, "no"))),
        );
}

/// The time for one request, with the request's own making taken off.
macro_rules! measure {
    ($app:expr, $path:expr) => {{
        let app = test::init_service($app.configure(routes)).await;
        let making = best(async || drop(black_box(TestRequest::with_uri($path).to_request()))).await;
        let all =
            best(async || drop(black_box(send(&app, TestRequest::with_uri($path).to_request()).await))).await;
        all.saturating_sub(making)
    }};
}

async fn send<R, B: MessageBody>(
    app: &impl Service<R, Response = ServiceResponse<B>, Error = Error>,
    request: R,
) -> Result<ServiceResponse<B>, Error> {
    test::try_call_service(app, request).await
}

async fn best(once: impl AsyncFn()) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..REQUESTS {
            once().await;
        }
        best = best.min(start.elapsed() / REQUESTS);
    }
    best
}

#[actix_rt::main]
async fn main() {
    println!("{:<10} {:>10} {:>12}", "path", "without", "with");
    for path in ["/json", "/text", "/denied", "/nowhere"] {
        let without = measure!(App::new(), path);
        let with = measure!(App::new().wrap(Restful::new()), path);
        println!("{path:<10} {without:>10?} {with:>12?}");
    }
}
