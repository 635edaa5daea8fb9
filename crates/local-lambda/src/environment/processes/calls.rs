//! The calls of the processes to their APIs: in which state a call is allowed, and its answer.

use super::Processes;
use crate::api::server::{self, Answer};
use crate::api::{Call, CallKind, Refused, Reply, answer, refusal};
use crate::environment::failure::ProcessFailure;
use crate::lock;
use crate::process::Process;
use crate::telemetry::{InvalidSubscription, SubscriptionSettings};
use http::StatusCode;
use tokio::time::Instant;

impl Processes {
    /// Returns a call for an event whose caller still waits.
    pub(in crate::environment) fn waiting_worker(&mut self) -> Option<Reply> {
        std::iter::from_fn(|| self.waiting_calls.pop_front())
            .find(|waiting_call| !waiting_call.is_closed())
    }

    /// Waits for the next call; cancel safe.
    pub(in crate::environment) async fn next_call(
        &mut self,
        until: Instant,
    ) -> Result<Call, ProcessFailure> {
        let ended = tokio::select! {
            // A call that a process made before it ended counts.
            biased;
            Some(call) = self.calls.recv() => return Ok(call),
            () = ended(self.runtime.as_ref()) => return Err(ProcessFailure::Exited),
            extension = self.extensions.next_end() => extension,
            () = tokio::time::sleep_until(until) => return Err(ProcessFailure::Timeout),
        };
        Err(self
            .extensions
            .note_end(ended)
            .map_or(ProcessFailure::Timeout, ProcessFailure::Extension))
    }

    /// Keeps a call that waits for an event, answers the calls that a process may make at this time, and refuses the others.
    pub(in crate::environment) fn take_call(
        &mut self,
        Call { kind, reply }: Call,
    ) -> Result<(), ProcessFailure> {
        let answered = match kind {
            CallKind::Next => {
                if !self.context.spec.is_managed() {
                    self.waiting_calls.clear();
                }
                self.waiting_calls.push_back(reply);
                return Ok(());
            }
            CallKind::NextExtensionEvent { extension } => {
                self.extensions.next(&extension, reply);
                if !self.is_initialised {
                    lock(&self.context.state).extensions = self.extensions.states();
                }
                return Ok(());
            }
            // All extensions register before the runtime asks for its first event.
            CallKind::Register { .. } if self.is_initialised || !self.waiting_calls.is_empty() => {
                Err(Refused::RegistrationIsClosed)
            }
            CallKind::Register { name, events, wants_account_id } => {
                let registered = self.extensions.register(name, events, wants_account_id);
                lock(&self.context.state).extensions = self.extensions.states();
                registered
            }
            CallKind::ExtensionReport { extension, error_type, during_init } => {
                match self.extensions.report(&extension, error_type, during_init) {
                    Ok(failure) => {
                        answer(reply, server::accepted());
                        return Err(ProcessFailure::Extension(failure));
                    }
                    Err(refused) => Err(refused),
                }
            }
            CallKind::Subscribe { extension, settings } => self.subscribe(&extension, settings),
            CallKind::Response(_) => Err(Refused::UnknownRequest),
            CallKind::InitError(_) => Err(Refused::WrongState),
        };
        answer(reply, answered.unwrap_or_else(refusal));
        Ok(())
    }

    fn subscribe(
        &mut self,
        extension: &str,
        settings: Result<SubscriptionSettings, InvalidSubscription>,
    ) -> Result<Answer, Refused> {
        let settings = match settings {
            Ok(settings) => settings,
            Err(invalid) => {
                let message = invalid.to_string();
                return Ok(server::error(StatusCode::BAD_REQUEST, "ValidationError", &message));
            }
        };
        let name = self.extensions.name(extension).ok_or(Refused::UnknownExtension)?;
        if let Some(status) = self.context.spec.subscription_status {
            return Ok(server::error(
                status,
                "Telemetry.Scripted",
                "the function's spec sets this status",
            ));
        }
        if self.is_initialised {
            return Err(Refused::SubscriptionIsClosed);
        }
        let types = settings.types.clone();
        let is_new = self.context.telemetry.subscribe(&name, settings);
        if !is_new && self.context.spec.is_managed() {
            return Err(Refused::SecondSubscription);
        }
        self.context.events.telemetry_subscription(&name, is_new, &types);
        let body = if is_new { r#""OK""# } else { r#""Already subscribed""# };
        Ok(server::json(StatusCode::OK, body))
    }
}

/// Waits for the end of a process; without a process, for ever.
pub(super) async fn ended(runtime: Option<&Process>) {
    match runtime {
        Some(runtime) => runtime.ended().await,
        None => std::future::pending().await,
    }
}
