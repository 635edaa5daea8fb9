//! Writes encoded requests to the output as OTLP lines, the only way out of the function.

use super::losses::{Loss, LossCounts};
use super::otlp::EncodedResource;
use super::{WriteTimeout, unix_nanos};
use crate::config::{Config, DEFAULT_COMPRESSION_LEVEL, LambdaEnvironment, LogLevel};
use crate::invocations::Invocations;
use crate::output::Output;
use crate::output::stdout::Stdout;
use opentelemetry::Context;
use opentelemetry::trace::SpanContext;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use std::cell::RefCell;
use std::fmt;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use wire::compact::OwnedContext;
use wire::{Envelope, LineEncoder, LineLimits, Request, RootLine, SignalKind, invocation_record};

/// Writes encoded requests as OTLP lines, for all three exporters.
pub(crate) struct LineExporter {
    output: Arc<dyn Output>,
    /// Kept between batches: allocating compression state costs more than compressing a small batch.
    encoder: Mutex<LineEncoder>,
    /// gzip level, 0 (stored) to 9.
    compression_level: u32,
    /// Maximum size of a line with several items of a small resource, in bytes.
    max_line_bytes: usize,
    /// The names that compact lines leave out; `None` for standard lines.
    compact: Option<OwnedContext>,
    /// The account of the function, known since the first invocation.
    account: OnceLock<String>,
    /// The field `level`: the configured level with Lambda's JSON format, or else the user's choice.
    level: Option<String>,
    /// The field `timestamp`, only with Lambda's JSON format.
    with_timestamp: bool,
    /// The function's name, which replaces the SDK's default service name.
    function_name: Option<String>,
    pub(crate) losses: Arc<LossCounts>,
    write_timeout: WriteTimeout,
}

impl fmt::Debug for LineExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineExporter").field("output", &self.output).finish_non_exhaustive()
    }
}

impl LineExporter {
    /// Encodes one `Export…ServiceRequest` and writes it as one or more lines, or within [`together`](Self::together) leaves it to
    /// the end of the flush. A request without items writes nothing. If the encoder panics, `items` are counted as lost.
    ///
    /// # Errors
    /// If the output refused the lines or an item is too large for a line. Lost items are counted.
    pub(crate) fn write_or_gather(
        &self,
        kind: SignalKind,
        resource: &EncodedResource,
        items: usize,
        encode: impl FnOnce() -> Vec<u8>,
    ) -> OTelSdkResult {
        let bytes = self.contained(&[ItemCount { kind, items }], || Ok(encode()))?;
        let request = Request::trusted(kind, bytes);
        let source = &resource.service_name;
        match gather(self.address(), source, request) {
            Gathered::Taken => Ok(()),
            Gathered::NotGathering(request) => {
                self.contained(&[ItemCount::of(&request)], || self.write(source, request))
            }
        }
    }

    pub(crate) fn resource(&self, resource: &Resource) -> EncodedResource {
        EncodedResource::new(resource, self.function_name.as_deref())
    }

    /// Returns `true` if lines are compact, so that the signals of a flush can share one.
    pub(crate) fn is_compact(&self) -> bool {
        self.compact.is_some()
    }

    /// Runs this flush, gathers its requests, and writes them: as one line if they fit, otherwise as lines of each signal, the last
    /// request first. Other threads write their requests at once, and so does the rest of a flush within which the application
    /// flushes.
    ///
    /// # Errors
    /// As of [`write_or_gather`](Self::write_or_gather), of the write.
    pub(crate) fn together(&self, flush: impl FnOnce()) -> OTelSdkResult {
        let exporter = self.address();
        GATHERING.with_borrow_mut(|gathering| {
            gathering.get_or_insert_with(|| Gathering { exporter, requests: Vec::new() });
        });
        flush();
        let own = GATHERING.with_borrow_mut(|gathering| {
            gathering.take_if(|gathering| gathering.exporter == exporter)
        });
        self.write_gathered(own.map(|own| own.requests).unwrap_or_default())
    }

    fn write_gathered(&self, mut gathered: Vec<GatheredRequest>) -> OTelSdkResult {
        gathered.retain(|gathered| gathered.request.items() > 0);
        gathered.reverse();
        if gathered.len() > 1 {
            let counts: Vec<_> =
                gathered.iter().map(|gathered| ItemCount::of(&gathered.request)).collect();
            let together = || self.write_together(&gathered, &counts);
            if self.contained(&counts, together)? == InOneLine::Written {
                return Ok(());
            }
        }
        let mut all_written = Ok(());
        for GatheredRequest { source, request } in gathered {
            let count = [ItemCount::of(&request)];
            let written = self.contained(&count, || self.write(&source, request));
            all_written = all_written.and(written);
        }
        all_written
    }

