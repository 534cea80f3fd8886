//! Reports over the items: requested in a request, made in the background.
use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::LOCATION,
    web::{self, Data, Path},
};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use webutils::{
    jobs::{Context, Failure, Job, JobStatus, Jobs, State},
    pagination::{Page, PageParams, Paginate},
    restful::{ApiError, OrNotFound, OrRespond, Result},
    token_auth::Auth,
    webargs::{Json, between},
};

use crate::{
    database::Db,
    login::Claims,
    schema::{items, reports},
};

/// Counts the items and their pieces, unhurriedly.
#[derive(Serialize, Deserialize)]
pub(crate) struct ItemsReport {
    /// Milliseconds spent on each item.
    pause: u64,
}

/// What a report says.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Totals {
    items: i64,
    quantity: i64,
}

impl Job for ItemsReport {
    const NAME: &'static str = "items.report";
    type Output = Totals;

    async fn run(self, ctx: Context) -> Result<Totals, Failure> {
        let sessions = ctx.sessions::<SqliteConnection>()?;
        let quantities = items::table.select(items::quantity).order(items::id);
        let quantities: Vec<i32> = sessions.run(move |conn| quantities.load(conn)).await?;

        let mut totals = Totals { items: 0, quantity: 0 };
        let all = quantities.len();
        for (index, quantity) in quantities.into_iter().enumerate() {
            ctx.check()?;
            #[expect(clippy::cast_precision_loss, reason = "a fraction for a progress bar")]
            ctx.progress(index as f64 / all as f64, format!("{index} of {all} items"));
            tokio::time::sleep(Duration::from_millis(self.pause)).await;
            totals.items += 1;
            totals.quantity += i64::from(quantity);
        }

        // The report's row and the end of its job: one commit. However often this process is killed, it happens once.
        sessions
            .tx(move |conn| {
                let report = reports::table.find(ctx.id().to_string());
                diesel::update(report)
                    .set((reports::items.eq(totals.items), reports::quantity.eq(totals.quantity)))
                    .execute(conn)?;
                ctx.finish_in(conn, &totals)
            })
            .await?;
        Ok(totals)
    }
}

#[derive(Deserialize, garde::Validate)]
#[serde(deny_unknown_fields)]
struct NewReport {
    /// Milliseconds to spend on each item, at most 1,000. Default: 40.
    #[garde(custom(between(0, 1_000)))]
    #[serde(default = "forty")]
    pause: u64,
}

fn forty() -> u64 {
    40
}

/// `/jobs` and `/jobs/{id}`.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/jobs").route(web::get().to(list)).route(web::post().to(request_report)))
        .service(web::resource("/jobs/{id}").route(web::get().to(read)));
}

async fn request_report(
    request: HttpRequest,
    auth: Auth<Claims>,
    Json(new): Json<NewReport>,
    sessions: Data<Db>,
    jobs: Data<Jobs>,
) -> Result<HttpResponse> {
    auth.require("jobs").or_respond()?;
    let (user, enqueuer) = (auth.user.clone(), jobs.clone());
    // The row of the report and its job: both or none.
    let id = sessions
        .tx(move |conn| {
            let id = enqueuer.enqueue_in(conn, ItemsReport { pause: new.pause })?;
            let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_millis());
            diesel::insert_into(reports::table)
                .values((
                    reports::job_id.eq(id.to_string()),
                    reports::requested_by.eq(user),
                    reports::requested_at.eq(i64::try_from(now).unwrap_or(i64::MAX)),
                ))
                .execute(conn)?;
            Ok::<_, ApiError>(id)
        })
        .await?;
    jobs.wake();
    let location = format!("{}/{id}", request.path());
    let status = jobs.status(&id).await?.or_not_found()?;
    Ok(HttpResponse::Accepted().insert_header((LOCATION, location)).json(shown(&status)))
}

async fn list(
    auth: Auth<Claims>,
    params: PageParams,
    sessions: Data<Db>,
    jobs: Data<Jobs>,
) -> Result<web::Json<Page<Value>>> {
    auth.require("jobs").or_respond()?;
    let mine = reports::table.filter(reports::requested_by.eq(auth.user.clone())).select(reports::job_id);
    let newest_first = (reports::requested_at.desc(), reports::job_id.desc());
    let page = sessions
        .run(move |conn| mine.paginate(params).order_by(newest_first).load::<String, _>(conn))
        .await?;
    let mut states = jobs.statuses(&page.items).await?.into_iter();
    Ok(web::Json(page.map(|id| match states.next().flatten() {
        Some(status) => shown(&status),
        None => json!({ "id": id, "state": "gone" }),
    })))
}

async fn read(
    auth: Auth<Claims>,
    id: Path<String>,
    sessions: Data<Db>,
    jobs: Data<Jobs>,
) -> Result<web::Json<Value>> {
    auth.require("jobs").or_respond()?;
    let mine = reports::table
        .filter(reports::job_id.eq(id.into_inner()).and(reports::requested_by.eq(auth.user.clone())))
        .select(reports::job_id);
    let id: Option<String> = sessions.run(move |conn| mine.first(conn).optional()).await?;
    let status = jobs.status(id.or_not_found()?).await?.or_not_found()?;
    Ok(web::Json(shown(&status)))
}

/// What the user sees of a job: not the worker's name, nor the text of an error, which may hold internals.
fn shown(status: &JobStatus) -> Value {
    let error = (status.state == State::Dead).then_some("the report could not be made");
    json!({
        "id": status.id.as_str(),
        "state": status.state.as_str(),
        "progress": status.progress,
        "note": status.note,
        "attempts": status.attempts,
        "result": status.result,
        "error": error,
    })
}
