//! Finds the values of a record's fields among the keys of a line: level, message, time and ids.

use serde_json::value::RawValue;

use crate::read::exceptions::is_object_with_stack;
use crate::read::fields::{Elements, Fields, MAX_MS, of_millis};
use crate::read::ids::{TraceIds, datadog_id, is_uuid, xray_root};
use crate::read::keys::{Rank, RankedRole, Role, role, role_in};
use crate::read::line::field::{LineField, LineFields, Value, status_of};
use crate::read::severity::Severity;
use crate::read::time::{LineTime, stated_time};

/// The best value so far for a field of the record.
pub(super) struct Best<T> {
    pub(super) found: Option<RankedValue<T>>,
}

pub(super) struct RankedValue<T> {
    pub(super) rank: Rank,
    /// The position of the value's key, if that leaves the attributes.
    pub(super) at: Option<usize>,
    pub(super) value: T,
}

impl<T> Default for Best<T> {
    fn default() -> Self {
        Self { found: None }
    }
}

impl<T> Best<T> {
    /// Keeps the value if it is the first, or surer than the one so far.
    pub(super) fn offer(&mut self, rank: Rank, at: Option<usize>, value: Option<T>) {
        let is_better = self.found.as_ref().is_none_or(|best| rank < best.rank);
        if let Some(value) = value.filter(|_| is_better) {
            self.found = Some(RankedValue { rank, at, value });
        }
    }

    pub(super) fn is_found(&self) -> bool {
        self.found.is_some()
    }

    pub(super) fn position(&self) -> Option<usize> {
        self.found.as_ref().and_then(|best| best.at)
    }

    pub(super) fn value(self) -> Option<T> {
        self.found.map(|best| best.value)
    }
}

/// The text of a message.
pub(super) enum FoundMessage {
    /// It stays in the field until the record takes it.
    InField,
    /// A copy of a text that stays an attribute, or that lies deeper in one.
    Copied(String),
}

impl FoundMessage {
    fn copied(text: &str) -> Self {
        Self::Copied(text.to_owned())
    }
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about the record")]
pub(super) struct FoundValues {
    pub(super) is_lambda: bool,
    pub(super) is_gelf: bool,
    pub(super) is_mongo: bool,
    pub(super) level: Best<Severity>,
    pub(super) message: Best<FoundMessage>,
    /// The message under a key that counts only in a record with a level.
    pub(super) message_of_logger: Best<FoundMessage>,
    pub(super) time: Best<LineTime>,
    pub(super) request_id: Best<String>,
    /// `true` if a key of Lambda's runtimes has the request id.
    pub(super) is_of_runtime: bool,
    pub(super) trace: Best<TraceIds>,
    pub(super) span: Best<[u8; 8]>,
    pub(super) xray: Best<String>,
    /// The texts of these stay in the fields until the record takes them.
    pub(super) tenant: Best<()>,
    pub(super) durable: Best<()>,
    /// Positions of the keys that may state an exception.
    pub(super) errors: Vec<usize>,
}

impl FoundValues {
    pub(super) fn of(fields: &LineFields<'_>, is_lambda: bool) -> Self {
        let is_gelf = fields.iter().any(|field| field.key == "short_message");
        let is_mongo = fields.iter().any(|field| field.key == "ctx");
        let mut found = Self { is_lambda, is_gelf, is_mongo, ..Self::default() };
        let mut others = Vec::new();
        for (at, LineField { key, role, value, .. }) in fields.iter().enumerate() {
            match *role {
                Some(RankedRole { role: Role::Nested, .. }) => found.look_into(key, at, value),
                Some(RankedRole { role: Role::Log, .. }) if value.text().is_none() => {
                    found.look_into(key, at, value);
                }
                Some(RankedRole { role, rank }) => {
                    let may_be_error = role == Role::Message && value.json_object().is_some();
                    if role.is_error() || may_be_error {
                        found.errors.push(at);
                    }
                    found.offer(role, rank, Some(at), value);
                }
                // Causes, and objects under other keys, count after an exception's own keys.
                None if is_object_with_stack(value) => others.push(at),
                None => {}
            }
        }
        found.errors.extend(others);
        // Other lines than a logger's have numbers under these keys, too.
        let level = found.level.position().and_then(|at| fields.get(at));
        let is_number = level.is_some_and(|field| field.value.text().is_none());
        let is_log = found.message.is_found() || found.time.is_found();
        if is_number && !is_log {
            found.level = Best::default();
        }
        found
    }