    /// Notes the account of the function, which compact lines leave out.
    pub(crate) fn set_account(&self, account: &str) {
        if self.is_compact() && self.account.get().is_none() {
            let account = self.account.get_or_init(|| account.to_owned());
            self.encoder().set_account(account);
        }
    }

    /// Writes the root line of an invocation. A failure costs only that line.
    pub(crate) fn write_root_line(&self, request_id: &str, root: &SpanContext) {
        let line = RootLine {
            request_id,
            trace_id: root.trace_id().to_bytes(),
            span_id: root.span_id().to_bytes(),
        };
        let level = self.level.as_deref().filter(|_| self.with_timestamp);
        let now = unix_nanos(self.write_timeout.invocations().now());
        if let Some(line) = line.write(level, now) {
            let written = self.output.write_lines(line.as_bytes(), self.write_timeout.get());
            written.unwrap_or_default();
        }
    }

    /// Identifies this exporter among those that a thread may write with.
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// The invocations whose deadlines bound each wait for the output.
    pub(crate) fn invocations(&self) -> &Arc<Invocations> {
        self.write_timeout.invocations()
    }

    /// Maximum wait for another writing thread.
    pub(crate) fn write_timeout(&self) -> Duration {
        self.write_timeout.get()
    }

    /// Runs a part of the export and contains panics, which cost these items instead of the function. Spans and events created by
    /// the export itself are not recorded, because each would cause the next.
    pub(crate) fn contained<T>(
        &self,
        counts: &[ItemCount],
        part: impl FnOnce() -> Result<T, OTelSdkError>,
    ) -> Result<T, OTelSdkError> {
        let contained = catch_unwind(AssertUnwindSafe(|| {
            let _suppressed = Context::enter_telemetry_suppressed_scope();
            part()
        }));
        contained.unwrap_or_else(|_| {
            self.lose(counts, Loss::Panicked);
            Err(OTelSdkError::InternalFailure(format!("panic while exporting {}", names(counts))))
        })
    }

    /// The encoder is not locked while the lines are written: the thread that holds the lock of stdout may be about to export, too.
    fn encoder(&self) -> MutexGuard<'_, LineEncoder> {
        self.encoder.lock().unwrap_or_else(|poisoned| {
            // A panic may have left the compressor in the middle of a stream.
            let mut encoder = PoisonError::into_inner(poisoned);
            *encoder =
                new_encoder(self.compact.as_ref(), self.compression_level, self.max_line_bytes);
            if let Some(account) = self.account.get() {
                encoder.set_account(account);
            }
            self.encoder.clear_poison();
            encoder
        })
    }

    #[cfg(test)]
    pub(crate) fn is_encoding(&self) -> bool {
        self.encoder.try_lock().is_err()
    }

    fn envelope<'a>(&'a self, source: &'a str) -> Envelope<'a> {
        let now = || unix_nanos(self.write_timeout.invocations().now());
        let unix_nanos = self.with_timestamp.then(now);
        let level = self.level.as_deref();
        Envelope { source, level, unix_nanos, ..Envelope::default() }
    }

    fn write(&self, source: &str, request: Request) -> OTelSdkResult {
        let kind = request.kind();
        if self.write_timeout.invocations().is_too_late_for(request.bytes().len()) {
            self.lose(&[ItemCount::of(&request)], Loss::DeadlineReached);
            return Err(OTelSdkError::InternalFailure(format!("too late to write {kind}")));
        }
        let envelope = self.envelope(source);
        let mut lines = Vec::with_capacity(request.bytes().len());
        let written = self.encoder().encode(&envelope, request, &mut lines);
        self.losses.truncate(written.truncated_values);
        self.lose(&[ItemCount { kind, items: written.dropped_items }], Loss::TooLarge);
        self.output(&lines, &[ItemCount { kind, items: written.items }])
    }

    /// Writes one line with all requests, if they fit and there is enough time for all of them.
    fn write_together(
        &self,
        gathered: &[GatheredRequest],
        counts: &[ItemCount],
    ) -> Result<InOneLine, OTelSdkError> {
        let requests: Vec<&Request> = gathered.iter().map(|gathered| &gathered.request).collect();
        let bytes = requests.iter().map(|request| request.bytes().len()).sum();
        if self.write_timeout.invocations().is_too_late_for(bytes) {
            return Ok(InOneLine::DoNotFit);
        }
        // Compact lines have no source.
        let envelope = self.envelope("");
        let mut lines = Vec::with_capacity(bytes);
        if self.encoder().encode_together(&envelope, &requests, &mut lines).is_none() {
            return Ok(InOneLine::DoNotFit);
        }
        self.output(&lines, counts)?;
        Ok(InOneLine::Written)
    }

    /// Writes lines with these items.
    fn output(&self, lines: &[u8], counts: &[ItemCount]) -> OTelSdkResult {
        let result = if lines.is_empty() {
            Ok(())
        } else {
            self.output.write_lines(lines, self.write_timeout.get())
        };
        let timed_out = |error: &io::Error| error.kind() == ErrorKind::TimedOut;
        self.write_timeout.note(result.as_ref().is_err_and(timed_out));
        result.map_err(|error| {
            self.lose(counts, Loss::OutputFailed);
            OTelSdkError::InternalFailure(format!("cannot write {}: {error}", names(counts)))
        })
    }

    fn lose(&self, counts: &[ItemCount], loss: Loss) {
        for ItemCount { kind, items } in counts {
            self.losses.lose(*kind, loss, *items);
        }
    }
}

