//! Makes states out of the history of a state machine.
//!
//! Step Functions writes no event with both ends of a state, and none names the state that it belongs to. Each names the event that
//! caused it, in the same branch or iteration, so the states follow from the chain of causes.

mod node;

use super::event::{Details, FailureText, HistoryEvent, Place};
use super::ids::{Counts, EnteredState, event_span_id};
use super::operation;
use super::operation::{AttributeValue, Attributes, Ending, Operation, Outcome};
use crate::names::step_functions as names;
use node::{Attempt, Kind, Node};
use std::collections::{HashMap, HashSet};

/// Limit on states within one another. Step Functions has no such limit, and its authors nest a few.
const MAX_DEPTH: u32 = 64;

/// Returns the states, iterations and attempts of these events, which are sorted by their ids.
pub(crate) fn read_operations(execution_arn: &str, events: &[HistoryEvent]) -> Vec<Operation> {
    let mut reader = Reader::new(execution_arn);
    for event in events {
        reader.read(event);
    }
    reader.finish()
}

/// Where the events that follow an event belong.
#[derive(Clone, Copy, Debug, Default)]
struct Scope {
    node: Option<usize>,
    unix_nano: u64,
}

#[derive(Debug)]
struct Reader<'a> {
    execution_arn: &'a str,
    nodes: Vec<Node>,
    scopes: HashMap<u64, Scope>,
    redrive: u32,
    last_unix_nano: u64,
    taken: HashSet<[u8; 8]>,
}

impl<'a> Reader<'a> {
    fn new(execution_arn: &'a str) -> Self {
        Self {
            execution_arn,
            nodes: Vec::new(),
            scopes: HashMap::new(),
            redrive: 0,
            last_unix_nano: 0,
            taken: HashSet::new(),
        }
    }

    fn read(&mut self, event: &HistoryEvent) {
        let previous = if let Place::After(previous) = event.place { previous } else { 0 };
        let scope = self.scopes.get(&previous).copied().unwrap_or_default();
        let node = self.node_after(event, scope);
        self.scopes.insert(event.id, Scope { node, unix_nano: event.time_unix_nano });
        self.last_unix_nano = self.last_unix_nano.max(event.time_unix_nano);
    }

    /// Reads an event that follows one of this scope. Returns where the events belong that follow it.
    fn node_after(&mut self, event: &HistoryEvent, scope: Scope) -> Option<usize> {
        let kind = event.kind.as_ref();
        let from = scope.node;
        if let Some(state) = kind.strip_suffix("StateEntered") {
            return Some(self.enter(event, state, from));
        }
        if kind.ends_with("StateExited") {
            let is_own = |node: &Node| {
                matches!(node.kind, Kind::State(_)) && event.name.as_ref() == Some(&node.name)
            };
            let Some(at) = self.enclosing(from, is_own) else { return from };
            self.end(at, event, Outcome::Succeeded);
            return self.nodes.get(at).and_then(|node| node.parent);
        }
        if kind.starts_with("Execution") {
            self.read_execution(event, from);
            return from;
        }
        if let Some(what) = kind.strip_prefix("MapIteration") {
            return self.read_iteration(event, what, from);
        }
        if kind.starts_with("MapRun") {
            let at = self.enclosing(from, |node| node.kind.is_state("Map"));
            self.read_map_run(event, at);
            return at.or(from);
        }
        if let Some((state, what)) = kind.split_once("State") {
            return self.read_state(event, state, what, scope);
        }
        if kind == "EvaluationFailed" {
            let at = self.enclosing(from, |node| matches!(node.kind, Kind::State(_)));
            if let Some(node) = at.and_then(|at| self.nodes.get_mut(at)) {
                node.failure = failure_of(event);
            }
            return at.or(from);
        }
        if ["Task", "LambdaFunction", "Activity"].iter().any(|task| kind.starts_with(task)) {
            let at = self.enclosing(from, |node| node.kind.is_state("Task"));
            if let Some(at) = at {
                self.read_task(event, at);
            }
            return at.or(from);
        }
        from
    }

    /// The innermost node around this one, including itself, that has a property.
    fn enclosing(&self, from: Option<usize>, is_meant: impl Fn(&Node) -> bool) -> Option<usize> {
        let mut at = from;
        while let Some(node) = at.and_then(|at| self.nodes.get(at)) {
            if is_meant(node) {
                return at;
            }
            at = node.parent;
        }
        None
    }

