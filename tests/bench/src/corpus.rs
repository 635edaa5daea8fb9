//! Telemetry of services that are described by templates: for the bytes of compact lines.
//!
//! A template file describes a kind of function. `resource`, `root KIND NAME`, `span KIND NAME`, `log SEVERITY BODY` and
//! `metric FORM UNIT NAME` begin a block; its lines are attributes, `key=value`. `scope NAME VERSION` stands before the blocks of
//! an instrumentation. Values with `#` are integers. `{…}` stands for a value of the service or the invocation, see `Values::of`.

use lambda_otlp_bench::THINGS;
use lambda_otlp_bench::random::{self, Random};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wire::{Request, SignalKind};

/// The name and the version of an instrumentation.
type Scope = (&'static str, &'static str);

#[derive(Clone, Default)]
struct Block {
    scope: Scope,
    words: Vec<&'static str>,
    name: &'static str,
    attributes: Vec<(&'static str, &'static str)>,
}

#[derive(Default)]
pub(crate) struct Template {
    resource: Block,
    root: Block,
    calls: Vec<Block>,
    logs: Vec<Block>,
    metrics: Vec<Block>,
    /// Times are rounded to this number of nanoseconds.
    unit: u64,
}

impl Template {
    pub(crate) fn new(text: &'static str) -> Self {
        let mut template = Self { unit: 1, ..Self::default() };
        let mut blocks: Vec<Block> = Vec::new();
        let mut scope = ("", "");
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "scope" => scope = rest.split_once(' ').unwrap_or((rest, "")),
                "unit" => template.unit = rest.parse().unwrap_or(1),
                "resource" | "root" | "span" | "log" | "metric" => {
                    let words: Vec<_> =
                        line.splitn(if word == "metric" { 4 } else { 3 }, ' ').collect();
                    let name = words.last().copied().unwrap_or_default();
                    blocks.push(Block { scope, words, name, attributes: Vec::new() });
                }
                _ => {
                    if let (Some(block), Some(pair)) = (blocks.last_mut(), line.split_once('=')) {
                        block.attributes.push(pair);
                    }
                }
            }
        }
        for block in blocks {
            match block.words.first().copied() {
                Some("root") => template.root = block,
                Some("span") => template.calls.push(block),
                Some("log") => template.logs.push(block),
                Some("metric") => template.metrics.push(block),
                _ => template.resource = block,
            }
        }
        template
    }
}

impl Block {
    fn word(&self, at: usize) -> &'static str {
        self.words.get(at).copied().unwrap_or_default()
    }

    fn attributes(&self, values: &Values, random: &mut Random) -> Value {
        let attribute = |(key, text): &(&str, &str)| match text.strip_prefix('#') {
            Some(integer) => json!({"key": key, "value": {"intValue": values.of(integer, random)}}),
            None => json!({"key": key, "value": {"stringValue": values.of(text, random)}}),
        };
        self.attributes.iter().map(attribute).collect()
    }

    fn span(&self, values: &Values, random: &mut Random, unit: u64, times: [u64; 2]) -> Value {
        let kind = match self.word(1) {
            "server" => 2,
            "client" => 3,
            "producer" => 4,
            "consumer" => 5,
            _ => 1,
        };
        let [start, end] = times.map(|time| (time - time % unit).to_string());
        let (name, attributes) = (values.of(self.name, random), self.attributes(values, random));
        let failed = json!({"message": "internal error", "code": 2});
        let status = if random.below(25) == 0 { failed } else { json!({}) };
        json!({
            "name": name, "kind": kind, "startTimeUnixNano": start, "endTimeUnixNano": end,
            "attributes": attributes, "status": status, "flags": 0x101,
        })
    }
}

/// A function of a template, with its names.
pub(crate) struct Function<'t> {
    template: &'t Template,
    pub(crate) values: Values,
    calls: Vec<&'t Block>,
}

impl<'t> Function<'t> {
    pub(crate) fn new(template: &'t Template, number: u64) -> Self {
        let mut random = Random::new(number ^ 0x5eed);
        let values = Values::new(number, &mut random);
        let mut calls: Vec<_> = template.calls.iter().collect();
        // A function makes few kinds of calls.
        while calls.len() > 4 {
            let at = usize::try_from(random.below(calls.len() as u64)).unwrap_or(0);
            calls.remove(at);
        }
        Self { template, values, calls }
    }