/// A number of items of a signal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ItemCount {
    pub(crate) kind: SignalKind,
    pub(crate) items: usize,
}

impl ItemCount {
    fn of(request: &Request) -> Self {
        Self { kind: request.kind(), items: request.items() }
    }
}

/// The names of the signals, for messages.
fn names(counts: &[ItemCount]) -> String {
    let names: Vec<String> = counts.iter().map(|count| count.kind.to_string()).collect();
    names.join(", ")
}

fn new_encoder(compact: Option<&OwnedContext>, level: u32, max_bytes: usize) -> LineEncoder {
    let limits = LineLimits { max_bytes, ..LineLimits::default() };
    match compact {
        Some(names) => LineEncoder::compact(names.clone(), limits),
        None => LineEncoder::new(level, limits),
    }
}

/// The options shared by the exporters' builders; the environment overrides code.
#[derive(Debug, Default, Clone)]
pub(crate) struct LineExporterBuilder {
    pub(crate) compression_level: Option<u32>,
    pub(crate) level: Option<LogLevel>,
    pub(crate) output: Option<Arc<dyn Output>>,
    /// Those of the process if unset.
    pub(crate) invocations: Option<Arc<Invocations>>,
}

impl LineExporterBuilder {
    pub(crate) fn build(self, config: &Config) -> Arc<LineExporter> {
        // Under the JSON log format, lines with another level than the configured one would be dropped.
        let configured = config.lambda.json_log_level.clone();
        let chosen = config.level.or(self.level).map(|level| level.as_str().to_owned());
        let level = config.compression_level.or(self.compression_level);
        let compression_level = level.unwrap_or(DEFAULT_COMPRESSION_LEVEL).min(9);
        let compact = config.writes_compact_lines.then(|| omitted_names(&config.lambda));
        let encoder = new_encoder(compact.as_ref(), compression_level, config.max_line_bytes);
        let invocations = self.invocations.unwrap_or_else(Invocations::of_process);
        Arc::new(LineExporter {
            output: self.output.unwrap_or_else(|| Arc::new(Stdout)),
            encoder: Mutex::new(encoder),
            compression_level,
            max_line_bytes: config.max_line_bytes,
            compact,
            account: OnceLock::new(),
            with_timestamp: configured.is_some(),
            level: configured.or(chosen),
            function_name: config.lambda.function_name.clone(),
            losses: Arc::default(),
            write_timeout: WriteTimeout::new(invocations),
        })
    }
}

/// The names that compact lines leave out, apart from the account, which is in the invoked ARN.
///
/// In direct mode our extension reads the function's lines. Lambda hides the log stream from extensions, so these lines must not
/// leave it out. The extension creates the file of the invocation records before the function starts.
fn omitted_names(lambda: &LambdaEnvironment) -> OwnedContext {
    let record = lambda.runtime_api.as_deref().map(invocation_record::path);
    let has_extension = record.is_some_and(|path| Path::new(&path).exists());
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let log_stream = if has_extension { String::new() } else { text(&lambda.log_stream) };
    let function = text(&lambda.function_name);
    let region = text(&lambda.region);
    OwnedContext::of_function(&function, &region, &text(&lambda.log_group), &log_stream)
}

/// The result of an attempt to write several requests as one line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum InOneLine {
    Written,
    DoNotFit,
}

/// A request and the service name of its resource.
struct GatheredRequest {
    source: String,
    request: Request,
}

/// A flush whose requests are written together.
struct Gathering {
    /// The address of the exporter that writes them.
    exporter: usize,
    requests: Vec<GatheredRequest>,
}

thread_local! {
    /// The flush of this thread.
    static GATHERING: RefCell<Option<Gathering>> = const { RefCell::new(None) };
}

/// The result of [`gather`].
enum Gathered {
    /// The request is written at the end of this thread's flush.
    Taken,
    /// This thread gathers no requests of the exporter, so the caller writes this one.
    NotGathering(Request),
}

/// Adds a request to those that this thread gathers for the exporter.
fn gather(exporter: usize, source: &str, request: Request) -> Gathered {
    GATHERING.with_borrow_mut(|gathering| match gathering {
        Some(gathering) if gathering.exporter == exporter => {
            gathering.requests.push(GatheredRequest { source: source.to_owned(), request });
            Gathered::Taken
        }
        _ => Gathered::NotGathering(request),
    })
}
