//! The init: starts the extensions, then the runtime, and waits until all of them ask for their first event.

use super::Processes;
use crate::api::server;
use crate::api::{Call, CallKind, RuntimeApi, answer};
use crate::environment::context::EnvironmentContext;
use crate::environment::extensions::Extensions;
use crate::environment::failure::ProcessFailure;
use crate::lock;
use crate::platform_events::{Phase, Status};
use crate::process::{Process, ProcessStart};
use crate::telemetry::Category;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use tokio::time::Instant;

impl Processes {
    /// Starts the extensions. The runtime starts in [`initialise`](Self::initialise).
    pub(crate) async fn start(context: &Arc<EnvironmentContext>) -> Result<Self, ProcessFailure> {
        let opened = context.api.get_or_try_init(RuntimeApi::start).await;
        let api = opened.map_err(ProcessFailure::Start)?;
        let calls = api.reopen_calls();
        let address = api.address().to_string();
        let destination = context.line_destination(Category::Extension);
        let variables = context.variables(Category::Extension, &address);
        let launched =
            Extensions::launch(&context.spec, &variables, &destination, &context.process_table);
        let extensions = launched.map_err(|failure| {
            let error_type = Some(failure.error_type.as_str());
            context.events.extension(&failure.name, "LaunchError", &[], error_type);
            ProcessFailure::Extension(failure)
        })?;
        lock(&context.state).extensions = extensions.states();
        context.telemetry.thaw();
        Ok(Self {
            context: Arc::clone(context),
            calls,
            address,
            extensions,
            runtime: None,
            waiting_calls: VecDeque::new(),
            is_runtime_started: false,
            is_initialised: false,
            must_end_by: None,
        })
    }

    /// Starts the runtime once the extensions have registered, and waits until all have asked for their first event.
    pub(crate) async fn initialise(
        &mut self,
        until: Instant,
        phase: Phase,
    ) -> Result<(), ProcessFailure> {
        let ready = self.become_ready(until).await;
        self.drain();
        let events = &self.context.events;
        if self.is_runtime_started {
            let status =
                ready.as_ref().map_or_else(ProcessFailure::init_status, |()| Status::Success);
            // It comes when extensions are ready too (runtime interface emulator, `doRuntimeDomainInit`).
            events.init_runtime_done(phase, &status);
        }
        let failure = match &ready {
            Err(ProcessFailure::Extension(failure)) => Some(failure),
            _ => None,
        };
        self.extensions.report_states(failure, events);
        ready
    }

    async fn become_ready(&mut self, until: Instant) -> Result<(), ProcessFailure> {
        loop {
            if !self.is_runtime_started && self.extensions.are_registered() {
                self.is_runtime_started = true;
                self.start_runtime().map_err(ProcessFailure::Start)?;
            }
            if !self.waiting_calls.is_empty() && self.extensions.are_ready() {
                self.is_initialised = true;
                return Ok(());
            }
            match self.next_call(until).await? {
                Call { kind: CallKind::InitError(failure), reply } => {
                    answer(reply, server::accepted());
                    return Err(ProcessFailure::Reported(failure));
                }
                call => self.take_call(call)?,
            }
        }
    }

    fn start_runtime(&mut self) -> io::Result<()> {
        let EnvironmentContext { spec, process_table, state, .. } = &*self.context;
        let start = ProcessStart {
            program: &spec.bootstrap,
            arguments: &spec.arguments,
            environment: self.context.variables(Category::Function, &self.address),
            directory: spec.directory.as_deref(),
        };
        let runtime = Process::start(
            start,
            &self.context.line_destination(Category::Function),
            process_table,
        )?;
        lock(state).pid = Some(runtime.pid());
        self.runtime = Some(runtime);
        Ok(())
    }
}
