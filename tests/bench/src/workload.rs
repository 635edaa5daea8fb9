//! Spans of functions that templates describe. Equal arguments give equal spans, in every process.
//!
//! A template in `templates` is a kind of function. `resource`, `root KIND NAME` and `span KIND NAME` begin a block; its lines are attributes,
//! `key=value`. `scope NAME VERSION` stands before the spans of an instrumentation. Values with `#` are integers. `{…}` stands for
//! a value of the service or the invocation, see [`Service::text`].

use exporter::export::{InMemoryOutput, StdoutSpanExporter};
use fastrand::Rng;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use std::iter::repeat_with;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, UNIX_EPOCH};

/// What the functions are about. No function of the dictionary's training set is about one of these.
const THINGS: [&str; 10] = [
    "orders",
    "customers",
    "invoices",
    "payments",
    "carts",
    "shipments",
    "products",
    "returns",
    "vouchers",
    "sessions",
];
const ROLES: [&str; 5] = ["-service", "-api-prod", "-worker", "", "-handler-v2"];
const REGIONS: [&str; 6] =
    ["eu-west-1", "us-east-1", "eu-central-1", "us-west-2", "ap-northeast-1", "eu-north-1"];
/// A function makes few kinds of calls.
const MAX_CALLS: usize = 4;

/// The name and the version of an instrumentation.
type Scope = (&'static str, &'static str);

#[derive(Clone, Debug, Default)]
struct Block {
    scope: Scope,
    kind: &'static str,
    name: &'static str,
    attributes: Vec<(&'static str, &'static str)>,
}

/// A function of a template, with its names.
#[derive(Clone, Debug)]
pub struct Service {
    number: u64,
    pub name: String,
    pub account: String,
    pub region: &'static str,
    pub stream: String,
    thing: &'static str,
    resource: Block,
    root: Block,
    calls: Vec<Block>,
    /// Times are rounded to this number of nanoseconds.
    unit: u64,
}

impl Service {
    /// An HTTP function that calls AWS services. An invocation is a server span with the 13 attributes that dev7a's lambda-otel-lite
    /// sets for an HTTP event, and children with the 13 that `tracing` and the AWS SDK give a call. The resource has 14.
    #[must_use]
    pub fn http(number: u64) -> Self {
        Self::new(include_str!("../templates/http.txt"), number)
    }

    /// The function of this number.
    #[must_use]
    pub fn new(template: &'static str, number: u64) -> Self {
        let mut random = Rng::with_seed(number);
        let thing = random.choice(THINGS).unwrap_or_default();
        let role = random.choice(ROLES).unwrap_or_default();
        let mut service = Self {
            number,
            name: format!("{thing}{role}"),
            account: format!("{:012}", random.u64(..1_000_000_000_000)),
            region: random.choice(REGIONS).unwrap_or_default(),
            stream: format!("2026/11/20/[$LATEST]{:032x}", random.u128(..)),
            thing,
            resource: Block::default(),
            root: Block::default(),
            calls: Vec::new(),
            unit: 1,
        };
        service.read(template);
        random.shuffle(&mut service.calls);
        service.calls.truncate(MAX_CALLS);
        service
    }

