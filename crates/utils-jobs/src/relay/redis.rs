use std::{fmt, time::Duration};

use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, aio::MultiplexedConnection};
use tokio::sync::Mutex;

use super::{Outgoing, Publisher};
use crate::{Failure, JobsError, Retry};

/// Publishes messages to [Redis Streams](https://redis.io/docs/latest/develop/data-types/streams/): a topic is the key of
/// a stream, to which each message is appended by `XADD` with the fields `id`, `payload` and the notes of its job, such as
/// `traceparent`.
///
/// A message counts as published when Redis has answered. Whether Redis keeps it over a crash of its own is a matter of
/// its `appendfsync`. Consumers leave out an `id` that they have seen.
///
/// ```no_run
/// use utils_jobs::{Jobs, RedisStreams, Worker, shutdown_signal};
///
/// # async fn main_() -> Result<(), utils_jobs::JobsError> {
/// let jobs = Jobs::open("postgres://app@db/app")?;
/// let streams = RedisStreams::open("redis://queue:6379")?.keep_about(100_000);
/// Worker::new(&jobs).relay(streams).run_until(shutdown_signal()).await
/// # }
/// ```
pub struct RedisStreams {
    client: Client,
    config: AsyncConnectionConfig,
    /// None before the first message, and after an error.
    connection: Mutex<Option<MultiplexedConnection>>,
    keep_about: Option<usize>,
}

impl RedisStreams {
    /// Streams on the server with this URL, `redis://[user:password@]host[:port][/database]`. It connects with the first
    /// message, and again when the connection is lost.
    ///
    /// # Errors
    /// [`JobsError::Settings`] for a URL that cannot be read.
    pub fn open(url: &str) -> Result<Self, JobsError> {
        // the driver's own words may quote the URL
        let client = Client::open(url)
            .map_err(|_| JobsError::Settings("the URL of Redis for the relay cannot be read"))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(5)))
            .set_response_timeout(Some(Duration::from_secs(10)));
        Ok(Self { client, config, connection: Mutex::new(None), keep_about: None })
    }

    /// Sets how many messages a stream keeps, about (`MAXLEN ~`). Default: all.
    #[must_use]
    pub fn keep_about(mut self, messages: usize) -> Self {
        self.keep_about = Some(messages);
        self
    }

    async fn append(&self, messages: &[Outgoing<'_>]) -> RedisResult<Vec<RedisResult<String>>> {
        let mut kept = self.connection.lock().await;
        // Left in its place only when all went well.
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => self.client.get_multiplexed_async_connection_with_config(&self.config).await?,
        };
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        for message in messages {
            let add = pipeline.cmd("XADD").arg(message.topic);
            if let Some(most) = self.keep_about {
                add.arg("MAXLEN").arg("~").arg(most);
            }
            add.arg("*").arg("id").arg(message.id).arg("payload").arg(message.payload);
            for (name, value) in
                message.meta.iter().filter(|(name, _)| !matches!(name.as_str(), "id" | "payload"))
            {
                add.arg(name).arg(value);
            }
        }
        let added = pipeline.query_async(&mut connection).await?;
        *kept = Some(connection);
        Ok(added)
    }
}

impl Publisher for RedisStreams {
    async fn publish(&self, messages: &[Outgoing<'_>]) -> Vec<Result<(), Failure>> {
        match self.append(messages).await {
            Ok(added) => added.into_iter().map(|added| added.map(drop).map_err(refused)).collect(),
            Err(error) => messages.iter().map(|_| Err(Failure::new(error.clone()))).collect(),
        }
    }
}

/// A key that holds something else will do so the next time as well; a server that is full or starting may not be.
fn refused(error: RedisError) -> Failure {
    if error.code() == Some("WRONGTYPE") { Retry::never(error) } else { Failure::new(error) }
}

impl fmt::Debug for RedisStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStreams").field("keep_about", &self.keep_about).finish_non_exhaustive()
    }
}
