//! Draws a trace in a terminal.

mod text;

pub use text::short;

use super::{
    AttributeText, DrawnRecord, ShortWait, SpanRow, Waterfall, message_lines, millis_between,
};
use crate::quantity::{duration, plural};
use crate::screen::on_one_line;
use anstyle::{AnsiColor, Style};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::ops::Range;
use text::{Line, Piece, Text, TextColumns};

pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
pub const HEADING: Style = Style::new().bold();
const PLAIN: Style = Style::new();
const DIM: Style = Style::new().dimmed();
/// The bars of a trace's services, in the order of their first spans.
const BARS: [Style; 3] =
    [AnsiColor::Cyan.on_default(), AnsiColor::Magenta.on_default(), AnsiColor::Yellow.on_default()];

/// The sign before a failed span or trace, for readers who do not see its colour.
const FAILED: &str = "✗";
/// The sign after the duration of the slowest span.
const SLOWEST: char = '◂';

/// The part of a bar in which its execution waits for longer than is drawn.
const SHORT_WAIT: char = '╌';

/// The most spans of a trace, unless all are wanted. The spans around the last one are drawn too.
const MAX_SPANS: usize = 100;

/// The parts of a trace that are not always drawn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Detail {
    /// Attributes of spans.
    pub attributes: bool,
    /// All rows of a text, and all spans of a trace.
    pub is_full: bool,
}

/// The width of output to a file or pipe.
const PRINTED: usize = 100;
/// The range of widths. The narrowest fits the frame of a terminal with 40 columns.
const WIDTHS: std::ops::RangeInclusive<usize> = 38..=200;
/// The columns before a service: a sign and a space.
const SIGN: usize = 2;
/// The function chooses a record's severity text, so its length needs a limit.
const LONGEST_LEVEL: usize = 16;
/// The longest service before a log record.
const LONGEST_SERVICE: usize = 24;
/// The longest name of the slowest span in a summary.
const LONGEST_NAME: usize = 40;
/// Deeper spans are not indented further.
const DEEPEST: usize = 24;

/// Returns the width of the terminal, or 100 columns if stdout is not a terminal.
pub fn terminal_width() -> usize {
    columns().filter(|columns| *columns > 0).unwrap_or(PRINTED)
}

/// The call fails without a terminal, and returns 0 for an unknown size.
#[cfg(unix)]
fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col))
}

#[cfg(not(unix))]
fn columns() -> Option<usize> {
    None
}

/// Writes a trace under this label: its spans with their log records.
pub fn waterfall(
    trace: &Waterfall,
    label: &str,
    detail: Detail,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let label = on_one_line(label);
    let heading = format!("Trace {}: {label}", trace.trace_id);
    if heading.chars().count() <= drawn_width(width) {
        writeln!(out, "\n{HEADING}{heading}{HEADING:#}")?;
    } else {
        writeln!(out, "\n{HEADING}Trace {}:{HEADING:#}", trace.trace_id)?;
        if !label.is_empty() {
            line(&label, width, out)?;
        }
    }
    write_lines(TraceDrawing::new(trace, detail, width).lines(), out)
}

/// Writes a log record outside a trace: time of day, service if there are several, level and text.
pub fn log_record(
    record: &DrawnRecord,
    has_several_services: bool,
    detail: Detail,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let service = if has_several_services {
        format!(" {:<8}", short(&record.service, LONGEST_SERVICE))
    } else {
        String::new()
    };
    let time = time_of_day(record.time);
    let level = short(&record.level, LONGEST_LEVEL);
    let prefix = format!("{time:<12}{service} {level:<5} ");
    let text = Text { prefix: &prefix, lines: &record.lines, suffix: "" };
    let position = TextColumns { column: SIGN, width: drawn_width(width) };
    write_lines(text.drawn(PLAIN, detail, position), out)
}

/// Writes a line of text at this indentation.
pub fn line(text: &str, width: usize, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", indented(text, drawn_width(width)))
}

fn indented(text: &str, width: usize) -> String {
    format!("{}{}", " ".repeat(SIGN), short(text, width.saturating_sub(SIGN)))
}

