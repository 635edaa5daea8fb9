//! Histories and their traces. The form of the events is that of LocalStack's recordings on AWS
//! (`tests/aws/services/stepfunctions/v2`) and of AWS's local runner for durable functions.

use super::NoEndedExecution::{Foreign, Invalid, Other, Running};
use super::*;
use crate::render::{attributes, check_table};
use crate::{Converter, ConverterState, Identity, LogEventRef, LogSource, PlatformOptions};
use expect_test::expect_file;
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use wire::ids::to_hex;
use wire::{Request, Traces};

const START_MS: u64 = 1_790_000_000_000;
const MACHINE: &str = "arn:aws:states:eu-west-1:123456789012:execution:orders:7c1f";
const EXPRESS: &str = "arn:aws:states:eu-west-1:123456789012:express:orders:7c1f:9a1b";
const DURABLE: &str =
    "arn:aws:lambda:eu-west-1:123456789012:function:orders:7/durable-execution/o/1";

fn ended(kind: ExecutionKind, outcome: ExecutionOutcome, ms: u64) -> EndedExecution {
    EndedExecution {
        kind,
        arn: if kind == ExecutionKind::StateMachine { MACHINE } else { DURABLE }.to_owned(),
        outcome,
        started_unix_nano: START_MS * 1_000_000,
        ended_unix_nano: (START_MS + ms) * 1_000_000,
        error: None,
        cause: None,
        started_by: None,
        map_run_arn: None,
        trace_header: None,
    }
}

/// An event of a table: `ID PREVIOUS +MS TYPE NAME key=value…` of a state machine, `ID +MS TYPE OPERATION<PARENT NAME …` of a durable
/// function. `-` stands for nothing, `·` for a space.
fn event(kind: ExecutionKind, line: &str) -> Value {
    let all: Vec<String> = line.split_whitespace().map(|word| word.replace('·', " ")).collect();
    let word = |at: usize| all.get(at).map(String::as_str).filter(|word| *word != "-");
    let number = |at: usize| word(at).unwrap().parse::<u64>().unwrap();
    #[expect(clippy::cast_precision_loss, reason = "small enough")]
    let seconds = |ms: u64| (START_MS + ms) as f64 / 1000.0;
    let pairs = |from: usize| {
        let pairs = all.iter().skip(from).filter_map(|word| word.split_once('='));
        let value = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| json!(text));
        let read = |key: &str, text: &str| {
            if matches!(key, "cause" | "input") { json!(text) } else { value(text) }
        };
        pairs.map(|(key, text)| (key.to_owned(), read(key, text))).collect::<Map<_, _>>()
    };
    if kind == ExecutionKind::StateMachine {
        let ms = number(2);
        let of = word(3).unwrap();
        let mut details = pairs(4);
        if let Some(name) = word(4).filter(|name| !name.contains('=')) {
            details.insert("name".to_owned(), json!(name));
        }
        let mut event = json!({
            "id": number(0), "previousEventId": number(1), "timestamp": seconds(ms), "type": of,
        });
        event["anyEventDetails"] = Value::Object(details);
        return event;
    }
    let of = word(2).unwrap();
    let mut event =
        json!({ "EventId": number(0), "EventTimestamp": seconds(number(1)), "EventType": of });
    let place = word(3);
    let id = place.map(|place| place.split('<').next().unwrap());
    let parent = place.and_then(|place| Some(place.split_once('<')?.1));
    for (key, value) in [("Id", id), ("ParentId", parent), ("Name", word(4))] {
        if let Some(value) = value.filter(|value| !value.contains('=')) {
            event[key] = json!(value);
        }
    }
    let mut details = pairs(4);
    if let Some(sub_type) = details.remove("SubType") {
        event["SubType"] = sub_type;
    }
    for key in ["StartTimestamp", "EndTimestamp"] {
        if let Some(ms) = details.get(key).and_then(Value::as_u64) {
            details.insert(key.to_owned(), json!(seconds(ms)));
        }
    }
    event[format!("{of}Details")] = Value::Object(details);
    event
}