    fn enter(&mut self, event: &HistoryEvent, state: &str, from: Option<usize>) -> usize {
        let name = event.name.clone().unwrap_or_else(|| state.into());
        let entered = EnteredState {
            execution_arn: self.execution_arn,
            name: &name,
            entered_unix_nano: event.time_unix_nano,
        };
        let counts = Counts { retry: 0, redrive: self.redrive };
        let mut span_id = entered.span_id(counts);
        if !self.taken.insert(span_id) {
            // Two iterations of a Map entered the state in the same millisecond.
            span_id = event_span_id(self.execution_arn, event.id);
        }
        let container = self.enclosing(from, |node| node.kind.is_container());
        let attributes = vec![
            (names::STATE_NAME, AttributeValue::Text(name.clone())),
            (names::STATE_TYPE, AttributeValue::Text(state.into())),
        ];
        let kind = Kind::State(state.into());
        let at = self.begin(event, span_id, container, name, kind, attributes);
        if state == "Fail" {
            self.end(at, event, Outcome::Failed);
        }
        at
    }

    fn begin(
        &mut self,
        event: &HistoryEvent,
        span_id: [u8; 8],
        container: Option<usize>,
        name: Box<str>,
        kind: Kind,
        attributes: Attributes,
    ) -> usize {
        let around = container.and_then(|at| self.nodes.get(at));
        let depth = around.map_or(0, |node| node.depth + 1);
        let parent =
            if depth < MAX_DEPTH { container } else { around.and_then(|node| node.parent) };
        self.nodes.push(Node {
            span_id,
            parent,
            depth: depth.min(MAX_DEPTH),
            name,
            kind,
            start_unix_nano: event.time_unix_nano,
            redrive: self.redrive,
            attempts: Vec::new(),
            ending: None,
            cut: None,
            failure: None,
            attributes,
        });
        self.nodes.len() - 1
    }

    fn end(&mut self, at: usize, event: &HistoryEvent, outcome: Outcome) {
        if let Some(node) = self.nodes.get_mut(at) {
            let failure = failure_of(event);
            node.ending = Some(Ending { unix_nano: event.time_unix_nano, outcome, failure });
        }
    }

    /// Notes that a node goes on after the execution ended.
    fn go_on(&mut self, at: usize) {
        let mut at = Some(at);
        while let Some(node) = at.and_then(|at| self.nodes.get_mut(at)) {
            node.cut = None;
            node.ending.take_if(|ending| ending.outcome != Outcome::Succeeded);
            at = node.parent;
        }
    }

    fn read_execution(&mut self, event: &HistoryEvent, from: Option<usize>) {
        if event.kind.as_ref() == "ExecutionRedriven" {
            let counted = event.details.as_ref().and_then(|details| details.redrive_count);
            self.redrive = counted.unwrap_or(self.redrive.saturating_add(1));
        } else if let Some(outcome) = Outcome::read_end(&event.kind) {
            let mut failed = HashSet::new();
            let mut at = from;
            while let Some(node) = at.and_then(|at| self.nodes.get(at)) {
                failed.extend(at);
                at = node.parent;
            }
            if let Some(Ending { failure, .. }) =
                from.and_then(|at| self.nodes.get_mut(at)).and_then(|node| node.ending.as_mut())
                && failure.is_none()
            {
                // The cause of a Fail state is the execution's.
                *failure = failure_of(event);
            }
            for (at, node) in
                self.nodes.iter_mut().enumerate().filter(|(_, it)| it.ending.is_none())
            {
                let is_cause = failed.contains(&at);
                let outcome = if is_cause { outcome } else { Outcome::Aborted };
                let is_failed = from == Some(at) && outcome != Outcome::Aborted;
                let failure = if is_failed { failure_of(event) } else { None };
                let cut = Ending { unix_nano: event.time_unix_nano, outcome, failure };
                node.cut.get_or_insert(cut);
            }
        }
    }

