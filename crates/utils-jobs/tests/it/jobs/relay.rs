//! Messages for programs elsewhere.
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use utils_jobs::{Failure, Jobs, Message, Outgoing, Publisher, Retry, State, TraceParent, Worker};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Keeps what it is given; a topic called `never` or `later` is refused.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Vec<String>>>);

impl Publisher for Shelf {
    async fn publish(&self, messages: &[Outgoing<'_>]) -> Vec<Result<(), Failure>> {
        let mut shelf = self.0.lock().unwrap();
        let one = |message: &Outgoing<'_>| match message.topic {
            "never" => Err(Retry::never("no such topic")),
            "later" => Err(Failure::new("the broker is away")),
            _ => {
                let trace = message.meta.get("traceparent").map(String::as_str).unwrap_or_default();
                shelf.push(format!("{} {} {trace}", message.topic, message.payload).trim_end().to_owned());
                Ok(())
            }
        };
        messages.iter().map(one).collect()
    }
}

impl Shelf {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn message(topic: &str, number: u32) -> Message {
    Message::new(topic, &json!({ "number": number })).unwrap()
}

#[tokio::test]
async fn messages_are_published_in_their_order_with_the_trace_of_the_request() {
    let (jobs, shelf) = (Jobs::memory(), Shelf::default());
    let trace: TraceParent = TRACE.parse().unwrap();
    trace.scope(jobs.enqueue(message("a", 1))).await.unwrap();
    jobs.enqueue_many((2..=250).map(|number| message("a", number))).await.unwrap();
    let done = Worker::new(&jobs).relay(shelf.clone()).run_due().await.unwrap();
    assert_eq!(done.succeeded, 250);
    let published = shelf.take();
    assert_eq!(published[0], format!(r#"a {{"number":1}} {TRACE}"#));
    let rest: Vec<_> = (2..=250).map(|number| format!(r#"a {{"number":{number}}}"#)).collect();
    assert_eq!(published[1..], rest);
}

#[tokio::test]
async fn a_message_that_is_refused_does_not_keep_the_others_and_waits() {
    let (jobs, shelf) = (Jobs::memory(), Shelf::default());
    let mut worker = Worker::new(&jobs).relay(shelf.clone());
    let messages = [message("a", 1), message("never", 2), message("later", 3), message("a", 4)];
    let ids = jobs.enqueue_many(messages).await.unwrap();
    let done = worker.run_due().await.unwrap();
    assert_eq!((done.succeeded, done.dead, done.retried), (2, 1, 1));
    assert_eq!(shelf.take(), [r#"a {"number":1}"#, r#"a {"number":4}"#]);
    for _ in 0..100 {
        jobs.advance(Duration::from_secs(60));
        worker.run_due().await.unwrap();
    }
    let waits = jobs.status(&ids[2]).await.unwrap().unwrap();
    assert!(waits.state == State::Scheduled && waits.attempts > 90, "{waits:?}");
}

#[cfg(feature = "redis")]
mod redis {
    use std::time::Instant;

    use ::redis::{Client, Commands, Connection, streams::StreamRangeReply};
    use utils_jobs::RedisStreams;

    use super::*;
    use crate::jobs::proxy::Proxy;

    fn server() -> String {
        std::env::var("TEST_REDIS_URL").expect("TEST_REDIS_URL must name a Redis server")
    }

    /// A name that no other test of any run has; it is deleted at the end.
    struct Topic {
        name: String,
        connection: Connection,
    }

    impl Topic {
        fn new(of: &str) -> Self {
            let time = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros();
            let connection = Client::open(server()).unwrap().get_connection().unwrap();
            Self { name: format!("test:{of}:{}:{time}", std::process::id()), connection }
        }

        fn entries(&mut self) -> StreamRangeReply {
            self.connection.xrange_all(&self.name).unwrap()
        }
    }

    impl Drop for Topic {
        fn drop(&mut self) {
            let _: Result<(), _> = self.connection.del(&self.name);
        }
    }

    #[tokio::test]
    async fn messages_are_entries_of_a_stream_with_their_ids() {
        let mut topic = Topic::new("entries");
        let jobs = Jobs::memory();
        let trace: TraceParent = TRACE.parse().unwrap();
        let ids =
            trace.scope(jobs.enqueue_many([message(&topic.name, 1), message(&topic.name, 2)])).await.unwrap();
        let streams = RedisStreams::open(&server()).unwrap();
        assert_eq!(Worker::new(&jobs).relay(streams).run_due().await.unwrap().succeeded, 2);
        let entries = topic.entries().ids;
        let of = |entry: usize, field: &str| entries[entry].get::<String>(field).unwrap();
        assert_eq!(entries.len(), 2);
        for (entry, id) in ids.iter().enumerate() {
            assert_eq!(of(entry, "id"), id.to_string());
            assert_eq!(of(entry, "payload"), format!(r#"{{"number":{}}}"#, entry + 1));
            assert_eq!(of(entry, "traceparent"), TRACE);
        }
    }

    #[tokio::test]
    async fn a_topic_that_is_no_stream_makes_a_dead_letter_of_its_message_alone() {
        let (mut topic, mut taken) = (Topic::new("fine"), Topic::new("taken"));
        let () = taken.connection.set(&taken.name, "a text").unwrap();
        let jobs = Jobs::memory();
        let ids = jobs.enqueue_many([message(&taken.name, 1), message(&topic.name, 2)]).await.unwrap();
        let streams = RedisStreams::open(&server()).unwrap();
        let done = Worker::new(&jobs).relay(streams).run_due().await.unwrap();
        assert_eq!((done.succeeded, done.dead), (1, 1));
        assert_eq!(topic.entries().ids.len(), 1);
        let dead = jobs.status(&ids[0]).await.unwrap().unwrap();
        assert!(dead.error.as_deref().is_some_and(|error| error.contains("WRONGTYPE")), "{dead:?}");
    }

    #[tokio::test]
    async fn a_stream_keeps_about_as_many_messages_as_it_should() {
        let mut topic = Topic::new("trimmed");
        let jobs = Jobs::memory();
        jobs.enqueue_many((0..1_000).map(|number| message(&topic.name, number))).await.unwrap();
        let streams = RedisStreams::open(&server()).unwrap().keep_about(100);
        assert_eq!(Worker::new(&jobs).relay(streams).run_due().await.unwrap().succeeded, 1_000);
        let kept = topic.entries().ids.len();
        assert!((100..400).contains(&kept), "{kept}");
    }

    #[test]
    fn a_url_that_cannot_be_read_is_refused_without_its_password() {
        for url in ["redis://:s3cret@host:port", "s3cret", "http://:s3cret@host"] {
            let refused = RedisStreams::open(url).unwrap_err();
            let all = format!("{refused} {refused:?}");
            assert!(all.contains("Redis") && !all.contains("s3cret"), "{all}");
        }
    }

    #[tokio::test]
    async fn messages_wait_while_the_server_is_away_and_none_is_lost() {
        let url = server();
        let address = url.trim_start_matches("redis://").trim_end_matches('/').to_owned();
        let way = Proxy::start(address.clone());
        let (port, mut topic) = (way.port(), Topic::new("away"));
        let jobs = Jobs::open("memory:").unwrap();
        let streams = RedisStreams::open(&format!("redis://127.0.0.1:{port}")).unwrap();
        let worker = Worker::new(&jobs).relay(streams).start().unwrap();
        let first = jobs.enqueue(message(&topic.name, 1)).await.unwrap();
        jobs.wait(&first, Duration::from_secs(20)).await.unwrap();

        // away in the middle of a connection, and nobody answers at the address
        drop(way);
        let second = jobs.enqueue(message(&topic.name, 2)).await.unwrap();
        let began = Instant::now();
        while jobs.status(&second).await.unwrap().unwrap().attempts < 2 {
            assert!(began.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let _way = Proxy::again(port, address);
        jobs.wait(&second, Duration::from_secs(20)).await.unwrap();
        worker.stop().await.unwrap();
        let entries = topic.entries().ids;
        let ids: Vec<_> = entries.iter().map(|entry| entry.get::<String>("id").unwrap()).collect();
        assert_eq!(ids, [first.to_string(), second.to_string()]);
    }
}