/// An execution, with the events of its history or of its log.
struct Case {
    execution: EndedExecution,
    is_express: bool,
    pages: Vec<Vec<Value>>,
}

fn read(case: &str) -> Case {
    let mut lines = case.lines();
    let head: Vec<&str> = lines.next().unwrap().split(' ').collect();
    let kind = match head[0] {
        "durable" => ExecutionKind::DurableFunction,
        _ => ExecutionKind::StateMachine,
    };
    let outcome = ExecutionOutcome::read_end(head[1]).unwrap();
    let execution = ended(kind, outcome, head[2].parse().unwrap());
    let mut pages = vec![Vec::new()];
    for line in lines {
        let event = match line.strip_prefix("raw ") {
            _ if line == "|" => {
                pages.push(Vec::new());
                continue;
            }
            Some(raw) => serde_json::from_str(raw).unwrap(),
            None => event(kind, line),
        };
        pages.last_mut().unwrap().push(event);
    }
    Case { execution, is_express: head[0] == "express", pages }
}

impl Case {
    fn events(&self) -> Vec<Value> {
        self.pages.concat()
    }

    /// The requests of these pages.
    fn requests(&self, pages: &[Vec<Value>]) -> Vec<Request> {
        if self.is_express {
            return convert_log(pages);
        }
        self.history(pages).into_requests(None)
    }

    fn history(&self, pages: &[Vec<Value>]) -> History {
        let mut history = History::new(self.execution.clone());
        for events in pages {
            let next = history.add_page(&page(events, &json!("more"))).unwrap();
            assert_eq!(next.as_deref(), Some("more"));
        }
        history
    }
}

/// Converts the log events of a machine, of which each page is a chunk.
fn convert_log(pages: &[Vec<Value>]) -> Vec<Request> {
    let source = LogSource {
        account: "123456789012",
        region: Some("eu-west-1"),
        log_group: "/aws/vendedlogs/states/orders-Logs",
        log_stream: "states/orders/2026-09-21-14-13/7851b2d9",
    };
    let mut requests = Vec::new();
    let mut state = ConverterState::default();
    for events in pages {
        let identity = Identity::of(&source);
        let mut converter =
            Converter::new(identity, PlatformOptions::default(), 0).with_state(state);
        for event in events {
            let message = &log_line(event);
            let time_ms = i64::try_from(START_MS).unwrap();
            converter.convert_log_event(&LogEventRef { id: "1", time_ms, message });
        }
        let chunk = converter.finish();
        assert_eq!(chunk.logs.map_or(0, |logs| logs.items()), events.len());
        requests.extend(chunk.executions);
        state = chunk.state;
    }
    requests
}

/// The log event of an event, unless it is one already.
fn log_line(event: &Value) -> String {
    if event.get("execution_arn").is_some() {
        return event.to_string();
    }
    let as_text =
        |value: &Value| if value.is_number() { json!(value.to_string()) } else { value.clone() };
    let in_ms = |value: &Value| match value.as_f64() {
        Some(seconds) => json!(format!("{:.0}", seconds * 1000.0)),
        None => value.clone(),
    };
    json!({
        "id": as_text(&event["id"]), "type": event["type"], "details": event["anyEventDetails"],
        "previous_event_id": as_text(&event["previousEventId"]),
        "event_timestamp": in_ms(&event["timestamp"]), "execution_arn": EXPRESS,
        "redrive_count": "0",
    })
    .to_string()
}

fn page(events: &[Value], next: &Value) -> Vec<u8> {
    json!({ "events": events, "nextToken": next }).to_string().into_bytes()
}

fn spans(requests: &[Request]) -> Vec<Span> {
    let decoded = requests.iter().map(|request| request.decode::<Traces>().unwrap().unwrap());
    let containers = decoded.flat_map(|request| request.resource_spans);
    containers.flat_map(|it| it.scope_spans).flat_map(|it| it.spans).collect()
}