    /// Offers the value of a key. `at` is its position, if it is a key of the line itself.
    pub(super) fn offer(&mut self, role: Role, rank: Rank, at: Option<usize>, value: &Value<'_>) {
        let text = value.text();
        match role {
            Role::Level => {
                // An object has more than the level, and stays an attribute.
                let at = at.filter(|_| value.json_object().is_none());
                self.level.offer(rank, at, level_of(value, self.is_gelf));
            }
            Role::Status => self.level.offer(rank, None, status_of(value)),
            Role::PythonNumber => {
                let number = value.word().parse().ok();
                self.level.offer(rank, at, number.and_then(Severity::of_python));
            }
            Role::MongoLetter => {
                let letter = text.and_then(|text| text.bytes().next()).filter(|_| self.is_mongo);
                self.level.offer(rank, at, letter.and_then(Severity::of_letter));
            }
            Role::OtelNumber => {
                self.level.offer(rank, at, value.word().parse().ok().and_then(Severity::of_otel));
            }
            Role::Message if text.is_none() => {}
            Role::Message | Role::Log => {
                self.message.offer(rank, at, text.map(|_| FoundMessage::InField));
            }
            Role::MessageOfLogger => {
                self.message_of_logger.offer(rank, at, text.map(|_| FoundMessage::InField));
            }
            Role::ErrorMessage if rank >= Rank::OfException => {}
            Role::ErrorMessage => self.message.offer(rank, None, text.map(FoundMessage::copied)),
            Role::Time => self.time.offer(rank, at, time_of(value)),
            Role::RequestId | Role::RuntimeRequestId => {
                let id =
                    text.filter(|id| self.is_lambda && is_uuid(id)).map(str::to_ascii_lowercase);
                self.is_of_runtime |= role == Role::RuntimeRequestId && id.is_some();
                self.request_id.offer(rank, at, id);
            }
            Role::TraceId => {
                let ids = text.and_then(TraceIds::of_text);
                let header = text.filter(|_| ids.is_none()).and_then(xray_root);
                self.trace.offer(rank, at, ids);
                self.xray.offer(Rank::Rare, at, header);
            }
            Role::Traceparent => {
                self.trace.offer(rank, at, text.and_then(TraceIds::of_traceparent));
            }
            Role::DatadogTraceId => {
                self.trace.offer(rank, at, TraceIds::of_datadog(value.word()));
            }
            Role::SpanId => self.span.offer(rank, at, text.and_then(wire::ids::id)),
            Role::DatadogSpanId => self.span.offer(rank, at, datadog_id(value.word())),
            Role::XRayTraceId => self.xray.offer(rank, at, text.and_then(xray_root)),
            Role::TenantId => {
                self.tenant.offer(rank, at, text.filter(|id| is_tenant_id(id)).map(|_| ()));
            }
            Role::DurableExecution => {
                self.durable.offer(
                    rank,
                    at,
                    text.filter(|arn| is_durable_execution(arn)).map(|_| ()),
                );
            }
            Role::Nested | Role::ErrorType | Role::Exception | Role::StackTrace => {}
        }
    }