fn write_lines(lines: Vec<Line>, out: &mut dyn Write) -> io::Result<()> {
    for line in lines {
        for Piece { style, text } in line.pieces {
            write!(out, "{style}{text}{style:#}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn drawn_width(width: usize) -> usize {
    width.clamp(*WIDTHS.start(), *WIDTHS.end())
}

/// The lines below a trace's heading.
struct TraceDrawing<'t> {
    trace: &'t Waterfall,
    detail: Detail,
    layout: Layout,
    /// The services of the spans so far, which have a colour each.
    services: Vec<&'t str>,
    /// The lines of the stack traces so far.
    stack_lines: BTreeSet<String>,
    lines: Vec<Line>,
}

impl<'t> TraceDrawing<'t> {
    fn new(trace: &'t Waterfall, detail: Detail, width: usize) -> Self {
        Self {
            trace,
            detail,
            layout: Layout::of(trace, width),
            services: Vec::new(),
            stack_lines: BTreeSet::new(),
            lines: Vec::new(),
        }
    }

    fn lines(mut self) -> Vec<Line> {
        let trace = self.trace;
        self.add_indented(&summary(trace));
        for report in &trace.reports {
            self.add_indented(&report.to_string());
        }
        let is_drawn = rows_to_draw(&trace.rows, self.detail);
        let mut hidden_spans = 0;
        for (row, is_drawn) in trace.rows.iter().zip(is_drawn) {
            if is_drawn {
                self.add_hidden(std::mem::take(&mut hidden_spans));
                self.add_span(row);
            } else {
                hidden_spans += 1;
            }
        }
        self.add_hidden(hidden_spans);
        for record in &trace.records_without_span {
            let text = RecordText::new(record, None, trace.began, "(its span never ended) ");
            self.add_text(PLAIN, text.as_text(), SIGN);
        }
        self.lines
    }

    fn add_indented(&mut self, text: &str) {
        self.lines.push(Line::styled(PLAIN, indented(text, self.layout.total)));
    }

    /// Adds the line in place of this number of spans.
    fn add_hidden(&mut self, spans: usize) {
        if spans > 0 {
            let text = format!("… {}: --full", plural(spans, "more span"));
            self.lines.push(Line::styled(DIM, indented(&text, self.layout.total)));
        }
    }

    fn add_text(&mut self, style: Style, text: Text<'_>, column: usize) {
        let position = TextColumns { column, width: self.layout.total };
        self.lines.extend(text.drawn(style, self.detail, position));
    }

    /// Adds a span, and the texts below it.
    fn add_span(&mut self, row: &'t SpanRow) {
        let colour = self.colour(&row.service);
        self.lines.push(self.layout.span(row, colour));
        let column = self.layout.column(row);
        self.add_failure(row, column);
        if self.detail.attributes {
            for AttributeText { key, value } in &row.attributes {
                let prefix = format!("{key}=");
                let lines = message_lines(value);
                self.add_text(DIM, Text { prefix: &prefix, lines: &lines, suffix: "" }, column);
            }
        }
        for link in &row.links {
            self.add_text(PLAIN, Text::of_lines(&[format!("<- {link}")]), column);
        }
        self.add_records(row, column);
        self.add_exceptions(row, column);
    }

    /// Returns the colour of a service's bars.
    fn colour(&mut self, service: &'t str) -> Style {
        let known = self.services.iter().position(|known| *known == service);
        let index = known.unwrap_or(self.services.len());
        if known.is_none() {
            self.services.push(service);
        }
        BARS.iter().cycle().nth(index).copied().unwrap_or_default()
    }

    /// Adds the reason and the causes of a span's failure.
    fn add_failure(&mut self, row: &SpanRow, column: usize) {
        let style = style(row, PLAIN);
        self.add_text(style, Text::of_lines(&why(row)), column);
        // The messages of Rust's errors contain their causes.
        let is_in_message =
            |cause: &&String| row.why_failed.contains(cause.trim_start_matches("caused by "));
        for cause in row.causes.iter().filter(|cause| !is_in_message(cause)) {
            self.add_text(style, Text::of_lines(std::slice::from_ref(cause)), column);
        }
    }

    fn add_records(&mut self, row: &SpanRow, column: usize) {
        for record in &row.records {
            // The span's exception may have the stacks of the causes too.
            let longer_stack = row.stacks.iter().find(|stack| continues(stack, record));
            let text =
                RecordText::new(record, longer_stack.map(Vec::as_slice), self.trace.began, "- ");
            self.add_text(PLAIN, text.as_text(), column);
            self.note_stack(text.lines.iter().skip(1));
        }
    }

    /// Adds the stack traces of exceptions that no log record showed.
    fn add_exceptions(&mut self, row: &SpanRow, column: usize) {
        let is_known = |line: &str| self.stack_lines.contains(line) || row.why_failed == line;
        let is_new = |stack: &&Vec<String>| !stack.iter().all(|line| is_known(line.trim()));
        let new_stacks: Vec<&Vec<String>> = row.stacks.iter().filter(is_new).collect();
        for stack in new_stacks {
            let text = Text { prefix: "exception ", lines: stack, suffix: "" };
            self.add_text(PLAIN, text, column);
        }
        self.note_stack(row.stacks.iter().flatten());
    }

    fn note_stack<'l>(&mut self, lines: impl Iterator<Item = &'l String>) {
        self.stack_lines.extend(lines.map(|line| line.trim().to_owned()));
    }
}

/// Returns `true` for each row to draw. Of many rows, these are the failed and the slowest ones, and the spans around them.
fn rows_to_draw(rows: &[SpanRow], detail: Detail) -> Vec<bool> {
    if detail.is_full || rows.len() <= MAX_SPANS {
        return vec![true; rows.len()];
    }
    let parents = parents(rows);
    let mut most_telling_first: Vec<(usize, &SpanRow)> = rows.iter().enumerate().collect();
    most_telling_first.sort_by(|(_, one), (_, other)| {
        let failed_first = other.has_failed.cmp(&one.has_failed);
        failed_first.then(other.own_millis.total_cmp(&one.own_millis))
    });
    let mut drawn = BTreeSet::new();
    for (index, _) in most_telling_first {
        if drawn.len() >= MAX_SPANS {
            break;
        }
        let mut ancestor = Some(index);
        while let Some(new) = ancestor.filter(|ancestor| drawn.insert(*ancestor)) {
            ancestor = parents.get(new).copied().flatten();
        }
    }
    (0..rows.len()).map(|index| drawn.contains(&index)).collect()
}

/// Returns the index of each row's parent. The rows are depth first.
fn parents(rows: &[SpanRow]) -> Vec<Option<usize>> {
    let mut ancestors: Vec<usize> = Vec::new();
    let mut parents = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        ancestors.truncate(row.depth);
        parents.push(ancestors.last().copied());
        ancestors.push(index);
    }
    parents
}

