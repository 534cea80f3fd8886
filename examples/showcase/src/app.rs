//! The routes, and what the handlers share.
use actix_web::{
    HttpResponse,
    web::{self, Data},
};
use diesel::connection::SimpleConnection;
use serde_json::json;
use webutils::{
    jobs::Jobs,
    restful::Result,
    token_auth::{MemoryThrottle, Passwords, Throttle, ThrottlePolicy},
};

use crate::{
    database::Db,
    items,
    login::{Engine, login},
    page, reports,
};

/// What all workers of the server share.
#[derive(Clone)]
pub(crate) struct Parts {
    sessions: Data<Db>,
    jobs: Data<Jobs>,
    engine: Data<Engine>,
    passwords: Data<Passwords>,
    throttle: Data<Throttle<MemoryThrottle>>,
}

impl Parts {
    pub(crate) fn new(sessions: Db, jobs: Jobs, engine: Engine) -> Self {
        Self {
            sessions: Data::new(sessions),
            jobs: Data::new(jobs),
            engine: Data::new(engine),
            passwords: Data::new(Passwords::new()),
            throttle: Data::new(Throttle::new(MemoryThrottle::new(), ThrottlePolicy::default())),
        }
    }
}

/// The whole application: the API below `/api/v1`, the page at `/`.
pub(crate) fn routes(parts: &Parts) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    let parts = parts.clone();
    move |config| {
        let sign_in = parts.engine.routes(); // /renew, /logout, /tokens, /tokens/others, /tokens/{id}
        config
            .app_data(parts.sessions)
            .app_data(parts.jobs)
            .app_data(parts.engine)
            .app_data(parts.passwords)
            .app_data(parts.throttle)
            .configure(state_of_service)
            .configure(page::routes)
            .service(
                web::scope("/api/v1")
                    .configure(sign_in)
                    .service(web::resource("/login").route(web::post().to(login)))
                    .configure(items::routes)
                    .configure(reports::routes)
                    .configure(state_of_service),
            );
    }
}

/// `/version` and `/healthz`, for those who watch the service.
fn state_of_service(config: &mut web::ServiceConfig) {
    config
        .configure(webutils::release::routes)
        .service(web::resource("/healthz").route(web::get().to(healthz)));
}

async fn healthz(sessions: Data<Db>) -> Result<HttpResponse> {
    sessions.run(|conn| conn.batch_execute("SELECT 1")).await?;
    Ok(HttpResponse::Ok().json(json!({ "status": "ok" })))
}
