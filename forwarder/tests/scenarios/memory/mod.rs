//! Peak memory for an event, measured in a separate process for each case.
//!
//! Lambda kills a function of 128 MB that needs more, and the event comes back and kills it again.

mod events;
mod messages;

use crate::hostile_lines::bombs::{line_of_attributes, line_of_records};
use crate::not_taken::destination;
use crate::support::{config, default_options, invocation};
use backend::{Client, HttpRequest, HttpResponse, Transport, TransportError};
use bytes::Bytes;
use events::{
    HEAD, MAX_BYTES, delivery, first_message, kinesis_bytes, kinesis_gzip, lines, machine_lines,
    redriven, spans,
};
use http::HeaderMap;
use lambda_otlp_forwarder::{
    Content, Event, Forwarder, LogBatch, LogEvent, Message, Origin, Queue, QueueError, Queues,
    RuleSet, keep_freed_memory,
};
use messages::{
    aggregated, buckets, crash_texts, embedded_metrics, empty_containers,
    empty_objects_of_a_tenant, execution_after_short_lines, express_executions, failed_traces,
    gauge_of_many_key_sets, histograms, line_of_traces, noise, object_of_keys, objects,
    one_log_event, redacts, reports, resource_that_contradicts, routes, sets, short_lines,
    span_line, undecodable, undecodable_line, with_a_wrong_checksum, with_neighbours,
};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use settings::Source as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use wire::Request;

/// The rest of 128 MB is left to the kernel and Lambda's own processes.
const MAX_MIB: usize = 100;

struct MemoryCase {
    name: &'static str,
    /// The minimum of log records of all destinations.
    least_records: usize,
    event: fn() -> String,
    rules: fn() -> String,
    backend: BackendAnswer,
    /// Only the long gate measures it: another case is like it, or it takes many seconds without optimization.
    is_long: bool,
}

/// What a backend does with every request.
#[derive(Clone, Copy)]
enum BackendAnswer {
    Status(u16),
    Never,
}

impl MemoryCase {
    const fn new(name: &'static str, least_records: usize, event: fn() -> String) -> Self {
        let backend = BackendAnswer::Status(200);
        Self { name, least_records, event, rules: String::new, backend, is_long: false }
    }

    const fn with_rules(self, rules: fn() -> String) -> Self {
        Self { rules, ..self }
    }

    const fn at(self, backend: BackendAnswer) -> Self {
        Self { backend, ..self }
    }

    const fn long(self) -> Self {
        Self { is_long: true, ..self }
    }
}

