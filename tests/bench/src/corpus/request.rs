//! OTLP requests of a function, encoded as SDKs do.

use super::template::Block;
use super::{Function, Scope};
use crate::random::Random;
use crate::workload::{Attribute, AttributeValue, Kind, Span};
use wire::protobuf::Writer;
use wire::{Request, SignalKind};

#[must_use]
pub fn traces(resource: &[Attribute], mut spans: Vec<(Scope, Span)>) -> Request {
    spans.sort_by_key(|(scope, _)| *scope);
    request(
        SignalKind::Traces,
        resource,
        &spans,
        |(scope, _)| *scope,
        |message, (_, span)| {
            write_span(message, span);
        },
    )
}

impl Function<'_> {
    #[must_use]
    pub fn resource(&self) -> Vec<Attribute> {
        self.template.resource.attributes(&self.values, &mut Random::new(self.values.number))
    }

    #[must_use]
    pub fn traces(&mut self, invocation: u64, spans: u64) -> Request {
        let spans = self.spans(invocation, spans);
        traces(&self.resource(), spans)
    }
}

#[must_use]
pub fn logs(function: &mut Function<'_>, invocation: u64, records: usize) -> Request {
    let spans = function.spans(invocation, 1);
    let mut random = Random::new(invocation ^ function.values.number << 16 ^ 7);
    let logs: Vec<&Block> = function.template.logs.iter().cycle().take(records).collect();
    request(
        SignalKind::Logs,
        &function.resource(),
        &logs,
        |log| log.scope,
        |record, log| {
            let Some((_, span)) = spans.first() else { return };
            let severity = log.words.get(1).copied().unwrap_or("INFO");
            let time = span.start_unix_nanos + random.below(20_000_000) / 1000 * 1000;
            record.fixed64(1, time);
            record.varint(
                2,
                match severity {
                    "DEBUG" => 5,
                    "WARN" => 13,
                    "ERROR" => 17,
                    _ => 9,
                },
            );
            record.string(3, severity);
            let body = function.values.of(log.name, &mut random);
            record.message(5, |value| value.string(1, &body));
            write_attributes(record, 6, &log.attributes(&function.values, &mut random));
            record.fixed32(8, 1);
            record.bytes(9, &span.trace_id.to_be_bytes());
            record.bytes(10, &span.span_id.to_be_bytes());
            record.fixed64(11, time + random.below(100_000));
        },
    )
}

#[must_use]
pub fn metrics(function: &mut Function<'_>, invocation: u64) -> Request {
    let spans = function.spans(invocation, 1);
    let mut random = Random::new(invocation ^ function.values.number << 16 ^ 9);
    let metrics: Vec<&Block> = function.template.metrics.iter().collect();
    request(
        SignalKind::Metrics,
        &function.resource(),
        &metrics,
        |metric| metric.scope,
        |message, metric| {
            let Some((_, span)) = spans.first() else { return };
            let form = metric.words.get(1).copied().unwrap_or("sum");
            let unit = metric.words.get(2).copied().unwrap_or("1");
            let attributes = metric.attributes(&function.values, &mut random);
            message.string(1, metric.name);
            message.string(3, unit);
            let times = |point: &mut Writer<'_>| {
                point.fixed64(2, span.start_unix_nanos);
                point.fixed64(3, span.end_unix_nanos);
            };
            match form {
                "histogram" => message.message(9, |histogram| {
                    histogram.message(1, |point| {
                        times(point);
                        point.fixed64(4, 1);
                        let value = 1.0
                            + f64::from(u32::try_from(random.below(40_000)).unwrap_or(0)) / 100.0;
                        point.always_double(5, value);
                        let bounds = [
                            0.0,
                            5.0,
                            10.0,
                            25.0,
                            50.0,
                            75.0,
                            100.0,
                            250.0,
                            500.0,
                            1000.0,
                            2500.0,
                            5000.0,
                            7500.0,
                            10000.0_f64,
                        ];
                        let at = bounds.iter().take_while(|bound| **bound < value).count();
                        point.packed_fixed64(6, (0..15).map(|n| u64::from(n == at)));
                        point.packed_fixed64(7, bounds.iter().map(|bound| bound.to_bits()));
                        write_attributes(point, 9, &attributes);
                        point.always_double(11, value);
                        point.always_double(12, value);
                    });
                    histogram.varint(2, 1);
                }),
                "gauge" => message.message(5, |gauge| {
                    gauge.message(1, |point| {
                        times(point);
                        point.always_double(
                            4,
                            f64::from(u32::try_from(random.below(100_000)).unwrap_or(0)) / 10.0,
                        );
                        write_attributes(point, 7, &attributes);
                    });
                }),
                _ => message.message(7, |sum| {
                    sum.message(1, |point| {
                        times(point);
                        point.always_fixed64(6, 1 + random.below(3));
                        write_attributes(point, 7, &attributes);
                    });
                    sum.varint(2, 1);
                    sum.varint(3, 1);
                }),
            }
        },
    )
}

/// A request with these items, in one scope for each run of items of a scope.
fn request<T>(
    kind: SignalKind,
    resource: &[Attribute],
    items: &[T],
    scope_of: impl Fn(&T) -> Scope,
    mut write_item: impl FnMut(&mut Writer<'_>, &T),
) -> Request {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| {
        container.message(1, |message| write_attributes(message, 1, resource));
        for items in items.chunk_by(|one, next| scope_of(one) == scope_of(next)) {
            container.message(2, |message| {
                let (name, version) = items.first().map(&scope_of).unwrap_or_default();
                message.message(1, |head| {
                    head.string(1, name);
                    head.string(2, version);
                });
                for item in items {
                    message.message(2, |message| write_item(message, item));
                }
            });
        }
    });
    Request::trusted(kind, bytes)
}

fn write_span(message: &mut Writer<'_>, span: &Span) {
    message.bytes(1, &span.trace_id.to_be_bytes());
    message.bytes(2, &span.span_id.to_be_bytes());
    if span.parent_span_id != 0 {
        message.bytes(4, &span.parent_span_id.to_be_bytes());
    }
    message.string(5, &span.name);
    message.varint(
        6,
        match span.kind {
            Kind::Internal => 1,
            Kind::Server => 2,
            Kind::Client => 3,
            Kind::Producer => 4,
            Kind::Consumer => 5,
        },
    );
    message.fixed64(7, span.start_unix_nanos);
    message.fixed64(8, span.end_unix_nanos);
    write_attributes(message, 9, &span.attributes);
    message.message(15, |status| {
        if span.is_error {
            status.string(2, "internal error");
            status.varint(3, 2);
        }
    });
    message.fixed32(16, 0x101);
}

fn write_attributes(message: &mut Writer<'_>, number: u32, attributes: &[Attribute]) {
    for Attribute { key, value } in attributes {
        message.message(number, |pair| {
            pair.string(1, key);
            pair.message(2, |any| match value {
                AttributeValue::Text(text) => any.always_string(1, text),
                AttributeValue::Integer(integer) => any.always_varint(3, integer.cast_unsigned()),
            });
        });
    }
}
