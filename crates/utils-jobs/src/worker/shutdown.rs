/// Waits for the process to be asked to end: SIGTERM or SIGINT on Unix, Ctrl-C elsewhere. A second signal ends the
/// process at once, with exit status 1; jobs that ran then are taken back when their leases run out.
///
/// Do not use it beside actix-web's own signal handling without need: both see every signal.
///
/// From the call on, inside a tokio runtime, signals are caught; they may come before the future is awaited.
pub fn shutdown_signal() -> impl Future<Output = ()> + Send + 'static {
    let signals = tokio::runtime::Handle::try_current().ok().and_then(|_| Signals::catch());
    async move {
        let Some(mut signals) = signals.or_else(Signals::catch) else {
            tracing::error!("signals cannot be caught");
            return std::future::pending().await;
        };
        signals.next().await;
        tokio::spawn(async move {
            signals.next().await;
            abort();
        });
    }
}

#[allow(clippy::exit, reason = "the second signal asks for exactly this")]
fn abort() {
    tracing::error!("a second signal: ending without waiting for running jobs");
    std::process::exit(1);
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

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn catch() -> Option<Self> {
        Some(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
