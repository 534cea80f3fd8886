//! What every backend of utils-jobs keeps, as tests to run on one: [`job_backend_contract!`](crate::job_backend_contract).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[doc(hidden)]
pub mod cases;
mod sample;
mod together;

use std::{future::Future, time::Duration};

use utils_jobs::{Jobs, JobsBuilder};

/// A place for jobs that is empty at first and belongs to one test.
pub trait JobBackend {
    /// Jobs on this place, migrated, with these settings. Called twice, both are on the same place, but for a backend
    /// in memory.
    fn open(&self, builder: JobsBuilder) -> Jobs;
}

/// Runs one case of the contract on a backend.
///
/// # Panics
/// When the contract is not kept, or the case takes more than a minute.
pub async fn run<B, F>(backend: B, case: impl FnOnce(B) -> F)
where
    B: JobBackend,
    F: Future<Output = ()>,
{
    let limit = Duration::from_secs(60);
    let done = tokio::time::timeout(limit, case(backend)).await;
    assert!(done.is_ok(), "the case has not ended within {limit:?}");
}

/// Makes one test of each case of the contract that backends of utils-jobs keep, on backends made by an expression. The
/// tests are `#[tokio::test]`, so the crate needs tokio with its features `macros` and `rt` among its dev-dependencies.
///
/// # Examples
/// ```
/// use utils_jobs::{Jobs, JobsBuilder};
/// use utils_testing::{job_backend_contract, jobs::JobBackend};
///
/// struct InMemory;
///
/// impl JobBackend for InMemory {
///     fn open(&self, builder: JobsBuilder) -> Jobs {
///         builder.open("memory:").unwrap()
///     }
/// }
///
/// job_backend_contract!(InMemory);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! job_backend_contract {
    ($backend:expr) => {
        $crate::job_backend_contract!(@cases $backend;
            a_job_runs_once_and_its_result_is_kept,
            jobs_enqueued_together_run_in_order,
            higher_priorities_run_first,
            a_delayed_job_waits_for_its_time,
            an_expired_job_does_not_run,
            a_unique_key_is_taken_until_its_job_has_ended,
            a_requeued_job_takes_its_unique_key_again,
            an_idempotency_key_stays_taken,
            arguments_that_are_too_large_are_refused,
            a_failed_job_waits_for_its_backoff_and_is_dead_in_the_end,
            retry_after_waits_that_long_and_counts_attempts,
            retry_never_makes_a_dead_letter_at_once,
            a_final_error_is_not_tried_again,
            a_panic_is_a_failed_attempt,
            a_hard_time_limit_is_a_failed_attempt,
            a_soft_time_limit_lets_the_job_end_by_itself,
            an_unknown_name_is_a_dead_letter_with_the_reason,
            an_unknown_name_can_be_left_for_others,
            arguments_that_cannot_be_read_do_not_stop_the_queue,
            a_dead_letter_can_be_requeued,
            a_waiting_job_is_cancelled_at_once,
            a_running_job_is_told_of_its_cancellation,
            a_stubborn_job_is_stopped_after_its_grace,
            several_jobs_are_looked_up_together,
            a_paused_queue_starts_nothing,
            old_jobs_are_purged_by_state_and_age,
            progress_can_be_seen_while_the_job_runs,
            waiting_for_a_job_ends_with_its_end,
            a_job_of_a_stalled_worker_runs_again_and_the_first_run_does_not_count,
            a_job_that_kills_its_workers_is_dead_in_the_end,
            a_failure_without_a_wait_is_tried_again_at_once,
            a_stopped_worker_ends_what_runs_and_gives_the_rest_back,
            a_job_that_does_not_end_in_time_is_put_back,
            a_running_job_is_told_when_the_time_to_shut_down_is_nearly_over,
            a_worker_can_be_stopped_at_once,
            a_dropped_worker_gives_its_jobs_back,
            stopping_with_a_hundred_jobs_in_flight_does_not_hang,
            two_workers_run_each_job_once,
            jobs_that_outlast_their_lease_run_once_prefetched_ones_too,
            a_draining_worker_keeps_its_job_from_others,
            a_type_has_a_concurrency_of_its_own,
            a_type_has_a_rate_of_its_own,
            a_worker_takes_jobs_from_its_queues_only,
            a_scheduled_tick_is_enqueued_once_by_two_workers,
            a_missed_tick_is_made_up_for_once,
            apalis_own_workers_run_on_the_storage,
            apalis_layers_and_errors_end_attempts,
            apalis_monitor_runs_a_worker_with_a_rate_and_its_spans,
            the_context_knows_the_release_the_worker_and_the_data,
            a_blocking_job_does_not_stall_the_others,
            jobs_that_wait_together_are_handled_in_one_call,
            a_full_batch_starts_at_once_and_another_waits_for_more,
            the_first_job_of_a_batch_waits_only_so_long_for_more,
            a_stopped_worker_leaves_a_batch_that_fills_to_others,
            each_job_of_a_batch_ends_in_its_own_way,
            what_fails_the_call_fails_each_of_its_jobs,
            the_time_limit_of_a_batch_is_that_of_its_call,
            the_last_attempt_of_a_job_is_made_alone,
            one_job_of_a_running_batch_is_told_of_its_cancellation,
            a_stubborn_job_of_a_batch_is_cancelled_after_its_grace_and_the_others_go_on,
            a_call_ends_when_all_of_its_jobs_are_cancelled,
            a_batch_counts_as_one_job,
            a_rate_counts_batches,
            two_workers_do_not_share_a_batch_out,
            a_batch_that_outlasts_its_lease_runs_once,
            a_batch_that_does_not_end_in_time_is_put_back,
            a_batch_of_a_stalled_worker_does_not_count,
            members_of_a_group_can_be_handled_together,
            keys_expiries_and_paused_queues_hold_for_batches,
        );
    };
    (@cases $backend:expr; $($case:ident,)*) => {
        $(
            #[::tokio::test]
            async fn $case() {
                $crate::jobs::run($backend, $crate::jobs::cases::$case).await;
            }
        )*
    };
}
