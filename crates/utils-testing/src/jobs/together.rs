//! The jobs that batches are tested with.
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utils_jobs::{Answers, Backoff, Batch, BatchJob, Context, Failure, Follow, Job, Policy, Retry};

use super::sample::Log;

/// Gives its text back. The log has one line for each call, `a+b+c`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Row {
    pub text: String,
    pub how: Ends,
}

/// How a [`Row`] ends, or all that are with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ends {
    Well,
    Badly,
    ForGood,
    /// As soon as it is told to stop.
    WhenTold,
    /// When the log has the line `go`, and not before.
    AfterGo,
    /// All fail.
    FailsAll,
    PanicsAll,
    /// The call never ends.
    HoldsAll,
    /// There is one answer too few.
    Forgets,
}

impl Job for Row {
    const NAME: &'static str = "contract.row";
    type Output = String;

    fn policy() -> Policy {
        let backoff = Backoff::fixed(Duration::from_secs(60));
        Policy::new().attempts(3).backoff(backoff).cancel_grace(Duration::from_millis(100))
    }

    async fn run(self, ctx: Context) -> Result<String, Failure> {
        self.run_alone(ctx).await
    }
}

impl BatchJob for Row {
    async fn run_batch(batch: Batch<Self>) -> Result<Answers<String>, Failure> {
        let log = batch.data::<Log>()?;
        log.add(texts(batch.iter().map(|(row, _)| row.text.as_str())));
        for (row, ctx) in &batch {
            ctx.progress(0.5, format!("at {}", row.text));
            match row.how {
                Ends::FailsAll => return Err(Failure::new("it rains")),
                Ends::PanicsAll => panic!("out of paper"),
                Ends::HoldsAll => std::future::pending().await,
                Ends::Forgets => return Ok(Answers::each(batch.iter().skip(1).map(|_| Ok(String::new())))),
                Ends::AfterGo => {
                    while log.count("go") == 0 {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
                Ends::WhenTold => {
                    ctx.stopping().await;
                }
                Ends::Well | Ends::Badly | Ends::ForGood => {}
            }
        }
        let answer = |(row, ctx): (Self, Context)| match row.how {
            Ends::Badly => Err(Failure::new("it rains")),
            Ends::ForGood => Err(Retry::never("no such page")),
            _ => ctx.check().map(|()| row.text),
        };
        Ok(batch.into_iter().map(answer).collect())
    }
}

fn texts<'a>(all: impl Iterator<Item = &'a str>) -> String {
    all.collect::<Vec<_>>().join("+")
}

pub(super) fn row(text: impl Into<String>, how: Ends) -> Row {
    Row { text: text.into(), how }
}

/// The same name as [`Row`], other arguments.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct OldRow(pub u32);

impl Job for OldRow {
    const NAME: &'static str = Row::NAME;
    type Output = ();

    async fn run(self, _: Context) -> Result<(), Failure> {
        Ok(())
    }
}

/// Takes the outputs of a group of rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Joined;

impl Job for Joined {
    const NAME: &'static str = "contract.joined";
    type Output = String;

    async fn run(self, ctx: Context) -> Result<String, Failure> {
        Ok(ctx.input::<Self>()?.concat())
    }
}

impl Follow for Joined {
    type Input = Vec<String>;
}

/// Takes its time; logs when a call starts and when it ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Nap {
    pub millis: u64,
}

impl Job for Nap {
    const NAME: &'static str = "contract.nap";
    type Output = ();

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        self.run_alone(ctx).await
    }
}

impl BatchJob for Nap {
    async fn run_batch(batch: Batch<Self>) -> Result<Answers<()>, Failure> {
        let log = batch.data::<Log>()?;
        log.add("in");
        let longest = batch.iter().map(|(nap, _)| nap.millis).max().unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(longest)).await;
        log.add("out");
        Ok(Answers::all(()))
    }
}

/// One call at once, the next in 500 seconds; none may take longer than 50 ms.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Seldom {
    pub ends: bool,
}

impl Job for Seldom {
    const NAME: &'static str = "contract.seldom_together";
    type Output = ();

    fn policy() -> Policy {
        let backoff = Backoff::fixed(Duration::from_secs(60));
        Policy::new().rate(1, Duration::from_secs(500)).timeout(Duration::from_millis(50)).backoff(backoff)
    }

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        self.run_alone(ctx).await
    }
}

impl BatchJob for Seldom {
    async fn run_batch(batch: Batch<Self>) -> Result<Answers<()>, Failure> {
        batch.data::<Log>()?.add(batch.len().to_string());
        if batch.iter().any(|(seldom, _)| !seldom.ends) {
            std::future::pending().await
        }
        Ok(Answers::all(()))
    }
}