/// The number of failed spans, the duration and the time of a trace.
fn summary(trace: &Waterfall) -> String {
    let failed = trace.rows.iter().filter(|row| row.has_failed).count();
    let spans = match (trace.rows.len(), failed) {
        (1, 0) => "1 span".to_owned(),
        (all, 0) => format!("{all} spans"),
        (all, failed) => format!("{FAILED} {failed} of {all} spans failed"),
    };
    let slowest = match trace.rows.iter().find(|row| row.is_slowest) {
        Some(row) => {
            let name = short(&name_and_target(row), LONGEST_NAME);
            format!(", {SLOWEST} slowest: {name} {}", duration(row.own_millis))
        }
        None => String::new(),
    };
    match trace.began {
        0 => spans,
        began => {
            let time = wire::timestamp::rfc3339_millis(began);
            let waited: f64 = trace.short_waits.iter().map(|wait| wait.millis).sum();
            let waits = match &*trace.short_waits {
                [] => String::new(),
                _ => format!(" ({SHORT_WAIT} {} of waits are drawn short)", duration(waited)),
            };
            format!("{spans}, {}{waits}{slowest}, {time}", duration(trace.millis))
        }
    }
}

/// The reason for a span's failure, and the reason why it exceeds its parent.
fn why(row: &SpanRow) -> Vec<String> {
    let mut lines = message_lines(&row.why_failed);
    if let Some(first) = lines.first_mut() {
        first.insert_str(0, "ERROR ");
    }
    if !row.remark.is_empty() {
        let remark = format!("({})", row.remark);
        match lines.first_mut() {
            Some(first) => *first = format!("{first} {remark}"),
            None => lines.push(remark),
        }
    }
    lines
}

fn style(row: &SpanRow, unless_failed: Style) -> Style {
    if row.has_failed { BAD } else { unless_failed }
}

/// The text of a log record in a trace.
struct RecordText<'r> {
    /// A sign, the time since the beginning of the trace, and the severity.
    prefix: String,
    lines: Vec<String>,
    item_number: &'r str,
}

impl<'r> RecordText<'r> {
    /// Uses this stack trace in place of the record's own, if there is one.
    fn new(
        record: &'r DrawnRecord,
        longer_stack: Option<&[String]>,
        began: u64,
        sign: &str,
    ) -> Self {
        let since_begin = if record.time == 0 || began == 0 {
            String::new()
        } else if record.time < began {
            format!("-{} ", duration(millis_between(record.time, began)))
        } else {
            format!("+{} ", duration(millis_between(began, record.time)))
        };
        let mut lines = record.lines.clone();
        if let Some(stack) = longer_stack {
            lines.truncate(1);
            lines.extend(stack.iter().cloned());
        }
        let prefix = format!("{sign}{since_begin}{} ", short(&record.level, LONGEST_LEVEL));
        Self { prefix, lines, item_number: &record.item_number }
    }

    fn as_text(&self) -> Text<'_> {
        Text { prefix: &self.prefix, lines: &self.lines, suffix: self.item_number }
    }
}

