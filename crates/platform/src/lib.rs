//! What AWS Lambda says about itself, and its conversion to OTLP.
//!
//! [`text::parse`] reads Lambda's text lines in CloudWatch Logs, [`telemetry::parse_line`] its JSON
//! lines there, and [`telemetry::parse`] the events of the Telemetry API into one event model
//! ([`event`]); [`metrics`] and [`logs`] turn events and ordinary lines into OTLP, [`identity`] writes the
//! resource, and [`Converter`] does all of it for the log events of one stream. Everything is
//! pure: events in, OTLP out; time and identity are passed in, nothing is read from environment,
//! clock or network, and no input panics.

mod attributes;
mod convert;
mod emf;
mod emf_points;
mod error_type;
pub mod event;
mod fields;
pub mod identity;
mod instrument;
mod invocations;
mod json_line;
pub mod logs;
pub mod metrics;
pub mod names;
mod open_invocations;
mod outcome;
mod points;
mod prefix;
mod records;
#[cfg(test)]
mod render;
mod severity;
mod span_ids;
pub mod spans;
pub mod telemetry;
pub mod text;
mod time;

pub use convert::{Converted, Converter, Handled, Options};
pub use event::{EventKind, Figures, PhaseSpan, PlatformEvent, SpanStart, Tracing};
pub use identity::{Identity, Source};
pub use invocations::{Ending, Invocations};
pub use logs::{LogEvent, Undecodable, Window};
pub use metrics::{Aggregator, Names, Owner, Shape};
pub use spans::{SpanEnd, SpanMapping, SpanOptions};
