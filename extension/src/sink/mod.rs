//! The sink of all telemetry: OTLP lines on stdout, or a backend (direct mode) with stdout as its fallback.
//!
//! The receivers hold an [`Intake`], the loop holds the [`Sink`].

mod backend;
mod lines;

use crate::config::Config;
use crate::counts::Counts;
use crate::invocations::roots::{ReceivedSpan, invocation_spans};
use crate::tasks;
pub(crate) use backend::{Backend, health_check};
use backend::{BatchOrigin, SharedBuffer, buffer};
use lines::backlog::Backlog;
use lines::{LAST_LINE, LineOutput};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use wire::Request;

/// Time limit for writing the rest of the buffer, after the end of the loop.
const REST_TIMEOUT: Duration = Duration::from_secs(1);

/// The entrance for received requests; cheap to clone.
#[derive(Clone)]
pub(crate) struct Intake {
    lines: LineOutput,
    buffer: Option<SharedBuffer>,
}

impl Intake {
    /// Puts a request into the buffer, or writes its lines if there is no buffer or no room. The request may be acknowledged when
    /// this returns the number of items too large for a line.
    ///
    /// `room` is the room in memory that the request occupies until its lines are written.
    pub(crate) async fn accept(
        &self,
        request: Request,
        room: OwnedSemaphorePermit,
    ) -> Option<usize> {
        let Some(buffer) = &self.buffer else {
            return self.lines.write(request, room, false).await;
        };
        match buffer.put(request, BatchOrigin::Otlp) {
            Ok(()) => Some(0),
            Err(request) => self.lines.write(request, room, true).await,
        }
    }

    /// Returns the spans of invocations that the loop has to know of: all that name their invocation if the sink makes log records,
    /// which get their ids.
    pub(crate) fn invocation_spans(&self, request: &Request) -> Vec<ReceivedSpan> {
        invocation_spans(request, self.buffer.is_some())
    }
}

pub(crate) struct Sink {
    intake: Intake,
    /// In stdout mode the extension's own telemetry and X-Ray's spans; in direct mode the rest of the buffer after the loop.
    backlog: Backlog,
    /// `None` in stdout mode.
    pub(crate) backend: Option<Backend>,
    counts: Arc<Counts>,
}

impl Sink {
    /// Starts the thread that writes lines, and makes the buffer.
    pub(crate) fn open(
        config: &Config,
        writer: impl Write + Send + 'static,
        counts: &Arc<Counts>,
    ) -> io::Result<Self> {
        let lines = LineOutput::start(config, writer, Arc::clone(counts))?;
        let buffer = buffer(config);
        let backlog = Backlog::new(lines.clone(), Arc::clone(counts), buffer.is_some());
        let intake = Intake { lines, buffer };
        Ok(Self { intake, backlog, backend: None, counts: Arc::clone(counts) })
    }

    /// Takes the facts that Lambda stated, and prepares the connection to the backend. If that fails, telemetry goes to stdout.
    pub(crate) fn connect(&mut self, config: &Config, function: platform::Identity) {
        let Intake { lines, buffer } = &self.intake;
        if let Some(account) = &function.account {
            lines.set_account(account);
        }
        let counts = &self.counts;
        self.backend =
            tasks::catch(|| Backend::start(config, function, buffer.as_ref(), lines, counts))
                .flatten();
        if let (None, Some(buffer)) = (&self.backend, buffer) {
            buffer.close();
            self.backlog.write(buffer.remove_all());
        }
    }

    pub(crate) fn intake(&self) -> &Intake {
        &self.intake
    }

    /// Takes the extension's own telemetry.
    pub(crate) fn write_own(&mut self, requests: Vec<Request>) {
        match &mut self.backend {
            Some(backend) => backend.put_own(requests),
            None => self.backlog.write_or_drop(requests),
        }
    }

    /// Takes spans of X-Ray's documents, whose senders expect no answer.
    pub(crate) fn write_xray(&mut self, requests: Vec<Request>) {
        match &mut self.backend {
            Some(backend) => backend.put(requests),
            None => self.backlog.write_or_drop(requests),
        }
    }

    /// Moves waiting requests to the queue of the thread that writes lines.
    pub(crate) fn fill_queue(&mut self) {
        self.backlog.fill_queue();
    }

    /// Returns `true` if the loop should leave further events to Lambda, because too much waits for stdout.
    pub(crate) fn refuses_events(&self) -> bool {
        self.backend.as_ref().is_some_and(Backend::is_backlog_full)
    }

    /// Returns `true` if X-Ray's datagrams should wait in their socket's buffer, because too much waits for stdout.
    pub(crate) fn refuses_xray(&self) -> bool {
        self.refuses_events() || self.backlog.is_full()
    }

    /// Waits until lines are written, for at most `limit` each, because the environment may freeze.
    pub(crate) async fn wait_written(&mut self, limit: Duration) {
        self.backlog.wait_written(limit).await;
        if let Some(backend) = &mut self.backend {
            backend.wait_written(limit).await;
        }
    }

    /// Sends or writes as much as possible until this time.
    pub(crate) async fn shut_down(&mut self, end: Instant) {
        if let Some(backend) = &mut self.backend {
            backend.shut_down(end).await;
        }
        self.backlog.drain(end).await;
        self.backlog.give_up().await;
    }

    /// Spills the rest of the buffer and completes the current line, after the end of the loop.
    pub(crate) async fn end(mut self) {
        if let Some(backend) = &mut self.backend {
            tasks::catch_future(backend.stop()).await;
        }
        let Intake { lines, buffer } = &self.intake;
        if let Some(buffer) = buffer {
            let spill = async {
                buffer.close();
                self.backlog.write(buffer.remove_all());
                self.backlog.drain(Instant::now() + REST_TIMEOUT).await;
            };
            tasks::catch_future(spill).await;
        }
        lines.end(LAST_LINE).await;
    }
}
