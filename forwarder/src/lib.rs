//! The Lambda function behind the CloudWatch Logs subscription: log events in, OTLP out.
//!
//! One event goes through these modules, in this order:
//!
//! ```text
//! handler        keeps the rules up to date, and handles one invocation after another
//! invocation     computes deadlines, and answers Lambda at the end
//! source         CloudWatch Logs | Kinesis | SQS  -> batches of log events
//! pipeline       pulls batches, and sends each through:
//!   router         selects destinations and streams
//!   convert        OTLP lines and all other lines -> requests of three signals
//!   adapt          rules: drop, sample, redact, change
//!   flusher        delivery: adapts to each destination, merges and sends -> accepted, or undelivered with a reason
//!                  queues: retry queue, dead-letter queue, or returned to Lambda
//! report         what happened; its ledger has the fate of every item
//! ```
//!
//! A message of the retry queue contains a request ([`Parked`]) or an event.

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
pub use delivery::destination::{DEFAULT_DESTINATION, Destination, DryRun, Export};
pub use delivery::ingest_window::{IngestPolicy, IngestWindow, ORIGINAL_TIME, OldRecords};
pub use handler::{Handler, default_destination, read_rules};
pub use invocation::{InvocationContext, InvocationError, Response, answer, wall_clock_now};
pub use ledger::{Consumed, Items, Ledger};
pub use pipeline::{Forwarder, Options};
pub use process::{init_log, keep_freed_memory};
pub use queues::put::{NoQueue, Queues};
pub use queues::{Content, MAX_MESSAGE_BYTES, Message, Parked, Queue, QueueError};
pub use report::{KeptIn, Report};
pub use rules::{Effect, MOST_BYTES, RuleSet, Template};
pub use source::{
    Event, LogBatch, LogEvent, LogEventRange, MessageType, Origin, QueueBody, QueueMessage,
    SourceLimits,
};
pub use vitals::{Vitals, VitalsSettings};