    fn read(&mut self, template: &'static str) {
        let mut scope = Scope::default();
        let mut block = &mut self.resource;
        for line in template.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let (kind, name) = rest.split_once(' ').unwrap_or((rest, ""));
            let begun = Block { scope, kind, name, attributes: Vec::new() };
            match word {
                "unit" => self.unit = rest.parse().unwrap_or(1),
                "scope" => scope = (kind, name),
                "resource" => block = &mut self.resource,
                "root" => {
                    self.root = begun;
                    block = &mut self.root;
                }
                "span" => block = self.calls.push_mut(begun),
                _ => block.attributes.extend(line.split_once('=')),
            }
        }
    }

    /// The lines of our exporter, one for each invocation.
    pub fn lines(
        &self,
        invocations: impl IntoIterator<Item = Vec<SpanData>>,
    ) -> anyhow::Result<Vec<String>> {
        let output = Arc::new(InMemoryOutput::default());
        let mut exporter = StdoutSpanExporter::builder().with_output(output.clone()).build();
        let attributes = self.attributes(&self.resource, "", &mut Rng::with_seed(self.number));
        exporter.set_resource(&Resource::builder_empty().with_attributes(attributes).build());
        for spans in invocations {
            let export = pin!(exporter.export(spans));
            match export.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(result) => result?,
                Poll::Pending => anyhow::bail!("the export waits for something"),
            }
        }
        Ok(output.take_lines())
    }

    /// The spans of one invocation in the order in which they end: the calls, then the invocation.
    #[must_use]
    pub fn invocation(&self, number: u64, spans: u64) -> Vec<SpanData> {
        let mut random = Rng::with_seed(self.number << 32 | number);
        let request_id = uuid(&mut random);
        let trace_id = random.u128(..);
        let root_id = random.u64(1..);
        let start =
            1_790_000_000_000_000_000 + number * 1_000_000_000 + random.u64(..1_000_000_000);
        let mut now = start + 100_000 + random.u64(..900_000);
        let mut ended = Vec::new();
        for (_, call) in (1..spans).zip(self.calls.iter().cycle()) {
            let times = [now, now + 800_000 + random.u64(..30_000_000)];
            now = times[1] + random.u64(..700_000);
            let ids = (trace_id, random.u64(1..), root_id);
            ended.push(self.span(call, ids, &request_id, times, &mut random));
        }
        let times = [start, now + random.u64(..1_000_000)];
        ended.push(self.span(&self.root, (trace_id, root_id, 0), &request_id, times, &mut random));
        ended
    }

    /// A span with the ids of its trace, itself and its parent; 0 stands for no parent.
    fn span(
        &self,
        block: &Block,
        (trace_id, span_id, parent_span_id): (u128, u64, u64),
        request_id: &str,
        times: [u64; 2],
        random: &mut Rng,
    ) -> SpanData {
        let (scope, version) = block.scope;
        let [start_time, end_time] =
            times.map(|time| UNIX_EPOCH + Duration::from_nanos(time - time % self.unit));
        SpanData {
            span_context: context_of(TraceId::from(trace_id), SpanId::from(span_id)),
            parent_span_id: SpanId::from(parent_span_id),
            parent_span_is_remote: false,
            span_kind: match block.kind {
                "server" => SpanKind::Server,
                "client" => SpanKind::Client,
                "producer" => SpanKind::Producer,
                "consumer" => SpanKind::Consumer,
                _ => SpanKind::Internal,
            },
            name: self.text(block.name, request_id, random).into(),
            start_time,
            end_time,
            attributes: self.attributes(block, request_id, random),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: match random.u8(..25) {
                0 => Status::error("internal error"),
                _ => Status::Unset,
            },
            instrumentation_scope: InstrumentationScope::builder(scope)
                .with_version(version)
                .build(),
        }
    }

    fn attributes(&self, block: &Block, request_id: &str, random: &mut Rng) -> Vec<KeyValue> {
        let attribute = |(key, text): &(&'static str, &str)| match text.strip_prefix('#') {
            Some(text) => {
                let integer = self.text(text, request_id, random).parse();
                KeyValue::new(*key, integer.unwrap_or(0_i64))
            }
            None => KeyValue::new(*key, self.text(text, request_id, random)),
        };
        block.attributes.iter().map(attribute).collect()
    }

    /// Renders a text: `{name}`, `{account}`, `{region}`, `{stream}`, `{thing}` and `{request}` are the function's and the
    /// invocation's; `{uuid}`, `{ip}`, `{n:LIMIT}`, and `{hex:DIGITS}`, `{upper:DIGITS}`, `{base32:DIGITS}` and `{mixed:DIGITS}` are
    /// random; `{a|b|c}` is one of several texts.
    fn text(&self, text: &str, request_id: &str, random: &mut Rng) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else { break };
            out.push_str(before);
            out.push_str(&self.value(name, request_id, random));
            rest = after;
        }
        out + rest
    }

    fn value(&self, name: &str, request_id: &str, random: &mut Rng) -> String {
        if name.contains('|') {
            let texts: Vec<&str> = name.split('|').collect();
            return random.choice(texts).unwrap_or_default().to_owned();
        }
        let (kind, digits) = name.split_once(':').unwrap_or((name, ""));
        let number = digits.parse().unwrap_or(1);
        let alphabet = match kind {
            "hex" => "0123456789abcdef",
            "upper" => "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
            // The digits of DynamoDB's ids (RFC 4648, section 7).
            "base32" => "0123456789ABCDEFGHIJKLMNOPQRSTUV",
            "mixed" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            "n" => return random.usize(..number).to_string(),
            "name" => return self.name.clone(),
            "account" => return self.account.clone(),
            "region" => return self.region.to_owned(),
            "stream" => return self.stream.clone(),
            "thing" => return self.thing.to_owned(),
            "request" => return request_id.to_owned(),
            "uuid" => return uuid(random),
            "ip" => return std::net::Ipv4Addr::from(random.u32(..)).to_string(),
            other => return format!("{{{other}}}"),
        };
        let digits = repeat_with(|| random.choice(alphabet.bytes()).map_or('0', char::from));
        digits.take(number).collect()
    }
}

/// The context of a sampled span.
pub fn context_of(trace_id: TraceId, span_id: SpanId) -> SpanContext {
    SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, false, TraceState::NONE)
}

/// A random UUID (RFC 9562, version 4), as Lambda's request ids are.
pub fn uuid(random: &mut Rng) -> String {
    let [high, low] = [random.u64(..), random.u64(..)];
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}
