use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;
use tokio::sync::watch;

use crate::{Stopping, store::row::Claimed};

/// A claimed job on its way to a worker.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub claimed: Arc<Claimed>,
    pub control: Control,
}

impl Delivery {
    pub(crate) fn new(claimed: Claimed) -> Self {
        Self { claimed: Arc::new(claimed), control: Control::new() }
    }
}

/// Tells a running job to end.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    stop: watch::Sender<Option<Stopping>>,
}

impl Control {
    fn new() -> Self {
        Self { stop: watch::Sender::new(None) }
    }

    /// The first reason stays, but for a lost lease, which outranks all.
    pub(crate) fn stop(&self, reason: Stopping) {
        self.stop.send_if_modified(|current| {
            let changes = current.is_none() || (reason == Stopping::LeaseLost && *current != Some(reason));
            if changes {
                *current = Some(reason);
            }
            changes
        });
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Stopping>> {
        self.stop.subscribe()
    }
}

/// Claimed jobs that no future runs yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    deliveries: VecDeque<Delivery>,
    closed: bool,
}

impl Inbox {
    pub(crate) fn put(&self, delivery: Delivery) {
        self.lock().deliveries.push_back(delivery);
        self.waker.wake();
    }

    /// The next job; `None` when the pump has ended.
    pub(crate) fn poll_take(&self, cx: &Context<'_>) -> Poll<Option<Delivery>> {
        self.waker.register(cx.waker());
        let mut state = self.lock();
        match state.deliveries.pop_front() {
            Some(delivery) => Poll::Ready(Some(delivery)),
            None if state.closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// Waits for the end of the pump.
    pub(crate) fn poll_closed(&self, cx: &Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.lock().closed { Poll::Ready(()) } else { Poll::Pending }
    }

    pub(super) fn drain(&self) -> Vec<Delivery> {
        self.lock().deliveries.drain(..).collect()
    }

    pub(super) fn close_on_drop(self: &Arc<Self>) -> impl Drop + use<> {
        struct Closes(Arc<Inbox>);
        impl Drop for Closes {
            fn drop(&mut self) {
                self.0.lock().closed = true;
                self.0.waker.wake();
            }
        }
        Closes(Arc::clone(self))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