    /// The spans of an invocation, in the order in which they end, and the time of its begin.
    fn spans(&mut self, invocation: u64, spans: u64) -> (Vec<(Scope, Value)>, u64) {
        let mut random = Random::new(self.values.number << 32 | invocation);
        self.values.request_id = random.uuid();
        let _unused = random.next_u128();
        let ids = (format!("{:032x}", random.next_u128()), format!("{:016x}", random.next_u64()));
        let start = 1_792_000_000_000_000_000 + random.below(20_000_000_000_000_000);
        let mut now = start + 100_000 + random.below(900_000);
        let mut ended = Vec::new();
        let unit = self.template.unit;
        for number in 1..spans {
            let at = usize::try_from(number).unwrap_or(0) % self.calls.len().max(1);
            let call_start = now;
            now += 800_000 + random.below(30_000_000);
            if let Some(call) = self.calls.get(at) {
                let mut span = call.span(&self.values, &mut random, unit, [call_start, now]);
                span["traceId"] = json!(ids.0);
                span["spanId"] = json!(format!("{:016x}", random.next_u64()));
                span["parentSpanId"] = json!(ids.1);
                ended.push((call.scope, span));
            }
            now += random.below(700_000);
        }
        let end = now + random.below(1_000_000);
        let root = &self.template.root;
        let mut span = root.span(&self.values, &mut random, unit, [start, end]);
        span["traceId"] = json!(ids.0);
        span["spanId"] = json!(ids.1);
        ended.push((root.scope, span));
        (ended, start - start % unit)
    }

    pub(crate) fn traces(&mut self, invocation: u64, spans: u64) -> anyhow::Result<Request> {
        let (mut spans, _) = self.spans(invocation, spans);
        spans.sort_by_key(|(scope, _)| *scope);
        self.request(SignalKind::Traces, ["resourceSpans", "scopeSpans", "spans"], &spans)
    }

    pub(crate) fn logs(&mut self, invocation: u64, records: usize) -> anyhow::Result<Request> {
        let (spans, start) = self.spans(invocation, 1);
        let mut random = Random::new(invocation ^ self.values.number << 16 ^ 7);
        let mut all = Vec::new();
        for log in self.template.logs.iter().cycle().take(records) {
            let time = start + random.below(20_000_000) / 1000 * 1000;
            let number = match log.word(1) {
                "DEBUG" => 5,
                "WARN" => 13,
                "ERROR" => 17,
                _ => 9,
            };
            let body = self.values.of(log.name, &mut random);
            let attributes = log.attributes(&self.values, &mut random);
            let observed = time + random.below(100_000);
            let mut record = json!({
                "timeUnixNano": time.to_string(), "observedTimeUnixNano": observed.to_string(),
                "severityNumber": number, "severityText": log.word(1), "body": {"stringValue": body},
                "attributes": attributes, "flags": 1,
            });
            for (_, span) in &spans {
                record["traceId"] = span["traceId"].clone();
                record["spanId"] = span["spanId"].clone();
            }
            all.push((log.scope, record));
        }
        self.request(SignalKind::Logs, ["resourceLogs", "scopeLogs", "logRecords"], &all)
    }

    pub(crate) fn metrics(&mut self, invocation: u64) -> anyhow::Result<Request> {
        let (spans, _) = self.spans(invocation, 1);
        let mut random = Random::new(invocation ^ self.values.number << 16 ^ 9);
        let mut all = Vec::new();
        for metric in &self.template.metrics {
            let attributes = metric.attributes(&self.values, &mut random);
            let mut point = json!({"attributes": attributes});
            for (_, span) in &spans {
                point["startTimeUnixNano"] = span["startTimeUnixNano"].clone();
                point["timeUnixNano"] = span["endTimeUnixNano"].clone();
            }
            let (form, data) = match metric.word(1) {
                "histogram" => ("histogram", histogram(&mut point, &mut random)),
                "gauge" => {
                    point["asDouble"] = json!(decimal(random.below(100_000)) / 10.0);
                    ("gauge", json!({"dataPoints": [point]}))
                }
                _ => {
                    point["asInt"] = json!((1 + random.below(3)).to_string());
                    let sum = json!({"dataPoints": [point], "aggregationTemporality": 1, "isMonotonic": true});
                    ("sum", sum)
                }
            };
            all.push((
                metric.scope,
                json!({"name": metric.name, "unit": metric.word(2), form: data}),
            ));
        }
        self.request(SignalKind::Metrics, ["resourceMetrics", "scopeMetrics", "metrics"], &all)
    }

