//! Makes operations out of the history of a durable function's execution. Its events name their operation, and the one around it.

use super::event::{HistoryEvent, Place};
use super::ids::{event_span_id, span_of_operation};
use super::operation::{Attempt, AttributeValue, Ending, Operation, Outcome};
use crate::names::{self, durable};
use std::collections::HashMap;

/// The types of operations.
const TYPES: [&str; 5] = ["Context", "Step", "Wait", "Callback", "ChainedInvoke"];

/// An operation of which the end may be missing.
struct Begun<'e> {
    id: &'e str,
    parent: Option<&'e str>,
    first: &'e HistoryEvent,
    kind: &'static str,
    attempts: Vec<Attempt>,
    ending: Option<Ending>,
}

/// Returns the operations of these events, which are sorted by their ids. What has no end is cut at `ended_unix_nano`.
pub(crate) fn read_operations(
    arn: &str,
    events: &[HistoryEvent],
    ended_unix_nano: u64,
) -> Vec<Operation> {
    let mut begun: Vec<Begun<'_>> = Vec::new();
    let mut positions: HashMap<&str, usize> = HashMap::new();
    for event in events {
        let Place::Of { operation: Some(id), parent } = &event.place else { continue };
        let of_kind = TYPES.iter().find_map(|kind| Some((*kind, event.kind.strip_prefix(kind)?)));
        let Some((kind, what)) = of_kind else { continue };
        let at = *positions.entry(id).or_insert_with(|| {
            begun.push(Begun {
                id,
                parent: parent.as_deref(),
                first: event,
                kind,
                attempts: Vec::new(),
                ending: None,
            });
            begun.len() - 1
        });
        if let Some(operation) = begun.get_mut(at) {
            operation.read(arn, event, what);
        }
    }
    let is_known = |parent: &&str| positions.contains_key(parent);
    begun
        .into_iter()
        .map(|operation| {
            let parent = operation.parent.filter(|parent| *parent != operation.id);
            let parent = parent.filter(is_known).map(|parent| span_of_operation(arn, parent));
            operation.finish(arn, parent, ended_unix_nano)
        })
        .collect()
}

impl Begun<'_> {
    fn read(&mut self, arn: &str, event: &HistoryEvent, what: &str) {
        let details = event.details.as_deref();
        let failure = details.and_then(|details| details.failure.clone());
        let unix_nano = event.time_unix_nano;
        let Some(outcome) = Outcome::read_end(what) else {
            if what == "Started" && self.kind == "Step" {
                self.attempts.push(Attempt {
                    span_id: event_span_id(arn, event.id),
                    number: u32::try_from(self.attempts.len() + 1).unwrap_or(u32::MAX),
                    start_unix_nano: unix_nano,
                    ending: None,
                });
            }
            return;
        };
        let ending = Ending { unix_nano, outcome, failure };
        if let Some(attempt) = self.attempts.last_mut().filter(|attempt| attempt.ending.is_none()) {
            attempt.ending = Some(ending.clone());
        }
        if !details.is_some_and(|details| details.is_retried) {
            self.ending = Some(ending);
        }
    }

    fn finish(self, arn: &str, parent: Option<[u8; 8]>, ended_unix_nano: u64) -> Operation {
        let Self { id, first, kind, attempts, ending, .. } = self;
        let details = first.details.as_deref();
        let sub_type = details.and_then(|details| details.sub_type.clone());
        let name = first.name.clone().or_else(|| sub_type.clone()).unwrap_or_else(|| kind.into());
        let text = |text: &str| AttributeValue::Text(text.into());
        let mut attributes =
            vec![(durable::OPERATION_ID, text(id)), (durable::OPERATION_TYPE, text(kind))];
        let called = details.and_then(|details| details.resource.as_deref());
        let optional = [
            (durable::OPERATION_SUB_TYPE, sub_type.as_deref()),
            (names::FAAS_INVOKED_NAME, called.map(find_function_name)),
            (names::FAAS_INVOKED_PROVIDER, called.map(|_| "aws")),
            (durable::STARTED_ARN, details.and_then(|details| details.started_arn.as_deref())),
        ];
        attributes
            .extend(optional.into_iter().filter_map(|(key, value)| Some((key, text(value?)))));
        let has_failed = attempts.iter().any(|attempt| {
            attempt.ending.as_ref().is_some_and(|ending| ending.outcome != Outcome::Succeeded)
        });
        let ending = ending.unwrap_or(Ending {
            unix_nano: ended_unix_nano,
            outcome: Outcome::Aborted,
            failure: None,
        });
        let was_survived = has_failed && ending.outcome == Outcome::Succeeded;
        let are_shown = attempts.len() > 1 || was_survived;
        Operation {
            span_id: span_of_operation(arn, id),
            parent,
            name,
            start_unix_nano: first.time_unix_nano,
            ending,
            attempts: if are_shown { attempts } else { Vec::new() },
            is_call: kind == "ChainedInvoke",
            attributes,
        }
    }
}

/// The name in `NAME`, `NAME:VERSION`, or an ARN.
pub(crate) fn find_function_name(text: &str) -> &str {
    let function = wire::arn::Arn::parse(text).and_then(|arn| arn.function());
    let within = text.rsplit("function:").next().unwrap_or(text);
    function.map_or_else(|| within.split(':').next().unwrap_or(within), |function| function.name)
}
