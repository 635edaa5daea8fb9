//! Spans of functions that templates describe. Equal arguments give equal spans, in every process.
//!
//! A template in `templates` is a kind of function. `resource`, `root KIND NAME` and `span KIND NAME` begin a block; its lines are attributes,
//! `key=value`. `scope NAME VERSION` stands before the spans of an instrumentation. Values with `#` are integers. `{…}` stands for
//! a value of the service or the invocation, see [`Service::text`]. Nothing here names an SDK, since two exporters of a
//! comparison use two versions of it.

use fastrand::Rng;
use std::iter::repeat_with;

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
const MOST_CALLS: usize = 4;

/// The name and the version of an instrumentation.
type Scope = (&'static str, &'static str);

#[derive(Clone, Debug)]
pub enum Value {
    Text(String),
    Integer(i64),
}

pub type Attributes = Vec<(&'static str, Value)>;

/// One span, in no SDK's words.
#[derive(Clone, Debug)]
pub struct Span {
    pub trace_id: u128,
    pub span_id: u64,
    /// 0: none.
    pub parent_span_id: u64,
    pub scope: Scope,
    pub kind: &'static str,
    pub name: String,
    pub start_unix_nanos: u64,
    pub end_unix_nanos: u64,
    pub attributes: Attributes,
    pub is_error: bool,
}

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
        service.calls.truncate(MOST_CALLS);
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

    #[must_use]
    pub fn resource(&self) -> Attributes {
        self.attributes(&self.resource, "", &mut Rng::with_seed(self.number))
    }

    /// The spans of one invocation in the order in which they end: the calls, then the invocation.
    #[must_use]
    pub fn invocation(&self, number: u64, spans: u64) -> Vec<Span> {
        let mut random = Rng::with_seed(self.number << 32 | number);
        let request_id = uuid(&mut random);
        let (trace_id, root_id) = (random.u128(..), random.u64(1..));
        let start =
            1_790_000_000_000_000_000 + number * 1_000_000_000 + random.u64(..1_000_000_000);
        let mut now = start + 100_000 + random.u64(..900_000);
        let mut ended = Vec::new();
        for (_, call) in (1..spans).zip(self.calls.iter().cycle()) {
            let times = [now, now + 800_000 + random.u64(..30_000_000)];
            now = times[1] + random.u64(..700_000);
            let ids = [random.u64(1..), root_id];
            let span = self.span(call, &request_id, times, &mut random);
            ended.push(Span { trace_id, span_id: ids[0], parent_span_id: ids[1], ..span });
        }
        let times = [start, now + random.u64(..1_000_000)];
        let root = self.span(&self.root, &request_id, times, &mut random);
        ended.push(Span { trace_id, span_id: root_id, ..root });
        ended
    }

    fn span(&self, block: &Block, request_id: &str, times: [u64; 2], random: &mut Rng) -> Span {
        let [start_unix_nanos, end_unix_nanos] = times.map(|time| time - time % self.unit);
        Span {
            trace_id: 0,
            span_id: 0,
            parent_span_id: 0,
            scope: block.scope,
            kind: block.kind,
            name: self.text(block.name, request_id, random),
            start_unix_nanos,
            end_unix_nanos,
            attributes: self.attributes(block, request_id, random),
            is_error: random.u8(..25) == 0,
        }
    }

    fn attributes(&self, block: &Block, request_id: &str, random: &mut Rng) -> Attributes {
        let value = |text: &str, random: &mut Rng| match text.strip_prefix('#') {
            Some(text) => {
                Value::Integer(self.text(text, request_id, random).parse().unwrap_or_default())
            }
            None => Value::Text(self.text(text, request_id, random)),
        };
        block.attributes.iter().map(|(key, text)| (*key, value(text, random))).collect()
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
        let (kind, number) = name.split_once(':').unwrap_or((name, ""));
        let number = number.parse().unwrap_or(1);
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