/// The spans as a tree: name, times, status, id if a function hangs below it, and attributes.
fn tree(spans: &[Span]) -> String {
    let mut out = String::new();
    assert!(spans.first().is_none_or(|first| first.parent_span_id.is_empty()));
    for root in spans.iter().filter(|span| span.parent_span_id.is_empty()) {
        write_below(spans, root, 0, &mut out);
    }
    let shown = out.lines().filter(|line| !line.trim_start().starts_with('@')).count();
    assert_eq!(shown, spans.len(), "a span hangs nowhere:\n{out}");
    out.trim_end().to_owned()
}

fn write_below(spans: &[Span], span: &Span, depth: usize, out: &mut String) {
    let ms = |nanos: u64| nanos / 1_000_000 - START_MS;
    let indent = "  ".repeat(depth);
    let Span { name, start_time_unix_nano: start, end_time_unix_nano: end, .. } = span;
    let mut shown = span.attributes.clone();
    shown.retain(|own| !own.key.contains("arn") && !own.key.ends_with("state.name"));
    for own in &mut shown {
        own.key =
            own.key.replace("aws.step_functions.", "").replace("aws.lambda.durable_execution.", "");
    }
    let kind = if span.kind == 3 { " CLIENT" } else { "" };
    let status = span.status.as_ref().map_or(String::new(), |it| format!(" ERROR({})", it.message));
    let line = format!(
        "{indent}{name}{kind} {}..{}{status} {} {}",
        ms(*start),
        ms(*end),
        to_hex(&span.span_id).get(..6).unwrap(),
        attributes(&shown)
    );
    writeln!(out, "{}", line.trim_end()).unwrap();
    for event in &span.events {
        let line = format!(
            "{indent}  @{} {} {}",
            ms(event.time_unix_nano),
            event.name,
            attributes(&event.attributes)
        );
        writeln!(out, "{}", line.trim_end().replace('\n', "⏎")).unwrap();
    }
    for link in &span.links {
        writeln!(out, "{indent}  @link {}", attributes(&link.attributes)).unwrap();
    }
    for child in spans.iter().filter(|child| child.parent_span_id == span.span_id) {
        write_below(spans, child, depth + 1, out);
    }
}

#[test]
fn a_history_becomes_one_trace() {
    check_table(&expect_file!["../../fixtures/executions.txt"], |case| {
        let case = read(case);
        if case.is_express {
            return tree(&spans(&case.requests(&case.pages)));
        }
        let mut history = case.history(&case.pages);
        let end = if history.is_complete() { "" } else { "\nincomplete" };
        let left_out = match history.left_out() {
            0 => String::new(),
            count => format!("\n{count} left out"),
        };
        tree(&spans(&history.into_requests(None))) + end + &left_out
    });
}

fn cases() -> Vec<String> {
    let table = include_str!("../../fixtures/executions.txt");
    let mut cases = vec![String::new()];
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with("=>") {
            cases.push(String::new());
        } else {
            writeln!(cases.last_mut().unwrap(), "{line}").unwrap();
        }
    }
    cases.retain(|case| !case.is_empty());
    cases
}

/// The spans without the order in which they were written.
fn sorted(requests: &[Request]) -> Vec<Span> {
    let mut spans = spans(requests);
    spans.sort_by(|one, other| one.span_id.cmp(&other.span_id));
    // Log events that come twice may give a trace twice.
    spans.dedup();
    spans
}

