//! The forwarder's client: the real one, with panics from the schedule.

use super::backend::{Backend, Service};
use super::current::Current;
use super::schedule::Panic;
use super::world::Shared;
use ::backend::{Authorized, Outcome};
use lambda_otlp_forwarder::Export;
use std::panic::resume_unwind;
use std::sync::Arc;
use tokio::time::Instant;
use wire::Request;

pub(crate) struct Sender {
    pub(crate) client: Authorized<Backend, Arc<Service>>,
    pub(crate) world: Shared,
    pub(crate) current: Current,
}

impl Export for Sender {
    async fn export(&self, stream: Option<&str>, request: Request, deadline: Instant) -> Outcome {
        let _outside = self.current.waiting.request();
        let panic = self.current.draw(&self.world, |schedule| &schedule.panics);
        if panic == Some(Panic::Before) {
            self.panics("panic: before a request was sent");
        }
        let outcome = self.client.export(stream, request, deadline).await;
        if panic == Some(Panic::After) {
            self.panics("panic: after a request was answered");
        }
        outcome
    }
}

impl Sender {
    /// Without a message, which would be printed.
    fn panics(&self, what: &'static str) -> ! {
        self.world.lock().census.met(what);
        resume_unwind(Box::new(what))
    }
}