    /// Looks for ids, level and message in an object or in a list of objects, which stays an attribute.
    fn look_into(&mut self, outer: &str, at: usize, value: &Value<'_>) {
        const MAX_OBJECTS: usize = 1000;
        if let Value::Text(text) = value {
            // They may also be the ids themselves.
            match outer {
                "trace" => self.trace.offer(Rank::Last, None, TraceIds::of_text(text)),
                "span" => self.span.offer(Rank::Last, None, wire::ids::id(text)),
                _ => {}
            }
            return;
        }
        let json = value.word();
        let objects = if json.starts_with('[') {
            Elements::first_of(json, MAX_OBJECTS).values.into_iter().map(RawValue::get).collect()
        } else {
            vec![json]
        };
        for (key, raw) in objects.into_iter().filter_map(Fields::of).flat_map(|fields| fields.pairs)
        {
            let value = Value::of(raw);
            match (outer, key.as_ref()) {
                // Of tracing-subscriber and loguru.
                ("fields" | "record", "message") => {
                    self.message.offer(Rank::Last, None, value.text().map(FoundMessage::copied));
                }
                // Of loguru; in data it may be any number or word.
                ("record", "level") if value.json_object().is_some() => {
                    self.offer(Role::Level, Rank::Last, None, &value);
                }
                // Of roarr and winston's format for logstash.
                ("context", "logLevel") | ("@fields", "level") => {
                    self.offer(Role::Level, Rank::Last, None, &value);
                }
                // Of loguru. Deeper objects are data.
                ("record", "extra") => self.look_into("extra", at, &value),
                ("_meta", "logLevelName") => self.offer(Role::Level, Rank::Last, None, &value),
                ("instant", "epochSecond") => self.offer(Role::Time, Rank::Last, None, &value),
                (_, key)
                    if role(key).is_some_and(Role::is_error) || is_object_with_stack(&value) =>
                {
                    // However often the key occurs, the object is read once.
                    if self.errors.last() != Some(&at) {
                        self.errors.push(at);
                    }
                }
                (_, key) => {
                    if let Some(role) = role_in(outer, key) {
                        self.offer(role, Rank::Last, None, &value);
                    }
                }
            }
        }
    }
}

fn level_of(value: &Value<'_>, is_gelf: bool) -> Option<Severity> {
    let of_number = || {
        let number = value.word().parse().ok()?;
        if is_gelf { Severity::of_syslog(number) } else { Severity::of_number(number) }
    };
    // Twisted and loguru write an object.
    let name = || Fields::of(value.json_object()?)?.text("name");
    let of_name = || name().as_deref().and_then(Severity::of_word);
    value.text().and_then(Severity::of_word).or_else(of_number).or_else(of_name)
}

/// Returns `true` if this can be a tenant id, of at most 256 characters (Lambda API).
pub(crate) fn is_tenant_id(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/=+-@ ".contains(&byte);
    (1..=256).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// Returns `true` if this is the ARN of a durable execution (Lambda API):
/// `arn:aws:lambda:REGION:ACCOUNT:function:NAME:VERSION/durable-execution/NAME/ID`.
fn is_durable_execution(text: &str) -> bool {
    // It is repeated on all records of the invocation. Names and ids have 304 bytes at most.
    const MAX_BYTES: usize = 512;
    text.len() <= MAX_BYTES
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && text.starts_with("arn:")
        && text.contains(":function:")
        && text.contains("/durable-execution/")
}

/// Reads a time: text, or Unix time in seconds (zap, Go), milliseconds (pino), microseconds or nanoseconds.
fn time_of(value: &Value<'_>) -> Option<LineTime> {
    // The boundaries are days in 1973 in the smaller unit, and in 5138 in the larger one.
    const FIRST_MILLIS: f64 = 1e11;
    const FIRST_MICROS: f64 = 1e14;
    const FIRST_NANOS: f64 = 1e17;
    if let Some(time) = value.text().and_then(|text| LineTime::of_text(text.trim())) {
        return Some(time);
    }
    let parsed = value.word().parse().ok().filter(|number: &f64| *number > 0.0);
    let Some(number) = parsed else { return stated_time(value.text()?)?.time };
    let millis = match number {
        ..FIRST_MILLIS => number * 1e3,
        ..FIRST_MICROS => number,
        ..FIRST_NANOS => number / 1e3,
        _ => number / 1e6,
    };
    let is_exact = number >= FIRST_MILLIS || number.fract() > 0.0;
    (millis <= MAX_MS).then(|| LineTime { unix_nano: of_millis(millis), is_exact })
}
