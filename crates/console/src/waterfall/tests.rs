use super::draw::Detail;
use super::*;
use expect_test::expect;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Status;
use platform::string_attribute;

fn span(id: u8, parent: Option<u8>, start: u64) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![id; 8],
        parent_span_id: parent.map(|parent| vec![parent; 8]).unwrap_or_default(),
        name: format!("{id}"),
        start_time_unix_nano: start,
        end_time_unix_nano: start + 1,
        ..Span::default()
    }
}

fn item<T>(item: T) -> Scoped<T> {
    Scoped { service: "s".to_owned(), scope: String::new(), item }
}

fn check(spans: &[Span], expected: &[&str]) {
    let record = |span: &Span| LogRecord {
        trace_id: span.trace_id.clone(),
        span_id: span.span_id.clone(),
        ..LogRecord::default()
    };
    let records: Vec<LogRecord> = spans.iter().map(record).collect();
    let spans: Vec<_> = spans.iter().cloned().map(item).collect();
    let records: Vec<_> = records.into_iter().map(item).collect();
    let traces = waterfalls(&spans, &records);
    let rows = traces.iter().flat_map(|trace| &trace.rows).map(|row| {
        let SpanRow { name, depth, records, remark, .. } = row;
        format!("{depth} {name} {} {remark}", records.len()).trim_end().to_owned()
    });
    assert_eq!(rows.collect::<Vec<_>>(), expected);
}

#[test]
fn child_spans_follow_their_parent_in_start_order() {
    let spans = [span(3, Some(1), 9), span(1, None, 0), span(2, Some(1), 5), span(4, Some(9), 7)];
    check(&spans, &["0 1 1", "1 2 1 exceeds its parent", "1 3 1 exceeds its parent", "0 4 1"]);
}

