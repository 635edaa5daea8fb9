//! The one way out: an encoded request becomes OTLP lines on the output.

use crate::clock::{Clock, unix_nanos};
use crate::config::Config;
use crate::output::{NamedPipe, Output, Stdout};
use crate::stderr;
use crate::vitals::{Loss, Vitals};
use opentelemetry::Context;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use wire::{Envelope, LineEncoder, LineLimits, Request, SignalKind};

/// The level that a line carries in text log format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// `DEBUG`
    Debug,
    /// `INFO`
    #[default]
    Info,
    /// `WARN`
    Warn,
    /// `ERROR`
    Error,
}

impl LogLevel {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

/// What a line says beside its payload, and how it is compressed.
#[derive(Debug, Clone)]
pub(crate) struct LineSettings {
    /// gzip level, 0 (stored) to 9.
    pub(crate) compression_level: u32,
    /// Longest line of more than one item, in bytes.
    pub(crate) max_line_bytes: usize,
    /// Written as `level`: under Lambda's JSON format the configured level, else the user's choice.
    pub(crate) level: Option<String>,
    /// Written as `timestamp`, under Lambda's JSON format only.
    pub(crate) with_timestamp: bool,
}

/// Writes encoded requests as OTLP lines; the three exporters are thin over it.
///
/// Cheap to clone: clones share the encoder's buffers and counters.
#[derive(Clone)]
pub struct LineExporter {
    shared: Arc<Shared>,
}

struct Shared {
    output: Arc<dyn Output>,
    settings: LineSettings,
    encoder: Mutex<Encoder>,
    vitals: Arc<Vitals>,
    clock: Clock,
}

/// Kept between batches: allocating compression state anew costs more than compressing a small batch.
struct Encoder {
    line: LineEncoder,
    lines: Vec<u8>,
}

/// Lines longer than this are rare; their buffer is given back.
const KEPT_BUFFER_BYTES: usize = 256 * 1024;

impl fmt::Debug for LineExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineExporter").field("output", &self.shared.output).finish_non_exhaustive()
    }
}

impl LineExporter {
    pub(crate) fn new(
        output: Arc<dyn Output>,
        settings: LineSettings,
        vitals: Arc<Vitals>,
    ) -> Self {
        let encoder = Encoder::new(&settings);
        let encoder = Mutex::new(encoder);
        let shared = Shared { output, settings, encoder, vitals, clock: Clock::system() };
        Self { shared: Arc::new(shared) }
    }

    /// Writes one encoded `Export…ServiceRequest` as one or more lines. A request without items writes nothing.
    ///
    /// `source` is the service name that the lines carry.
    ///
    /// # Errors
    /// If the output refused the lines or an item fits into no line; what was lost is counted.
    pub fn emit(&self, kind: SignalKind, source: &str, request: Vec<u8>) -> OTelSdkResult {
        if request.is_empty() {
            return Ok(());
        }
        self.contained(kind, |shared| {
            let request = Request::trusted(kind, request);
            shared.write(kind, source, request)
        })
    }

    /// Encodes and emits; a panic in the encoding is contained too.
    pub(crate) fn encoded(
        &self,
        kind: SignalKind,
        source: &str,
        encode: impl FnOnce() -> Vec<u8>,
    ) -> OTelSdkResult {
        match self.contained(kind, |_| Ok(encode())) {
            Ok(request) => self.emit(kind, source, request),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn vitals(&self) -> &Arc<Vitals> {
        &self.shared.vitals
    }

    /// Runs a part of the export so that a bug in it costs a batch and not the function; spans and events made
    /// meanwhile are not recorded, or they would be exported next time, for ever.
    fn contained<T>(
        &self,
        kind: SignalKind,
        part: impl FnOnce(&Shared) -> Result<T, OTelSdkError>,
    ) -> Result<T, OTelSdkError> {
        let contained = catch_unwind(AssertUnwindSafe(|| {
            let _suppressed = Context::enter_telemetry_suppressed_scope();
            part(&self.shared)
        }));
        contained.unwrap_or_else(|_| {
            // How many items the batch had is not known any more: at least one.
            self.shared.vitals.lose(kind, Loss::Panicked, 1);
            Err(OTelSdkError::InternalFailure(format!("panic while exporting {kind}")))
        })
    }
}

impl Encoder {
    fn new(settings: &LineSettings) -> Self {
        let limits = LineLimits { max_bytes: settings.max_line_bytes, ..LineLimits::default() };
        Self { line: LineEncoder::new(settings.compression_level, limits), lines: Vec::new() }
    }
}

impl Shared {
    fn write(&self, kind: SignalKind, source: &str, request: Request) -> OTelSdkResult {
        let unix_nanos = self.settings.with_timestamp.then(|| unix_nanos(self.clock.now()));
        let envelope = Envelope {
            source,
            level: self.settings.level.as_deref(),
            unix_nanos,
            ..Envelope::default()
        };
        let mut encoder = self.encoder.lock().unwrap_or_else(|poisoned| {
            // A panic may have left the compressor in the middle of a stream.
            let mut encoder = PoisonError::into_inner(poisoned);
            *encoder = Encoder::new(&self.settings);
            self.encoder.clear_poison();
            encoder
        });
        let Encoder { line, lines } = &mut *encoder;
        lines.clear();
        let written = line.encode(&envelope, request, lines);
        self.vitals.truncate(written.truncated_values);
        self.vitals.lose(kind, Loss::TooLarge, written.dropped_items);
        let result = if lines.is_empty() { Ok(()) } else { self.output.write_lines(lines) };
        if lines.capacity() > KEPT_BUFFER_BYTES {
            *lines = Vec::new();
        }
        drop(encoder);
        if let Err(error) = result {
            self.vitals.lose(kind, Loss::OutputFailed, written.items);
            return Err(OTelSdkError::InternalFailure(format!("cannot write {kind}: {error}")));
        }
        Ok(())
    }
}

/// What the exporters' builders share; the environment wins over what code says.
#[derive(Debug, Default, Clone)]
pub(crate) struct LineExporterBuilder {
    pub(crate) compression_level: Option<u32>,
    pub(crate) level: Option<LogLevel>,
    pub(crate) output: Option<Arc<dyn Output>>,
    pub(crate) pipe: bool,
}

impl LineExporterBuilder {
    pub(crate) fn build(self, config: &Config) -> LineExporter {
        let level = match (&config.platform.json_log_level, config.level) {
            (Some(configured), chosen) => {
                if chosen.is_some() || self.level.is_some() {
                    stderr::warn(
                        "the log level of lines is ignored under the JSON log format: another level than the configured \
                         one would get the lines dropped",
                    );
                }
                Some(configured.clone())
            }
            (None, chosen) => chosen.or(self.level).map(|level| level.as_str().to_owned()),
        };
        let settings = LineSettings {
            compression_level: config
                .compression_level
                .or(self.compression_level)
                .unwrap_or(crate::config::DEFAULT_COMPRESSION_LEVEL)
                .min(9),
            max_line_bytes: config.max_line_bytes,
            level,
            with_timestamp: config.platform.json_log_level.is_some(),
        };
        let output = self.output.unwrap_or_else(|| {
            if config.pipe.unwrap_or(self.pipe) {
                Arc::new(NamedPipe::default())
            } else {
                Arc::new(Stdout)
            }
        });
        LineExporter::new(output, settings, Arc::default())
    }
}