    fn read_iteration(
        &mut self,
        event: &HistoryEvent,
        what: &str,
        from: Option<usize>,
    ) -> Option<usize> {
        let index = event.details.as_ref().and_then(|details| details.index);
        let is_map = |node: &Node| node.kind.is_state("Map");
        let is_named = |node: &Node| event.name.as_ref().is_none_or(|name| *name == node.name);
        if what == "Started" {
            let named = self.enclosing(from, |node| is_map(node) && is_named(node));
            let map = named.or_else(|| self.enclosing(from, is_map));
            if let Some(at) = map {
                self.go_on(at);
            }
            let name = event.name.as_deref().unwrap_or("Map");
            let name = format!("{name} iteration").into();
            let index_if_any = index.map(|index| (names::ITERATION, AttributeValue::Int(index)));
            let span_id = event_span_id(self.execution_arn, event.id);
            let kind = Kind::Iteration(index);
            let attributes = index_if_any.into_iter().collect();
            return Some(self.begin(event, span_id, map, name, kind, attributes));
        }
        let is_own = |node: &Node| {
            node.kind == Kind::Iteration(index)
                && node.parent.and_then(|map| self.nodes.get(map)).is_none_or(is_named)
        };
        let at = self.enclosing(from, is_own)?;
        if let Some(outcome) = Outcome::read_end(what) {
            self.end(at, event, outcome);
        }
        Some(at)
    }

    fn read_map_run(&mut self, event: &HistoryEvent, map: Option<usize>) {
        let Some(at) = map else { return };
        self.go_on(at);
        let Some(node) = self.nodes.get_mut(at) else { return };
        let arn = event.details.as_ref().and_then(|details| details.map_run_arn.clone());
        let is_known = node.attributes.iter().any(|(key, _)| *key == names::MAP_RUN_ARN);
        if let Some(arn) = arn.filter(|_| !is_known) {
            node.attributes.push((names::MAP_RUN_ARN, AttributeValue::Text(arn)));
        }
        if event.kind.ends_with("Failed") {
            node.failure = failure_of(event);
        }
    }

    /// Reads what happens to a state after it was entered: `MapStateStarted`, `ParallelStateFailed`, `TaskStateAborted`.
    fn read_state(
        &mut self,
        event: &HistoryEvent,
        state: &str,
        what: &str,
        scope: Scope,
    ) -> Option<usize> {
        let is_own = |node: &Node| node.kind.is_state(state);
        let is_open = |node: &Node| is_own(node) && node.ending.is_none();
        // A failed one goes on only in a redrive.
        let found = self.enclosing(scope.node, is_open);
        let Some(at) = found.or_else(|| self.enclosing(scope.node, is_own)) else {
            return scope.node;
        };
        match what {
            "Started" => {
                if self.end_attempt(at, scope.unix_nano, Outcome::Failed, None) {
                    self.cut_within(at, scope.unix_nano);
                }
                self.begin_attempt(at, event);
            }
            "Aborted" => self.end(at, event, Outcome::Aborted),
            _ => {
                if let Some(outcome) = Outcome::read_end(what) {
                    self.end_attempt(at, event.time_unix_nano, outcome, failure_of(event));
                    if outcome == Outcome::Failed {
                        self.end(at, event, outcome);
                    }
                }
            }
        }
        Some(at)
    }

    /// Ends what is open within a node, because the node begins again.
    fn cut_within(&mut self, around: usize, unix_nano: u64) {
        let attempt = self.nodes.get(around).and_then(|node| node.attempts.last());
        // What earlier attempts began has been cut.
        let Some(first) = attempt.map(|attempt| attempt.first_node) else { return };
        for at in first..self.nodes.len() {
            let mut parent = self.nodes.get(at).and_then(|node| node.parent);
            while parent.is_some_and(|it| it > around) {
                parent = parent.and_then(|it| self.nodes.get(it)).and_then(|node| node.parent);
            }
            if let Some(node) = self.nodes.get_mut(at).filter(|_| parent == Some(around)) {
                let outcome = Outcome::Aborted;
                node.cut.get_or_insert(Ending { unix_nano, outcome, failure: None });
            }
        }
    }

    fn read_task(&mut self, event: &HistoryEvent, at: usize) {
        let kind = event.kind.as_ref();
        if kind.ends_with("Scheduled") {
            self.end_attempt(at, event.time_unix_nano, Outcome::Aborted, None);
            self.begin_attempt(at, event);
            if let (Some(node), Some(details)) = (self.nodes.get_mut(at), &event.details) {
                add_call(&mut node.attributes, details);
            }
        } else if let Some(outcome) = Outcome::read_end(kind) {
            let is_ended = self.end_attempt(at, event.time_unix_nano, outcome, failure_of(event));
            if let Some(node) = self.nodes.get_mut(at).filter(|_| !is_ended) {
                // It could not be scheduled.
                node.failure = failure_of(event);
            }
        }
    }

