use std::{sync::mpsc, thread};

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
fn catch() -> Option<oneshot::Receiver<()>> {
    let (mut asked, hears) = oneshot::channel();
    let (caught, is_caught) = mpsc::channel();
    let watches = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async move {
            let Some(mut signals) = Signals::catch() else { return };
            let _ = caught.send(()); // the caller waits for it
            tokio::select! {
                _ = signals.next() => {}
                () = asked.closed() => return, // nobody waits for a signal any more
            }
            if asked.send(()).is_ok() {
                end(signals.next().await);
            }
        });
    };
    thread::Builder::new().name("shutdown-signal".to_owned()).spawn(watches).ok()?;
    is_caught.recv().ok()?;
    Some(hears)
}

#[allow(clippy::exit, reason = "the second signal asks for exactly this")]
fn end(status: i32) {
    tracing::error!("a second signal: ending without waiting for running jobs");
    std::process::exit(status);
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn catch() -> Option<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let terminate = signal(SignalKind::terminate()).ok()?;
        let interrupt = signal(SignalKind::interrupt()).ok()?;
        Some(Self { terminate, interrupt })
    }

    /// Waits for one, and says with which status a process ends that is ended by it.
    async fn next(&mut self) -> i32 {
        use tokio::signal::unix::SignalKind;
        let signal = tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        };
        128 + signal.as_raw_value()
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn catch() -> Option<Self> {
        Some(Self)
    }

    async fn next(&mut self) -> i32 {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        1
    }
}