#[test]
fn waits_between_invocations_of_an_execution_are_drawn_short() {
    const HOUR: u64 = 3_600_000_000_000;
    const SECOND: u64 = 1_000_000_000;
    let lasting = |id, parent, start, end_time_unix_nano| Span {
        end_time_unix_nano,
        ..span(id, parent, start)
    };
    let mut execution = lasting(1, None, SECOND, HOUR);
    execution.attributes = vec![string_attribute("aws.lambda.durable_execution.arn", "arn")];
    let first = lasting(2, Some(1), SECOND, 2 * SECOND);
    let last = lasting(3, Some(1), HOUR - SECOND, HOUR);
    let spans = |execution: &Span| [execution, &first, &last].map(|span| item(span.clone()));
    expect![[r"

        Trace 01010101010101010101010101010101: 
          3 spans, 59m59.000s (╌ 59m57.000s of waits are drawn short), ◂ slowest: 2 100…
          s 1   59m59.000s |██████████████████████████╌╌╌╌╌╌███████████████████████████|
          s 2   1000.00 ms◂|██████████████████████████                                 |
          s 3   1000.00 ms |                                ███████████████████████████|
    "]]
    .assert_eq(&drawn(&waterfalls(&spans(&execution), &[])[0], 80));
    execution.attributes.clear();
    expect![[r"

        Trace 01010101010101010101010101010101: 
          3 spans, 59m59.000s, ◂ slowest: 1 59m57.000s, 1970-01-01T00:00:01.000Z
          s 1   59m59.000s◂|███████████████████████████████████████████████████████████|
          s 2   1000.00 ms |█                                                          |
          s 3   1000.00 ms |                                                          █|
    "]]
    .assert_eq(&drawn(&waterfalls(&spans(&execution), &[])[0], 80));
}

#[test]
fn records_are_ordered_by_time() {
    let record = |time: u64, observed: u64| LogRecord {
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        time_unix_nano: time,
        observed_time_unix_nano: observed,
        ..LogRecord::default()
    };
    let records = [record(7, 9), record(0, 5), record(6, 9)].map(item);
    let traces = waterfalls(&[item(span(1, None, 0))], &records);
    let times: Vec<u64> = traces[0].rows[0].records.iter().map(|record| record.time).collect();
    assert_eq!(times, [5, 6, 7]);
}

#[test]
fn spans_with_cyclic_or_duplicate_ids_are_shown() {
    const CIRCLE: &str = "its parents form a circle";
    check(&[span(1, Some(1), 0)], &[&format!("0 1 1 {CIRCLE}")]);
    check(
        &[span(1, Some(2), 0), span(2, Some(1), 0), span(3, Some(2), 0)],
        &[&format!("0 1 1 {CIRCLE}"), "1 2 1", "2 3 1"],
    );
    // A duplicate id: its records and children appear once.
    check(&[span(1, None, 0), span(1, None, 0), span(2, Some(1), 0)], &["0 1 2", "1 2 1", "0 1 0"]);
    check(&[span(0, None, 0), span(0, None, 0)], &["0 0 2", "0 0 0"]);
}

#[test]
fn a_record_without_a_body_shows_its_attributes() {
    let said = string_attribute("error", "expected an id");
    let number = AnyValue { value: Some(Value::IntValue(3)) };
    let numbers = Value::ArrayValue(ArrayValue { values: vec![number.clone(), number] });
    let at = KeyValue {
        key: "at".to_owned(),
        value: Some(AnyValue { value: Some(numbers) }),
        ..KeyValue::default()
    };
    let attributes = vec![said, at];
    let mut record = item(LogRecord { attributes, ..LogRecord::default() });
    assert_eq!(DrawnRecord::of(&record).lines, ["error=expected an id at=[3, 3]"]);
    let refused = Value::StringValue("order refused".to_owned());
    record.item.body = Some(AnyValue { value: Some(refused) });
    assert_eq!(DrawnRecord::of(&record).lines, ["order refused"]);
}

/// A trace drawn at this width, without colours.
fn drawn(trace: &Waterfall, width: usize) -> String {
    drawn_with(Detail::default(), trace, width)
}

fn drawn_with(detail: Detail, trace: &Waterfall, width: usize) -> String {
    let mut drawn = Vec::new();
    draw::waterfall(trace, "", detail, width, &mut drawn).unwrap();
    anstream::adapter::strip_str(&String::from_utf8(drawn).unwrap()).to_string()
}

/// Checks the lines of one span with this status, without times, bar and gaps.
#[track_caller]
fn check_failed(status: Status, error_type: Option<&str>, expected: &str) {
    let error_type = error_type.map(|text| string_attribute("error.type", text));
    let attributes = error_type.into_iter().collect();
    let span = Span { status: Some(status), attributes, ..span(1, None, 0) };
    let drawn = drawn(&waterfalls(&[item(span)], &[])[0], 100);
    let lines = drawn.lines().skip(2).map(|line| line.split(" 1 ").next().unwrap().trim());
    assert_eq!(lines.collect::<Vec<_>>(), expected.lines().collect::<Vec<_>>(), "{drawn}");
}

#[test]
fn a_failed_span_shows_its_error() {
    let failed = |message: &str| Status { code: 2, message: message.to_owned() };
    let check = |status, error_type, expected: &str| {
        check_failed(status, error_type, &format!("✗\n✗ s\n{expected}"));
    };
    check(failed("no such order"), Some("NotFound"), "ERROR NotFound: no such order");
    check(failed(""), Some("500"), "ERROR 500");
    check(failed(""), None, "");
    let [first, second, third] = [90, 96, 14].map(|width| "x".repeat(width));
    check(failed(&"x".repeat(200)), None, &format!("ERROR {first}\n{second}\n{third}"));
    let fine = Status { code: 1, message: "all is well".to_owned() };
    check_failed(fine, Some("500"), "\ns");
}

#[test]
fn deep_nesting_does_not_widen_the_waterfall() {
    let id = |depth: u32| [0x0101_0101, depth].map(u32::to_be_bytes).concat();
    let deep = |depth| Span {
        span_id: id(depth),
        parent_span_id: id(depth - 1),
        links: vec![Link::default()],
        ..span(1, None, 0)
    };
    let spans: Vec<_> = (1..=3000).map(|depth| item(deep(depth))).collect();
    let record = LogRecord { trace_id: vec![1; 16], span_id: id(3000), ..LogRecord::default() };
    let trace = &waterfalls(&spans, &[item(record)])[0];
    assert_eq!(trace.rows[2999].depth, 2999);
    let drawn = drawn(trace, 100);
    assert!(drawn.lines().skip(2).all(|line| line.chars().count() <= 100), "{drawn}");
}

#[test]
fn a_trace_fits_terminals_of_40_to_200_columns() {
    let failed = Status { code: 2, message: "no such order ".repeat(20) };
    let begin = 1_790_000_000_000_000_000;
    let root = Span {
        end_time_unix_nano: begin + 12_345_678,
        attributes: vec![string_attribute(NUMBER, "7")],
        ..span(1, None, begin)
    };
    let below =
        Span { name: "reserve item".repeat(20), status: Some(failed), ..span(2, Some(1), begin) };
    let of = |item, service: &str| Scoped { service: service.to_owned(), ..self::item(item) };
    let record = LogRecord {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        time_unix_nano: begin + 3_100_000,
        severity_text: "ERROR".to_owned(),
        body: Some(platform::string_attribute("", "sold out ".repeat(50)).value.unwrap()),
        ..LogRecord::default()
    };
    let spans = [of(root, "shop"), of(below, "orders")];
    let trace = &waterfalls(&spans, &[item(record)])[0];
    for (asked, width) in [(0, 38), (40, 40), (80, 80), (120, 120), (200, 200), (999, 200)] {
        let drawn = drawn(trace, asked);
        let lines: Vec<&str> = drawn.lines().skip(2).collect();
        for line in &lines {
            assert!(line.chars().count() <= width, "{asked}: {line}");
        }
        let [summary, root, below, why, texts @ ..] = lines.as_slice() else { panic!("{drawn}") };
        assert!(summary.starts_with("  ✗ 1 of 2 spans failed, 12.35 ms"), "{drawn}");
        assert!(width < 80 || summary.contains(", ◂ slowest: 1 12.35 ms"), "{drawn}");
        assert!(width < 120 || summary.ends_with(", 2026-09-21T14:13:20.000Z"), "{drawn}");
        assert!(root.starts_with("  shop   1 #7 ") && root.contains(" 12.35 ms◂|█"), "{drawn}");
        assert_eq!((root.chars().count(), below.chars().count()), (width, width), "{drawn}");
        assert!(below.starts_with("✗ orders   res") && below.contains(" 0.00 ms |█"), "{drawn}");
        assert!(root.matches('█').count() >= 7, "{drawn}");
        assert!(why.trim_start().starts_with("ERROR no such order"), "{drawn}");
        let mut texts = texts.iter().map(|line| line.trim_start());
        assert!(texts.any(|line| line.starts_with("- +3.10 ms ERROR sold")), "{drawn}");
        assert_eq!(width < 80, drawn.contains("more: --full"), "{drawn}");
    }
}

#[test]
fn the_text_of_a_log_record_has_neither_prefix_nor_repetition() {
    let check = |body: &str, attributes: &[(&str, &str)], expected: &[&str]| {
        let attributes = attributes.iter().map(|(key, value)| string_attribute(key, *value));
        let record = LogRecord {
            severity_number: if attributes.len() > 0 { 17 } else { 9 },
            body: string_attribute("", body).value,
            attributes: attributes.collect(),
            ..LogRecord::default()
        };
        assert_eq!(DrawnRecord::of(&item(record)).lines, expected, "{body:?}");
    };
    let id = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
    let time = "2026-09-21T14:13:20.123Z";
    check(&format!("[INFO]\t{time}\t{id}\tplaced 7"), &[], &["placed 7"]);
    check(&format!("{time}\t{id}\tINFO\tplaced 7"), &[], &["placed 7"]);
    check(&format!("{time}  INFO orders: placed"), &[], &["orders: placed"]);
    check("2026-09-21 14:13:20,123 INFO shop - placed", &[], &["shop - placed"]);
    for message in ["ERROR in the order", "12:30 is late", "7 items", "INFO", "2026-09-21", ""] {
        let expected: Vec<&str> =
            Some(message).filter(|text| !text.is_empty()).into_iter().collect();
        check(message, &[], &expected);
    }
    check("one\n  two\r\n\nthree\rfour", &[], &["one", "  two", "three", "four"]);
    let stack = "TypeError: no stock\n    at exports.handler (/var/task/app.js:4:25)";
    let exception = [
        ("exception.type", "TypeError"),
        ("exception.message", "no stock"),
        ("exception.stacktrace", stack),
    ];
    // Node's runtime writes the stack as JSON.
    check(
        &format!(
            "{time}\t{id}\tERROR\tInvoke Error \t{{\"errorType\":\"TypeError\",\"stack\":[]}}"
        ),
        &[&exception[..], &[("errorType", "TypeError"), ("stack", "[…]")]].concat(),
        &["Invoke Error TypeError: no stock", "    at exports.handler (/var/task/app.js:4:25)"],
    );
    let traceback =
        "Traceback (most recent call last):\r  File \"/var/task/app.py\", line 5, in handler";
    let body = format!("[ERROR] ValueError: sold out\r{traceback}");
    check(
        &body,
        &[
            ("exception.type", "ValueError"),
            ("exception.message", "sold out"),
            ("exception.stacktrace", traceback),
        ],
        &[
            "ValueError: sold out",
            "Traceback (most recent call last):",
            "  File \"/var/task/app.py\", line 5, in handler",
        ],
    );
    check("declined", &[("order", "7"), ("code.lineno", "3")], &["declined order=7"]);
}

/// A failed invocation as the layer and the forwarder describe it.
fn failed_invocation() -> Waterfall {
    const BEGIN: u64 = 1_790_000_000_000_000_000;
    const MS: u64 = 1_000_000;
    let at = |id: u8, parent: Option<u8>, name: &str, from: u64, to: u64| Span {
        name: name.to_owned(),
        end_time_unix_nano: BEGIN + to * MS,
        ..span(id, parent, BEGIN + from * MS)
    };
    let of = |service: &str, scope: &str, span: Span| Scoped {
        service: service.to_owned(),
        scope: scope.to_owned(),
        item: span,
    };
    let failed = Some(Status { code: 2, message: "sold out".to_owned() });
    let handler = Span {
        status: failed.clone(),
        attributes: vec![
            string_attribute("error.type", "ValueError"),
            string_attribute("faas.trigger", "http"),
        ],
        ..at(1, None, "POST /orders", 2, 90)
    };
    let stack = string_attribute("exception.stacktrace", "at frame\n".repeat(20));
    let call = Span {
        status: failed,
        events: vec![Event { attributes: vec![stack], ..Event::default() }],
        ..at(2, Some(1), "GET stock.example.com", 10, 80)
    };
    let lambda = at(3, Some(1), INVOCATION_SPAN, 0, 100);
    let init = at(4, Some(3), "init", 0, 1);
    let spans = [
        of("shop", "app", handler),
        of("shop", "http", call),
        of("shop", PLATFORM_SCOPE, lambda),
        of("shop", PLATFORM_SCOPE, init),
    ];
    let double = |key: &str, number: f64| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::DoubleValue(number)) }),
        ..KeyValue::default()
    };
    let record = |span: u8, time: u64, level: &str, number: i32, body: &str| LogRecord {
        trace_id: vec![1; 16],
        span_id: vec![span; 8],
        time_unix_nano: BEGIN + time * MS,
        severity_text: level.to_owned(),
        severity_number: number,
        body: string_attribute("", body).value,
        ..LogRecord::default()
    };
    let prefix = "2026-09-21T14:13:20.003Z\t8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
    let said = record(
        1,
        3,
        "INFO",
        9,
        &format!("{prefix}\tINFO\torder 7 of the customer who orders a lot of things"),
    );
    let report = LogRecord {
        event_name: "platform.report".to_owned(),
        attributes: vec![
            double("aws.lambda.duration_ms", 99.5),
            double("aws.lambda.billed_duration_ms", 221.0),
            double("aws.lambda.memory_size_mb", 128.0),
            double("aws.lambda.max_memory_used_mb", 45.0),
            double("aws.lambda.init_duration_ms", 120.5),
        ],
        ..record(1, 100, "INFO", 9, "REPORT RequestId: …")
    };
    let records = [said, report].map(item);
    waterfalls(&spans, &records).remove(0)
}

