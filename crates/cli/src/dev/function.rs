//! Invokes the function in the local Lambda, and shows the results.

use super::logs::Logs;
use super::outcome::{last_start, words};
use crate::shown::Incoming;
use anyhow::Context as _;
use simulator::{Invocation, Lambda};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(super) struct Function {
    pub(super) name: String,
    pub(super) logs: Arc<Logs>,
    timeout: Duration,
    lambda: Lambda,
    has_failed: AtomicBool,
}

impl Function {
    pub(super) fn new(name: String, timeout: Duration, lambda: Lambda, logs: Arc<Logs>) -> Self {
        Self { name, logs, timeout, lambda, has_failed: AtomicBool::new(false) }
    }

    pub(super) async fn invoke(&self, event: &[u8]) -> anyhow::Result<Invocation> {
        let invocation = self.lambda.invoke(&self.name, event).await;
        let invocation = invocation.context("cannot invoke the function")?;
        self.logs.pass_on().await;
        let start = last_start(&self.lambda.platform_events(&self.name));
        if !invocation.is_success() {
            self.note_failure();
        }
        let words = words(&invocation, start, self.timeout);
        self.logs.send(Incoming::Text(words));
        Ok(invocation)
    }

    /// Ends the environments: extensions get SHUTDOWN, and remaining processes are killed.
    pub(super) async fn shut_down(self: Arc<Self>) {
        self.lambda.recycle(&self.name).await.ok();
        // The other owners end too, and the last one kills the processes.
        if let Some(function) = Arc::into_inner(self) {
            function.lambda.shut_down().await;
        }
    }

    pub(super) fn note_failure(&self) {
        self.has_failed.store(true, Ordering::Relaxed);
    }

    /// Returns `true` if an event was invalid or an invocation failed.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }
}
