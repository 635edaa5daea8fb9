//! Direct mode beside a function, in a local Lambda that freezes, kills and shuts down. The function's result is the same as
//! without the layer, its time has a bound, and acknowledged items are delivered or in the log.

mod environments;
mod stories;

use crate::program;
use lambda_otlp_tests::stories::states::End;
use lambda_otlp_tests::stories::{Log, Story, body};
use local_lambda::FunctionSpec;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use test_support::openobserve::Sink;

/// The scope of the function's own spans.
const SCOPE: &str = "the function";

/// The result of a story.
#[derive(Debug)]
pub(crate) struct Account {
    /// How long each was kept after its handler had ended.
    pub(crate) kept: Vec<Duration>,
    /// The function's spans that the backend has, and how often.
    pub(crate) delivered: BTreeMap<u64, usize>,
    /// Spans that the extension made, at the backend.
    pub(crate) made: usize,
    /// Log records at the backend, by their bodies.
    pub(crate) records: BTreeMap<String, usize>,
    /// The function's log.
    pub(crate) log: Log,
}

impl Account {
    /// How many of the function's spans are in the log.
    pub(crate) fn spilled(&self) -> usize {
        self.log.own.len()
    }

    /// Each line that the function printed and Lambda delivered is at the backend or spilled, once. It prints lines of the same
    /// words in each invocation.
    pub(crate) fn has_printed(&self, lines: usize, times: usize) {
        for number in 0..lines {
            let line = format!("a line of the function, number {number}");
            let is_it = |body: &&String| body.trim_end() == line;
            let delivered: usize =
                self.records.iter().filter(|(body, _)| is_it(body)).map(|(_, times)| times).sum();
            let spilled = self.log.records.iter().filter(is_it).count();
            assert_eq!(delivered + spilled, times, "{line}: {delivered} {spilled}");
            assert_eq!(self.log.text.iter().filter(is_it).count(), times, "in CloudWatch");
        }
    }

    /// Each span that was acknowledged is at the backend or in the log, at each once. `may_repeat` where answers of the backend
    /// got lost, after which nobody knows what it has.
    pub(crate) fn balances(&self, may_repeat: bool) {
        let is_delivered = |id: &u64| self.delivered.contains_key(id);
        let is_spilled = |id: &u64| self.log.own.contains_key(id);
        let lost: Vec<_> =
            self.log.wrong.iter().filter(|id| !is_delivered(id) && !is_spilled(id)).collect();
        assert_eq!(lost, [&0; 0], "of {} that were acknowledged: {self:?}", self.log.acknowledged);
        assert!(self.log.own.values().all(|times| *times == 1), "{self:?}");
        assert_eq!(
            self.log.spilled_lines, self.log.otlp_lines,
            "each line says that it was spilled"
        );
        if !may_repeat {
            assert!(self.delivered.values().all(|times| *times == 1), "{self:?}");
            let both = self.log.own.keys().filter(|id| is_delivered(id)).count();
            assert_eq!(both, 0, "{self:?}");
            assert_eq!(self.delivered.len() + self.spilled(), self.log.acknowledged, "{self:?}");
        }
    }
}

/// Runs a function that sends to `endpoint`, and one without the layer. Their results have to be equal.
pub(crate) async fn run_story(
    sink: &Sink,
    endpoint: &str,
    payloads: &[Value],
    change: impl Fn(FunctionSpec) -> FunctionSpec,
) -> Account {
    let mut with = Story::with(&program(), |spec| change(sending_to(endpoint, spec))).await;
    let mut without = Story::without(&program(), &change).await;
    for payload in payloads {
        with.invoke(payload.clone()).await;
        without.invoke(payload.clone()).await;
    }
    assert_eq!(with.results(), without.results(), "with the layer, and without it");
    without.end(End::Shutdown).await;
    ended(with, sink).await
}

/// The function, with an extension that sends there.
pub(crate) fn sending_to(endpoint: &str, spec: FunctionSpec) -> FunctionSpec {
    spec.env("LAMBDA_OTLP_OUTPUT", "otlp").env("LAMBDA_OTLP_ENDPOINT", endpoint)
}

/// Ends the environment.
pub(crate) async fn ended(story: Story, sink: &Sink) -> Account {
    account(story, End::Shutdown, sink).await
}

/// Ends the environment like this, and says where each span is.
pub(crate) async fn account(story: Story, end: End, sink: &Sink) -> Account {
    let kept = story.invocations().iter().map(|(_, invocation)| invocation.post_runtime).collect();
    let log = story.end(end).await;
    let (mut delivered, mut made) = (BTreeMap::new(), 0);
    for span in sink.spans() {
        if span.scope.name == SCOPE {
            let id = u64::from_be_bytes(span.item.span_id.try_into().unwrap());
            *delivered.entry(id).or_default() += 1;
        } else {
            made += 1;
        }
    }
    let mut records = BTreeMap::new();
    for record in sink.log_records() {
        *records.entry(body(&record.item)).or_default() += 1;
    }
    Account { kept, delivered, made, records, log }
}
