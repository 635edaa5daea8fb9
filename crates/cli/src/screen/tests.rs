use super::draw::draw;
use super::listed::Listed;
use crate::shown::held::{Held, HeldSpan};
use expect_test::expect_file;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};
use std::fmt::Write as _;

const COLUMNS: u16 = 124;
const ROWS: u16 = 24;
/// 2026-09-21T14:13:20Z
const BEGIN: u64 = 1_790_000_000_000_000_000;
const MS: u64 = 1_000_000;

fn span(trace: u8, id: u8, parent: u8, service: &str, name: &str, from: u64, to: u64) -> HeldSpan {
    let begin = BEGIN + u64::from(trace) * 1_340 * MS;
    let span = Span {
        trace_id: [&[trace * 16 + 7], [0x5c; 15].as_slice()].concat(),
        span_id: vec![id; 8],
        parent_span_id: if parent == 0 { Vec::new() } else { vec![parent; 8] },
        name: name.to_owned(),
        start_time_unix_nano: begin + from * MS / 10,
        end_time_unix_nano: begin + to * MS / 10,
        ..Span::default()
    };
    HeldSpan { service: service.to_owned(), scope: String::new(), span }
}

fn failed(mut span: HeldSpan) -> HeldSpan {
    span.span.status = Some(Status { code: 2, ..Status::default() });
    span
}

fn record(of: Option<&HeldSpan>, level: &str, body: &str) -> (String, LogRecord) {
    let record = LogRecord {
        trace_id: of.map(|held| held.span.trace_id.clone()).unwrap_or_default(),
        span_id: of.map(|held| held.span.span_id.clone()).unwrap_or_default(),
        severity_text: level.to_owned(),
        body: Some(AnyValue { value: Some(Value::StringValue(body.to_owned())) }),
        ..LogRecord::default()
    };
    ("orders".to_owned(), record)
}

/// Three traces, the last of which arrives in two parts.
fn listed() -> Listed {
    let mut listed = Listed::default();
    let reserve = failed(span(2, 2, 1, "orders", "reserve item", 31, 88));
    let records = vec![
        record(Some(&reserve), "ERROR", "item 24000 is sold out"),
        record(None, "INFO", "EXTENSION Name: lambda-otlp-extension State: Ready"),
    ];
    let spans = vec![
        span(1, 1, 0, "orders", "GET /orders/{id}", 0, 62),
        span(1, 2, 1, "orders", "query", 14, 49),
        failed(span(2, 1, 0, "orders", "POST /orders", 0, 93)),
        reserve,
        span(3, 1, 0, "shop", "POST /shop", 0, 607),
        span(3, 2, 1, "shop", "invoke orders", 42, 588),
    ];
    listed.add(Held { spans, records, metrics: Vec::new() });
    let later = span(3, 3, 2, "orders", "POST /orders/{id}", 389, 498);
    let records = vec![record(Some(&later), "INFO", "order received")];
    let spans = vec![later, span(3, 4, 3, "orders", "reserve item", 402, 431)];
    listed.add(Held { spans, records, metrics: Vec::new() });
    listed.say("following /aws/lambda/orders, /aws/lambda/shop");
    listed
}

fn drawn(listed: &Listed, columns: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, ROWS)).unwrap();
    terminal.draw(|frame| draw(listed, true, frame)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(listed: &Listed) -> String {
    text_of(listed, COLUMNS)
}

fn text_of(listed: &Listed, columns: u16) -> String {
    let buffer = drawn(listed, columns);
    let row = |y| -> String { (0..columns).map(|x| buffer[(x, y)].symbol()).collect() };
    (0..ROWS).map(|y| row(y) + "\n").collect()
}

fn press(listed: &mut Listed, key: KeyCode) -> bool {
    listed.press(KeyEvent::new(key, KeyModifiers::NONE)).is_continue()
}

/// A picture of the terminal.
fn svg(buffer: &Buffer) -> String {
    const WIDTH: u32 = 8;
    const HEIGHT: u32 = 18;
    let size = (u32::from(COLUMNS) * WIDTH + 16, u32::from(ROWS) * HEIGHT + 16);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" font-family=\"monospace\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#16181d\"/>\n",
        size.0, size.1
    );
    for y in 0..ROWS {
        for x in 0..COLUMNS {
            let cell = &buffer[(x, y)];
            let is_reversed = cell.modifier.contains(Modifier::REVERSED);
            let symbol = match cell.symbol() {
                " " if !is_reversed => continue,
                "<" => "&lt;",
                "&" => "&amp;",
                symbol => symbol,
            };
            let colour = match cell.fg {
                Color::Red => "#ff6b6b",
                Color::Cyan => "#56c8d8",
                Color::Magenta => "#c792ea",
                Color::Yellow => "#ffcb6b",
                _ if cell.modifier.contains(Modifier::DIM) => "#7a808c",
                _ => "#d6dae2",
            };
            let (left, top) = (u32::from(x) * WIDTH + 8, u32::from(y) * HEIGHT + 8);
            if is_reversed || symbol == "█" {
                let _written = writeln!(
                    svg,
                    "<rect x=\"{left}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"{colour}\"/>"
                );
            }
            let colour = if is_reversed { "#16181d" } else { colour };
            if !matches!(symbol, "█" | " ") {
                let _written = writeln!(
                    svg,
                    "<text x=\"{left}\" y=\"{}\" fill=\"{colour}\">{symbol}</text>",
                    top + 14
                );
            }
        }
    }
    svg + "</svg>\n"
}

