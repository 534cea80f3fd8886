//! A check that fails has to fail at the test's line, with a message that explains itself.
use std::{
    future::Future,
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind},
    pin::pin,
    sync::{Mutex, Once},
    task::{Context, Poll},
};

/// What a panic said, and where it was raised.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) file: String,
    pub(crate) line: u32,
}

static LAST: Mutex<Vec<(std::thread::ThreadId, Failure)>> = Mutex::new(Vec::new());

/// Notes panics of this thread; the harness's own output of them stays.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            note(info);
            before(info);
        }));
    });
}

fn note(info: &PanicHookInfo<'_>) {
    let Some(place) = info.location() else { return };
    let message = info.payload_as_str().unwrap_or_default().to_owned();
    let failure = Failure { message, file: place.file().to_owned(), line: place.line() };
    LAST.lock().unwrap().push((std::thread::current().id(), failure));
}

fn taken() -> Failure {
    let me = std::thread::current().id();
    let mut last = LAST.lock().unwrap();
    let index = last.iter().rposition(|(thread, _)| *thread == me).expect("a panic of this thread");
    last.remove(index).1
}

/// The failure of a check that panics.
pub(crate) fn failure<T>(check: impl FnOnce() -> T) -> Failure {
    listen();
    assert!(catch_unwind(AssertUnwindSafe(check)).is_err(), "the check passed");
    taken()
}

/// The failure of a check that panics while it is awaited, `None` when it passes.
pub(crate) async fn failure_of<T>(check: impl Future<Output = T>) -> Option<Failure> {
    listen();
    let mut check = pin!(check);
    let outcome = std::future::poll_fn(|context: &mut Context<'_>| {
        match catch_unwind(AssertUnwindSafe(|| check.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(_)) => Poll::Ready(Ok(())),
            Err(_) => Poll::Ready(Err(())),
        }
    });
    outcome.await.err().map(|()| taken())
}
