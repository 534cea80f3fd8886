//! What goes on in the background: hearing of revocations in other processes, and deleting what is over.

use std::{
    error::Error as _, future::Future, panic::AssertUnwindSafe, sync::atomic::Ordering, time::Duration,
};

use futures_util::FutureExt;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    runtime::Handle,
    task::AbortHandle,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};

use crate::{
    clock::whole_ms,
    engine::{Inner, TokenAuth},
    error::Error,
    events::EventKind,
    policy::CLOCK_SKEW,
    store::{Purge, Store},
};

/// Sessions that one statement of a purge deletes at most.
const BATCH: u32 = 1_000;

/// How often the store is asked for every revocation that can still matter, in milliseconds.
const COMPLETE_EVERY: i64 = 60_000;

/// After how long a question to the store is given up at the earliest: long enough for a busy one, and for a pool to
/// notice that a connection is gone.
const SYNC_LIMIT: Duration = Duration::from_secs(10);

/// The same for a purge, which goes on in the next period where it stopped.
const PURGE_LIMIT: Duration = Duration::from_secs(60 * 60);

/// The engine's work in the background. It stops when this is dropped, so keep it as long as the server runs.
#[derive(Debug)]
#[must_use = "the work stops when this is dropped"]
pub struct Upkeep {
    task: AbortHandle,
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<C, S> TokenAuth<C, S>
where
    C: Serialize + DeserializeOwned + 'static,
    S: Store,
{
    /// Loads the sessions that were revoked lately, then keeps hearing of more ([`Policy::sync`]) and purges
    /// ([`Policy::purge`]) on the current tokio runtime.
    ///
    /// Await it before the server accepts requests: a session revoked before a restart is refused after it.
    ///
    /// # Errors
    /// [`Error::Store`] when the store did not answer; [`Error::Internal`] outside of a tokio runtime.
    ///
    /// [`Policy::sync`]: crate::Policy::sync
    /// [`Policy::purge`]: crate::Policy::purge
    pub async fn start(&self) -> Result<Upkeep, Error> {
        self.sync().await?;
        let runtime = Handle::try_current().map_err(Error::internal)?;
        let engine = self.clone();
        Ok(Upkeep { task: runtime.spawn(async move { engine.keep_up().await }).abort_handle() })
    }

    /// Asks the store once for what other processes revoked. [`start`](Self::start) does it all the time.
    ///
    /// # Errors
    /// [`Error::Store`] when the store did not answer.
    pub async fn sync(&self) -> Result<(), Error> {
        let Inner { store, policy, revocations, .. } = &*self.inner;
        let now = self.now();
        let window = whole_ms(policy.revocation_window());
        let complete = match revocations.complete_at() {
            // a revocation has the time it was asked for, and may have waited for a lock since
            Some(last) => !(last..last + COMPLETE_EVERY).contains(&now),
            None => true,
        };
        let from = match revocations.synced_at() {
            // the overlap covers clocks that differ
            Some(last) if last <= now && !complete => last - whole_ms(CLOCK_SKEW),
            // as well when the clock was set back: we may have forgotten too much
            _ => now - window,
        };
        let revoked = store.revoked_since(from).await.map_err(Error::store)?;
        revocations.apply(&revoked);
        revocations.forget(now - window);
        revocations.synced(now, complete);
        Ok(())
    }

    /// Deletes what has been over for long enough ([`Policy::keep`](crate::Policy::keep)), in batches; how many
    /// sessions. [`start`](Self::start) does it from time to time.
    ///
    /// # Errors
    /// [`Error::Store`] when the store did not answer.
    pub async fn purge(&self) -> Result<usize, Error> {
        let Inner { store, policy, events, .. } = &*self.inner;
        let now = self.now();
        let keep = whole_ms(policy.keep.max(policy.revocation_window()));
        let purge = Purge {
            ended_before: now - keep,
            idle_before: self.live_at(now).idle_since - keep,
            limit: BATCH,
        };
        let mut sessions = 0;
        loop {
            let deleted = store.purge(purge).await.map_err(Error::store)?;
            sessions += deleted;
            if deleted == 0 {
                break;
            }
        }
        if sessions > 0 {
            events.send(EventKind::Deleted { sessions }, "", None, now);
        }
        Ok(sessions)
    }

    async fn keep_up(self) {
        let policy = self.policy();
        let sync_limit = policy.sync.saturating_mul(5).max(SYNC_LIMIT);
        let purge_limit = policy.purge.max(PURGE_LIMIT);
        // side by side: a purge of many sessions must not keep revocations waiting
        tokio::join!(
            repeat(policy.sync, sync_limit, "revocations of other processes are not heard", || self.sync()),
            repeat(policy.purge, purge_limit, "ended sessions were not deleted", || self.purge()),
        );
    }

    /// Says once in the log what is missing when sessions are shared and nobody listens to the other processes.
    pub(crate) fn warn_if_not_started(&self) {
        let missing = S::SHARED && self.inner.revocations.synced_at().is_none();
        if missing
            && !self.inner.warned.load(Ordering::Relaxed)
            && !self.inner.warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                "call `start()`: revocations of other processes, and before a restart, are not known"
            );
        }
    }
}

/// Does the work in each period, for ever: neither an error nor a panic of the store ends it, nor a store that never
/// answers, which is given up after `limit`.
async fn repeat<T, Fut>(period: Duration, limit: Duration, what: &str, work: impl Fn() -> Fut)
where
    Fut: Future<Output = Result<T, Error>>,
{
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        interval.tick().await;
        let failure = match timeout(limit, AssertUnwindSafe(work()).catch_unwind()).await {
            Ok(Ok(Ok(_))) => None,
            Ok(Ok(Err(error))) => Some(error.source().map(ToString::to_string).unwrap_or_default()),
            Ok(Err(_)) => Some("panicked".to_owned()),
            Err(_) => Some(format!("no answer within {limit:?}")),
        };
        // the first of several
        if let Some(cause) = failure.as_deref().filter(|_| !failing) {
            tracing::warn!(cause, "{what}");
        }
        failing = failure.is_some();
    }
}
