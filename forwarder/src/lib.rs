//! The Lambda function that a CloudWatch Logs subscription invokes: log events in, OTLP out. `ARCHITECTURE.md` names its modules in
//! the order of an event's path.

mod config;
mod convert;
mod delivery;
mod handler;
mod invocation;
mod ledger;
mod pipeline;
mod process;
mod queues;
mod report;
mod rules;
mod source;
mod vitals;

pub use config::{Config, TABLE};
pub use convert::{ConvertOptions, PlatformSpans, StreamState, convert};
pub use delivery::destination::{DEFAULT_DESTINATION, Destination, Export};
pub use delivery::ingest_window::{IngestPolicy, IngestWindow, OldRecords};
pub use handler::{Handler, default_destination, read_rules};
pub use invocation::{InvocationContext, InvocationError, answer, wall_clock_now};
pub use ledger::{Consumed, Items, Ledger};
pub use pipeline::{Forwarder, Options};
pub use process::{init_log, keep_freed_memory};
pub use queues::put::Queues;
pub use queues::{
    Content, MAX_MESSAGE_BYTES, Message, Queue, QueueError, QueuedTelemetry, SqsQueue,
};
pub use report::{KeptIn, Report, ReportedLine, Undelivered};
pub use rules::{Effect, MAX_BYTES, RuleSet, SeenTraces, Template, TraceReading};
pub use source::{Event, LogBatch, LogEvent, LogEventRange, Origin, QueueMessage, SourceLimits};
pub use vitals::{Vitals, VitalsSettings};
