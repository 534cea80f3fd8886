//! The jobs that the contract is tested with.
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use utils_jobs::{Backoff, Context, Failure, Job, Policy, Retry};

/// What has happened, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(super) fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(super) fn count(&self, line: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|each| *each == line).count()
    }

    /// Waits until so many lines are there.
    pub(super) async fn until(&self, lines: usize) {
        while self.len() < lines {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Logs its text and gives it back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Say(pub String);

impl Job for Say {
    const NAME: &'static str = "contract.say";
    type Output = String;

    fn policy() -> Policy {
        // No jitter: a wait of nothing would be over at once, even by a clock that stands still.
        Policy::new().backoff(Backoff::fixed(Duration::from_secs(60)))
    }

    async fn run(self, ctx: Context) -> Result<String, Failure> {
        ctx.data::<Log>()?.add(&self.0);
        Ok(self.0)
    }
}

pub(super) fn say(text: impl Into<String>) -> Say {
    Say(text.into())
}

/// What goes wrong in a [`Fails`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum How {
    Plainly,
    Again,
    AfterAnHour,
    Never,
    Finally,
    Panics,
}

/// Fails so often, then says that it is done. Tries three times, a minute apart.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Fails {
    pub times: u32,
    pub how: How,
}

impl Job for Fails {
    const NAME: &'static str = "contract.fails";
    type Output = String;

    fn policy() -> Policy {
        Policy::new()
            .attempts(3)
            .backoff(Backoff::fixed(Duration::from_secs(60)))
            .final_on::<std::num::ParseIntError>()
    }

    async fn run(self, ctx: Context) -> Result<String, Failure> {
        ctx.data::<Log>()?.add(format!("attempt {}", ctx.attempt()));
        if ctx.attempt() > self.times {
            return Ok("done".to_owned());
        }
        match self.how {
            How::Plainly => Err(Failure::new("it rains")),
            How::Again => Err(Retry::after(Duration::ZERO, "at once")),
            How::AfterAnHour => Err(Retry::after(Duration::from_secs(3_600), "later")),
            How::Never => Err(Retry::never("no such account")),
            How::Finally => {
                "x".parse::<u32>()?;
                Ok(String::new())
            }
            How::Panics => panic!("out of paper"),
        }
    }
}

/// Never ends by itself; logs when it starts, and why it is told to stop.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sleeps {
    pub listens: bool,
}

impl Job for Sleeps {
    const NAME: &'static str = "contract.sleeps";
    type Output = ();

    fn policy() -> Policy {
        Policy::new().attempts(3).cancel_grace(Duration::from_millis(100))
    }

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        ctx.data::<Log>()?.add("started");
        ctx.progress(0.25, "asleep");
        if self.listens {
            let why = ctx.stopping().await;
            ctx.data::<Log>()?.add(format!("{why:?}"));
            ctx.check()?;
        }
        std::future::pending().await
    }
}

/// Takes longer than it may.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TooSlow;

impl Job for TooSlow {
    const NAME: &'static str = "contract.too_slow";
    type Output = ();

    fn policy() -> Policy {
        Policy::new()
            .attempts(2)
            .backoff(Backoff::fixed(Duration::from_secs(1)))
            .timeout(Duration::from_millis(50))
    }

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        ctx.data::<Log>()?.add("started");
        std::future::pending().await
    }
}

/// Hears of its soft limit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Soft;

impl Job for Soft {
    const NAME: &'static str = "contract.soft";
    type Output = ();

    fn policy() -> Policy {
        Policy::new().attempts(1).soft_timeout(Duration::from_millis(30)).timeout(Duration::from_secs(30))
    }

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        let why = ctx.stopping().await;
        ctx.data::<Log>()?.add(format!("{why:?}"));
        ctx.check()
    }
}

/// Says when it starts and when it ends; only two at a time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TwoAtATime;

impl Job for TwoAtATime {
    const NAME: &'static str = "contract.two";
    type Output = ();

    fn policy() -> Policy {
        Policy::new().concurrency(2)
    }

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        ctx.data::<Log>()?.add("in");
        tokio::time::sleep(Duration::from_millis(20)).await;
        ctx.data::<Log>()?.add("out");
        Ok(())
    }
}

/// Takes its time, without blocking.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Long {
    pub millis: u64,
}

impl Job for Long {
    const NAME: &'static str = "contract.long";
    type Output = ();

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        ctx.data::<Log>()?.add("in");
        tokio::time::sleep(Duration::from_millis(self.millis)).await;
        ctx.data::<Log>()?.add("out");
        Ok(())
    }
}

/// Five at once, then one in a hundred seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Seldom;

impl Job for Seldom {
    const NAME: &'static str = "contract.seldom";
    type Output = ();

    fn policy() -> Policy {
        Policy::new().rate(5, Duration::from_secs(500))
    }

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        ctx.data::<Log>()?.add("seldom");
        Ok(())
    }
}

/// Takes half a second of its thread.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Blocks;

impl Job for Blocks {
    const NAME: &'static str = "contract.blocks";
    type Output = ();

    fn policy() -> Policy {
        Policy::new().blocking()
    }

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        std::thread::sleep(Duration::from_millis(500));
        ctx.data::<Log>()?.add("unblocked");
        Ok(())
    }
}

/// The same name as [`Say`], other arguments: what a deploy can do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct OldSay {
    pub words: Vec<String>,
}

impl Job for OldSay {
    const NAME: &'static str = Say::NAME;
    type Output = ();

    async fn run(self, _: Context) -> Result<(), Failure> {
        Ok(())
    }
}

/// In a queue of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Mail(pub String);

impl Job for Mail {
    const NAME: &'static str = "contract.mail";
    type Output = ();

    fn policy() -> Policy {
        Policy::new().queue("mail")
    }

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        ctx.data::<Log>()?.add(format!("{} from {}", self.0, ctx.queue()));
        Ok(())
    }
}
