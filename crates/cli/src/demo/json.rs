//! Shows a run as one JSON object, for programs: how it ended, what was invoked, and the accounting.

use super::accounting::{Account, Accounts, ItemKind};
use super::run::{Labelled, Run};
use super::view::{details, told};
use serde_json::{Map, Value, json};
use simulator::InvocationResult;

/// The object.
pub(super) fn object(run: &Run, accounts: &Accounts) -> Value {
    let (_, verdict) = told(run, accounts);
    let none = Account::default();
    let accounting = ItemKind::ALL.map(|what| {
        let account = accounts.by_kind.get(&what).unwrap_or(&none);
        (what.plural().replace(' ', "_"), of_account(account))
    });
    json!({
        "balanced": accounts.balance(),
        "verdict": verdict,
        "invocations": run.invocations.iter().map(invocation).collect::<Value>(),
        "log_events": run.log_events,
        "forwarder_invocations": run.forwarder_invocations.len(),
        "accounting": accounting.into_iter().collect::<Map<String, Value>>(),
        "details": details(run, accounts),
    })
}

fn of_account(account: &Account) -> Value {
    let Account { made, found, missing, repeated, unexpected } = account;
    json!({
        "made": made, "found_once": found,
        "missing": missing, "repeated": repeated, "unexpected": unexpected,
    })
}

fn invocation(labelled: &Labelled) -> Value {
    let Labelled { function, label, invocation } = labelled;
    let result = match &invocation.result {
        InvocationResult::Response(_) => "response",
        InvocationResult::FunctionError { .. } => "error",
        InvocationResult::Timeout => "timeout",
        InvocationResult::Crash { .. } => "crash",
    };
    json!({
        "function": function, "what": label, "result": result,
        "duration_ms": invocation.duration.as_secs_f64() * 1000.0,
        "process": invocation.pid, "request_id": invocation.request_id,
    })
}
