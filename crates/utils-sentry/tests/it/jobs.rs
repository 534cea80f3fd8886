//! Which failures of jobs are reported, and what a report says.
use std::{sync::Arc, time::Duration};

use sentry::{
    Hub,
    protocol::{Context as EventContext, Event},
};
use serde::{Deserialize, Serialize};
use utils_jobs::{Clock, Context, Failure, Job, Jobs, Policy, Retry, TraceParent, Worker};

use crate::support::{Reports, settings};

#[derive(Serialize, Deserialize)]
enum Charge {
    Refused,
    Busy,
    Panics,
    Reports,
}

#[derive(Debug, thiserror::Error)]
#[error("the payment was not made")]
struct NotPaid(#[source] std::io::Error);

impl Job for Charge {
    const NAME: &'static str = "bank.charge";
    type Output = ();

    fn policy() -> Policy {
        Policy::new().queue("money").attempts(2)
    }

    async fn run(self, _: Context) -> Result<(), Failure> {
        match self {
            Self::Refused => {
                Err(Retry::never(NotPaid(std::io::Error::other("postgres://app:s3cret@db/bank is closed"))))
            }
            Self::Busy => Err(Retry::after(Duration::from_secs(60), "the bank is busy")),
            Self::Panics => panic!("out of money"),
            Self::Reports => {
                sentry::capture_message("odd", sentry::Level::Warning);
                Ok(())
            }
        }
    }
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Runs a job until it has ended, and gives what was reported after each of its attempts.
fn attempts(job: Charge) -> Vec<Vec<Event<'static>>> {
    let reports = Reports::of(&settings());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut seen = Vec::new();
    Hub::run(Arc::clone(&reports.hub), || {
        runtime.block_on(async {
            let builder = Jobs::builder().clock(Clock::manual()).release("bank@7.1");
            let jobs = builder.on_failure(utils_sentry::report_job).open("memory:").unwrap();
            let trace: TraceParent = TRACE.parse().unwrap();
            let id = trace.scope(jobs.enqueue(job)).await.unwrap();
            let mut worker = Worker::new(&jobs).handle::<Charge>();
            while !jobs.status(&id).await.unwrap().unwrap().state.is_final() {
                jobs.advance(Duration::from_secs(3_600));
                worker.run_due().await.unwrap();
                seen.push(reports.take());
            }
            for event in seen.iter().flatten() {
                assert_eq!(event.tags["job.id"], id.to_string(), "{event:#?}");
            }
        });
    });
    seen
}

#[track_caller]
fn check(event: &Event<'static>, attempt: &str) {
    assert_eq!(event.tags["job"], "bank.charge", "{event:#?}");
    assert_eq!(event.tags["job.queue"], "money", "{event:#?}");
    assert_eq!(event.tags["job.attempt"], attempt, "{event:#?}");
    assert!(event.tags["job.worker"].contains("run_due"), "{event:#?}");
    assert_eq!(event.transaction.as_deref(), Some("bank.charge"), "{event:#?}");
    assert_eq!(event.release.as_deref(), Some("bank@7.1"), "{event:#?}");
}

#[test]
fn a_job_that_failed_for_good_is_one_report_with_its_cause_and_trace() {
    let reported = attempts(Charge::Refused).concat();
    assert_eq!(reported.len(), 1, "{reported:#?}");
    check(&reported[0], "1");
    let values: Vec<_> =
        reported[0].exception.values.iter().map(|error| error.value.clone().unwrap()).collect();
    assert_eq!(values, ["postgres://[Filtered]@db/bank is closed", "the payment was not made"]);
    let Some(EventContext::Trace(trace)) = reported[0].contexts.get("trace") else {
        panic!("{:#?}", reported[0])
    };
    assert_eq!(trace.trace_id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(trace.parent_span_id.unwrap().to_string(), "00f067aa0ba902b7");
}

#[test]
fn an_attempt_that_is_tried_again_is_no_report() {
    let [first, second] = attempts(Charge::Busy).try_into().unwrap();
    assert!(first.is_empty(), "{first:#?}");
    assert_eq!(second.len(), 1, "{second:#?}");
    check(&second[0], "2");
}

#[test]
fn a_panic_is_one_report_at_each_attempt_that_says_which_job() {
    let seen = attempts(Charge::Panics);
    assert_eq!(seen.len(), 2);
    for (number, events) in seen.iter().enumerate() {
        assert_eq!(events.len(), 1, "{events:#?}");
        check(&events[0], &(number + 1).to_string());
        assert_eq!(events[0].exception.values[0].value.as_deref(), Some("out of money"));
    }
}

#[test]
fn what_a_job_reports_itself_says_which_job() {
    let reported = attempts(Charge::Reports).concat();
    assert_eq!(reported.len(), 1, "{reported:#?}");
    check(&reported[0], "1");
    assert_eq!(reported[0].message.as_deref(), Some("odd"));
}
