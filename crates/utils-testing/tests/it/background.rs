//! Jobs of an application under test.
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utils_jobs::{Context, Failure, Job, Jobs, Policy};
use utils_testing::TestJobs;

use crate::failures::failure_of;

#[derive(Debug, Serialize, Deserialize)]
struct Mail {
    to: String,
}

impl Job for Mail {
    const NAME: &'static str = "mail";
    type Output = ();

    fn policy() -> Policy {
        Policy::new().attempts(2)
    }

    async fn run(self, _: Context) -> Result<(), Failure> {
        match self.to.as_str() {
            "nobody" => Err(std::io::Error::other("the address is unknown").into()),
            _ => Ok(()),
        }
    }
}

/// Sends a mail to everybody.
#[derive(Debug, Serialize, Deserialize)]
struct Letter {
    to: Vec<String>,
}

impl Job for Letter {
    const NAME: &'static str = "letter";
    type Output = ();

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        let jobs = ctx.data::<Jobs>()?.clone();
        for to in self.to {
            jobs.enqueue(Mail { to }).await?;
        }
        Ok(())
    }
}

fn mail(to: &str) -> Mail {
    Mail { to: to.to_owned() }
}

fn background(jobs: &Jobs) -> TestJobs {
    TestJobs::new(jobs, |worker| worker.handle::<Mail>().handle::<Letter>().data(jobs.clone()))
}

async fn what_was_enqueued_is_seen_and_run(jobs: Jobs) {
    let mut background = background(&jobs);
    background.expect_nothing().await;
    jobs.enqueue(Letter { to: vec!["ann".to_owned(), "bob".to_owned()] }).await.unwrap();
    jobs.enqueue(mail("cy").after(Duration::from_secs(60))).await.unwrap();

    assert_eq!(background.expect_one::<Letter>().await.job.to, ["ann", "bob"]);
    let later = background.expect_one::<Mail>().await;
    assert_eq!((later.job.to.as_str(), later.starts_in), ("cy", Duration::from_secs(60)));
    assert_eq!(later.status.max_attempts, 2);

    let report = background.run_due().await;
    assert_eq!((report.succeeded, report.total()), (3, 3), "the letter and the mails that it made");
    background.expect_none::<Letter>().await;
    assert_eq!(background.waiting::<Mail>().await.len(), 1);
    assert_eq!(background.advance(Duration::from_secs(59)).await.total(), 0);
    assert_eq!(background.advance(Duration::from_secs(1)).await.succeeded, 1);
    background.expect_nothing().await;
}

#[tokio::test]
async fn jobs_in_memory_are_seen_and_run() {
    what_was_enqueued_is_seen_and_run(Jobs::memory()).await;
}

#[tokio::test]
async fn the_waiting_jobs_come_in_the_order_of_enqueueing_however_many_they_are() {
    let jobs = Jobs::memory();
    jobs.enqueue_many((0..1_203).map(|number| mail(&number.to_string()))).await.unwrap();
    let waiting = background(&jobs).waiting::<Mail>().await;
    let numbers: Vec<usize> = waiting.iter().map(|waiting| waiting.job.to.parse().unwrap()).collect();
    assert_eq!(numbers, (0..1_203).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_failed_job_fails_the_test_with_its_error_at_the_line_of_the_await() {
    let jobs = Jobs::memory();
    let mut background = background(&jobs);
    jobs.enqueue(mail("nobody")).await.unwrap();
    let check = async {
        background.run_due().await;
    };
    let line = line!() - 2;
    let failed = failure_of(check).await.unwrap();
    assert_eq!((failed.file.as_str(), failed.line), (file!(), line));
    assert!(failed.message.starts_with("1 of 1 attempts failed\n"), "{}", failed.message);
    assert!(failed.message.contains(r#"mail: {"to":"nobody"}"#), "{}", failed.message);
    assert!(failed.message.contains("the address is unknown"), "{}", failed.message);

    // the second attempt, where failing is what the test is about
    jobs.advance(Duration::from_secs(24 * 3_600));
    assert_eq!(background.run_due_with_failures().await.dead, 1);
}

#[tokio::test]
async fn a_wrong_number_of_jobs_is_shown_with_the_jobs_that_there_are() {
    let jobs = Jobs::memory();
    let background = background(&jobs);
    let message = failure_of(background.expect_one::<Mail>()).await.unwrap().message;
    assert_eq!(message, "expected one job mail, got 0");
    jobs.enqueue(mail("ann")).await.unwrap();
    jobs.enqueue(mail("bob").after(Duration::from_secs(1))).await.unwrap();
    let listed = "\n  waiting mail: {\"to\":\"ann\"}\n  scheduled mail: {\"to\":\"bob\"}";
    let message = failure_of(background.expect_one::<Mail>()).await.unwrap().message;
    assert_eq!(message, format!("expected one job mail, got 2{listed}"));
    let message = failure_of(background.expect_none::<Mail>()).await.unwrap().message;
    assert_eq!(message, format!("expected no job mail, got 2{listed}"));
    let message = failure_of(background.expect_nothing()).await.unwrap().message;
    assert_eq!(message, format!("expected no jobs, got some{listed}"));
}

#[cfg(feature = "sqlite")]
mod in_a_database {
    use actix_web::{App, HttpResponse, web};
    use diesel::{SqliteConnection, connection::SimpleConnection};
    use serde_json::json;
    use utils_jobs::{Clock, JobsError, Sessions};
    use utils_testing::{Template, TestApp, TestDb};

    use super::*;

    static DATABASE: Template<SqliteConnection> = Template::sqlite(|conn| {
        utils_jobs::migrate(conn)?;
        conn.batch_execute("CREATE TABLE users (name TEXT NOT NULL UNIQUE)")?;
        Ok(())
    });

    fn jobs(db: &TestDb<SqliteConnection>) -> Jobs {
        Jobs::builder().clock(Clock::manual()).sessions(db.sessions())
    }

    #[tokio::test]
    async fn jobs_in_the_database_of_the_test_are_seen_and_run() {
        what_was_enqueued_is_seen_and_run(jobs(&DATABASE.fresh())).await;
        what_was_enqueued_is_seen_and_run(jobs(&DATABASE.rollback())).await;
    }

    async fn sign_up(
        name: web::Json<String>,
        sessions: web::Data<Sessions<SqliteConnection>>,
        jobs: web::Data<Jobs>,
    ) -> HttpResponse {
        let signed_up = sessions.tx(move |conn| {
            let user = diesel::sql_query("INSERT INTO users VALUES (?)");
            diesel::RunQueryDsl::execute(user.bind::<diesel::sql_types::Text, _>(&*name), conn)?;
            jobs.enqueue_in(conn, mail(&name))
        });
        let signed_up: Result<_, JobsError> = signed_up.await;
        if signed_up.is_ok() { HttpResponse::Created().finish() } else { HttpResponse::Conflict().finish() }
    }

    #[actix_rt::test]
    async fn an_application_enqueues_with_its_own_row_or_not_at_all() {
        let db = DATABASE.fresh();
        let jobs = jobs(&db);
        let mut background = background(&jobs);
        let app = App::new().app_data(web::Data::new(db.sessions())).app_data(web::Data::new(jobs));
        let me = TestApp::new(app.route("/users", web::post().to(sign_up))).await.client();

        me.post("/users", json!("ann")).await.expect(201);
        me.post("/users", json!("ann")).await.expect(409);
        assert_eq!(background.expect_one::<Mail>().await.job.to, "ann");
        assert_eq!(background.run_due().await.succeeded, 1);
    }
}