proptest! {
    #[test]
    fn order_repetition_and_pages_change_no_span(
        case in 0..cases().len(),
        order in Just((0..400_usize).collect::<Vec<_>>()).prop_shuffle(),
        page_size in 1..9_usize,
        again in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let case = read(&cases()[case]);
        let events = case.events();
        let expected = sorted(&case.requests(&case.pages));
        // A log with two ends has no trace, unless all before the second one comes first.
        if expected.is_empty() {
            return Ok(());
        }
        let mut shuffled: Vec<Value> =
            order.iter().filter_map(|at| events.get(*at).cloned()).collect();
        shuffled.extend(again.iter().map(|index| index.get(&events).clone()));
        let pages: Vec<Vec<Value>> = shuffled.chunks(page_size).map(<[_]>::to_vec).collect();
        prop_assert_eq!(sorted(&case.requests(&pages)), expected);
    }

    /// A missing or hostile event never panics, and every span still hangs below the execution's.
    #[test]
    fn a_bad_event_costs_only_itself(
        case in 0..cases().len(),
        gone in any::<prop::sample::Index>(),
        changed in any::<prop::sample::Index>(),
        key in "id|previousEventId|timestamp|type|EventId|ParentId|Id|EventType|EventTimestamp",
        value in prop_oneof![Just(json!(null)), Just(json!(-1)), Just(json!(1e300)), Just(json!("x")), Just(json!(3)), Just(json!([[]]))],
    ) {
        let case = read(&cases()[case]);
        let mut events = case.events();
        events.remove(gone.index(events.len()));
        if !events.is_empty() {
            let at = changed.index(events.len());
            events[at][key] = value;
        }
        let spans = spans(&case.requests(&[events]));
        prop_assert!(spans.iter().all(|span| span.end_time_unix_nano >= span.start_time_unix_nano));
        let ids: std::collections::HashSet<_> = spans.iter().map(|span| &span.span_id).collect();
        for span in spans.iter().filter(|span| !span.parent_span_id.is_empty()) {
            prop_assert!(ids.contains(&span.parent_span_id));
        }
    }
}

#[test]
fn the_longest_history_is_read() {
    let mut events = vec![event(ExecutionKind::StateMachine, "1 0 0 ExecutionStarted")];
    let cause = "x".repeat(32 * 1024);
    for at in 0..8_333_u64 {
        let id = 2 + at * 3;
        let ms = at;
        for (id, line) in [
            (id, "TaskStateEntered pay"),
            (id + 1, "LambdaFunctionScheduled"),
            (id + 2, "LambdaFunctionFailed"),
        ] {
            let mut event =
                event(ExecutionKind::StateMachine, &format!("{id} {} {ms} {line}", id - 1));
            if line == "LambdaFunctionFailed" && at % 100 == 0 {
                event["anyEventDetails"] = json!({ "error": "E", "cause": cause });
            }
            events.push(event);
        }
    }
    let execution = ended(ExecutionKind::StateMachine, ExecutionOutcome::Failed, 9_000);
    let longest = Case { execution, is_express: false, pages: vec![events] };
    let requests = longest.requests(&longest.pages);
    assert_eq!(spans(&requests).len(), 8_334);
    assert!(requests.iter().all(|request| request.items() <= 1_000));
}

#[test]
fn log_events_that_wait_for_others_take_limited_memory() {
    let line = |number: usize, id: u64, kind: &str, cause: &str| {
        json!({
            "id": id.to_string(), "type": kind, "details": { "error": "E", "cause": cause },
            "event_timestamp": START_MS.to_string(), "execution_arn": format!("{EXPRESS}{number}"),
        })
    };
    let cause = "x".repeat(20_000);
    for (waiting, traces) in [(100, 1), (1_000, 0)] {
        let others = (1..=waiting).map(|number| line(number, 2, "ExecutionFailed", &cause));
        let whole = [("ExecutionStarted", 1), ("ExecutionFailed", 2)];
        let events = others.chain(whole.map(|(kind, id)| line(0, id, kind, "")));
        assert_eq!(convert_log(&[events.collect()]).len(), traces, "{waiting}");
    }
}

