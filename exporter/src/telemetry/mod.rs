//! What all invocations of one environment share: the providers, the propagators, the watch of the deadline.

pub(crate) mod completion;
pub(crate) mod deadline_watch;
pub(crate) mod id_generator;
mod lambda_otel_lite;
mod loss_metrics;
pub(crate) mod propagation;
pub(crate) mod resource;
pub(crate) mod root_record;
pub(crate) mod running;
pub(crate) mod signals;
pub(crate) mod subscriber;
pub(crate) mod xray_propagator;

pub use lambda_otel_lite::*;

use deadline_watch::DeadlineWatch;
use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::trace::SdkTracer;
use propagation::Propagation;
use root_record::RootRecord;
use running::RunningInvocations;
use signals::Signals;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::level_filters::LevelFilter;

/// The providers and what they share.
pub(crate) struct Telemetry {
    pub(crate) tracer: SdkTracer,
    pub(crate) propagation: Propagation,
    /// A `tracing` subscriber with our layer is there, so that the invocation can be a `tracing` span.
    pub(crate) has_layer: AtomicBool,
    pub(crate) facts: InvocationFacts,
    pub(crate) deadline: DeadlineWatch,
    pub(crate) signals: Arc<Signals>,
    pub(crate) running: RunningInvocations,
    pub(crate) max_level: LevelFilter,
    /// `tracing` events become log records.
    pub(crate) bridges_logs: bool,
}

/// What the spans of invocations need to know of the environment.
#[derive(Debug, Default)]
pub(crate) struct InvocationFacts {
    pub(crate) function_version: Option<String>,
    pub(crate) is_provisioned: bool,
    pub(crate) duplicate_http_names: bool,
    /// No invocation was seen yet.
    pub(crate) is_cold: AtomicBool,
    pub(crate) root_record: RootRecord,
    /// Somebody was told that a caller's decision keeps spans from being written.
    pub(crate) told_of_unsampled: AtomicBool,
}

impl InvocationFacts {
    /// Whether this is the invocation that waited for the start of the environment; true once at most.
    pub(crate) fn take_cold_start(&self) -> bool {
        self.is_cold.swap(false, Ordering::Relaxed) && !self.is_provisioned
    }
}

/// The scope of the invocations' spans; short, since it is in every line.
pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"))
        .build()
}
