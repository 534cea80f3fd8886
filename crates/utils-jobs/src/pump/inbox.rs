use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;
use tokio::sync::watch;

use crate::{
    Stopping,
    store::row::{Claimed, Progress},
};

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

/// What one call of a handler gets.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    One(Delivery),
    Batch(Arc<[Delivery]>),
}

impl Call {
    pub(crate) fn deliveries(&self) -> &[Delivery] {
        match self {
            Self::One(delivery) => std::slice::from_ref(delivery),
            Self::Batch(deliveries) => deliveries,
        }
    }

    /// Batches as they are handled: the last of several attempts of a job is made alone, so that one which takes its
    /// whole call down, again and again, makes no dead letters of the others.
    pub(crate) fn of_batch(claimed: Vec<Claimed>) -> impl Iterator<Item = Self> {
        let is_last =
            |claimed: &Claimed| claimed.max_attempts > 1 && claimed.attempts >= claimed.max_attempts;
        let (alone, together): (Vec<_>, Vec<_>) = claimed.into_iter().partition(is_last);
        let calls = std::iter::once(together).chain(alone.into_iter().map(|claimed| vec![claimed]));
        calls
            .filter(|call| !call.is_empty())
            .map(|call| Self::Batch(call.into_iter().map(Delivery::new).collect()))
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

    /// A reason gives way to a graver one only: a job that was told of its time limit can still be cancelled.
    pub(crate) fn stop(&self, reason: Stopping) {
        self.stop.send_if_modified(|current| {
            let changes = current.is_none_or(|current| current.gravity() < reason.gravity());
            if changes {
                *current = Some(reason);
            }
            changes
        });
    }

    /// Why it was told to end, if it was.
    pub(crate) fn reason(&self) -> Option<Stopping> {
        *self.stop.borrow()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Stopping>> {
        self.stop.subscribe()
    }
}

/// The newest word of a job about its progress, until the pump takes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Word(Arc<Mutex<Option<Progress>>>);

impl Word {
    /// Whether the pump has to be told: it has taken the word before.
    pub(crate) fn put(&self, progress: Progress) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(progress).is_none()
    }

    pub(crate) fn take(&self) -> Option<Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Calls that no future runs yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    calls: VecDeque<Call>,
    closed: bool,
    failed: bool,
}

impl Inbox {
    pub(crate) fn put(&self, call: Call) {
        self.lock().calls.push_back(call);
        self.waker.wake();
    }

    /// The next call; `None` when the pump has ended.
    pub(crate) fn poll_take(&self, cx: &Context<'_>) -> Poll<Option<Call>> {
        self.waker.register(cx.waker());
        let mut state = self.lock();
        match state.calls.pop_front() {
            Some(call) => Poll::Ready(Some(call)),
            None if state.closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// Waits for the end of the pump.
    pub(crate) fn poll_closed(&self, cx: &Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.lock().closed { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether the pump has ended by a panic.
    pub(crate) fn has_failed(&self) -> bool {
        self.lock().failed
    }

    pub(super) fn drain(&self) -> Vec<Call> {
        self.lock().calls.drain(..).collect()
    }

    pub(super) fn close_on_drop(self: &Arc<Self>) -> impl Drop + use<> {
        struct Closes(Arc<Inbox>);
        impl Drop for Closes {
            fn drop(&mut self) {
                let mut state = self.0.lock();
                state.closed = true;
                state.failed = std::thread::panicking();
                drop(state);
                self.0.waker.wake();
            }
        }
        Closes(Arc::clone(self))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(panics: bool) {
        let inbox = Arc::new(Inbox::default());
        let pump = Arc::clone(&inbox);
        let ended = std::thread::spawn(move || {
            let _closes = pump.close_on_drop();
            assert!(!panics, "a pump that panics, for a test");
        });
        assert_eq!(ended.join().is_err(), panics);
        let taken = inbox.poll_take(&Context::from_waker(std::task::Waker::noop()));
        assert!(matches!(taken, Poll::Ready(None)));
        assert_eq!(inbox.has_failed(), panics);
    }

    #[test]
    fn a_pump_that_panics_is_told_from_one_that_ends() {
        check(true);
        check(false);
    }

    #[test]
    fn of_many_words_about_progress_only_the_newest_waits() {
        let word = Word::default();
        let say =
            |fraction| word.put(Progress { id: "1".to_owned(), attempts: 1, fraction, note: String::new() });
        assert_eq!([say(0.1), say(0.2), say(0.3)], [true, false, false]);
        assert_eq!(word.take().map(|progress| progress.fraction), Some(0.3));
        assert!(word.take().is_none());
        assert!(say(0.4));
    }

    #[test]
    fn a_reason_to_stop_gives_way_to_a_graver_one_only() {
        let control = Control::new();
        let stop = control.subscribe();
        for (told, expected) in [
            (Stopping::TimeLimit, Stopping::TimeLimit),
            (Stopping::Cancelled, Stopping::Cancelled),
            (Stopping::Shutdown, Stopping::Cancelled),
            (Stopping::TimeLimit, Stopping::Cancelled),
            (Stopping::LeaseLost, Stopping::LeaseLost),
            (Stopping::Cancelled, Stopping::LeaseLost),
        ] {
            control.stop(told);
            assert_eq!(*stop.borrow(), Some(expected));
        }
    }
}
