//! The Lambda function behind the CloudWatch Logs subscription: log events in, OTLP out.
//!
//! One event goes through these modules, in this order:
//!
//! ```text
//! handler        computes deadlines, and answers Lambda at the end
//! source         CloudWatch Logs | Kinesis | SQS  -> batches of log events
//! pipeline       three stages for each chunk of a batch:
//!   convert        OTLP lines and all other lines -> requests of three signals
//!   router         rules: drop, sample, redact, change; selects destinations and streams
//!   flusher        deliver: merges and sends -> accepted, or undelivered with a reason
//!                  deliver::enqueue: retry queue, dead-letter queue, or returned to Lambda
//! ledger         the fate of every item
//! ```
//!
//! A message of the retry queue contains a request ([`Parked`]) or an event.

mod config;
mod convert;
mod deliver;
mod destination;
mod handler;
mod ledger;
mod parking;
mod pipeline;
mod process;
mod rules;
mod service;
mod source;
mod vitals;

pub use config::{Config, TABLE};
pub use convert::{ConvertOptions, PlatformSpans, StreamState, convert};
pub use deliver::enqueue::{NoQueue, Queues};
pub use destination::ingest_window::{
    IngestPolicy, IngestWindow, OLD_RECORDS, ORIGINAL_TIME, OldRecords, time_range,
};
pub use destination::{DEFAULT_DESTINATION, Destination, DryRun, Export};
pub use handler::{InvocationError, Response, answer, wall_clock_now};
pub use ledger::{Account, Consumed, Items, Ledger};
pub use parking::{
    Content, MAX_MESSAGE_BYTES, Message, NotParked, Parked, QUEUES, Queue, QueueError,
    RETRY_QUEUE_URL,
};
pub use pipeline::report::{KeptIn, Report, Undelivered};
pub use pipeline::{Forwarder, InvocationContext, Options};
pub use process::{init_log, keep_freed_memory};
pub use rules::{Effect, MOST_BYTES, Mistake, Mistakes, RuleSet, Template};
pub use service::{Service, default_destination, read_rules};
pub use source::{
    Event, LogBatch, LogEvent, LogEventRange, MessageType, Origin, QueueBody, QueueMessage,
    SourceError, SourceLimits,
};
pub use vitals::{Vitals, VitalsSettings};
