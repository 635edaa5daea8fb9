//! The spans that both exporters get: one invocation of an HTTP function that calls AWS services.
//!
//! An invocation is a server span with the 13 attributes that dev7a's lambda-otel-lite sets for an HTTP event, and
//! children with the 13 that `tracing` and the AWS SDK give a call. The resource has 14 attributes. Nothing here names
//! an SDK, since the two exporters use two versions of it. Equal arguments give equal spans, in every process.

use crate::random::{self, Random};
use std::borrow::Cow;

pub const SERVICES: u64 = 40;

#[derive(Debug, Clone)]
pub struct Attribute {
    pub key: &'static str,
    pub value: AttributeValue,
}

#[derive(Debug, Clone)]
pub enum AttributeValue {
    Text(Cow<'static, str>),
    Integer(i64),
}

/// One span, in no SDK's words.
#[derive(Debug, Clone)]
pub struct Span {
    pub trace_id: u128,
    pub span_id: u64,
    /// 0: none.
    pub parent_span_id: u64,
    /// The invocation; otherwise a call of an AWS service.
    pub is_server: bool,
    pub name: String,
    pub start_unix_nanos: u64,
    pub end_unix_nanos: u64,
    pub attributes: Vec<Attribute>,
    pub is_error: bool,
}

#[derive(Debug, Clone)]
pub struct Service {
    index: u64,
    pub name: String,
    pub account: String,
    pub region: &'static str,
    thing: &'static str,
    pub stream: String,
    memory_mib: i64,
}

const MEMORY_MIB: [i64; 4] = [128, 256, 512, 1024];
const REGIONS: [&str; 4] = ["eu-west-1", "us-east-1", "eu-central-1", "ap-southeast-2"];
/// What the functions are about. No function of the dictionary's training set is about one of these.
pub const THINGS: [&str; 10] = [
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
const ROLES: [&str; 4] = ["api", "backend", "service-prod", "handler"];
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
const USER_AGENTS: [&str; 4] = [
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "okhttp/4.12.0",
    "python-requests/2.32.3",
];
/// Service, operation, and the bytes of the service's request ids.
const CALLS: [(&str, &str); 8] = [
    ("DynamoDB", "GetItem"),
    ("DynamoDB", "PutItem"),
    ("DynamoDB", "Query"),
    ("S3", "GetObject"),
    ("S3", "PutObject"),
    ("SQS", "SendMessage"),
    ("SNS", "Publish"),
    ("SecretsManager", "GetSecretValue"),
];

impl Service {
    /// The function of this number, which wraps at [`SERVICES`].
    #[must_use]
    pub fn new(index: u64) -> Self {
        let index = index % SERVICES;
        let mut random = Random::new(index);
        let thing = *random::nth(&THINGS, index);
        let role = *random::nth(&ROLES, index / 10);
        Self {
            index,
            name: format!("{thing}-{role}"),
            account: format!("{:012}", random.below(1_000_000_000_000)),
            region: random.pick(&REGIONS),
            thing,
            stream: format!("2026/11/20/[$LATEST]{:032x}", random.next_u128()),
            memory_mib: random.pick(&MEMORY_MIB),
        }
    }

    /// The 14 attributes of the function's resource.
    #[must_use]
    pub fn resource(&self) -> Vec<Attribute> {
        vec![
            text("cloud.provider", "aws"),
            text("cloud.region", self.region),
            text("deployment.environment.name", "production"),
            integer("faas.max_memory", self.memory_mib * 1024 * 1024),
            text("faas.instance", self.stream.clone()),
            text("faas.name", self.name.clone()),
            text("faas.version", "$LATEST"),
            text("lambda_otel_lite.extension.span_processor_mode", "sync"),
            integer("lambda_otel_lite.lambda_span_processor.queue_size", 2048),
            integer("lambda_otel_lite.otlp_stdout_span_exporter.compression_level", 6),
            text("service.name", self.name.clone()),
            text("telemetry.sdk.language", "rust"),
            text("telemetry.sdk.name", "opentelemetry"),
            text("telemetry.sdk.version", "0.33.1"),
        ]
    }

    /// The spans of one invocation in the order in which they end: the calls, then the invocation.
    #[must_use]
    pub fn invocation(&self, number: u64, spans: u64) -> Vec<Span> {
        let mut random = Random::new(self.index << 32 | number);
        let trace_id = random.next_u128();
        let root_id = random.next_u64();
        let start =
            1_790_000_000_000_000_000 + number * 1_000_000_000 + random.below(1_000_000_000);
        let mut now = start + 100_000 + random.below(900_000);
        let mut ended = Vec::new();
        for _ in 1..spans {
            let call_start = now;
            now += 1_000_000 + random.below(20_000_000);
            ended.push(Span {
                trace_id,
                span_id: random.next_u64(),
                parent_span_id: root_id,
                ..self.call(&mut random, call_start, now)
            });
            now += random.below(500_000);
        }
        let end = now + random.below(1_000_000);
        ended.push(Span { trace_id, span_id: root_id, ..self.server(&mut random, start, end) });
        ended
    }

    fn server(&self, random: &mut Random, start_unix_nanos: u64, end_unix_nanos: u64) -> Span {
        let Self { account, region, thing, name, .. } = self;
        let method = random.pick(&METHODS);
        let is_error = random.below(20) == 0;
        let request_id = random.uuid();
        let attributes = vec![
            text("requestId", request_id.clone()),
            text("faas.invocation_id", request_id),
            text("cloud.resource_id", format!("arn:aws:lambda:{region}:{account}:function:{name}")),
            text("cloud.account.id", account.clone()),
            text("cloud.region", *region),
            text("faas.trigger", "http"),
            text("http.request.method", method),
            text("http.route", format!("/{thing}/{{id}}")),
            text("url.path", format!("/{thing}/{}", random.below(10_000_000))),
            text("url.scheme", "https"),
            text("user_agent.original", random.pick(&USER_AGENTS)),
            text("client.address", random.ip_address()),
            integer("http.response.status_code", if is_error { 500 } else { 200 }),
        ];
        Span {
            trace_id: 0,
            span_id: 0,
            parent_span_id: 0,
            is_server: true,
            name: format!("{method} /{thing}/{{id}}"),
            start_unix_nanos,
            end_unix_nanos,
            attributes,
            is_error,
        }
    }

    fn call(&self, random: &mut Random, start_unix_nanos: u64, end_unix_nanos: u64) -> Span {
        let (service, operation) = random.pick(&CALLS);
        let busy_nanos = 50_000 + random.below(200_000);
        let idle_nanos = (end_unix_nanos - start_unix_nanos).saturating_sub(busy_nanos);
        let attributes = vec![
            text("code.file.path", "src/store.rs"),
            text("code.module.name", "backend::store"),
            integer("code.line.number", 10 + random.small(300)),
            integer("thread.id", 1),
            text("thread.name", "main"),
            text("rpc.system", "aws-api"),
            text("rpc.service", service),
            text("rpc.method", operation),
            text("cloud.region", self.region),
            text("aws.request_id", random.request_id(service)),
            integer("http.response.status_code", 200),
            integer("busy_ns", busy_nanos.cast_signed()),
            integer("idle_ns", idle_nanos.cast_signed()),
        ];
        Span {
            trace_id: 0,
            span_id: 0,
            parent_span_id: 0,
            is_server: false,
            name: format!("{service}.{operation}"),
            start_unix_nanos,
            end_unix_nanos,
            attributes,
            is_error: false,
        }
    }
}

fn text(key: &'static str, value: impl Into<Cow<'static, str>>) -> Attribute {
    Attribute { key, value: AttributeValue::Text(value.into()) }
}

fn integer(key: &'static str, value: i64) -> Attribute {
    Attribute { key, value: AttributeValue::Integer(value) }
}
