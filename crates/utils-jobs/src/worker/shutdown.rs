#[cfg(unix)]
use std::thread;

use tokio::sync::oneshot;

/// Waits for the process to be asked to end: SIGTERM or SIGINT on Unix, Ctrl-C elsewhere. A second signal ends the
/// process at once, with an exit status of 128 and the signal's number, as a shell would say it; jobs that ran then are
/// taken back when their leases run out.
///
/// Do not use it beside actix-web's own signal handling without need: both see every signal.
///
/// From the call on signals are caught; they may come before the future is awaited. They are caught on a thread of their
/// own: the second one is heard as well while a job blocks the runtime, or while the end of the program waits for a
/// [blocking](crate::Policy::blocking) job that does not stop.
pub fn shutdown_signal() -> impl Future<Output = ()> + Send + 'static {
    let asked = catch();
    async move {
        let is_asked = match asked {
            Some(asked) => asked.await.is_ok(),
            None => false,
        };
        if !is_asked {
            tracing::error!("signals cannot be caught");
            std::future::pending::<()>().await;
        }
    }
}

/// Catches signals on a thread of their own, and tells of the first one.
#[cfg(unix)]
fn catch() -> Option<oneshot::Receiver<()>> {
    use signal_hook::{
        consts::{SIGINT, SIGTERM},
        iterator::Signals,
    };

    let mut signals = Signals::new([SIGTERM, SIGINT]).ok()?;
    let (asked, hears) = oneshot::channel();
    let watches = move || {
        let mut signals = signals.forever();
        if signals.next().is_none() {
            return;
        }
        let _ = asked.send(()); // nobody may wait for it any more; the next one counts all the same
        if let Some(signal) = signals.next() {
            end(128 + signal);
        }
    };
    thread::Builder::new().name("shutdown-signal".to_owned()).spawn(watches).ok()?;
    Some(hears)
}

/// The same with Ctrl-C alone, on the runtime.
#[cfg(not(unix))]
fn catch() -> Option<oneshot::Receiver<()>> {
    let runtime = tokio::runtime::Handle::try_current().ok()?;
    let (asked, hears) = oneshot::channel();
    runtime.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok()
            && asked.send(()).is_ok()
            && tokio::signal::ctrl_c().await.is_ok()
        {
            end(1);
        }
    });
    Some(hears)
}

#[allow(clippy::exit, reason = "the second signal asks for exactly this")]
fn end(status: i32) {
    tracing::error!("a second signal: ending without waiting for running jobs");
    std::process::exit(status);
}
