//! The one way out: an encoded request becomes OTLP lines on the output.

use crate::clock::{Clock, unix_nanos};
use crate::config::Config;
use crate::output::{NamedPipe, Output, Stdout};
use crate::stderr;
use crate::vitals::{Loss, Vitals};
use opentelemetry::Context;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use std::fmt;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use wire::{Envelope, LineEncoder, LineLimits, Request, SignalKind, Written};

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
    /// When the running invocation times out, in Unix nanoseconds; 0 where none runs.
    deadline: AtomicU64,
    /// The last line was given up, since nobody read.
    is_stuck: AtomicBool,
}

/// The longest wait for whoever reads our lines.
const LONGEST_PATIENCE: Duration = Duration::from_secs(1);
/// The longest wait after one that was in vain: a stuck reader must not cost each invocation a second.
const STUCK_PATIENCE: Duration = Duration::from_millis(5);

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
        let shared = Shared {
            output,
            settings,
            encoder,
            vitals,
            clock: Clock::system(),
            deadline: AtomicU64::new(0),
            is_stuck: AtomicBool::new(false),
        };
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
        let request = Request::trusted(kind, request);
        self.contained(kind, request.items(), |shared| shared.write(kind, source, request))
    }

    /// Encodes and emits; a panic in the encoding is contained too, and costs `items`.
    pub(crate) fn encoded(
        &self,
        kind: SignalKind,
        source: &str,
        items: usize,
        encode: impl FnOnce() -> Vec<u8>,
    ) -> OTelSdkResult {
        match self.contained(kind, items, |_| Ok(encode())) {
            Ok(request) => self.emit(kind, source, request),
            Err(error) => Err(error),
        }
    }

    /// From now on an invocation runs that times out then: no line is waited for longer.
    pub(crate) fn set_deadline(&self, deadline: SystemTime) {
        self.shared.deadline.store(unix_nanos(deadline), Ordering::Relaxed);
    }

    pub(crate) fn vitals(&self) -> &Arc<Vitals> {
        &self.shared.vitals
    }

    /// Runs a part of the export so that a bug in it costs a batch and not the function; spans and events made
    /// meanwhile are not recorded, or they would be exported next time, for ever.
    fn contained<T>(
        &self,
        kind: SignalKind,
        items: usize,
        part: impl FnOnce(&Shared) -> Result<T, OTelSdkError>,
    ) -> Result<T, OTelSdkError> {
        let contained = catch_unwind(AssertUnwindSafe(|| {
            let _suppressed = Context::enter_telemetry_suppressed_scope();
            part(&self.shared)
        }));
        contained.unwrap_or_else(|_| {
            self.shared.vitals.lose(kind, Loss::Panicked, items);
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

/// How long to wait for whoever reads our lines: half of what the invocation has left, and at most a second.
fn patience(now: SystemTime, deadline_unix_nanos: u64) -> Duration {
    if deadline_unix_nanos == 0 {
        return LONGEST_PATIENCE;
    }
    let left = deadline_unix_nanos.saturating_sub(unix_nanos(now));
    LONGEST_PATIENCE.min(Duration::from_nanos(left / 2))
}

impl Shared {
    fn patience(&self, now: SystemTime) -> Duration {
        let patience = patience(now, self.deadline.load(Ordering::Relaxed));
        if self.is_stuck.load(Ordering::Relaxed) { patience.min(STUCK_PATIENCE) } else { patience }
    }

    /// The lines leave the encoder with their buffer: nothing of ours is locked while they are written, since whoever
    /// holds stdout may be about to export as well.
    fn encode(&self, envelope: &Envelope<'_>, request: Request) -> (Vec<u8>, Written) {
        let mut encoder = self.encoder();
        let Encoder { line, lines } = &mut *encoder;
        lines.clear();
        let written = line.encode(envelope, request, lines);
        (std::mem::take(lines), written)
    }

    fn keep_buffer(&self, lines: Vec<u8>) {
        if lines.capacity() <= KEPT_BUFFER_BYTES {
            self.encoder().lines = lines;
        }
    }

    fn encoder(&self) -> MutexGuard<'_, Encoder> {
        self.encoder.lock().unwrap_or_else(|poisoned| {
            // A panic may have left the compressor in the middle of a stream.
            let mut encoder = PoisonError::into_inner(poisoned);
            *encoder = Encoder::new(&self.settings);
            self.encoder.clear_poison();
            encoder
        })
    }

    fn write(&self, kind: SignalKind, source: &str, request: Request) -> OTelSdkResult {
        let now = self.clock.now();
        let unix_nanos = self.settings.with_timestamp.then(|| unix_nanos(now));
        let envelope = Envelope {
            source,
            level: self.settings.level.as_deref(),
            unix_nanos,
            ..Envelope::default()
        };
        let (lines, written) = self.encode(&envelope, request);
        self.vitals.truncate(written.truncated_values);
        self.vitals.lose(kind, Loss::TooLarge, written.dropped_items);
        let result = if lines.is_empty() {
            Ok(())
        } else {
            self.output.write_lines(&lines, self.patience(now))
        };
        let timed_out = |error: &io::Error| error.kind() == ErrorKind::TimedOut;
        self.is_stuck.store(result.as_ref().is_err_and(timed_out), Ordering::Relaxed);
        self.keep_buffer(lines);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn the_patience_is_half_of_the_time_left_and_at_most_a_second() {
        let check = |deadline_ms: u64, expected_ms| {
            let now = UNIX_EPOCH + Duration::from_secs(1000);
            let patience = patience(now, deadline_ms * 1_000_000);
            assert_eq!(patience, Duration::from_millis(expected_ms), "{deadline_ms}");
        };
        check(0, 1000);
        check(1_900_000, 1000);
        check(1_001_000, 500);
        check(1_000_100, 50);
        check(1_000_000, 0);
        check(999_999, 0);
    }

    fn settings() -> LineSettings {
        LineSettings {
            compression_level: 6,
            max_line_bytes: 1024,
            level: None,
            with_timestamp: false,
        }
    }

    /// resource_logs { scope_logs { log_records {} log_records {} } }
    const TWO_RECORDS: [u8; 8] = [0x0a, 0x06, 0x12, 0x04, 0x12, 0x00, 0x12, 0x00];

    /// Nobody reads for the first two lines; notes how patient the exporter is.
    #[derive(Debug, Default)]
    struct StuckAtFirst(Mutex<Vec<Duration>>);

    impl Output for StuckAtFirst {
        fn write_lines(&self, _lines: &[u8], patience: Duration) -> io::Result<()> {
            let mut patiences = self.0.lock().unwrap();
            patiences.push(patience);
            if patiences.len() <= 2 { Err(ErrorKind::TimedOut.into()) } else { Ok(()) }
        }
    }

    #[test]
    fn a_stuck_reader_is_waited_for_once() {
        let output = Arc::new(StuckAtFirst::default());
        let line = LineExporter::new(Arc::clone(&output) as _, settings(), Arc::default());
        for _ in 0..4 {
            drop(line.emit(SignalKind::Logs, "orders", TWO_RECORDS.to_vec()));
        }
        let [long, short] = [LONGEST_PATIENCE, STUCK_PATIENCE];
        assert_eq!(*output.0.lock().unwrap(), [long, short, short, long]);
        assert_eq!(line.vitals().lost(SignalKind::Logs, Loss::OutputFailed), 4);
    }

    /// Exports while it writes, as a thread of the function that holds stdout may.
    #[derive(Debug, Default)]
    struct Exports(std::sync::OnceLock<LineExporter>, AtomicBool);

    impl Output for Exports {
        fn write_lines(&self, _lines: &[u8], _patience: Duration) -> io::Result<()> {
            self.1
                .store(self.0.get().unwrap().shared.encoder.try_lock().is_ok(), Ordering::Relaxed);
            Ok(())
        }
    }

    #[test]
    fn nothing_is_locked_while_lines_are_written() {
        let output = Arc::new(Exports::default());
        let line = LineExporter::new(Arc::clone(&output) as _, settings(), Arc::default());
        output.0.set(line.clone()).unwrap();
        line.emit(SignalKind::Logs, "orders", TWO_RECORDS.to_vec()).unwrap();
        assert!(output.1.load(Ordering::Relaxed));
    }

    #[derive(Debug)]
    struct Panics;

    impl Output for Panics {
        fn write_lines(&self, _lines: &[u8], _patience: Duration) -> io::Result<()> {
            panic!("output")
        }
    }

    #[test]
    fn a_panic_costs_a_batch_which_is_counted_and_the_next_batch_is_tried() {
        let line = LineExporter::new(Arc::new(Panics), settings(), Arc::default());
        for batches in 1..=2 {
            assert!(line.emit(SignalKind::Logs, "orders", TWO_RECORDS.to_vec()).is_err());
            assert_eq!(line.vitals().lost(SignalKind::Logs, Loss::Panicked), 2 * batches);
        }
        let encoding = line.encoded(SignalKind::Traces, "orders", 3, || panic!("encoding"));
        assert!(encoding.is_err());
        assert_eq!(line.vitals().lost(SignalKind::Traces, Loss::Panicked), 3);
    }
}