const CASES: &[MemoryCase] = &[
    MemoryCase::new("gauge_of_many_key_sets", 1000, || {
        lines(&with_neighbours(1, &gauge_of_many_key_sets()))
    }),
    MemoryCase::new("contradictions", 1000, || {
        lines(&with_neighbours(1, &resource_that_contradicts()))
    })
    .long(),
    MemoryCase::new("empty_containers", 1000, || lines(&with_neighbours(1, &empty_containers()))),
    MemoryCase::new("three_histograms", 1000, || lines(&with_neighbours(3, &histograms(30_000))))
        .long(),
    MemoryCase::new("twenty_histograms", 1000, || lines(&with_neighbours(20, &histograms(30_000))))
        .long(),
    MemoryCase::new("many_buckets", 1000, || lines(&with_neighbours(6, &buckets(1_900_000)))),
    MemoryCase::new("express_executions", 91_000, || machine_lines(&express_executions())),
    MemoryCase::new("set_rules", 1000, || lines(&with_neighbours(1, &line_of_records(49_000, 0))))
        .with_rules(|| sets(10)),
    MemoryCase::new("set_rules_20", 1000, || {
        lines(&with_neighbours(20, &line_of_records(49_000, 2)))
    })
    .with_rules(|| sets(10))
    .long(),
    MemoryCase::new("twenty_rules_over_short_lines", 55_000, || lines(&short_lines("line ", "")))
        .with_rules(|| sets(20))
        .long(),
    MemoryCase::new("a_large_record_on_sixteen_routes", 16 * 1001, || {
        lines(&with_neighbours(1, &line_of_records(1, 15 << 20)))
    })
    .with_rules(routes),
    MemoryCase::new("a_record_of_many_attributes", 1001, || {
        lines(&with_neighbours(1, &line_of_attributes(245_000)))
    }),
    MemoryCase::new("many_records_on_sixteen_routes", 16 * 41_000, || {
        lines(&with_neighbours(4, &line_of_records(10_000, 1_500)))
    })
    .with_rules(routes)
    .long(),
    MemoryCase::new("a_rule_about_many_traces", 1000, || {
        lines(&with_neighbours(1, &line_of_traces(50_000)))
    })
    .with_rules(failed_traces),
    MemoryCase::new("redacted_digits", 1001, || {
        lines(&with_neighbours(1, &line_of_records(1, 15 << 20)))
    })
    .with_rules(redacts)
    .long(),
    MemoryCase::new("redacted_short_lines", 55_000, || lines(&short_lines("x", "xxxxx")))
        .with_rules(redacts),
    MemoryCase::new("an_execution_after_short_lines", 55_001, || {
        lines(&execution_after_short_lines())
    }),
    MemoryCase::new("an_execution_before_short_lines", 55_001, || {
        let mut messages = execution_after_short_lines();
        // After START.
        let logged = messages.pop().unwrap_or_default();
        messages.insert(1, logged);
        lines(&messages)
    })
    .long(),
    MemoryCase::new("records_of_objects", 1040, || {
        lines(&with_neighbours(40, &format!(r#"{{"x":{}}}"#, objects(140_000))))
    })
    .long(),
    MemoryCase::new("truncated_gzip", 1000 + 16 * 101, || lines(&undecodable("H4sI"))),
    MemoryCase::new("wrong_checksums", 1000 + 16 * 101, || {
        lines(&undecodable(&with_a_wrong_checksum()))
    }),
    MemoryCase::new("empty_payloads", 1000 + 16 * 101, || lines(&undecodable(""))).long(),
    MemoryCase::new("payloads_that_are_not_gzip", 1000 + 16 * 101, || {
        lines(&undecodable("bm90IGd6aXA="))
    })
    .long(),
    MemoryCase::new("escaped_lines_with_truncated_gzip", 1000 + 16 * 101, || {
        let escape = |text| serde_json::json!({ "message": text }).to_string();
        lines(&undecodable("H4sI").into_iter().map(escape).collect::<Vec<_>>())
    })
    .long(),
    MemoryCase::new("log_events_with_truncated_gzip", 61_000, || {
        lines(&with_neighbours(60_000, &undecodable_line("H4sI")))
    })
    .long(),
    MemoryCase::new("log_events_with_a_wrong_checksum", 61_000, || {
        lines(&with_neighbours(60_000, &undecodable_line(&with_a_wrong_checksum())))
    })
    .long(),
    MemoryCase::new("short_objects", 1000, || {
        spans(&with_neighbours(10, &span_line(&objects(35_000))))
    })
    .long(),
    MemoryCase::new("arrays", 1000, || {
        spans(&with_neighbours(40, &span_line(&format!("[{}0]", "0,".repeat(500_000)))))
    })
    .long(),
    MemoryCase::new("objects", 1000, || spans(&with_neighbours(40, &span_line(&objects(140_000)))))
        .with_rules(|| sets(10))
        .long(),
    MemoryCase::new("empty_objects", 1016, || lines(&with_neighbours(16, &"{}\n".repeat(85_000)))),
    MemoryCase::new("empty_objects_of_a_tenant", 1016, empty_objects_of_a_tenant),
    MemoryCase::new("empty_objects_of_a_tenant_redriven", 1016, || {
        redriven(&empty_objects_of_a_tenant())
    }),
    MemoryCase::new("empty_objects_at_a_failing_backend", 1016, empty_objects_of_a_tenant)
        .at(BackendAnswer::Status(503)),
    MemoryCase::new("empty_objects_at_a_refusing_backend", 1016, empty_objects_of_a_tenant)
        .at(BackendAnswer::Status(400)),
    MemoryCase::new("empty_objects_at_a_hanging_backend", 1016, empty_objects_of_a_tenant)
        .at(BackendAnswer::Never),
    MemoryCase::new("empty_objects_on_sixteen_routes", 16 * 1016, empty_objects_of_a_tenant)
        .with_rules(routes)
        .long(),
    MemoryCase::new("empty_objects_with_set_rules", 1016, empty_objects_of_a_tenant)
        .with_rules(|| sets(20)),
    MemoryCase::new("a_megabyte_of_empty_objects", 1004, || {
        lines(&with_neighbours(4, &"{}\n".repeat(340_000)))
    }),
    MemoryCase::new("a_few_empty_objects_in_many_log_events", 1000, || {
        lines(&with_neighbours(100, &"{}\n".repeat(5_000)))
    })
    .long(),
    MemoryCase::new("short_json_lines", 1016, || {
        let line = "{\"level\":\"error\",\"msg\":\"x\",\"requestId\":\"8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11\"}\n";
        lines(&with_neighbours(16, &line.repeat(250_000 / line.len())))
    }),
    MemoryCase::new("json_lines_of_many_keys", 1016, || {
        lines(&with_neighbours(16, &object_of_keys(1000).repeat(16)))
    }),
    MemoryCase::new("texts_of_many_lines", 1016, || {
        lines(&with_neighbours(16, &"x\n".repeat(125_000)))
    })
    .long(),
    MemoryCase::new("crash_texts", 1010, || lines(&crash_texts())),
    MemoryCase::new("crash_texts_line_by_line", 1000, || {
        let messages = crash_texts();
        let each = messages.iter().flat_map(|text| text.lines().map(str::to_owned));
        lines(&each.collect::<Vec<_>>())
    })
    .long(),
    MemoryCase::new("logfmt_lines", 1016, || {
        let pairs = (0..126).map(|n| format!(" k{n}=v")).collect::<String>();
        lines(&with_neighbours(4_000, &format!("level=error msg=x{pairs}")))
    })
    .long(),
    MemoryCase::new("metrics_of_many_lines", 1000, || lines(&embedded_metrics(500, 100, 8))).long(),
    MemoryCase::new("metrics_of_long_dimensions", 1000, || {
        lines(&embedded_metrics(20, 200, 4_000))
    }),
    MemoryCase::new("json_lines_of_metrics", 8, || {
        lines(&vec![embedded_metrics(100, 20, 8)[..100].join("\n"); 8])
    })
    .long(),
    MemoryCase::new("reports", 0, || lines(&reports())).long(),
    MemoryCase::new("small_otlp_lines_in_one_log_event", 1000, || {
        lines(&with_neighbours(16, &line_of_records(1, 2).repeat(800)))
    }),
    MemoryCase::new("large_otlp_lines_in_one_log_event", 1000, || {
        lines(&with_neighbours(4, &line_of_records(1, 3_500_000).repeat(6)))
    }),
    MemoryCase::new("large_otlp_lines", 1000, || {
        lines(&with_neighbours(17, &line_of_records(1, 15 << 20)))
    })
    .long(),
    MemoryCase::new("a_large_record_on_failing_routes", 16 * 1001, || {
        lines(&with_neighbours(1, &line_of_records(1, 15 << 20)))
    })
    .with_rules(routes)
    .at(BackendAnswer::Status(503))
    .long(),
    MemoryCase::new("many_records_on_failing_routes", 16 * 41_000, || {
        lines(&with_neighbours(4, &line_of_records(10_000, 1_500)))
    })
    .with_rules(routes)
    .at(BackendAnswer::Status(503))
    .long(),
    MemoryCase::new("undecodable_lines_redriven", 1000, || {
        let event = |n: usize| LogEvent {
            id: format!("{n:056}"),
            timestamp_ms: 1_790_000_000_000,
            message: undecodable_line("H4sI"),
        };
        let events: Vec<_> = (0..60_000).map(event).collect();
        let origin = Origin::new("123456789012", "eu-west-1", "/aws/lambda/orders", "s");
        let batch = LogBatch { origin, events, ..LogBatch::default() };
        first_message(Content::Events(batch), 60_000)
    })
    .long(),
    MemoryCase::new("a_large_request_redriven", 1, || {
        let record =
            vec![LogRecord { severity_text: "x".repeat(300), ..LogRecord::default() }; 49_000];
        first_message(Content::Request(Request::of_log_records(None, record)), 49_000)
    })
    .at(BackendAnswer::Status(503)),
    MemoryCase::new("a_kinesis_message_of_60_megabytes", 1, || {
        kinesis_gzip(&[one_log_event(&"x".repeat(60_000_000))])
    }),
    MemoryCase::new("a_kinesis_message_of_objects", 1, || {
        kinesis_gzip(&[one_log_event(&"{}\\n".repeat(15_000_000))])
    }),
    MemoryCase::new("a_kinesis_message_of_escapes", 1, || {
        kinesis_gzip(&[one_log_event(&"\\u0001".repeat(10_000_000))])
    })
    .long(),
    MemoryCase::new("a_kinesis_message_of_keys", 1, || {
        let keys = (0..1000).map(|n| format!(r#"\"k{n}\":\"{}\","#, "\\\\n".repeat(10_000)));
        kinesis_gzip(&[one_log_event(&format!("{{{}\\\"x\\\":0}}", keys.collect::<String>()))])
    })
    .long(),
    MemoryCase::new("a_kinesis_message_of_elements", 1, || {
        let record = format!(r#"{{\"record\":[{}0]}}"#, "0,".repeat(1_900_000));
        kinesis_gzip(&[one_log_event(&record)])
    }),
    MemoryCase::new("kinesis_messages_without_text", 0, || {
        let events = r#"{"message":""},"#.repeat(4_000_000);
        kinesis_gzip(&[format!(r#"{HEAD}"logEvents":[{events}{{"message":"x"}}]}}"#)])
    })
    .long(),
    MemoryCase::new("kinesis_messages_without_text_or_origin", 0, || {
        let events = r#"{"message":""},"#.repeat(4_000_000);
        kinesis_gzip(&[format!(r#"{{"logEvents":[{events}{{"message":"x"}}],"logGroup":"g"}}"#)])
    })
    .long(),
    MemoryCase::new("kinesis_messages_without_origin", 0, || {
        let events = format!(r#"{{"message":"{}"}},"#, "x".repeat(1000)).repeat(60_000);
        kinesis_gzip(&[format!(r#"{{"logEvents":[{events}{{"message":"x"}}],"logGroup":"g"}}"#)])
    }),
    MemoryCase::new("kinesis_messages_of_two_accounts", 0, || {
        let of = |n| format!(r#"{{"message":"","extractedFields":{{"@aws.account":"{n}"}}}},"#);
        let events = (of(1) + &of(2)).repeat(500_000);
        kinesis_gzip(&[format!(r#"{HEAD}"logEvents":[{events}{{"message":"x"}}]}}"#)])
    })
    .long(),
    MemoryCase::new("a_kinesis_message_with_a_long_id", 0, || {
        let id = "1".repeat(1_000_000);
        let event = format!(r#"{{"id":"{id}","message":"{}"}},"#, "{}\\n".repeat(1_000));
        kinesis_gzip(&[format!(r#"{HEAD}"logEvents":[{}{{"message":"x"}}]}}"#, event.repeat(20))])
    }),
    MemoryCase::new("kinesis_fields_of_many_elements", 0, || {
        let fields = format!(r#"{{"message":"x","id":[{}0]}}"#, "0,".repeat(3_500_000));
        kinesis_gzip(&[format!(r#"{HEAD}"logEvents":[{fields}]}}"#)])
    }),
    MemoryCase::new("kinesis_fields_of_very_many_elements", 0, || {
        let fields =
            format!(r#"{{"message":"x","extractedFields":[{}0]}}"#, "0,".repeat(30_000_000));
        kinesis_gzip(&[format!(r#"{HEAD}"logEvents":[{fields}]}}"#)])
    })
    .long(),
    MemoryCase::new("a_kinesis_log_group_of_60_megabytes", 0, || {
        let group = "g".repeat(60_000_000);
        kinesis_gzip(&[format!(r#"{{"logGroup":"{group}","logEvents":[{{"message":"x"}}]}}"#)])
    })
    .long(),
    MemoryCase::new("a_kinesis_log_group_of_7_megabytes", 0, || {
        let group = "g".repeat(7_000_000);
        kinesis_gzip(&[format!(r#"{{"logGroup":"{group}","logEvents":[{{"message":"x"}}]}}"#)])
    }),
    MemoryCase::new("a_kinesis_record_of_short_lines", 1_000_000, || {
        kinesis_bytes(&b"x\n".repeat(2_200_000))
    })
    .long(),
    MemoryCase::new("a_kinesis_record_of_one_line", 1, || kinesis_bytes(&b"x".repeat(4_500_000))),
    MemoryCase::new("an_aggregated_kinesis_record", 0, || {
        kinesis_bytes(&aggregated(&[0x1a, 0].repeat(2_200_000)))
    }),
    MemoryCase::new("kinesis_records_that_inflate_to_60_megabytes", 4 * 230, || {
        let text = "x".repeat(250_000);
        let messages = vec![text; 230];
        kinesis_gzip(&vec![delivery("/aws/lambda/orders", &messages); 4])
    })
    .long(),
    MemoryCase::new("kinesis_records_that_do_not_compress", 4, || {
        kinesis_gzip(&vec![delivery("/aws/lambda/orders", &[noise(1_100_000)]); 4])
    }),
];

/// With this variable, the long cases are measured too.
const LONG_CASES: &str = "LONG_MEMORY_CASES";

const EVENT: &str = "LAMBDA_OTLP_TEST_EVENT";
const RULES: &str = "LAMBDA_OTLP_TEST_RULES";
const ANSWER: &str = "LAMBDA_OTLP_TEST_ANSWER";

/// A backend that gives every request the same answer.
struct UniformBackend(BackendAnswer);

impl Transport for UniformBackend {
    async fn send(&self, _: HttpRequest) -> Result<HttpResponse, TransportError> {
        match self.0 {
            BackendAnswer::Status(status) => {
                let headers = HeaderMap::new();
                let body = Bytes::new();
                Ok(HttpResponse { status, headers, body, cut: false })
            }
            BackendAnswer::Never => std::future::pending().await,
        }
    }
}

/// A queue that stores nothing: only the memory of the forwarder is measured.
struct Forgets;

impl Queue for Forgets {
    async fn send(&self, messages: Vec<&mut Message>, _: Duration, _: Instant) {
        for message in messages {
            message.answer = Some(Ok(()));
        }
    }

    async fn postpone(&self, _: &str, _: Duration, _: Instant) -> Result<(), QueueError> {
        Ok(())
    }
}

/// The measured process: forwards one event and prints its peak memory.
#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "tells this process what it is run for")]
async fn process_of_one_event() {
    let variable = |name| std::env::var(name).ok();
    let Some((event, rules)) = variable(EVENT).zip(variable(RULES)) else { return };
    let answer = match variable(ANSWER).and_then(|status| status.parse().ok()) {
        Some(status) => BackendAnswer::Status(status),
        None => BackendAnswer::Never,
    };
    keep_freed_memory();
    // Like Lambda's runtime, which reads the whole event before it parses it.
    let body = std::fs::read(event).unwrap();
    let event: Event = serde_json::from_slice(&body).unwrap();
    drop(body);
    let names = std::iter::once("default".to_owned()).chain((0..15).map(|n| format!("d{n}")));
    let destinations = names.map(|name| {
        let client = Client::with_transport(&config().destination, UniformBackend(answer)).unwrap();
        Arc::new(destination(&name, client))
    });
    let queues = Queues { retry: Some(Forgets), dead_letters: Some(Forgets) };
    let mut forwarder = Forwarder::new(Vec::new(), queues, default_options());
    let rules = Arc::new(RuleSet::parse(&rules).unwrap());
    forwarder.set_rules(rules, destinations.collect());
    let report = forwarder.forward(event, &invocation()).await;
    assert!(report.ledgers.balances(), "{:?}", report.ledgers);
    let ledger = report.ledger();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("peak {} {}", peak.trim(), ledger.items.log_records);
}

#[test]
fn peak_memory_of_any_event_fits_the_smallest_function() {
    let with_long_cases = settings::Env.get(LONG_CASES).is_some();
    let cases = Mutex::new(CASES.iter().filter(|case| with_long_cases || !case.is_long));
    let too_large = Mutex::new(Vec::new());
    let next = || cases.lock().unwrap().next();
    let measure = || {
        while let Some(case) = next() {
            let (mib, records) = peak(case);
            let measured = format!("{}: {mib} MiB, {records} log records", case.name);
            println!("{measured}");
            if mib >= MAX_MIB || records < case.least_records {
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

/// Returns the peak memory of a process with this event, in MiB, and the log records that it made.
fn peak(case: &MemoryCase) -> (usize, usize) {
    let name = case.name;
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("memory-{name}.json"));
    let event = (case.event)();
    assert!(event.len() <= MAX_BYTES, "{name}: Lambda delivers no event of {} bytes", event.len());
    std::fs::write(&path, event).unwrap();
    let answer = match case.backend {
        BackendAnswer::Status(status) => status.to_string(),
        BackendAnswer::Never => String::new(),
    };
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["memory::process_of_one_event", "--exact", "--nocapture"])
        .env(EVENT, &path)
        .env(RULES, (case.rules)())
        .env(ANSWER, answer)
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