/// The picture in docs/command-line.md; `UPDATE_EXPECT=1` renders it again.
#[test]
fn the_newest_trace_is_opened_below_the_list() {
    expect_file!["../../../../docs/full-screen.svg"].assert_eq(&svg(&drawn(&listed(), COLUMNS)));
}

#[test]
fn parts_of_a_trace_are_merged() {
    let text = text(&listed());
    assert!(text.contains(" Traces (3) "), "{text}");
    assert!(text.contains("POST /shop") && text.contains("4 spans"), "{text}");
    let (_, below) = text.split_once("invoke orders").unwrap();
    assert!(below.contains("- INFO order received"), "{text}");
}

#[test]
fn keys_select_open_scroll_and_close_traces() {
    let mut listed = listed();
    let title = |listed: &Listed, trace: &str| {
        let text = text(listed);
        assert!(text.contains(&format!(" {trace}5c")), "{trace}: {text}");
    };
    title(&listed, "37");
    assert!(press(&mut listed, KeyCode::Up));
    title(&listed, "27");
    // New traces do not replace the open one.
    let spans = vec![span(4, 1, 0, "late", "late", 0, 1)];
    listed.add(Held { spans, ..Held::default() });
    title(&listed, "27");
    assert!(press(&mut listed, KeyCode::Enter));
    let opened = text(&listed);
    assert!(!opened.contains("Traces (") && opened.contains("item 24000 is sold out"), "{opened}");
    assert!(press(&mut listed, KeyCode::PageDown));
    let scrolled = text(&listed);
    assert!(!scrolled.contains("reserve item") && scrolled.contains("sold out"), "{scrolled}");
    assert!(press(&mut listed, KeyCode::Tab));
    assert!(text(&listed).contains("EXTENSION Name"), "{}", text(&listed));
    assert!(press(&mut listed, KeyCode::Esc) && press(&mut listed, KeyCode::End));
    title(&listed, "47");
    assert!(!press(&mut listed, KeyCode::Esc));
    assert!(!press(&mut listed, KeyCode::Char('q')));
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert!(listed.press(control_c).is_break());
}

#[test]
fn an_empty_view_and_a_tiny_terminal_are_drawn() {
    assert!(text(&Listed::default()).contains("nothing has arrived yet"));
    let mut terminal = Terminal::new(TestBackend::new(3, 2)).unwrap();
    terminal.draw(|frame| draw(&listed(), false, frame)).unwrap();
}

#[test]
fn a_question_mark_toggles_the_help() {
    let mut listed = listed();
    assert!(text(&listed).contains("? keys"), "{}", text(&listed));
    assert!(press(&mut listed, KeyCode::Char('?')));
    let keys = text(&listed);
    assert!(keys.contains(" Keys ") && keys.contains("PageUp, PageDown"), "{keys}");
    assert!(!keys.contains("Traces ("), "{keys}");
    assert!(press(&mut listed, KeyCode::Down) && press(&mut listed, KeyCode::Char('?')));
    assert!(text(&listed).contains("Traces (3)"), "{}", text(&listed));
    assert!(press(&mut listed, KeyCode::Char('?')) && press(&mut listed, KeyCode::Esc));
    assert!(text(&listed).contains("Traces (3)"), "{}", text(&listed));
}

#[test]
fn failures_and_durations_are_visible_at_each_terminal_width() {
    for columns in [40, 60, 80, COLUMNS, 200] {
        let text = text_of(&listed(), columns);
        let rows: Vec<&str> = text.lines().collect();
        let failed = rows.iter().find(|row| row.contains("14:13:22.680")).unwrap();
        assert!(failed.contains("✗ 14:13:22.680") && failed.contains(" 9.30 ms"), "{text}");
        let fine = rows.iter().find(|row| row.contains("14:13:21.340")).unwrap();
        assert!(!fine.contains('✗') && fine.contains(" 6.20 ms"), "{text}");
        assert!(rows.last().unwrap().starts_with("following /aws/lambda"), "{text}");
        assert!(rows.last().unwrap().ends_with("? keys  q quit"), "{text}");
        assert!(text.contains(" 60.70 ms |█") && text.contains("█|│"), "{text}");
    }
}
