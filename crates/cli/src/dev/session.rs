//! A session with the function, from its first invocation to the end of its environments.

use super::command::Prepared;
use super::function::Function;
use super::logs::Logs;
use super::{Arguments, events, http};
use crate::aws;
use crate::shown::Incoming;
use anyhow::{Context as _, bail};
use simulator::Lambda;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

const MOST_WAITING: usize = 64;

pub(super) struct Session {
    pub(super) incoming: Receiver<Incoming>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<bool>,
}

impl Session {
    pub(super) fn begin(
        arguments: &Arguments,
        prepared: Prepared,
        files: Vec<String>,
    ) -> anyhow::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (sender, incoming) = sync_channel(MOST_WAITING);
        let (stop, stopped) = watch::channel(false);
        let Prepared { mut spec, folder } = prepared;
        let (logs, lambda, listener) = runtime.block_on(async {
            let logs = Logs::new(&arguments.name, &arguments.destination, sender).await?;
            if arguments.aws {
                let config = aws::load(&arguments.account).await;
                if let Some(region) = config.region() {
                    spec = spec.region(region.to_string());
                }
                spec = spec.credentials(aws::credentials(&config).await?);
            }
            let lambda = Lambda::start().await?;
            lambda.create_function(spec)?;
            let listener = match arguments.http {
                Some(port) => {
                    let listener = TcpListener::bind(("127.0.0.1", port)).await;
                    Some(
                        listener
                            .with_context(|| format!("--http: cannot listen on port {port}"))?,
                    )
                }
                None => None,
            };
            Ok::<_, anyhow::Error>((Arc::new(logs), lambda, listener))
        })?;
        let observer = Arc::clone(&logs);
        lambda.observe_logs(move |event| observer.take(event));
        let (name, timeout) = (arguments.name.clone(), arguments.timeout);
        let function = Arc::new(Function::new(name, timeout, lambda, logs));
        let story = Story { files, repeat: arguments.repeat, listener, stopped };
        let thread = std::thread::spawn(move || runtime.block_on(story.run(function, folder)));
        Ok(Self { incoming, stop, thread })
    }

    /// Ends the session. Returns `true` if all invocations succeeded, and all telemetry was shown and delivered.
    pub(super) fn end(self) -> bool {
        // The session may have ended already.
        self.stop.send(true).ok();
        drop(self.incoming);
        self.thread.join().unwrap_or(false)
    }
}

/// Waits for a signal. Its default action would leave the function's processes running.
async fn received(kind: SignalKind) {
    match signal(kind) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}

struct Story {
    files: Vec<String>,
    repeat: u32,
    listener: Option<TcpListener>,
    stopped: watch::Receiver<bool>,
}

impl Story {
    /// Runs the invocations. Returns `true` if everything succeeded.
    async fn run(self, function: Arc<Function>, folder: TempDir) -> bool {
        let mut stopped = self.stopped.clone();
        let logs = Arc::clone(&function.logs);
        let showing = Arc::clone(&logs);
        let showing = tokio::spawn(async move { showing.show_as_it_comes().await });
        let told = tokio::select! {
            told = self.tell(&function) => told,
            () = received(SignalKind::interrupt()) => Ok(()),
            () = received(SignalKind::terminate()) => Ok(()),
            // The terminal was closed.
            () = received(SignalKind::hangup()) => Ok(()),
            _ = stopped.wait_for(|stopped| *stopped) => Ok(()),
        };
        showing.abort();
        let mut is_fine = !function.has_failed();
        if let Err(error) = told {
            is_fine = false;
            logs.send(Incoming::Failed(error));
        }
        function.shut_down().await;
        logs.pass_on().await;
        drop(folder);
        is_fine && logs.is_delivered()
    }

    async fn tell(self, function: &Arc<Function>) -> anyhow::Result<()> {
        let has_files = !self.files.is_empty();
        for _ in 0..self.repeat {
            for event in &self.files {
                function.invoke(event.as_bytes()).await?;
            }
        }
        if let Some(listener) = self.listener {
            return http::serve(listener, function).await;
        }
        if has_files {
            return Ok(());
        }
        let mut lines = events::of_standard_input();
        let mut has_come = false;
        while let Some(event) = lines.recv().await {
            has_come = true;
            match event {
                Ok(event) => drop(function.invoke(event.as_bytes()).await?),
                Err(error) => {
                    function.note_failure();
                    function.logs.say(format!("{error:#}"));
                }
            }
        }
        if !has_come {
            bail!(
                "nothing was invoked: use --event FILE, or write a line of JSON to standard input"
            );
        }
        Ok(())
    }
}
