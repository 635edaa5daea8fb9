//! What is known of each invocation, until it is written: bounded, and each item once.

use crate::config::Config;
use crate::extensions_api::Registration;
use crate::roots::Root;
use crate::vitals::Vitals;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use platform::metrics::Owner;
use platform::{Aggregator, EventKind, Identity, PlatformEvent};
use std::collections::VecDeque;
use std::sync::Arc;
use wire::{Metrics, Request, Signal as _};

/// Invocations that are remembered; an environment runs one at a time, a managed instance some dozens.
const MAX_INVOCATIONS: usize = 256;

#[derive(Debug)]
struct Invocation {
    request_id: String,
    runtime_done: bool,
    reported: bool,
}

#[derive(Debug)]
pub(crate) struct Table {
    identity: Identity,
    metrics: Aggregator,
    /// Something in `metrics` is complete and can go with the next line.
    due: bool,
    invocations: VecDeque<Invocation>,
    vitals: Arc<Vitals>,
}

impl Table {
    pub(crate) fn new(config: &Config, registration: &Registration, vitals: Arc<Vitals>) -> Self {
        let function = &config.function;
        let name = Some(registration.function_name.clone()).filter(|name| !name.is_empty());
        let version = Some(registration.function_version.clone()).filter(|text| !text.is_empty());
        let identity = Identity {
            service_name: config.service_name.clone(),
            function_name: name.or_else(|| Some(function.name.clone())),
            function_version: version.or_else(|| function.version.clone()),
            is_lambda: true,
            account: registration.account_id.clone(),
            region: function.region.clone(),
            // Lambda hides both from extensions; the forwarder knows them.
            log_group: String::new(),
            log_stream: String::new(),
        };
        Self {
            identity,
            metrics: Aggregator::new(config.shape, config.names).with_owner(Owner::Extension),
            due: false,
            invocations: VecDeque::new(),
            vitals,
        }
    }

    pub(crate) fn subscribed(&mut self) {}

    pub(crate) fn invoke(&mut self, request_id: &str, _arn: &str) {
        self.due = true;
        self.invocation(request_id);
    }

    pub(crate) fn is_runtime_done(&self, request_id: &str) -> bool {
        self.invocations.iter().any(|known| known.request_id == request_id && known.runtime_done)
    }

    pub(crate) fn root(&mut self, _root: Root, _running: Option<&str>) {}

    pub(crate) fn event(&mut self, event: PlatformEvent) {
        self.metrics.add(&event, event.time_unix_nano.unwrap_or_default());
        if event.kind == EventKind::RuntimeDone {
            self.due = true;
        }
        if let Some(request_id) = &event.request_id {
            let invocation = self.invocation(request_id);
            invocation.runtime_done |= event.kind == EventKind::RuntimeDone;
            invocation.reported |= event.kind == EventKind::Report;
        }
    }

    pub(crate) fn take_due(&mut self) -> Vec<Request> {
        if std::mem::take(&mut self.due) { self.take_all() } else { Vec::new() }
    }

    pub(crate) fn take_all(&mut self) -> Vec<Request> {
        let metrics = self.metrics.take();
        if metrics.is_empty() {
            return Vec::new();
        }
        let scope = InstrumentationScope {
            name: platform::names::PLATFORM_SCOPE.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let container = ResourceMetrics {
            resource: Some(self.identity.metric_resource()),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope),
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        };
        vec![Request::encode::<Metrics>(&Metrics::request(vec![container]))]
    }

    pub(crate) fn is_waiting_for_reports(&self) -> bool {
        self.invocations.iter().any(|invocation| !invocation.reported)
    }

    pub(crate) fn close(&mut self, _reason: &str, _now_ms: u64) -> Vec<Request> {
        self.take_all()
    }

    fn invocation(&mut self, request_id: &str) -> &mut Invocation {
        let at = self.invocations.iter().position(|known| known.request_id == request_id);
        let at = at.unwrap_or_else(|| {
            if self.invocations.len() == MAX_INVOCATIONS {
                self.invocations.pop_front();
            }
            self.invocations.push_back(Invocation {
                request_id: request_id.to_owned(),
                runtime_done: false,
                reported: false,
            });
            self.invocations.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "the position was found or made just now")]
        &mut self.invocations[at]
    }
}
