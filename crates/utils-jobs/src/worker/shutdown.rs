/// Waits for the process to be asked to end: SIGTERM or SIGINT on Unix, Ctrl-C elsewhere. A second signal ends the
/// process at once, with exit status 1; jobs that ran then are taken back when their leases run out.
///
/// Do not use it beside actix-web's own signal handling without need: both see every signal.
pub async fn shutdown_signal() {
    one_signal().await;
    tokio::spawn(async {
        one_signal().await;
        abort();
    });
}

#[allow(clippy::exit, reason = "the second signal asks for exactly this")]
fn abort() {
    tracing::error!("a second signal: ending without waiting for running jobs");
    std::process::exit(1);
}

#[cfg(unix)]
async fn one_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be listened to");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[cfg(not(unix))]
async fn one_signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        tracing::error!("signals cannot be listened to");
        std::future::pending::<()>().await;
    }
}
