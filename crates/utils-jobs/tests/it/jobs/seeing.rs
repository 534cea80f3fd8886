//! What operators see: metrics and traces, on every kind of jobs. What they see over HTTP is in `web`.
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use expect_test::expect;
use serde::{Deserialize, Serialize};
use utils_jobs::{Context, Failure, Job, Jobs, Policy, Retry, TraceParent, TraceParentError, Worker};

#[derive(Serialize, Deserialize)]
pub(super) enum Letter {
    Fine,
    Bad,
    Later,
}

impl Job for Letter {
    const NAME: &'static str = "letter";
    type Output = ();

    fn policy() -> Policy {
        Policy::new().queue("post \"A\", B").attempts(2)
    }

    async fn run(self, _: Context) -> Result<(), Failure> {
        match self {
            Self::Fine => Ok(()),
            Self::Bad => Err(Retry::never("no such street")),
            Self::Later => Err(Retry::after(Duration::from_secs(3_600), "nobody at home")),
        }
    }
}

pub(super) async fn metrics_count_what_is_there(jobs: &Jobs) {
    let mut worker = Worker::new(jobs).handle::<Letter>();
    jobs.enqueue(Letter::Fine).await.unwrap();
    jobs.advance(Duration::from_millis(2_500));
    jobs.enqueue_many([Letter::Fine, Letter::Bad, Letter::Later]).await.unwrap();
    assert_eq!(worker.run_due().await.unwrap().total(), 4);
    jobs.enqueue_many([Letter::Fine, Letter::Fine]).await.unwrap();
    jobs.enqueue(Letter::Fine.after(Duration::from_secs(7_200))).await.unwrap();
    jobs.enqueue(Letter::Fine.with().queue("other")).await.unwrap();
    jobs.pause("other").await.unwrap();
    let chain = jobs.chain(Letter::Fine.with().queue("other").after(Duration::from_secs(7_200)));
    chain.then_only(Letter::Fine).then_only(Letter::Fine).start().await.unwrap();
    jobs.advance(Duration::from_secs(90));

    let text = jobs.metrics().await.unwrap();
    let is_same_each_time =
        |line: &&str| !line.starts_with("utils_jobs_run_seconds_") || line.ends_with("} 4");
    let mut lines: Vec<_> = text.lines().filter(is_same_each_time).collect();
    lines.retain(|line| !line.contains("_run_seconds_bucket") || line.contains("+Inf"));
    lines.retain(|line| {
        !line.contains("_wait_seconds_bucket") || line.contains("=\"2.5\"") || line.contains("\"1\"")
    });
    // a database gives groups in its own order
    let family = lines.iter().position(|line| line.starts_with("utils_jobs_jobs{")).unwrap();
    lines[family..family + 6].sort_unstable();
    let family =
        lines.iter().position(|line| line.starts_with("utils_jobs_oldest_waiting_seconds{")).unwrap();
    lines[family..family + 2].sort_unstable();
    expect![[r##"
        # HELP utils_jobs_jobs Jobs that have not ended, and dead letters.
        # TYPE utils_jobs_jobs gauge
        utils_jobs_jobs{queue="other",state="scheduled"} 1
        utils_jobs_jobs{queue="other",state="waiting"} 1
        utils_jobs_jobs{queue="post \"A\", B",state="blocked"} 2
        utils_jobs_jobs{queue="post \"A\", B",state="dead"} 1
        utils_jobs_jobs{queue="post \"A\", B",state="scheduled"} 2
        utils_jobs_jobs{queue="post \"A\", B",state="waiting"} 2
        # HELP utils_jobs_oldest_waiting_seconds For how long the first waiting job of a queue could have run.
        # TYPE utils_jobs_oldest_waiting_seconds gauge
        utils_jobs_oldest_waiting_seconds{queue="other"} 90
        utils_jobs_oldest_waiting_seconds{queue="post \"A\", B"} 90
        # HELP utils_jobs_paused Queues that are paused.
        # TYPE utils_jobs_paused gauge
        utils_jobs_paused{queue="other"} 1
        # HELP utils_jobs_workers Workers that were seen within two leases.
        # TYPE utils_jobs_workers gauge
        utils_jobs_workers 0
        # HELP utils_jobs_attempts_total Attempts of this process, by how they ended.
        # TYPE utils_jobs_attempts_total counter
        utils_jobs_attempts_total{queue="post \"A\", B",job="letter",outcome="dead"} 1
        utils_jobs_attempts_total{queue="post \"A\", B",job="letter",outcome="done"} 2
        utils_jobs_attempts_total{queue="post \"A\", B",job="letter",outcome="retried"} 1
        # HELP utils_jobs_run_seconds How long attempts took.
        # TYPE utils_jobs_run_seconds histogram
        utils_jobs_run_seconds_bucket{queue="post \"A\", B",job="letter",le="+Inf"} 4
        utils_jobs_run_seconds_count{queue="post \"A\", B",job="letter"} 4
        # HELP utils_jobs_wait_seconds How long attempts waited after they were due.
        # TYPE utils_jobs_wait_seconds histogram
        utils_jobs_wait_seconds_bucket{queue="post \"A\", B",job="letter",le="1"} 3
        utils_jobs_wait_seconds_bucket{queue="post \"A\", B",job="letter",le="2.5"} 4
        utils_jobs_wait_seconds_sum{queue="post \"A\", B",job="letter"} 2.5
        utils_jobs_wait_seconds_count{queue="post \"A\", B",job="letter"} 4"##]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn metrics_of_jobs_in_memory_count_what_is_there() {
    let jobs = Jobs::memory();
    actix_rt::System::new().block_on(metrics_count_what_is_there(&jobs));
}

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub(super) async fn metrics_are_the_same_on_every_database<P: super::database::Place>(place: P) {
    let jobs = super::database::open(&place, Jobs::builder().clock(utils_jobs::Clock::manual()));
    metrics_count_what_is_there(&jobs).await;
}

const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[track_caller]
fn check(text: &str, expected: Result<&str, TraceParentError>) {
    let read = text.parse::<TraceParent>().map(|trace| trace.to_string());
    assert_eq!(read.as_deref().map_err(|error| *error), expected, "{text:?}");
}

#[test]
fn a_traceparent_is_read_as_the_recommendation_says() {
    check(HEADER, Ok(HEADER));
    // flags that we do not know are not passed on
    let not_sampled = HEADER.replace("-01", "-00");
    check(&HEADER.replace("-01", "-fe"), Ok(&not_sampled));
    // a later version may have more fields
    check(&format!("cc{}-what-else", &HEADER[2..]), Ok(HEADER));
    check(&format!("cc{}", &HEADER[2..]), Ok(HEADER));
    for malformed in [
        "",
        "00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
    ] {
        check(malformed, Err(TraceParentError));
    }
}

#[test]
fn random_traces_are_valid_and_differ() {
    let (one, other) = (TraceParent::random().unwrap(), TraceParent::random().unwrap());
    assert_ne!(one.trace_id(), other.trace_id());
    check(&one.to_string(), Ok(&one.to_string()));
}

/// Enqueues another job from inside, as a handler would.
#[derive(Serialize, Deserialize)]
struct Parent;

impl Job for Parent {
    const NAME: &'static str = "parent";
    type Output = String;

    async fn run(self, ctx: Context) -> Result<String, Failure> {
        ctx.jobs().enqueue(Child).await?;
        Ok(ctx.trace().map(|trace| trace.trace_id()).unwrap_or_default())
    }
}

#[derive(Serialize, Deserialize)]
struct Child;

impl Job for Child {
    const NAME: &'static str = "child";
    type Output = ();

    fn policy() -> Policy {
        Policy::new().blocking()
    }

    async fn run(self, ctx: Context) -> Result<(), Failure> {
        assert_eq!(TraceParent::current(), ctx.trace());
        Ok(())
    }
}

#[tokio::test]
async fn the_spans_of_a_job_and_of_what_it_enqueues_have_the_trace_of_the_request() {
    // While there is one subscriber only, tracing remembers for all threads what the first thread that comes along thinks
    // of a span, and the threads of other tests have no subscriber. A second one makes it ask both.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let spans = Spans::default();
    let seen = Arc::clone(&spans.fields);
    let _guard = tracing::subscriber::set_default(spans);
    let jobs = Jobs::memory();
    let mut worker = Worker::new(&jobs).handle::<Parent>().handle::<Child>();

    let trace: TraceParent = HEADER.parse().unwrap();
    let id = trace.scope(jobs.enqueue(Parent)).await.unwrap();
    assert_eq!(worker.run_due().await.unwrap().succeeded, 2);

    assert_eq!(jobs.wait(&id, Duration::ZERO).await.unwrap(), trace.trace_id());
    let seen = seen.lock().unwrap();
    let of = |name: &str| seen.values().find(|span| span.get("name").is_some_and(|of| of == name)).unwrap();
    for name in ["parent", "child"] {
        let span = of(name);
        assert_eq!(span["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736", "{span:?}");
        assert_eq!(span["parent_id"], "00f067aa0ba902b7", "{span:?}");
        assert_eq!((&*span["queue"], &*span["attempt"]), ("default", "1"), "{span:?}");
    }
    assert_eq!(of("parent")["id"], id.to_string());
}

#[tokio::test]
async fn an_explicit_trace_wins_and_outside_of_a_scope_there_is_none() {
    let jobs = Jobs::memory();
    let own: TraceParent = HEADER.replace("4bf9", "aaaa").parse().unwrap();
    let id =
        HEADER.parse::<TraceParent>().unwrap().scope(jobs.enqueue(Child.with().trace(own))).await.unwrap();
    assert_eq!(jobs.status(&id).await.unwrap().unwrap().meta["traceparent"], own.to_string());
    let id = jobs.enqueue(Child).await.unwrap();
    assert!(jobs.status(&id).await.unwrap().unwrap().meta.is_empty());
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_job_enqueued_in_a_transaction_on_another_thread_has_the_trace_too() {
    let sessions = utils_jobs::Sessions::<diesel::SqliteConnection>::new(":memory:").unwrap();
    let jobs = Jobs::from_sessions(sessions.clone());
    jobs.migrate().unwrap();
    let enqueuer = jobs.clone();
    let enqueue = sessions.tx(move |conn| enqueuer.enqueue_in(conn, Child));
    let id = HEADER.parse::<TraceParent>().unwrap().scope(enqueue).await.unwrap();
    assert_eq!(jobs.status(&id).await.unwrap().unwrap().meta["traceparent"], HEADER);
}

/// Keeps the fields of all spans called `job`.
#[derive(Default)]
struct Spans {
    next: std::sync::atomic::AtomicU64,
    fields: Arc<Mutex<BTreeMap<u64, BTreeMap<&'static str, String>>>>,
}

struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

impl tracing::field::Visit for Fields<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl tracing::Subscriber for Spans {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_span() && metadata.name() == "job"
    }
    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        let id = self.next.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
        span.record(&mut Fields(self.fields.lock().unwrap().entry(id).or_default()));
        tracing::span::Id::from_u64(id)
    }
    fn record(&self, span: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut Fields(self.fields.lock().unwrap().entry(span.into_u64()).or_default()));
    }
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}
