//! What goes on in the background: hearing of revocations in other processes, and deleting what is over.

use std::{error::Error as _, sync::atomic::Ordering, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    runtime::Handle,
    task::AbortHandle,
    time::{Instant, MissedTickBehavior, interval_at},
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
        let from = match revocations.synced_at() {
            // the overlap covers clocks that differ and transactions that commit late
            Some(last) if last <= now => last - whole_ms(CLOCK_SKEW),
            // never asked, or the clock was set back and we may have forgotten too much
            _ => now - window,
        };
        let revoked = store.revoked_since(from).await.map_err(Error::store)?;
        revocations.apply(&revoked);
        revocations.forget(now - window);
        revocations.synced(now);
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
        let mut sync = every(policy.sync);
        let mut purge = every(policy.purge);
        let mut failing = false;
        loop {
            tokio::select! {
                _ = sync.tick() => {
                    let failed = report(self.sync().await, failing, "revocations of other processes are not heard");
                    failing = failed;
                }
                _ = purge.tick() => {
                    report(self.purge().await, false, "ended sessions were not deleted");
                }
            }
        }
    }

    /// Says once in the log what is missing when sessions are shared and nobody listens to the other processes.
    pub(crate) fn warn_if_not_started(&self) {
        let missing = S::SHARED && self.inner.revocations.synced_at().is_none();
        if missing && !self.inner.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "call `start()`: revocations of other processes, and before a restart, are not known"
            );
        }
    }
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Logs the first of several failures; whether it is one.
fn report<T>(result: Result<T, Error>, failing: bool, what: &str) -> bool {
    let Err(error) = result else { return false };
    if !failing {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        tracing::warn!(cause, "{what}");
    }
    true
}
