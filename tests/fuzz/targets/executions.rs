//! The history of an execution and its status event, from AWS's APIs: every span hangs below the execution's, and a second reading in
//! another order gives the same spans.

use super::events::check;
use super::fields;
use platform::{EndedExecution, ExecutionKind, ExecutionOutcome, History, Home};
use std::collections::BTreeMap;
use wire::{Request, Traces};

/// The first field is `machine` or `durable`, the second a status event, and the rest a page of the history.
pub fn execution(data: &[u8]) {
    let ([kind, status], page) = fields::<2>(data);
    let home = Home { account: "123456789012", region: "eu-west-1" };
    if let Ok(event) = serde_json::from_str(status)
        && let Ok(ended) = EndedExecution::from_event(&event, home)
    {
        check(&ended.to_request(None));
        let json = serde_json::to_vec(&ended).unwrap();
        assert_eq!(serde_json::from_slice::<EndedExecution>(&json).unwrap(), ended);
    }
    let (kind, arn) = match kind {
        "machine" => (
            ExecutionKind::StateMachine,
            "arn:aws:states:eu-west-1:123456789012:execution:orders:1",
        ),
        _ => (
            ExecutionKind::DurableFunction,
            "arn:aws:lambda:eu-west-1:123456789012:function:orders:1/durable-execution/a/b",
        ),
    };
    let ended = EndedExecution {
        kind,
        arn: arn.to_owned(),
        outcome: ExecutionOutcome::Failed,
        started_unix_nano: 1_790_000_000_000_000_000,
        ended_unix_nano: 1_790_000_100_000_000_000,
        error: None,
        cause: None,
        started_by: None,
        map_run_arn: None,
        trace_header: None,
    };
    let read = |times: usize| {
        let mut history = History::new(ended.clone());
        for _ in 0..times {
            history.add_page(page).ok()?;
        }
        history.is_complete();
        let requests = history.into_requests(None);
        requests.iter().for_each(check);
        Some(spans(&requests))
    };
    let Some(once) = read(1) else { return };
    let root = once.values().filter(|parent| parent.is_empty()).count();
    assert_eq!(root, 1, "one span has no parent");
    for parent in once.values().filter(|parent| !parent.is_empty()) {
        assert!(once.contains_key(parent), "a span hangs nowhere");
    }
    // The limits count the same text twice.
    if page.len() < 100_000 {
        assert_eq!(read(2).unwrap(), once);
    }
}

/// The parents of the spans.
fn spans(requests: &[Request]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let decoded = requests.iter().map(|request| request.decode::<Traces>().unwrap().unwrap());
    let containers = decoded.flat_map(|request| request.resource_spans);
    let spans = containers.flat_map(|it| it.scope_spans).flat_map(|it| it.spans);
    let mut parents = BTreeMap::new();
    for span in spans {
        let before = parents.insert(span.span_id, span.parent_span_id);
        assert!(before.is_none(), "two spans have one id");
    }
    parents
}
