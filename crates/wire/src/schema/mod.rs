//! The structure of the OTLP messages as tables, used to check and rewrite bytes and to read OTLP/JSON without structs.
//!
//! Source: opentelemetry-proto 1.x, `opentelemetry/proto/{common,resource,trace,logs,metrics}/v1`. Unlisted fields are unknown to
//! us and pass unchanged, as proto3 requires.

mod common;
mod logs;
mod message;
mod metrics;
mod traces;

pub(crate) use common::is_key_value;
#[cfg(any(feature = "encode", feature = "decode"))]
pub(crate) use common::{any_value, is_any_value};
#[cfg(feature = "decode")]
pub(crate) use message::{Enum, Field};
pub(crate) use message::{Kind, Message, Presence};

use crate::signal::SignalKind;

/// The `Export…ServiceRequest` of a signal.
pub(crate) fn request(kind: SignalKind) -> &'static Message {
    match kind {
        SignalKind::Traces => &traces::REQUEST,
        SignalKind::Metrics => &metrics::REQUEST,
        SignalKind::Logs => &logs::REQUEST,
    }
}

/// Returns `true` for a span, a log record and a metric.
#[cfg(any(feature = "encode", feature = "decode"))]
pub(crate) fn is_item(message: &Message) -> bool {
    let items = [&raw const traces::SPAN, &raw const logs::LOG_RECORD, &raw const metrics::METRIC];
    items.into_iter().any(|item| std::ptr::eq(message, item))
}

/// The key of a signal's request that contains its resources.
#[cfg(feature = "decode")]
pub(crate) fn key_of_signal(kind: SignalKind) -> &'static str {
    request(kind).fields.first().map_or("", |field| field.name)
}

/// The signal of a request with this key.
#[cfg(feature = "decode")]
pub(crate) fn signal_of_key(key: &str) -> Option<SignalKind> {
    SignalKind::ALL.into_iter().find(|kind| request(*kind).field_of_key(key).is_some())
}
