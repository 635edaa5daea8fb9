//! SIGTERM, which ends the extension as SHUTDOWN does. Lambda sends SHUTDOWN; emulators and container tools send the signal.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Without the handler, the signal ends the process at once.
pub(crate) struct Termination(Option<Signal>);

impl Termination {
    /// Handles the signal from now on.
    pub(crate) fn listen() -> Self {
        let listening = signal(SignalKind::terminate());
        let signal = listening.inspect_err(
            |error| tracing::debug!(%error, "cannot handle SIGTERM, which ends the process at once"),
        );
        Self(signal.ok())
    }

    /// Waits for the signal; forever if it is not handled.
    pub(crate) async fn requested(&mut self) {
        if let Some(signal) = &mut self.0
            && signal.recv().await.is_some()
        {
            tracing::info!("SIGTERM, the environment ends");
            return;
        }
        std::future::pending::<()>().await;
    }
}
