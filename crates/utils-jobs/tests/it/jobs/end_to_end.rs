use std::time::Duration;

use diesel::{connection::SimpleConnection, prelude::*};
use serde::{Deserialize, Serialize};
use utils_jobs::{Context, Failure, Job, Jobs, JobsError, SessionConn, Sessions, State, Worker};

#[derive(Serialize, Deserialize)]
struct Double(u64);

impl Job for Double {
    const NAME: &'static str = "double";
    type Output = u64;

    async fn run(self, ctx: Context) -> Result<u64, Failure> {
        ctx.progress(0.5, "half");
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok(2 * self.0)
    }
}

fn sessions(dir: &tempfile::TempDir) -> Sessions<SqliteConnection> {
    Sessions::new(dir.path().join("app.db").to_str().unwrap()).unwrap()
}

async fn end_to_end() {
    let dir = tempfile::tempdir().unwrap();
    let sessions = sessions(&dir);
    let jobs = Jobs::from_sessions(sessions.clone());
    jobs.migrate().unwrap();
    jobs.migrate().unwrap();
    let worker = Worker::new(&jobs).handle::<Double>().start().unwrap();
    let enqueuer = jobs.clone();
    let id = sessions
        .run(move |conn| {
            conn.batch_execute("CREATE TABLE app (n INTEGER)")?;
            conn.write_tx(|conn| {
                conn.batch_execute("INSERT INTO app VALUES (1)")?;
                enqueuer.enqueue_in(conn, Double(21))
            })
        })
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(280)).await;
    let status = jobs.status(&id).await.unwrap().unwrap();
    assert_eq!(status.state, State::Running, "{status:?}");
    assert_eq!(status.progress, Some(0.5), "{status:?}");
    assert_eq!(jobs.wait(&id, Duration::from_secs(5)).await.unwrap(), 42);
    worker.stop().await.unwrap();
    let id = jobs.enqueue(Double(1)).await.unwrap();
    assert!(matches!(jobs.wait(&id, Duration::from_millis(50)).await, Err(JobsError::StillRunning(_))));
}

#[tokio::test]
async fn a_job_enqueued_in_a_transaction_runs_on_plain_tokio() {
    end_to_end().await;
}

#[test]
fn a_job_enqueued_in_a_transaction_runs_on_an_actix_system() {
    actix_rt::System::new().block_on(end_to_end());
}