    fn begin_attempt(&mut self, at: usize, event: &HistoryEvent) {
        self.go_on(at);
        let redrive = self.redrive;
        let first_node = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return };
        let before = node.attempts.last().map(|attempt| attempt.counts);
        let before = before.filter(|counts| counts.redrive == redrive);
        let retry = before.map_or(0, |counts| counts.retry.saturating_add(1));
        node.attempts.push(Attempt {
            begun_by: event.id,
            first_node,
            counts: Counts { retry, redrive },
            start_unix_nano: event.time_unix_nano,
            ending: None,
        });
    }

    /// Ends the running attempt. Returns `false` if there is none.
    fn end_attempt(
        &mut self,
        at: usize,
        unix_nano: u64,
        outcome: Outcome,
        failure: Option<FailureText>,
    ) -> bool {
        let attempt = self.nodes.get_mut(at).and_then(|node| node.attempts.last_mut());
        let Some(attempt) = attempt.filter(|attempt| attempt.ending.is_none()) else {
            return false;
        };
        attempt.ending = Some(Ending { unix_nano, outcome, failure });
        true
    }

    fn finish(mut self) -> Vec<Operation> {
        let mut ends: Vec<u64> = Vec::with_capacity(self.nodes.len());
        let nodes = std::mem::take(&mut self.nodes);
        let span_ids: Vec<[u8; 8]> = nodes.iter().map(|node| node.span_id).collect();
        let mut operations = Vec::with_capacity(nodes.len());
        for node in nodes {
            // A node stands after the one around it.
            let around = node.parent.and_then(|parent| ends.get(parent)).copied();
            let latest = around.unwrap_or(self.last_unix_nano);
            let ending = node.ending_within(latest);
            ends.push(ending.unix_nano);
            let parent = node.parent.and_then(|parent| span_ids.get(parent)).copied();
            operations.push(self.operation(node, ending, parent));
        }
        operations
    }

    fn operation(&mut self, node: Node, ending: Ending, parent: Option<[u8; 8]>) -> Operation {
        let was_survived = ending.outcome == Outcome::Succeeded
            && node.attempts.iter().any(|attempt| attempt.failure().is_some());
        let mut attempts = Vec::new();
        if node.attempts.len() > 1 || was_survived {
            for (number, attempt) in (1..).zip(&node.attempts) {
                attempts.push(operation::Attempt {
                    span_id: self.attempt_span_id(&node, attempt),
                    number,
                    start_unix_nano: attempt.start_unix_nano,
                    ending: attempt.ending.clone(),
                });
            }
        }
        let is_task = node.kind.is_state("Task");
        Operation {
            span_id: node.span_id,
            parent,
            name: node.name,
            start_unix_nano: node.start_unix_nano,
            ending,
            is_call: is_task && !node.attempts.is_empty(),
            attempts,
            attributes: node.attributes,
        }
    }

    /// The id below which the function of an attempt hangs. That of the first one is the state's.
    fn attempt_span_id(&mut self, node: &Node, attempt: &Attempt) -> [u8; 8] {
        let entered = EnteredState {
            execution_arn: self.execution_arn,
            name: &node.name,
            entered_unix_nano: node.start_unix_nano,
        };
        let is_first = attempt.counts == Counts { retry: 0, redrive: node.redrive };
        let named = (node.kind.is_state("Task") && !is_first)
            .then(|| entered.span_id(attempt.counts))
            .filter(|id| self.taken.insert(*id));
        named.unwrap_or_else(|| event_span_id(self.execution_arn, attempt.begun_by))
    }
}

fn failure_of(event: &HistoryEvent) -> Option<FailureText> {
    event.details.as_ref()?.failure.clone()
}

/// Adds what a task calls, once.
fn add_call(attributes: &mut Attributes, details: &Details) {
    let Details { resource, resource_type, .. } = details;
    let is_known = attributes.iter().any(|(key, _)| *key == names::RESOURCE);
    if is_known {
        return;
    }
    let texts = [(names::RESOURCE, resource), (names::RESOURCE_TYPE, resource_type)];
    for (key, text) in texts {
        attributes.extend(text.clone().map(|text| (key, AttributeValue::Text(text))));
    }
}