/// Returns `true` if a stack trace has all lines of the record's, and more.
fn continues(stack: &[String], record: &DrawnRecord) -> bool {
    let Some((headline, trace)) = record.lines.split_first() else { return false };
    let logged: BTreeSet<&str> = trace.iter().map(|line| line.trim()).collect();
    let whole: BTreeSet<&str> = stack.iter().map(|line| line.trim()).collect();
    let is_more = |line: &&str| !logged.contains(line) && !headline.contains(line);
    !logged.is_empty() && logged.is_subset(&whole) && whole.iter().any(is_more)
}

/// The widths of a trace's columns: sign, service, label, duration, bar.
struct Layout {
    /// The width of all columns.
    total: usize,
    /// The columns of the bar in which waits are drawn short.
    short_waits: Vec<Range<usize>>,
    service_width: usize,
    label_width: usize,
    duration_width: usize,
    bar_width: usize,
}

impl Layout {
    fn of(trace: &Waterfall, terminal_width: usize) -> Self {
        let total = drawn_width(terminal_width);
        let longest =
            |length: &dyn Fn(&SpanRow) -> usize| trace.rows.iter().map(length).max().unwrap_or(1);
        let service_width = longest(&|row| row.service.chars().count()).clamp(1, total / 6);
        let duration_width = longest(&|row| duration(row.millis).len());
        // Three gaps, and both ends of the bar.
        let rest = total.saturating_sub(SIGN + service_width + duration_width + 5);
        let label_width = longest(&|row| label(row, DEEPEST).chars().count()).clamp(1, rest / 2);
        let bar_width = rest - label_width;
        let columns =
            |wait: &ShortWait| bar_column(wait.from, bar_width)..bar_column(wait.to, bar_width);
        let short_waits = trace.short_waits.iter().map(columns).collect();
        Self { total, short_waits, service_width, label_width, duration_width, bar_width }
    }

    /// The deepest indentation. It leaves half of the column for names.
    fn deepest(&self) -> usize {
        (self.label_width / 4).min(DEEPEST)
    }

    /// The line of a span, with its service's colour.
    fn span(&self, row: &SpanRow, colour: Style) -> Line {
        let Self { service_width, label_width, duration_width, bar_width, .. } = *self;
        let from = bar_column(row.from, bar_width).min(bar_width.saturating_sub(1));
        let to = bar_column(row.to, bar_width).max(from + 1);
        let is_wait = |at: usize| self.short_waits.iter().any(|wait| wait.contains(&at));
        let bar = (from..to).map(|at| if is_wait(at) { SHORT_WAIT } else { '█' }).collect();
        let sign = if row.has_failed { FAILED } else { " " };
        let service = short(&row.service, service_width);
        let label = short(&label(row, self.deepest()), label_width);
        let duration = duration(row.millis);
        let slowest = if row.is_slowest { SLOWEST } else { ' ' };
        let before_bar = " ".repeat(from);
        let after_bar = " ".repeat(bar_width.saturating_sub(to));
        let columns = format!(
            "{service:<service_width$} {label:<label_width$} {duration:>duration_width$}{slowest}|{before_bar}"
        );
        Line {
            pieces: vec![
                Piece { style: style(row, PLAIN), text: format!("{sign} ") },
                Piece { style: PLAIN, text: columns },
                Piece { style: style(row, colour), text: bar },
                Piece { style: PLAIN, text: format!("{after_bar}|") },
            ],
        }
    }

    /// The column of the texts below a span.
    fn column(&self, row: &SpanRow) -> usize {
        SIGN + self.service_width + 1 + 2 * row.depth.min(self.deepest())
    }
}

/// The column of a place, from 0 to 1, within a bar of this width.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "between 0 and the bar's width"
)]
fn bar_column(place: f64, bar_width: usize) -> usize {
    ((place * bar_width as f64) as usize).min(bar_width)
}

/// A span's name and target, indented by its depth, with its item's number.
fn label(row: &SpanRow, deepest: usize) -> String {
    let indent = "  ".repeat(row.depth.min(deepest));
    format!("{indent}{} {}", name_and_target(row), row.item_number).trim_end().to_owned()
}

fn name_and_target(row: &SpanRow) -> String {
    format!("{} {}", row.name, row.target).trim_end().to_owned()
}

/// Formats a Unix time in nanoseconds as time of day (UTC); empty for 0, an unknown time.
pub fn time_of_day(unix_nano: u64) -> String {
    let time = (unix_nano > 0).then(|| wire::timestamp::rfc3339_millis(unix_nano));
    time.and_then(|time| Some(time.get(11..23)?.to_owned())).unwrap_or_default()
}
