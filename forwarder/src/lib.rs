//! The Lambda behind the CloudWatch Logs subscription: log events in, OTLP out.
//!
//! One event goes through these modules, in this order:
//!
//! ```text
//! lambda       the handler is invoked with the event, and answers Lambda at the end
//! pipeline     one run for each event, which goes through the stages below
//!   source       CloudWatch Logs | Kinesis | SQS  -> LogBatch, in chunks
//!   convert      OTLP lines decoded, all else converted by `platform` -> requests of three signals
//!   rules        dropped, sampled, redacted, changed; `pipeline::routing` says where they go
//!   deliver      merged and sent to a destination -> accepted, or a remainder with its reason
//!     enqueue      retry queue, dead-letter queue -> parked | dead-lettered | returned
//!   ledger       every item has one fate
//! ```
//!
//! A message of the retry queue is a request that waits to be delivered ([`Parked`]), or an event.

mod config;
mod convert;
mod deliver;
mod destination;
mod lambda;
mod ledger;
mod log;
mod memory;
mod parking;
mod pipeline;
mod rules;
mod source;
mod vitals;

pub use config::Config;
pub use config::variables::TABLE;
pub use convert::time_shift::TimeShift;
pub use convert::{ConvertOptions, PlatformSpans, ReadSoFar, StreamState, convert};
pub use deliver::enqueue::{KeptIn, NoQueue, Queues, Undelivered};
pub use destination::ingest_window::rewrite::ORIGINAL_TIME;
pub use destination::ingest_window::{
    IngestPolicy, IngestWindow, OLD_RECORDS, OldRecords, time_range,
};
pub use destination::{DEFAULT_DESTINATION, Destination, DryRun, Export};
pub use lambda::handler::{InvocationError, Response, answer, wall_clock_now};
pub use lambda::service::{Service, default_destination, read_rules};
pub use ledger::{Account, Consumed, Items, Ledger};
pub use log::init as init_log;
pub use memory::keep_freed_memory;
pub use parking::{
    Content, MAX_MESSAGE_BYTES, Message, NotParked, Parked, QUEUES, Queue, QueueError,
    RETRY_QUEUE_URL,
};
pub use pipeline::Forwarder;
pub use pipeline::invocation::InvocationContext;
pub use pipeline::options::Options;
pub use pipeline::redrive::decision::{DeadLetter, Decision, Next, Receipt, Rest, decide};
pub use pipeline::report::Report;
pub use rules::{Effect, MOST_BYTES, Mistake, Mistakes, RuleSet, Template};
pub use source::{
    Event, LogBatch, LogEvent, LogEventRange, MessageType, Origin, QueueBody, QueueMessage,
    SourceError, SourceLimits,
};
pub use vitals::{Vitals, VitalsSettings};
