//! The init: starts the extensions, then the runtime, and waits until all of them ask for their first event.

use super::Runtime;
use crate::api::server;
use crate::api::{Call, CallKind, RuntimeApi, answer};
use crate::environment::extensions::Extensions;
use crate::environment::failed::Failed;
use crate::environment::surroundings::Surroundings;
use crate::lock;
use crate::platform_events::{Phase, Status};
use crate::process::{Process, ProcessStart};
use crate::telemetry::Category;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use tokio::time::Instant;

impl Runtime {
    /// Starts the extensions. The runtime starts in [`initialise`](Self::initialise).
    pub(crate) async fn start(surroundings: &Arc<Surroundings>) -> Result<Self, Failed> {
        let opened = surroundings.api.get_or_try_init(RuntimeApi::start).await;
        let api = opened.map_err(Failed::Start)?;
        let calls = api.calls();
        let address = api.address().to_string();
        let output = surroundings.output(Category::Extension);
        let variables = surroundings.variables(Category::Extension, &address);
        let launched =
            Extensions::launch(&surroundings.spec, &variables, &output, &surroundings.table);
        let extensions = launched.map_err(|failure| {
            let error_type = Some(failure.error_type.as_str());
            surroundings.events.extension(&failure.name, "LaunchError", &[], error_type);
            Failed::Extension(failure)
        })?;
        lock(&surroundings.view).extensions = extensions.states();
        surroundings.telemetry.thaw();
        Ok(Self {
            surroundings: Arc::clone(surroundings),
            calls,
            address,
            extensions,
            process: None,
            waiting: VecDeque::new(),
            has_started: false,
            is_initialised: false,
            must_end_by: None,
        })
    }

    /// Starts the runtime once the extensions have registered, and waits until all have asked for their first event.
    pub(crate) async fn initialise(&mut self, until: Instant, phase: Phase) -> Result<(), Failed> {
        let ready = self.become_ready(until).await;
        self.drain();
        let events = &self.surroundings.events;
        if self.has_started {
            let status = ready.as_ref().map_or_else(Failed::init_status, |()| Status::Success);
            // It comes when extensions are ready too (runtime interface emulator, `doRuntimeDomainInit`).
            events.init_runtime_done(phase, &status);
        }
        let failure = match &ready {
            Err(Failed::Extension(failure)) => Some(failure),
            _ => None,
        };
        self.extensions.report_states(failure, events);
        ready
    }

    async fn become_ready(&mut self, until: Instant) -> Result<(), Failed> {
        loop {
            if !self.has_started && self.extensions.are_registered() {
                self.has_started = true;
                self.start_process().map_err(Failed::Start)?;
            }
            if !self.waiting.is_empty() && self.extensions.are_ready() {
                self.is_initialised = true;
                return Ok(());
            }
            match self.next_call(until).await? {
                Call { kind: CallKind::InitError(failure), reply } => {
                    answer(reply, server::accepted());
                    return Err(Failed::Reported(failure));
                }
                call => self.take_call(call)?,
            }
        }
    }

    fn start_process(&mut self) -> io::Result<()> {
        let Surroundings { spec, table, view, .. } = &*self.surroundings;
        let start = ProcessStart {
            program: &spec.bootstrap,
            arguments: &spec.arguments,
            environment: self.surroundings.variables(Category::Function, &self.address),
            directory: spec.directory.as_deref(),
        };
        let process = Process::start(start, &self.surroundings.output(Category::Function), table)?;
        lock(view).pid = Some(process.pid());
        self.process = Some(process);
        Ok(())
    }
}
