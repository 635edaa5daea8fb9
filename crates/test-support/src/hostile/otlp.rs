//! Families of OTLP lines.

use super::Content::{Made, Nested, Repeated};
use super::Family;
use super::Place::{LogEvent, LogEvents};
use wire::protobuf::Writer;
use wire::{Envelope, LineEncoder, LineLimits, Request, SignalKind, compact::OwnedContext, gzip};

const fn text(name: &'static str, [begin, unit, end]: [&'static str; 3]) -> Family {
    Family::new(name, LogEvent, Repeated { begin, unit, end })
}

const fn made(name: &'static str, make: fn(usize) -> String) -> Family {
    Family::new(name, LogEvent, Made(make))
}

/// A standard line with this request.
fn line(kind: SignalKind, request: &[u8]) -> String {
    let mut encoded = Vec::new();
    wire::push_base64(&mut encoded, &gzip::compress(1, request));
    let payload = String::from_utf8_lossy(&encoded);
    let path = kind.path();
    format!(
        r#"{{"__otel_otlp_stdout":"0.1.0","source":"orders","endpoint":"http://localhost:4318{path}","method":"POST","content-type":"application/x-protobuf","content-encoding":"gzip","payload":"{payload}","base64":true}}"#
    )
}

/// The compact line of this request.
fn compact(kind: SignalKind, request: &[u8]) -> String {
    const LIMITS: LineLimits = LineLimits { max_bytes: usize::MAX, max_item_bytes: usize::MAX };
    let names = OwnedContext::of_function("orders", "eu-west-1", "/aws/lambda/orders", "s");
    let mut out = Vec::new();
    let request = Request::unchecked(kind, request.to_vec());
    let _written =
        LineEncoder::compact(names, LIMITS).encode(&Envelope::default(), request, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// A request of one resource with these attributes, and a scope with these items.
fn request(resource: impl FnOnce(&mut Writer<'_>), items: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| {
        container.message(1, |of_resource| {
            of_resource.text_attribute(1, "service.name", "orders");
            resource(of_resource);
        });
        container.message(2, items);
    });
    bytes
}

/// Writes a span with valid ids.
fn span(scope: &mut Writer<'_>, number: usize, more: impl FnOnce(&mut Writer<'_>)) {
    scope.message(2, |span| {
        span.bytes(1, &[1; 16]);
        span.bytes(2, &(number as u64 + 1).to_be_bytes());
        span.string(5, "x");
        span.fixed64(7, 1_790_000_000_000_000_000);
        span.fixed64(8, 1_790_000_000_000_000_001);
        more(span);
    });
}

fn record(scope: &mut Writer<'_>, more: impl FnOnce(&mut Writer<'_>)) {
    scope.message(2, |record| {
        record.fixed64(1, 1_790_000_000_000_000_000);
        record.string(3, "INFO");
        more(record);
    });
}

/// A value in arrays or maps, as deep as the limit allows, many times.
fn nested_value(levels: usize, is_map: bool) -> Vec<u8> {
    let mut value = Vec::new();
    Writer::new(&mut value).string(1, "x");
    for _ in 0..levels {
        let mut outer = Vec::new();
        Writer::new(&mut outer).message(if is_map { 6 } else { 5 }, |list| {
            if is_map {
                list.message(1, |entry| {
                    entry.string(1, "k");
                    entry.always_bytes(2, &value);
                });
            } else {
                list.always_bytes(1, &value);
            }
        });
        value = outer;
    }
    value
}

fn nested_values(bytes: usize, levels: usize, is_map: bool) -> Vec<u8> {
    let value = nested_value(levels, is_map);
    request(
        |_| {},
        |scope| {
            for _ in 0..bytes / (value.len() + 20) {
                record(scope, |record| record.always_bytes(5, &value));
            }
        },
    )
}