#[test]
fn answers_that_are_no_pages_are_refused() {
    let mut history = History::new(ended(ExecutionKind::StateMachine, ExecutionOutcome::Failed, 1));
    for answer in ["", "{}", "[]", "null", r#"{"events":{}}"#, r#"{"events":[]"#, "\u{0}"] {
        assert_eq!(history.add_page(answer.as_bytes()), Err(NoPage), "{answer}");
    }
    assert_eq!(history.add_page(&[0xff]), Err(NoPage));
    assert_eq!(history.add_page(br#"{"events":[1,"x",{},{"id":1}],"nextToken":""}"#), Ok(None));
    assert_eq!(history.left_out(), 4);
}

#[test]
fn only_ended_executions_of_this_account_and_region_count() {
    let home = Home { account: "123456789012", region: "eu-west-1" };
    let machine = json!({
        "source": "aws.states", "detail-type": "Step Functions Execution Status Change",
        "account": "123456789012", "region": "eu-west-1",
        "detail": {
            "executionArn": MACHINE, "status": "FAILED", "startDate": START_MS, "stopDate": START_MS + 5,
            "error": "E", "cause": "C",
            "input": json!({ "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": MACHINE, "secret": 1 }).to_string(),
        },
    });
    let durable = json!({
        "source": "aws.lambda", "detail-type": "Durable Execution Status Change",
        "account": "123456789012", "region": "eu-west-1",
        "detail": {
            "durableExecutionArn": DURABLE, "status": "TIMED_OUT",
            "startTimestamp": "2026-09-21T14:13:20.000Z", "endTimestamp": "2026-09-21T14:13:21.500Z",
        },
    });
    let read = EndedExecution::from_event(&machine, home).unwrap();
    let expected = EndedExecution {
        error: Some("E".to_owned()),
        cause: Some("C".to_owned()),
        started_by: Some(MACHINE.to_owned()),
        ..ended(ExecutionKind::StateMachine, ExecutionOutcome::Failed, 5)
    };
    assert_eq!(read, expected);
    assert!(!serde_json::to_string(&read).unwrap().contains("secret"));
    let [span] = spans(&[read.to_request(None)]).try_into().unwrap();
    assert_eq!(span.links.len(), 1);
    let read = EndedExecution::from_event(&durable, home).unwrap();
    assert_eq!((read.outcome, read.name()), (ExecutionOutcome::TimedOut, "orders"));
    assert_eq!(read.ended_unix_nano - read.started_unix_nano, 1_500_000_000);

    for (event, pointer, value, expected) in [
        (&machine, "/source", json!("aws.evil"), Other),
        (&machine, "/detail-type", json!("Durable Execution Status Change"), Other),
        (&machine, "/account", json!("210987654321"), Foreign),
        (&machine, "/region", json!("eu-west-2"), Foreign),
        (&machine, "/detail/executionArn", json!(MACHINE.replace("1234", "4321")), Foreign),
        (&machine, "/detail/executionArn", json!(MACHINE.replace("west-1", "west-2")), Foreign),
        (&machine, "/detail/executionArn", json!(DURABLE), Invalid("execution ARN")),
        (
            &machine,
            "/detail/executionArn",
            json!(MACHINE.replace("execution", "express")),
            Invalid("execution ARN"),
        ),
        (
            &machine,
            "/detail/executionArn",
            json!(MACHINE.replace("orders", "")),
            Invalid("execution ARN"),
        ),
        (&machine, "/detail/executionArn", json!("orders"), Invalid("execution ARN")),
        (&machine, "/detail/status", json!("RUNNING"), Running),
        (&machine, "/detail/status", json!(7), Invalid("status")),
        (&machine, "/detail/startDate", json!(-1), Invalid("start")),
        (&machine, "/detail/stopDate", json!(null), Invalid("end")),
        (&durable, "/detail/durableExecutionArn", json!(MACHINE), Invalid("execution ARN")),
        (&durable, "/detail/endTimestamp", json!("soon"), Invalid("end")),
        (&durable, "/detail", json!("x"), Invalid("execution ARN")),
    ] {
        let mut event = event.clone();
        *event.pointer_mut(pointer).unwrap() = value;
        assert_eq!(EndedExecution::from_event(&event, home), Err(expected), "{pointer}");
    }
}
