//! The Lambda function that a CloudWatch Logs subscription invokes: log events in, OTLP out.
//!
//! The modules, in the order of an event's path:
//!
//! - `handler` runs an invocation: it brings the rules up to date and logs about them (`rules` only refuses), calls `pipeline`,
//!   prints the report, gives it to `vitals`, and answers. It also creates the destinations. `config` reads the variables,
//!   `process` sets up the forwarder's log.
//! - `invocation` has the time and account that the stages need (`InvocationContext`), computes deadlines, decides the answer to
//!   Lambda from the report, and prints the report.
//! - `source` has the types of log events, with their `Origin`: account, region, log group and stream. `event` recognizes the
//!   kinds of events. `subscription_data` and `kinesis` decode them into batches, `log_event_json` reads a log event,
//!   `long_texts` cuts long messages.
//! - `pipeline` takes one event through all stages. Its own file lists the steps, has a branch for each kind of event
//!   (`forward`), applies backend's `sanitize`, and contains panics. `Options` have the sizes and the decisions of `config`;
//!   `source` has the limits of a delivery (`SourceLimits`).
//! - `pipeline/router` chooses destinations, and tells which batches aren't forwarded: control messages and the forwarder's own
//!   log groups. `sources` takes Kinesis records and queue messages one by one; it dead-letters unreadable ones, and returns
//!   failed ones.
//! - `pipeline/reading` reads an event: its batches in the order of their streams, converted chunk by chunk. `traces` reads the
//!   whole event first if a rule asks about whole traces, and keeps what it read, up to a limit.
//! - `pipeline/outbox` collects requests, delivers them, and puts the undelivered ones into queues. It also dead-letters
//!   undecodable lines, with their reason.
//! - `convert` decides for each log event: an OTLP line, a part of one, a line of a stack trace (`stack_traces`), a span
//!   that X-Ray stores, or text for platform. It has the limits of an event. `envelope` corrects the resources of OTLP lines,
//!   `failed_spans` sets ERROR on the root spans of layer and library.
//! - `executions` reads the histories of ended executions through aws's `histories`. `pipeline/executions` takes their spans through the
//!   rules, or lets an execution wait in the retry queue. `platform` makes the spans.
//! - `rules` has the rules, their actions and limits. `load` reads file or parameter again after a minute. `parse` reads the
//!   tables (`conditions`, `actions`; `routing`: destinations and routes; `values`), `mistake` has the place of a mistake.
//! - `rules/apply` runs the rules in their order: `condition`, `change`, `sample`, `redact`; `item` has the parts of an item.
//!   `share` has the shares of `sample`, `adjusted_count` notes how many items a sampled one stands for, `trace` has the
//!   conditions on whole traces. `route` chooses destinations by the fields of the origin only, `template` fills names with these
//!   fields.
//! - `rules/redact` replaces values. Its own file says which keys are hidden (`hides`: `parse/actions` makes the patterns of
//!   `keys =`), which parts and types of values change, and how matches are replaced.
//! - `rules/redact/finder` has the presets, `card` recognizes numbers of cards, `ip` addresses. `search` runs regular expressions
//!   with a limit on their work, `needle` excludes most texts before. `keys` finds the values of hidden keys in text, `json` and
//!   `escapes` read encoded text, `encoded` decodes only items that can have a match.
//! - `delivery` merges requests and sends them. It decides how many at once, when none is attempted, and when pieces are sent.
//!   `endpoint` orders the batches of a destination and signal (`request_batch`: requests that may be merged), `circuit_breaker`
//!   pauses a failing destination, `ingest_window` handles old records, `bisect` isolates bad ones.
//! - `queues`: retry and dead-letter queue. `QueuedTelemetry` is the content of a message: a `Content`, its destination, times
//!   and reason, and the `log_events` that it comes from (`origin` in the message). `encoding` writes and reads the bodies,
//!   `message` divides large messages and shortens content that doesn't fit, `put` enqueues them through aws's `sqs`.
//! - `queues/redrive` sends a queued request again, or sets its next pause (`pause`), which follows the backend's `Retry-After`
//!   up to a limit. Its attempts end when the backend would refuse the records as too old, or the queue would soon delete the
//!   message (`time_left`). The template's `maxReceiveCount` is only for a message that crashes the function each time.
//! - `report`: the result of one event, to which each stage adds. It has the failed records and messages (`batch_item_failures`),
//!   which `invocation` writes into the answer.
//! - `ledger` counts the fate of every item and log event, in total and by destination. `pipeline/outbox` and `queues/redrive`
//!   add to it.
//! - `vitals`: the forwarder's own metrics. Its own file has the variable that chooses the forms. `emf` writes them for
//!   CloudWatch. `sums` adds up the reports of a minute and gives them attributes, `otlp` sends them to the backend.

mod config;
mod convert;
mod delivery;
mod executions;
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

pub use config::{Config, RULES, TABLE};
pub use convert::{ConvertOptions, PlatformSpans, StreamState, convert};
pub use delivery::destination::{DEFAULT_DESTINATION, Destination, Export};
pub use delivery::ingest_window::{IngestPolicy, IngestWindow, OldRecords};
pub use executions::{ExecutionSettings, Executions};
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
pub use rules::{
    DestinationRule, Effect, MAX_BYTES, RuleSet, RulesSource, SeenTraces, Template, TraceReading,
};
pub use source::{Event, LogBatch, LogEvent, LogEventRange, Origin, QueueMessage, SourceLimits};
pub use vitals::{Vitals, VitalsSettings};
