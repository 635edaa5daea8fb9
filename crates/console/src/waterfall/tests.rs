use super::*;
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

fn item<T>(item: T) -> Item<T> {
    Item { service: "s".to_owned(), scope: String::new(), item }
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
        let Row { name, depth, logs, remark, .. } = row;
        format!("{depth} {name} {} {remark}", logs.len()).trim_end().to_owned()
    });
    assert_eq!(rows.collect::<Vec<_>>(), expected);
}

#[test]
fn child_spans_follow_their_parent_in_start_order() {
    let spans = [span(3, Some(1), 9), span(1, None, 0), span(2, Some(1), 5), span(4, Some(9), 7)];
    check(&spans, &["0 1 1", "1 2 1 exceeds its parent", "1 3 1 exceeds its parent", "0 4 1"]);
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
    let times: Vec<u64> = traces[0].rows[0].logs.iter().map(|log| log.time).collect();
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
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, any_value::Value};
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
    assert_eq!(Log::of(&record).body, "error=expected an id at=[3, 3]");
    let refused = Value::StringValue("order refused".to_owned());
    record.item.body = Some(AnyValue { value: Some(refused) });
    assert_eq!(Log::of(&record).body, "order refused");
}

/// A trace drawn at this width, without colours.
fn drawn(trace: &Waterfall, width: usize) -> String {
    let mut drawn = Vec::new();
    draw::waterfall(trace, "", width, &mut drawn).unwrap();
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
    check(failed("no such order"), Some("NotFound"), "ERROR no such order");
    check(failed(""), Some("500"), "ERROR 500");
    check(failed(""), None, "");
    check(failed(&"x".repeat(200)), None, &format!("ERROR {}…", "x".repeat(89)));
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
    let of = |item, service: &str| Item { service: service.to_owned(), ..self::item(item) };
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
        let [summary, root, below, why, log] = lines.as_slice() else { panic!("{drawn}") };
        assert!(summary.starts_with("  ✗ 1 of 2 spans failed, 12.35 ms"), "{drawn}");
        assert!(width < 80 || summary.ends_with(", 2026-09-21T14:13:20.000Z"), "{drawn}");
        assert!(root.starts_with("  shop   1 #7 ") && root.contains(" 12.35 ms |█"), "{drawn}");
        assert_eq!((root.chars().count(), below.chars().count()), (width, width), "{drawn}");
        assert!(below.starts_with("✗ orders   res") && below.contains(" 0.00 ms |█"), "{drawn}");
        assert!(root.matches('█').count() >= 7, "{drawn}");
        assert!(why.trim_start().starts_with("ERROR no such order"), "{drawn}");
        assert!(log.trim_start().starts_with("- +3.10 ms ERROR sold"), "{drawn}");
    }
}
