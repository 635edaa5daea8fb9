//! Messages of log events that need much memory, and rules that make their records larger.

use crate::support::line_of;
use wire::protobuf::Writer;

pub(super) fn short_lines(before: &str, after: &str) -> Vec<String> {
    (0..55_000).map(|n| format!("{before}{n}{after}")).collect()
}

/// A JSON array of this number of short objects.
pub(super) fn objects(number: usize) -> String {
    format!("[{}0]", "{\"\":0},".repeat(number))
}

pub(super) fn undecodable_line(payload: &str) -> String {
    format!(r#"{{"__otel_otlp_stdout":"a","payload":"{payload}"}} "#)
}

/// Log events of 250 kB, 4 MB together, full of undecodable lines with this payload.
pub(super) fn undecodable(payload: &str) -> Vec<String> {
    let line = undecodable_line(payload);
    with_neighbours(16, &line.repeat(250_000 / line.len()))
}

pub(super) fn with_a_wrong_checksum() -> String {
    use base64::Engine as _;
    let mut gzip = wire::gzip::compress(6, b"x");
    let checksum = gzip.len() - 8;
    gzip[checksum] ^= 1;
    base64::engine::general_purpose::STANDARD.encode(gzip)
}

pub(super) fn span_line(value: &str) -> String {
    format!(
        r#"{{"traceId":"69203c0b0d1a4f4e7c1b2a3948576a61","spanId":"a1b2c3d4e5f60001","name":"x","startTimeUnixNano":1789999990000000000,"endTimeUnixNano":1789999990480000000,"attributes":{{"x":{value}}}}}"#
    )
}

/// An execution with many errors, as much as waits for other events, and whole ones of three events.
pub(super) fn express_executions() -> Vec<String> {
    let line = |execution: &str, id: usize, kind: &str, details: &str| {
        format!(
            r#"{{"id":"{id}","type":"{kind}","details":{{{details}}},"previous_event_id":"{}","event_timestamp":"1790000000000","execution_arn":"arn:aws:states:eu-west-1:123456789012:express:orders:{execution}:x"}}"#,
            id - 1,
        )
    };
    let name = "x".repeat(80);
    let failure = format!(r#""error":"E","cause":"{}""#, "x".repeat(16_000));
    let failing = (1..=1_000).map(|id| match id {
        1 => line("f", id, "TaskStateEntered", r#""name":"pay""#),
        1_000 => line("f", id, "ExecutionFailed", &failure),
        _ if id % 2 == 0 => line("f", id, "LambdaFunctionScheduled", ""),
        _ => line("f", id, "LambdaFunctionFailed", &failure),
    });
    let whole = (0..30_000).flat_map(|n| {
        [
            line(&n.to_string(), 1, "ExecutionStarted", ""),
            line(&n.to_string(), 2, "FailStateEntered", &format!(r#""name":"{name}""#)),
            line(&n.to_string(), 3, "ExecutionFailed", r#""error":"E","cause":"C""#),
        ]
    });
    failing.chain(whole).collect()
}

/// The last line adds an attribute to all records.
pub(super) fn execution_after_short_lines() -> Vec<String> {
    const ID: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
    let name = "x".repeat(400);
    let arn = format!("arn:aws:lambda:x:123456789012:function:orders:1/durable-execution/{name}/y");
    let logged = format!(r#"{{"requestId":"{ID}","durableExecutionArn":"{arn}","message":"x"}}"#);
    let start = format!("START RequestId: {ID} Version: 1");
    let printed = short_lines("line ", "");
    std::iter::once(start).chain(printed).chain([logged]).collect()
}

pub(super) fn with_neighbours(lines: usize, line: &str) -> Vec<String> {
    let neighbours = (0..1000).map(|n| format!("neighbour {n}"));
    std::iter::repeat_n(line.to_owned(), lines).chain(neighbours).collect()
}

/// A line of one metric.
fn line_of_metric(write: impl FnOnce(&mut Writer<'_>)) -> String {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| {
        container.message(2, |scope| scope.message(2, write));
    });
    line_of(&bytes, "metrics")
}

/// A line of one gauge with a long description. Each point has another key.
pub(super) fn gauge_of_many_key_sets() -> String {
    line_of_metric(|metric| {
        metric.string(1, "m");
        metric.string(2, &"d".repeat(200_000));
        metric.message(5, |gauge| {
            for number in 0..3_000 {
                gauge.message(1, |point| {
                    point.fixed64(3, 1_790_000_000_000_000_000);
                    point.always_double(4, 1.0);
                    point.message(7, |attribute| attribute.string(1, &format!("k{number}")));
                });
            }
        });
    })
}

/// A line whose resource contradicts the log stream half a million times.
pub(super) fn resource_that_contradicts() -> String {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| {
        container.message(1, |resource| {
            for _ in 0..480_000 {
                resource.message(1, |attribute| attribute.string(1, "aws.log.stream.names"));
            }
        });
        container.message(2, |scope| {
            for _ in 0..100 {
                scope.message(2, |span| {
                    span.bytes(1, &[1; 16]);
                    span.bytes(2, &[1; 8]);
                });
            }
        });
    });
    line_of(&bytes, "traces")
}

/// A line of half a million containers, only one with a record.
pub(super) fn empty_containers() -> String {
    let mut bytes = [0x0a, 0].repeat(490_000);
    Writer::new(&mut bytes).message(1, |container| {
        container.message(2, |scope| {
            scope.message(2, |record| record.fixed64(1, 1_790_000_000_000_000_000));
        });
    });
    line_of(&bytes, "logs")
}

pub(super) fn histograms(points: usize) -> String {
    line_of_metric(|metric| {
        metric.string(1, "latency");
        metric.message(10, |histogram| {
            for _ in 0..points {
                histogram.message(1, |point| {
                    point.fixed64(3, 1_790_000_000_000_000_000);
                    point.always_fixed64(4, 1);
                    point.sint32(6, 20);
                });
            }
        });
    })
}

pub(super) fn buckets(buckets: usize) -> String {
    line_of_metric(|metric| {
        metric.string(1, "latency");
        metric.message(10, |histogram| {
            histogram.message(1, |point| {
                point.fixed64(3, 1_790_000_000_000_000_000);
                point.message(8, |positive| {
                    positive.packed_varint(2, vec![1; buckets].into_iter());
                });
            });
        });
    })
}

pub(super) fn sets(rules: usize) -> String {
    let text = "x".repeat(200);
    let rule = |n| format!("[[rule]]\nname = \"r{n}\"\nset = {{ \"key{n}\" = \"{text}\" }}\n");
    (0..rules).map(rule).collect::<Vec<_>>().concat()
}

/// A rule about whole traces.
pub(super) fn failed_traces() -> String {
    "[[rule]]\nname = \"failed\"\nmatch.trace.failed = true\nkeep = true\n".to_owned()
}

/// An OTLP line of spans, each of its own trace and invocation.
pub(super) fn line_of_traces(traces: u32) -> String {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| {
        container.message(2, |scope| {
            for trace in 1..=traces {
                let id = format!("8f507cfc-c7a1-4d2e-8c3b-0d4b{trace:08x}");
                scope.message(2, |span| {
                    span.always_bytes(1, &u128::from(trace).to_be_bytes());
                    span.always_bytes(2, &u64::from(trace).to_be_bytes());
                    span.message(9, |attribute| {
                        attribute.always_string(1, "faas.invocation_id");
                        attribute.message(2, |value| value.always_string(1, &id));
                    });
                });
            }
        });
    });
    line_of(&bytes, "traces")
}

pub(super) fn routes() -> String {
    let names: Vec<String> = (0..15).map(|n| format!("d{n}")).collect();
    let destinations = names.iter().map(|name| {
        format!("[destination.{name}]\nendpoint = \"http://127.0.0.1:9/api/{name}\"\n")
    });
    let to = names.iter().map(|name| format!("\"{name}\", ")).collect::<Vec<_>>().concat();
    destinations
        .chain([format!("[[route]]\nlog_group = \"*\"\nto = [{to}\"default\"]\n")])
        .collect()
}

pub(super) fn redacts() -> String {
    let with = "[redacted because it may be somebody's own, see the handbook of this company]";
    format!(
        "[[rule]]\nname = \"x\"\n[rule.redact]\nwith = \"{with}\"\n[rule.redact.patterns]\nx = \"x\"\n"
    )
}

/// Log events of 255 kB, after a START line whose request id and tenant each record repeats.
pub(super) fn empty_objects_of_a_tenant() -> String {
    let start = format!(
        "START RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 Version: 1 TenantId: {}",
        "t".repeat(250)
    );
    let messages = with_neighbours(16, &"{}\n".repeat(85_000));
    super::events::lines(&[vec![start], messages].concat())
}

/// A line with this number of keys.
pub(super) fn object_of_keys(keys: usize) -> String {
    let keys = (0..keys).map(|n| format!("\"key{n}\":{n},")).collect::<String>();
    format!("{{{keys}\"x\":0}}\n")
}

/// Reports of crashes with very many frames, of several runtimes.
pub(super) fn crash_texts() -> Vec<String> {
    let texts = [
        ("java.lang.IllegalStateException: no stock\n", "\tat a.B.c(D.java:1)\n"),
        ("Error: no stock\n", "    at f (/var/task/index.js:1:1)\n"),
        (
            "Traceback (most recent call last):\n",
            "  File \"/var/task/a.py\", line 1, in f\n    g()\n",
        ),
        ("panic: no stock\n\ngoroutine 1 [running]:\n", "main.f(0x1)\n\t/src/main.go:1 +0x1\n"),
        ("thread 'main' panicked at src/main.rs:1:1:\nno stock\nstack backtrace:\n", "   0: f\n"),
    ];
    let text = |(head, frame): (&str, &str)| {
        format!("{head}{}", frame.repeat((250_000 - head.len()) / frame.len()))
    };
    let texts = texts.map(text);
    let neighbours = (0..1000).map(|n| format!("neighbour {n}"));
    texts.iter().cycle().take(10).cloned().chain(neighbours).collect()
}

/// Lines in the embedded metric format, with names and dimensions of their own.
pub(super) fn embedded_metrics(count: usize, metrics: usize, text_bytes: usize) -> Vec<String> {
    let text = "x".repeat(text_bytes);
    let line = |line: usize| {
        let names = (0..metrics).map(|n| format!(r#"{{"Name":"m{line}n{n}","Unit":"Seconds"}}"#));
        let values = (0..metrics).map(|n| format!(r#","m{line}n{n}":[1,2,3]"#));
        let dimensions = (0..30).map(|n| format!("\"d{n}\""));
        let places = (0..30).map(|n| format!(r#","d{n}":"{text}{n}""#));
        format!(
            r#"{{"_aws":{{"Timestamp":1790000000000,"CloudWatchMetrics":[{{"Namespace":"n","Dimensions":[[{}]],"Metrics":[{}]}}]}}{}{}}}"#,
            dimensions.collect::<Vec<_>>().join(","),
            names.collect::<Vec<_>>().join(","),
            values.collect::<String>(),
            places.collect::<String>(),
        )
    };
    (0..count).map(line).chain((0..1000).map(|n| format!("neighbour {n}"))).collect()
}

/// START and REPORT lines of very many invocations, each with a tenant.
pub(super) fn reports() -> Vec<String> {
    let tenant = "t".repeat(200);
    let of = |n: usize| {
        let id = format!("8f507cfc-c7a1-4d2e-8c3b-{n:012}");
        [
            format!("START RequestId: {id} Version: 1 TenantId: {tenant}"),
            format!(
                "REPORT RequestId: {id}\tDuration: 1.00 ms\tBilled Duration: 1 ms\tMemory Size: 128 MB\tMax Memory Used: 1 MB\tTenantId: {tenant}"
            ),
        ]
    };
    (0..40_000).flat_map(of).collect()
}

/// A delivery with one log event, of this text as JSON.
pub(super) fn one_log_event(escaped: &str) -> String {
    let head = super::events::HEAD;
    format!(r#"{head}"logEvents":[{{"id":"1","timestamp":1790000000000,"message":"{escaped}"}}]}}"#)
}

/// The frame that the Kinesis Producer Library puts around records.
pub(super) fn aggregated(content: &[u8]) -> Vec<u8> {
    use md5::Digest as _;
    let sum = md5::Md5::digest(content);
    [&[0xf3, 0x89, 0x9a, 0xc2], content, sum.as_slice()].concat()
}

/// Text that does not compress.
pub(super) fn noise(bytes: usize) -> String {
    let mut state = 1_u64;
    let letter = |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + u8::try_from(state >> 58).unwrap())
    };
    (0..bytes).map(letter).collect()
}