    /// A request with these items, in one scope for each run of items of a scope.
    fn request(
        &self,
        kind: SignalKind,
        [resources, scopes, of_scope]: [&str; 3],
        items: &[(Scope, Value)],
    ) -> anyhow::Result<Request> {
        let mut random = Random::new(self.values.number);
        let resource = self.template.resource.attributes(&self.values, &mut random);
        let scoped = items.chunk_by(|one, next| one.0 == next.0).map(|run| {
            let (name, version) = run.first().map(|(scope, _)| *scope).unwrap_or_default();
            let items: Value = run.iter().map(|(_, item)| item.clone()).collect();
            json!({"scope": {"name": name, "version": version}, of_scope: items})
        });
        let scoped: Value = scoped.collect();
        let request = json!({resources: [{"resource": {"attributes": resource}, scopes: scoped}]});
        // The order of the fields is protobuf's, as SDKs write them.
        let bytes = match kind {
            SignalKind::Traces => encoded::<ExportTraceServiceRequest>(request)?,
            SignalKind::Logs => encoded::<ExportLogsServiceRequest>(request)?,
            SignalKind::Metrics => encoded::<ExportMetricsServiceRequest>(request)?,
        };
        Ok(Request::trusted(kind, bytes))
    }
}

fn encoded<R: Message + DeserializeOwned>(request: Value) -> anyhow::Result<Vec<u8>> {
    Ok(serde_json::from_value::<R>(request)?.encode_to_vec())
}

fn decimal(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(0))
}

fn histogram(point: &mut Value, random: &mut Random) -> Value {
    const BOUNDS: [f64; 14] = [
        0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 7500.0,
        10000.0,
    ];
    let value = 1.0 + decimal(random.below(40_000)) / 100.0;
    let at = BOUNDS.iter().take_while(|bound| **bound < value).count();
    point["count"] = json!("1");
    for key in ["sum", "min", "max"] {
        point[key] = json!(value);
    }
    point["bucketCounts"] = (0..15).map(|bucket| u8::from(bucket == at).to_string()).collect();
    point["explicitBounds"] = json!(BOUNDS);
    json!({"dataPoints": [point], "aggregationTemporality": 1})
}

/// What placeholders stand for.
pub(crate) struct Values {
    number: u64,
    pub(crate) name: String,
    pub(crate) account: String,
    pub(crate) region: &'static str,
    thing: &'static str,
    stream: String,
    request_id: String,
}

const REGIONS: [&str; 6] =
    ["eu-west-1", "us-east-1", "eu-central-1", "us-west-2", "ap-northeast-1", "eu-north-1"];
const ROLES: [&str; 5] = ["-service", "-api-prod", "-worker", "", "-handler-v2"];

impl Values {
    fn new(number: u64, random: &mut Random) -> Self {
        let thing = *random::nth(&THINGS, number);
        let values = Self {
            number,
            name: format!("{thing}{}", random::nth(&ROLES, number)),
            account: format!("{:012}", random.below(1_000_000_000_000)),
            region: random.pick(&REGIONS),
            thing,
            stream: String::new(),
            request_id: String::new(),
        };
        Self { stream: format!("2026/11/21/[$LATEST]{:032x}", random.next_u128()), ..values }
    }

    /// Renders a text: `{name}`, `{account}`, `{region}`, `{stream}`, `{thing}` and `{request}` are the function's and the invocation's;
    /// `{uuid}`, `{ip}`, `{n:LIMIT}`, and `{hex:DIGITS}`, `{upper:DIGITS}`, `{base32:DIGITS}` and `{mixed:DIGITS}` are random;
    /// `{a|b|c}` is one of several texts.
    fn of(&self, text: &str, random: &mut Random) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            let Some((name, after)) = after.split_once('}') else { break };
            out.push_str(&self.value(name, random));
            rest = after;
        }
        out + rest
    }

    fn value(&self, name: &str, random: &mut Random) -> String {
        if name.contains('|') {
            let texts: Vec<_> = name.split('|').collect();
            let at = usize::try_from(random.below(texts.len() as u64)).unwrap_or(0);
            return texts.get(at).map(|text| (*text).to_owned()).unwrap_or_default();
        }
        let (kind, number) = name.split_once(':').unwrap_or((name, ""));
        let number = number.parse::<u64>().unwrap_or(1);
        let alphabet: &[u8] = match kind {
            "hex" => b"0123456789abcdef",
            "upper" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
            "base32" => random::BASE_32_HEX,
            "mixed" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            "n" => return random.below(number).to_string(),
            "name" => return self.name.clone(),
            "account" => return self.account.clone(),
            "region" => return self.region.to_owned(),
            "stream" => return self.stream.clone(),
            "thing" => return self.thing.to_owned(),
            "request" => return self.request_id.clone(),
            "uuid" => return random.uuid(),
            "ip" => return random.ip_address(),
            other => return format!("{{{other}}}"),
        };
        let character = |_| {
            let at = usize::try_from(random.below(alphabet.len() as u64)).ok()?;
            alphabet.get(at).copied().map(char::from)
        };
        (0..number).filter_map(character).collect()
    }
}
