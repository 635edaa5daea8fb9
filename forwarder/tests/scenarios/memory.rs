//! Peak memory for an event, measured in a separate process for each case.
//!
//! Lambda kills a function of 128 MB that needs more, and the event comes back and kills it again.

use crate::hostile_lines::bombs::line_of_records;
use crate::not_taken::{Stack, destination};
use crate::support::{Backend, default_options, gzip_base64, line_of, payload, takes};
use lambda_otlp_forwarder::{Event, RuleSet};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use wire::protobuf::Writer;
use wire::{Request, SignalKind};

const MOST_MIB: usize = 128;

/// A name, the rules, the minimum of log records that arrive, and the messages: 1,000 ordinary log events beside the large ones.
struct Case(&'static str, fn() -> String, usize, fn() -> Vec<String>);

const NONE: fn() -> String = String::new;

const CASES: &[Case] = &[
    Case("gauge_of_many_key_sets", NONE, 1000, || with_neighbours(1, &gauge_of_many_key_sets())),
    Case("contradictions", NONE, 1000, || with_neighbours(1, &resource_that_contradicts())),
    Case("empty_containers", NONE, 1000, || with_neighbours(1, &empty_containers())),
    Case("three_histograms", NONE, 1000, || with_neighbours(3, &histograms(30_000))),
    Case("twenty_histograms", NONE, 1000, || with_neighbours(20, &histograms(30_000))),
    Case("many_buckets", NONE, 1000, || with_neighbours(6, &buckets(7 << 20))),
    Case("set_rules", || sets(10), 1000, || with_neighbours(1, &line_of_records(49_000, 0))),
    Case("set_rules_20", || sets(10), 1000, || with_neighbours(20, &line_of_records(49_000, 2))),
    Case("twenty_rules_over_short_lines", || sets(20), 55_000, || short_lines("line ", "")),
    Case("a_large_record_on_sixteen_routes", routes, 16 * 1001, || {
        with_neighbours(1, &line_of_records(1, 15 << 20))
    }),
    Case("many_records_on_sixteen_routes", routes, 16 * 41_000, || {
        with_neighbours(4, &line_of_records(10_000, 1_500))
    }),
    Case("redacted_digits", redacts, 1001, || with_neighbours(1, &line_of_records(1, 15 << 20))),
    Case("redacted_short_lines", redacts, 55_000, || short_lines("x", "xxxxx")),
    Case("an_execution_after_short_lines", NONE, 55_001, execution_after_short_lines),
    Case("an_execution_before_short_lines", NONE, 55_001, || {
        let mut messages = execution_after_short_lines();
        // After START.
        let logged = messages.pop().unwrap_or_default();
        messages.insert(1, logged);
        messages
    }),
    Case("records_of_objects", NONE, 1040, || {
        with_neighbours(40, &format!(r#"{{"x":{}}}"#, objects(140_000)))
    }),
    Case("truncated_gzip", NONE, 1000 + 16 * 101, || undecodable("H4sI")),
    Case("wrong_checksums", NONE, 1000 + 16 * 101, || undecodable(&with_a_wrong_checksum())),
    Case("empty_payloads", NONE, 1000 + 16 * 101, || undecodable("")),
    Case("payloads_that_are_not_gzip", NONE, 1000 + 16 * 101, || undecodable("bm90IGd6aXA=")),
    Case("escaped_lines_with_truncated_gzip", NONE, 1000 + 16 * 101, || {
        let escape = |text| serde_json::json!({ "message": text }).to_string();
        undecodable("H4sI").into_iter().map(escape).collect()
    }),
    Case("log_events_with_truncated_gzip", NONE, 61_000, || {
        with_neighbours(60_000, &undecodable_line("H4sI"))
    }),
    Case("log_events_with_a_wrong_checksum", NONE, 61_000, || {
        with_neighbours(60_000, &undecodable_line(&with_a_wrong_checksum()))
    }),
];

/// Those of the log group of X-Ray's spans.
const SPANS: &[Case] = &[
    Case("short_objects", NONE, 1000, || with_neighbours(10, &span_line(&objects(35_000)))),
    Case("arrays", NONE, 1000, || {
        with_neighbours(40, &span_line(&format!("[{}0]", "0,".repeat(500_000))))
    }),
    Case("objects", || sets(10), 1000, || with_neighbours(40, &span_line(&objects(140_000)))),
];

fn short_lines(before: &str, after: &str) -> Vec<String> {
    (0..55_000).map(|n| format!("{before}{n}{after}")).collect()
}

/// A JSON array of this number of short objects.
fn objects(number: usize) -> String {
    format!("[{}0]", "{\"\":0},".repeat(number))
}

fn undecodable_line(payload: &str) -> String {
    format!(r#"{{"__otel_otlp_stdout":"a","payload":"{payload}"}} "#)
}

/// Log events of 250 kB, 4 MB together, full of undecodable lines with this payload.
fn undecodable(payload: &str) -> Vec<String> {
    let line = undecodable_line(payload);
    with_neighbours(16, &line.repeat(250_000 / line.len()))
}

fn with_a_wrong_checksum() -> String {
    use base64::Engine as _;
    let mut gzip = wire::gzip::compress(6, b"x");
    let checksum = gzip.len() - 8;
    gzip[checksum] ^= 1;
    base64::engine::general_purpose::STANDARD.encode(gzip)
}

fn span_line(value: &str) -> String {
    format!(
        r#"{{"traceId":"69203c0b0d1a4f4e7c1b2a3948576a61","spanId":"a1b2c3d4e5f60001","name":"x","startTimeUnixNano":1789999990000000000,"endTimeUnixNano":1789999990480000000,"attributes":{{"x":{value}}}}}"#
    )
}

/// The last line adds an attribute to all records.
fn execution_after_short_lines() -> Vec<String> {
    const ID: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
    let name = "x".repeat(400);
    let arn = format!("arn:aws:lambda:x:123456789012:function:orders:1/durable-execution/{name}/y");
    let logged = format!(r#"{{"requestId":"{ID}","durableExecutionArn":"{arn}","message":"x"}}"#);
    let start = format!("START RequestId: {ID} Version: 1");
    let printed = short_lines("line ", "");
    std::iter::once(start).chain(printed).chain([logged]).collect()
}

fn with_neighbours(lines: usize, line: &str) -> Vec<String> {
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
fn gauge_of_many_key_sets() -> String {
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
fn resource_that_contradicts() -> String {
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
fn empty_containers() -> String {
    let mut bytes = [0x0a, 0].repeat(490_000);
    Writer::new(&mut bytes).message(1, |container| {
        container.message(2, |scope| {
            scope.message(2, |record| record.fixed64(1, 1_790_000_000_000_000_000));
        });
    });
    line_of(&bytes, "logs")
}

fn histograms(points: usize) -> String {
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

fn buckets(buckets: usize) -> String {
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

fn sets(rules: usize) -> String {
    let text = "x".repeat(200);
    let rule = |n| format!("[[rule]]\nname = \"r{n}\"\nset = {{ \"key{n}\" = \"{text}\" }}\n");
    (0..rules).map(rule).collect::<Vec<_>>().concat()
}

fn routes() -> String {
    let names: Vec<String> = (0..15).map(|n| format!("d{n}")).collect();
    let destinations = names.iter().map(|name| {
        format!("[destination.{name}]\nendpoint = \"http://127.0.0.1:9/api/{name}\"\n")
    });
    let to = names.iter().map(|name| format!("\"{name}\", ")).collect::<Vec<_>>().concat();
    destinations
        .chain([format!("[[route]]\nlog_group = \"*\"\nto = [{to}\"default\"]\n")])
        .collect()
}

fn redacts() -> String {
    let with = "[redacted because it may be somebody's own, see the handbook of this company]";
    format!(
        "[[rule]]\nname = \"x\"\n[rule.redact]\nwith = \"{with}\"\n[rule.redact.patterns]\nx = \"x\"\n"
    )
}

const EVENT: &str = "LAMBDA_OTLP_TEST_EVENT";
const RULES: &str = "LAMBDA_OTLP_TEST_RULES";

/// The measured process: forwards one event and prints its peak memory.
#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "tells this process what it is run for")]
async fn process_of_one_event() {
    let (Ok(event), Ok(rules)) = (std::env::var(EVENT), std::env::var(RULES)) else { return };
    let event = std::io::BufReader::new(std::fs::File::open(event).unwrap());
    let event: Event = serde_json::from_reader(event).unwrap();
    let records = AtomicUsize::new(0);
    let counts = |request: &Request| {
        let is_logs = request.kind() == SignalKind::Logs;
        records.fetch_add(if is_logs { request.items() } else { 0 }, Ordering::Relaxed);
        takes(request)
    };
    let names = std::iter::once("default".to_owned()).chain((0..15).map(|n| format!("d{n}")));
    let destinations = names.map(|name| Arc::new(destination(&name, Backend(&counts))));
    let mut stack = Stack::with(Vec::new(), default_options());
    let rules = Arc::new(RuleSet::parse(&rules).unwrap());
    stack.forwarder.set_rules(rules, destinations.collect());
    assert_eq!(stack.forward(event).await.ledger().lost(), 0);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("peak {} {}", peak.trim(), records.load(Ordering::Relaxed));
}

#[test]
fn peak_memory_of_any_event_fits_the_smallest_function() {
    let cases = CASES.iter().map(|case| ("/aws/lambda/orders", case));
    let cases = cases.chain(SPANS.iter().map(|case| ("aws/spans", case)));
    let (cases, too_large) = (Mutex::new(cases), Mutex::new(Vec::new()));
    let next = || cases.lock().unwrap().next();
    let measure = || {
        while let Some((log_group, case)) = next() {
            let (mib, records) = peak(log_group, case);
            let measured = format!("{}: {mib} MiB, {records} log records", case.0);
            println!("{measured}");
            if mib >= MOST_MIB || records < case.2 {
                too_large.lock().unwrap().push(measured);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(measure);
        scope.spawn(measure);
    });
    let too_large = too_large.into_inner().unwrap();
    assert!(too_large.is_empty(), "{too_large:?}");
}

/// Returns the peak memory of a process with this event, in MiB, and the log records that arrived.
fn peak(log_group: &str, Case(name, rules, _, messages): &Case) -> (usize, usize) {
    let messages = messages();
    let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("memory-{name}.json"));
    let event = incoming_json(log_group, &messages);
    assert!(event.len() < 6 << 20, "{name}: Lambda delivers no event of {} bytes", event.len());
    std::fs::write(&path, event).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["memory::process_of_one_event", "--exact", "--nocapture"])
        .env(EVENT, &path)
        .env(RULES, rules())
        .output()
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let Some((_, peak)) = text.lines().find_map(|line| line.split_once("peak ")) else {
        panic!("{name}: {text}\n{}", String::from_utf8_lossy(&output.stderr))
    };
    let words: Vec<usize> = peak.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    (words[0] / 1024, words[1])
}

fn incoming_json(log_group: &str, messages: &[&str]) -> String {
    let payload = payload(log_group, messages);
    // CloudWatch's order of fields: log events after the log group are read in chunks.
    let members =
        ["messageType", "owner", "logGroup", "logStream", "subscriptionFilters", "logEvents"]
            .map(|key| format!("\"{key}\":{}", payload[key]));
    let data = gzip_base64(&format!("{{{}}}", members.join(",")));
    serde_json::json!({"awslogs": {"data": data}}).to_string()
}
