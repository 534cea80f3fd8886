//! What other processes announce: PostgreSQL's LISTEN on one connection for all workers of this process.
use std::{
    sync::{Weak, atomic::Ordering},
    time::Duration,
};

use super::{Inner, lock};
use crate::pump::Msg;

/// Listens until the last worker of this process is gone; when the connection breaks, it makes a new one.
pub(super) fn start(jobs: Weak<Inner>) {
    let thread = std::thread::Builder::new().name("jobs-listen".to_owned());
    let started = thread.spawn(move || {
        let mut told = false;
        loop {
            let Some(store) = jobs.upgrade().map(|inner| inner.store.clone()) else { return };
            let heard = store.listen(&mut |news| {
                if std::mem::take(&mut told) {
                    tracing::info!("listening for new jobs again");
                }
                wake(&jobs, news)
            });
            drop(store);
            match heard {
                Ok(()) => return,
                Err(error) => {
                    // Once for each time without.
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(error = %crate::failure::error_line(&error),
                            "cannot listen for new jobs, looking for them instead");
                    }
                    std::thread::sleep(Duration::from_secs(1));
                }
            }
        }
    });
    if let Err(error) = started {
        tracing::warn!(%error, "cannot listen for new jobs, looking for them instead");
    }
}

/// Wakes the workers when there is news. False when there are none left.
fn wake(jobs: &Weak<Inner>, news: bool) -> bool {
    let Some(inner) = jobs.upgrade() else { return false };
    let mut pumps = lock(&inner.pumps);
    if news {
        pumps.retain(|(_, pump)| pump.send(Msg::Wake).is_ok());
    }
    if pumps.is_empty() {
        // While no pump can be added, so that the next one that is starts to listen anew.
        inner.listens.store(false, Ordering::SeqCst);
    }
    !pumps.is_empty()
}
