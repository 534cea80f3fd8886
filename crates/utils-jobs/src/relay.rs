//! An outbox: messages for programs elsewhere, committed with the rows that they speak of, and published afterwards.
#[cfg(feature = "redis")]
mod redis;

use std::{collections::BTreeMap, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[cfg(feature = "redis")]
pub use self::redis::RedisStreams;
use crate::{Answers, Backoff, Batch, BatchJob, Context, Failure, Job, JobsError, Policy, Worker};

/// A message for programs elsewhere: a job like any other, which a [relay](Worker::relay) does by publishing it.
///
/// Enqueued in a transaction, it is published when that is committed, and never when it is rolled back. It is published at
/// least once: a kill between the publishing and the commit of its end repeats it, with the same
/// [id](Outgoing::id), by which a consumer knows it again. While the broker is away it waits, and is tried again every
/// minute at the latest, 100,000 times; then it is a dead letter. A relay publishes messages in the order of their
/// enqueueing; several relays, priorities and messages that are tried again change that.
///
/// # Examples
/// ```
/// use std::sync::Mutex;
/// use serde_json::json;
/// use utils_jobs::{Failure, Jobs, Message, Outgoing, Publisher, Worker};
///
/// /// Stands in for a broker; there is one for Redis Streams, `RedisStreams`.
/// #[derive(Default)]
/// struct Printer(Mutex<Vec<String>>);
///
/// impl Publisher for &'static Printer {
///     async fn publish(&self, messages: &[Outgoing<'_>]) -> Vec<Result<(), Failure>> {
///         let mut printed = self.0.lock().unwrap();
///         printed.extend(messages.iter().map(|message| format!("{}: {}", message.topic, message.payload)));
///         messages.iter().map(|_| Ok(())).collect()
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let printer: &'static Printer = Box::leak(Box::default());
/// let jobs = Jobs::memory();
/// jobs.enqueue(Message::new("orders", &json!({ "id": 7, "state": "paid" }))?).await?; // or in your transaction
/// Worker::new(&jobs).relay(printer).run_due().await?;
/// assert_eq!(*printer.0.lock().unwrap(), [r#"orders: {"id":7,"state":"paid"}"#]);
/// # Ok::<(), utils_jobs::JobsError>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Message {
    topic: String,
    payload: Box<RawValue>,
}

impl Message {
    /// A message for this topic: a stream, a queue, a routing key, whatever the broker calls it.
    ///
    /// # Errors
    /// [`JobsError::Encode`] when the payload cannot be written as JSON.
    pub fn new(topic: impl Into<String>, payload: &impl Serialize) -> Result<Self, JobsError> {
        let payload = serde_json::value::to_raw_value(payload)
            .map_err(|cause| JobsError::Encode { name: Self::NAME, cause })?;
        Ok(Self { topic: topic.into(), payload })
    }
}

/// A message on its way to a broker.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Outgoing<'a> {
    /// The id of its job: the same each time that it is published.
    pub id: &'a str,
    /// Where it goes.
    pub topic: &'a str,
    /// What it says, as JSON.
    pub payload: &'a str,
    /// The notes of its job, such as the `traceparent` of the request that enqueued it.
    pub meta: &'a BTreeMap<String, String>,
}

/// A broker that messages go to.
pub trait Publisher: Send + Sync + 'static {
    /// Publishes these messages, in their order, and says of each, in that order too, whether the broker has it.
    ///
    /// One that failed is tried again, or is a dead letter after [`Retry::never`](crate::Retry::never), and does not keep
    /// the others.
    fn publish(&self, messages: &[Outgoing<'_>]) -> impl Future<Output = Vec<Result<(), Failure>>> + Send;
}

impl Worker {
    /// Publishes [messages](Message), up to 100 in one call. One call at a time, so that they keep their order.
    pub fn relay(self, publisher: impl Publisher) -> Self {
        self.handle_batches::<Message>(100, Duration::ZERO).data(Relay(Arc::new(publisher)))
    }
}

impl Job for Message {
    const NAME: &'static str = "utils_jobs.message";
    type Output = ();

    fn policy() -> Policy {
        Policy::new()
            .queue("utils_jobs.relay")
            .concurrency(1)
            .attempts(100_000)
            .backoff(Backoff::exponential(Duration::from_secs(1), Duration::from_secs(60)))
            .timeout(Duration::from_secs(60))
    }

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        self.run_alone(ctx).await
    }
}

impl BatchJob for Message {
    async fn run_batch(batch: Batch<Self>) -> Result<Answers<()>, Failure> {
        let Relay(publisher) = batch.data::<Relay>()?;
        let ids: Vec<_> = batch.iter().map(|(_, ctx)| ctx.id()).collect();
        let outgoing = batch.iter().zip(&ids).map(|((message, ctx), id)| Outgoing {
            id: id.as_str(),
            topic: &message.topic,
            payload: message.payload.get(),
            meta: ctx.meta(),
        });
        let outgoing: Vec<_> = outgoing.collect();
        Ok(publisher.publish(&outgoing).await.into_iter().collect())
    }
}

/// A publisher of any type.
struct Relay(Arc<dyn AnyPublisher>);

type Published<'a> = Pin<Box<dyn Future<Output = Vec<Result<(), Failure>>> + Send + 'a>>;

trait AnyPublisher: Send + Sync {
    fn publish<'a>(&'a self, messages: &'a [Outgoing<'a>]) -> Published<'a>;
}

impl<P: Publisher> AnyPublisher for P {
    fn publish<'a>(&'a self, messages: &'a [Outgoing<'a>]) -> Published<'a> {
        Box::pin(Publisher::publish(self, messages))
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").finish_non_exhaustive()
    }
}