/// A span with so many attributes, events or links.
fn span_of(bytes: usize, unit: usize, write: impl Fn(&mut Writer<'_>, usize)) -> Vec<u8> {
    request(
        |_| {},
        |scope| {
            span(scope, 0, |span| (0..bytes / unit).for_each(|number| write(span, number)));
        },
    )
}

/// A record whose reserved key is renamed beside many of the renamed names.
fn renamed_beside_names(bytes: usize) -> Vec<u8> {
    request(
        |_| {},
        |scope| {
            record(scope, |record| {
                for number in 1..bytes / 60 {
                    let key = format!("attr_{number}_severity");
                    record.text_attribute(6, if number == 1 { "attr_severity" } else { &key }, "x");
                }
                record.text_attribute(6, "severity", &"v".repeat(bytes / 2));
            });
        },
    )
}

/// Records whose reserved key is renamed, below a resource with many of the renamed names.
fn renamed_below_names(bytes: usize) -> Vec<u8> {
    request(
        |resource| {
            resource.text_attribute(1, "attr_severity", "x");
            for number in 2..bytes / 60 {
                resource.text_attribute(1, &format!("attr_{number}_severity"), "x");
            }
        },
        |scope| {
            for _ in 0..bytes / 64 {
                record(scope, |record| record.text_attribute(6, "severity", "v"));
            }
        },
    )
}

/// Records below a resource with one long key.
fn below_a_long_key(bytes: usize, letter: &str, key: &str) -> Vec<u8> {
    request(
        |resource| resource.text_attribute(1, &letter.repeat(bytes / 2 / letter.len()), "x"),
        |scope| {
            for _ in 0..bytes / 60 {
                record(scope, |record| record.text_attribute(6, key, "v"));
            }
        },
    )
}

fn keys_of_resource(resource: &mut Writer<'_>, keys: usize) {
    (0..keys).for_each(|number| resource.text_attribute(1, &format!("r{number}"), "x"));
}

/// Metrics with a point each, below a resource with many attributes.
fn metrics_below_keys(bytes: usize) -> Vec<u8> {
    request(
        |resource| keys_of_resource(resource, bytes / 28),
        |scope| {
            for number in 0..bytes / 60 {
                scope.message(2, |metric| {
                    metric.string(1, &format!("m{number}"));
                    metric.message(5, |gauge| {
                        gauge.message(1, |point| {
                            point.fixed64(3, 1_790_000_000_000_000_000);
                            point.always_double(4, 1.5);
                        });
                    });
                });
            }
        },
    )
}

/// Spans below a large resource, half of them with a key of their own.
fn new_keys_below_a_resource(bytes: usize) -> Vec<u8> {
    request(
        |resource| resource.text_attribute(1, "x", &"x".repeat(bytes / 2)),
        |scope| {
            for number in 0..bytes / 150 {
                span(scope, number, |span| {
                    if number % 3 == 0 {
                        span.text_attribute(9, &format!("k{number}"), "x");
                    }
                });
            }
        },
    )
}

fn gauge_of_key_sets(bytes: usize) -> Vec<u8> {
    request(
        |_| {},
        |scope| {
            scope.message(2, |metric| {
                metric.string(1, "m");
                metric.message(5, |gauge| {
                    for number in 0..bytes / 36 {
                        gauge.message(1, |point| {
                            point.fixed64(3, 1_790_000_000_000_000_000);
                            point.always_double(4, 1.5);
                            point.text_attribute(7, &format!("k{number}"), "x");
                        });
                    }
                });
            });
        },
    )
}

/// Exponential histograms with few buckets, each of which becomes 60.
fn exponential_histograms(bytes: usize) -> Vec<u8> {
    request(
        |_| {},
        |scope| {
            scope.message(2, |metric| {
                metric.string(1, "m");
                metric.message(10, |histogram| {
                    histogram.varint(2, 1);
                    for _ in 0..bytes / 40 {
                        histogram.message(1, |point| {
                            point.fixed64(3, 1_790_000_000_000_000_000);
                            point.fixed64(4, 1);
                            point.always_double(5, 1.5);
                            point.message(8, |buckets| buckets.packed_varint(2, [1].into_iter()));
                        });
                    }
                });
            });
        },
    )
}

/// A line cut into pieces of this many bytes, one a log event, without its end.
fn pieces(bytes: usize, piece: usize) -> String {
    let begin = r#"{"__otel_otlp_stdout":"0.1.0","source":"x","payload":""#;
    let whole = format!("{begin}{}", "A".repeat(bytes.saturating_sub(begin.len())));
    let chunks = whole.as_bytes().chunks(piece).map(String::from_utf8_lossy);
    chunks.collect::<Vec<_>>().join("\n")
}

use SignalKind::{Logs, Metrics, Traces};

pub(super) const LINES: &[Family] = &[
    text("OTLP: markers in text", ["x ", "__otel_otlp_stdout ", ""]),
    text("OTLP: open lines", ["", r#"{"__otel_otlp_stdout":"#, ""]),
    text("OTLP: lines without a payload", ["", r#"{"__otel_otlp_stdout":"1"} "#, ""]),
    text("OTLP: lines between text", ["x ", r#"{"__otel_otlp_stdout":"1"} x "#, ""]),
    text("OTLP: markers behind blanks", ["{", "\"_otel\"   ", ""]),
    text("OTLP: names of signals", [r#"{"a":"#, "resourceSpans scopeLogs ", ""]),
    text("OTLP: open requests", ["", r#"{"resourceSpans":["#, ""]),
    text("OTLP: requests without items", ["", r#"{"resourceSpans":[]} "#, ""]),
    text("OTLP: headers", [r#"{"__otel_otlp_stdout":"1","x":""#, r#"headers\":"#, r#""}"#]),
    text(
        "OTLP: names of headers",
        [r#"{"__otel_otlp_stdout":"1","#, r#""headers":{"a":"b"},"#, r#""payload":"x"}"#],
    ),
    text(
        "OTLP: backslashes behind headers",
        [r#"{"__otel_otlp_stdout":"1","headers"#, r"\", r#"":"x"}"#],
    ),
    text("OTLP: broken base64", [r#"{"__otel_otlp_stdout":"1","payload":""#, "AAA=", r#""}"#]),
    text(
        "OTLP: base64 for URLs",
        [r#"{"__otel_otlp_stdout":"1","payload":""#, "CgAK_-", r#"CgA"}"#],
    ),
    text(
        "OTLP: base64 with line ends",
        [r#"{"__otel_otlp_stdout":"1","payload":""#, r"CgAK\n", r#""}"#],
    ),
    text("OTLP: records around lines", ["", r#"{"message":{"__otel_otlp_stdout":"1"}} "#, ""]),
    Family::new(
        "OTLP: records in records",
        LogEvent,
        Nested {
            begin: "",
            open: r#"{"message":"#,
            centre: r#"{"__otel_otlp_stdout":"1"}"#,
            close: "}",
            end: "",
        },
    ),
    Family::new(
        "OTLP/JSON line: values in values",
        LogEvent,
        Nested {
            begin: r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":"#,
            open: r#"{"arrayValue":{"values":["#,
            centre: "{}",
            close: "]}}",
            end: "}]}]}]}",
        },
    ),
    text(
        "OTLP/JSON line: attributes",
        [
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"69203c0b0d1a4f4e7c1b2a3948576a61","spanId":"a1b2c3d4e5f60001","attributes":["#,
            r#"{"key":"k","value":{"intValue":"1"}},"#,
            r#"{"key":"x"}]}]}]}]}"#,
        ],
    ),
    text("OTLP: open line with the older marker", [r#"{"_otel":""#, "A", ""]),
    text("OTLP: text below the older marker", [r#"{"_otel":""#, "A", r#""}"#]),
    text("compact: open line", [r#"{"_otelc":""#, "A", ""]),
    text("compact: no content", [r#"{"_otelc":""#, "A", r#""}"#]),
    Family::new("pieces of a line at Lambda's cut", LogEvents, Made(|bytes| pieces(bytes, 65_536))),
    Family::new("pieces of a line at another cut", LogEvents, Made(|bytes| pieces(bytes, 1_024))),
    made("OTLP: arrays in arrays", |bytes| line(Logs, &nested_values(bytes, 25, false))),
    made("OTLP: maps in maps", |bytes| line(Logs, &nested_values(bytes, 15, true))),
    made("OTLP: maps in maps, too deep", |bytes| line(Logs, &nested_values(bytes, 400, true))),
    made("OTLP: many links", |bytes| {
        line(
            Traces,
            &span_of(bytes, 30, |span, _| {
                span.message(13, |link| {
                    link.bytes(1, &[1; 16]);
                    link.bytes(2, &[1; 8]);
                });
            }),
        )
    }),
    made("OTLP: many attributes", |bytes| {
        line(
            Traces,
            &span_of(bytes, 16, |span, number| span.text_attribute(9, &format!("k{number}"), "x")),
        )
    }),
    made("OTLP: attributes of one key", |bytes| {
        line(Traces, &span_of(bytes, 12, |span, _| span.text_attribute(9, "k", "x")))
    }),
    made("OTLP: attributes of one column", |bytes| {
        line(
            Traces,
            &span_of(bytes, 18, |span, number| {
                span.text_attribute(9, if number % 2 == 0 { "a.b" } else { "A_B" }, "x");
            }),
        )
    }),
    made("OTLP: many reserved keys", |bytes| {
        line(Traces, &span_of(bytes, 22, |span, _| span.text_attribute(9, "service.name", "x")))
    }),
    made("OTLP: many events", |bytes| {
        line(
            Traces,
            &span_of(bytes, 24, |span, _| {
                span.message(11, |event| {
                    event.string(2, "x");
                    event.text_attribute(3, "name", "x");
                });
            }),
        )
    }),
    made("OTLP: a renamed key beside renamed names", |bytes| {
        line(Logs, &renamed_beside_names(bytes))
    }),
    made("OTLP: renamed keys below renamed names", |bytes| line(Logs, &renamed_below_names(bytes))),
    made("OTLP: records below a long key", |bytes| line(Logs, &below_a_long_key(bytes, "k", "kk"))),
    made("OTLP: records below a long key beyond ASCII", |bytes| {
        line(Logs, &below_a_long_key(bytes, "é", "é"))
    }),
    made("OTLP: many keys of a resource", |bytes| {
        line(
            Logs,
            &request(
                |resource| keys_of_resource(resource, bytes / 16),
                |scope| record(scope, |_| {}),
            ),
        )
    }),
    made("OTLP: metrics below many keys", |bytes| line(Metrics, &metrics_below_keys(bytes))).cut(),
    made("OTLP: new keys below a large resource", |bytes| {
        line(Traces, &new_keys_below_a_resource(bytes))
    })
    .cut(),
    made("OTLP: a gauge of many key sets", |bytes| line(Metrics, &gauge_of_key_sets(bytes))),
    made("OTLP: exponential histograms", |bytes| line(Metrics, &exponential_histograms(bytes))),
    made("OTLP: records, a line each", |bytes| {
        let one = line(Logs, &request(|_| {}, |scope| record(scope, |_| {})));
        std::iter::repeat_n(one.as_str(), bytes / one.len() + 1).collect::<Vec<_>>().join(" ")
    })
    .cut(),
    made("compact: many links", |bytes| {
        compact(
            Traces,
            &span_of(bytes, 30, |span, _| {
                span.message(13, |link| {
                    link.bytes(1, &[1; 16]);
                    link.bytes(2, &[1; 8]);
                });
            }),
        )
    }),
    made("compact: maps in maps", |bytes| compact(Logs, &nested_values(bytes, 15, true))),
    made("compact: many attributes", |bytes| {
        compact(
            Traces,
            &span_of(bytes, 16, |span, number| span.text_attribute(9, &format!("k{number}"), "x")),
        )
    }),
    made("compact: similar spans", |bytes| {
        compact(
            Traces,
            &request(
                |_| {},
                |scope| (0..bytes / 50).for_each(|number| span(scope, number, |_| {})),
            ),
        )
    }),
    made("compact: cut off", |bytes| {
        let whole = compact(Logs, &nested_values(bytes, 15, true));
        whole.get(..whole.len() / 2).unwrap_or_default().to_owned() + "\"}"
    }),
];
