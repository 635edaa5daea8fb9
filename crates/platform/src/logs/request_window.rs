//! Knows which invocation a log stream is in, and what its lines told of it, for lines that do not say it themselves.

use crate::event::{EventKind, PlatformEvent};

/// The invocation that a log stream is in. Lines between `START` and `END` that have no request id of their own belong to
/// it. This is best effort: a delivery may begin in the middle of an invocation, and then its first lines belong to none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RequestWindow {
    request_id: Option<String>,
    told: Option<Box<Told>>,
}

/// What lines told of an invocation, which holds for its other lines too.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) request_id: String,
    /// For whom a function with tenant isolation was invoked.
    pub(crate) tenant_id: Option<String>,
    /// The execution of a durable function that the invocation belongs to.
    pub(crate) durable_execution_arn: Option<String>,
}

impl RequestWindow {
    /// The invocation that is running, as far as is known.
    pub(crate) fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// What is known of this invocation beside its id. Most functions are told nothing of.
    pub(crate) fn told(&self, request_id: Option<&str>) -> Option<&Told> {
        self.told.as_deref().filter(|told| Some(told.request_id.as_str()) == request_id)
    }

    /// Takes note of what a line tells of its invocation. What was told of another one is forgotten: a stream has one after the
    /// other, and where a managed instance has several, each line says it.
    pub(crate) fn tell(
        &mut self,
        request_id: Option<&str>,
        tenant_id: Option<&str>,
        durable_execution_arn: Option<&str>,
    ) {
        let Some(request_id) = request_id else { return };
        if tenant_id.is_none() && durable_execution_arn.is_none() {
            return;
        }
        let told = self.told.get_or_insert_default();
        if told.request_id != request_id {
            **told = Told { request_id: request_id.to_owned(), ..Told::default() };
        }
        if told.tenant_id.is_none() {
            told.tenant_id = tenant_id.map(str::to_owned);
        }
        if told.durable_execution_arn.is_none() {
            told.durable_execution_arn = durable_execution_arn.map(str::to_owned);
        }
    }

    /// Takes note of what Lambda says.
    pub(crate) fn observe(&mut self, event: &PlatformEvent) {
        match event.kind {
            EventKind::Start => self.request_id.clone_from(&event.request_id),
            EventKind::End | EventKind::Report => self.request_id = None,
            _ => {}
        }
    }
}