#[test]
fn lambdas_time_is_drawn_around_the_handler() {
    let trace = failed_invocation();
    let texts = trace.rows.iter().map(|row| format!("{} {} {}", row.depth, row.name, row.remark));
    let rows: Vec<String> = texts.map(|text| text.trim_end().to_owned()).collect();
    let expected =
        ["0 aws.lambda.invocation", "1 init", "1 POST /orders", "2 GET stock.example.com"];
    assert_eq!(rows, expected);
    // 100 ms around 1 ms and 88 ms; 88 ms around 70 ms.
    let own: Vec<f64> = trace.rows.iter().map(|row| row.own_millis.round()).collect();
    assert_eq!(own, [11.0, 1.0, 18.0, 70.0]);
    let slowest = trace.rows.iter().filter(|row| row.is_slowest).map(|row| row.name.as_str());
    assert_eq!(slowest.collect::<Vec<_>>(), ["GET stock.example.com"]);
}

#[test]
fn an_invocation_is_drawn_at_80_and_160_columns() {
    let trace = failed_invocation();
    expect![[r"

        Trace 01010101010101010101010101010101: 
          ✗ 2 of 4 spans failed, 100.00 ms, ◂ slowest: GET stock.example.com 70.00 ms, …
          Lambda: 99.5 ms, billed 221 ms, 45 of 128 MB, cold 120.5 ms, $0.57/million
          shop aws.lambda.invocation     100.00 ms |███████████████████████████████████|
          shop   init                      1.00 ms |█                                  |
        ✗ shop   POST /orders             88.00 ms |███████████████████████████████    |
                 ERROR ValueError: sold out
                 - +3.00 ms INFO order 7 of the customer who orders a lot of things
        ✗ shop     GET stock.example.com  70.00 ms◂|   █████████████████████████       |
                   ERROR sold out
                   exception at frame
                       at frame
                       at frame
                       at frame
                       at frame
                       at frame
                       at frame
                       at frame
                       at frame
                       at frame
                       at frame
                       at frame
                       … 8 more: --full
    "]]
    .assert_eq(&drawn(&trace, 80));
    expect![[r"

        Trace 01010101010101010101010101010101: 
          ✗ 2 of 4 spans failed, 100.00 ms, ◂ slowest: GET stock.example.com 70.00 ms, 2026-09-21T14:13:20.000Z
          Lambda: 99.5 ms, billed 221 ms, 45 of 128 MB, cold 120.5 ms, $0.57/million
          shop aws.lambda.invocation     100.00 ms |███████████████████████████████████████████████████████████████████████████████████████████████████████████████████|
          shop   init                      1.00 ms |█                                                                                                                  |
        ✗ shop   POST /orders             88.00 ms |  █████████████████████████████████████████████████████████████████████████████████████████████████████            |
                 ERROR ValueError: sold out
                 - +3.00 ms INFO order 7 of the customer who orders a lot of things
        ✗ shop     GET stock.example.com  70.00 ms◂|           █████████████████████████████████████████████████████████████████████████████████                       |
                   ERROR sold out
                   exception at frame
                       at frame
                       at frame
                       at frame
                       at frame
                       at frame
                       at frame
                       at frame
                       at frame
                       at frame
                       at frame
                       at frame
                       … 8 more: --full
    "]].assert_eq(&drawn(&trace, 160));
    let whole = drawn_with(Detail { attributes: true, is_full: true }, &trace, 80);
    assert_eq!(whole.matches("at frame").count(), 20, "{whole}");
    assert!(whole.contains("\n         faas.trigger=http\n"), "{whole}");
}

#[test]
fn a_cause_of_a_failure_stands_below_it_and_its_stack_once() {
    let traceback = [
        "Traceback (most recent call last):",
        "  File \"app.py\", line 22, in charge",
        "KeyError: 'amex'",
        "",
        "The above exception was the direct cause of the following exception:",
        "",
        "Traceback (most recent call last):",
        "  File \"app.py\", line 44, in handler",
        "    pay(event)",
        "app.Refused: order 8",
    ]
    .join("\n");
    let exception = Event {
        attributes: vec![string_attribute("exception.stacktrace", traceback)],
        ..Event::default()
    };
    let handler = Span {
        name: "shop".to_owned(),
        status: Some(Status { code: 2, message: "order 8".to_owned() }),
        attributes: vec![string_attribute("error.type", "Refused")],
        events: vec![exception],
        ..span(1, None, 0)
    };
    let call = Span {
        name: "GET".to_owned(),
        attributes: vec![string_attribute("url.full", "https://api.example.com/slow?key=1")],
        ..span(2, Some(1), 0)
    };
    // The runtime's line has the handler's frames alone.
    let frames = [
        "Traceback (most recent call last):",
        "  File \"app.py\", line 44, in handler",
        "    pay(event)",
    ]
    .join("\r");
    let line = LogRecord {
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        severity_text: "ERROR".to_owned(),
        severity_number: 17,
        body: string_attribute("", format!("[ERROR] Refused: order 8\r{frames}")).value,
        attributes: vec![
            string_attribute("exception.type", "Refused"),
            string_attribute("exception.message", "order 8"),
            string_attribute("exception.stacktrace", frames.as_str()),
            string_attribute("lambda_otlp.exception.fingerprint", "d1935bd39cb12ff1"),
        ],
        ..LogRecord::default()
    };
    let trace = &waterfalls(&[handler, call].map(item), &[item(line)])[0];
    expect![[r#"

        Trace 01010101010101010101010101010101: 
          ✗ 1 of 2 spans failed
        ✗ s shop                       0.00 ms |███████████████████████████████████████|
            ERROR Refused: order 8
            caused by KeyError: 'amex'
            - ERROR Refused: order 8
                Traceback (most recent call last):
                  File "app.py", line 22, in charge
                KeyError: 'amex'
                The above exception was the direct cause of the following exception:
                Traceback (most recent call last):
                  File "app.py", line 44, in handler
                    pay(event)
                app.Refused: order 8
          s   GET api.example.com/slow 0.00 ms◂|███████████████████████████████████████|
    "#]]
    .assert_eq(&drawn(trace, 80));
}

#[test]
fn a_cause_in_the_message_of_an_error_is_not_repeated() {
    let error = "no route\n\nCaused by:\n    invalid digit";
    let exception = Event {
        attributes: vec![string_attribute("exception.stacktrace", error)],
        ..Event::default()
    };
    let failed = Span {
        status: Some(Status { code: 2, message: error.to_owned() }),
        events: vec![exception],
        ..span(1, None, 0)
    };
    let drawn = drawn(&waterfalls(&[item(failed)], &[])[0], 80);
    assert_eq!(drawn.matches("caused by").count(), 0, "{drawn}");
    assert!(drawn.contains("Caused by:\n"), "{drawn}");
}

#[test]
fn a_trace_of_many_spans_shows_the_failed_and_the_slowest() {
    let id = |number: u32| [0x0101_0101, number].map(u32::to_be_bytes).concat();
    // 20 spans with 50 children each.
    let spans = (1_u32..=1020).map(|number| {
        let below = number.checked_sub(21).map(|child| child % 20 + 1);
        let failed = (number == 777).then(|| Status { code: 2, message: "sold out".to_owned() });
        let last = if number == 555 { 1_000_000 } else { 1 };
        item(Span {
            span_id: id(number),
            parent_span_id: below.map(id).unwrap_or_default(),
            name: format!("span {number}"),
            status: failed,
            end_time_unix_nano: 9 + last,
            ..span(1, None, 9)
        })
    });
    let spans: Vec<Scoped<Span>> = spans.collect();
    let trace = &waterfalls(&spans, &[])[0];
    let folded = drawn(trace, 80);
    for text in ["✗ 1 of 1020 spans failed", "✗ s   span 777 ", "span 555 ", "more spans: --full"]
    {
        assert!(folded.contains(text), "{text}: {folded}");
    }
    let rows = |text: &str| {
        text.lines().filter(|line| line.contains(" ms") && line.ends_with('|')).count()
    };
    assert_eq!(rows(&folded), 100);
    let whole = Detail { is_full: true, ..Detail::default() };
    assert_eq!(rows(&drawn_with(whole, trace, 80)), 1020);
}

#[test]
fn printed_lines_keep_their_order() {
    let check = |invocations: [&str; 3], scope: &str, times: [u64; 3], expected: [u64; 3]| {
        let records = invocations.iter().zip(times).map(|(invocation, time)| Scoped {
            service: "s".to_owned(),
            scope: scope.to_owned(),
            item: LogRecord {
                time_unix_nano: time * 1_000_000,
                attributes: vec![string_attribute(INVOCATION_ID, *invocation)],
                ..LogRecord::default()
            },
        });
        let mut records: Vec<Scoped<LogRecord>> = records.collect();
        align_times_to_print_order(&mut records);
        let settled = records.iter().map(|record| record.item.time_unix_nano / 1_000_000);
        assert_eq!(settled.collect::<Vec<_>>(), expected, "{scope} {times:?}");
    };
    let lines = "lambda-otlp/logs";
    check(["a"; 3], lines, [1, 9, 7], [1, 7, 7]);
    check(["a"; 3], lines, [9, 8, 7], [7, 7, 7]);
    // Another clock, another invocation, and records of an SDK.
    check(["a"; 3], lines, [1, 99, 7], [1, 99, 7]);
    check(["a", "a", "b"], lines, [1, 9, 7], [1, 9, 7]);
    check(["a"; 3], "app", [1, 9, 7], [1, 9, 7]);
}
