//! Draws a trace in a terminal.

mod text;

pub use text::short;

use super::{AttributeText, Log, Row, Waterfall, message_lines, millis_between};
use crate::quantity::plural;
use crate::screen::on_one_line;
use anstyle::{AnsiColor, Style};
use std::collections::BTreeSet;
use std::io::{self, Write};
use text::{Line, Text};

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

/// The most spans of a trace, unless all are wanted. The spans around the last one are drawn too.
const MOST_SPANS: usize = 100;

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
    write_lines(lines(trace, detail, width), out)
}

/// Writes a log record outside a trace: time of day, service if there are several, level and text.
pub fn log_record(
    log: &Log,
    has_several_services: bool,
    detail: Detail,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let service = if has_several_services {
        format!(" {:<8}", short(&log.service, LONGEST_SERVICE))
    } else {
        String::new()
    };
    let time = time_of_day(log.time);
    let level = short(&log.level, LONGEST_LEVEL);
    let first = format!("{time:<12}{service} {level:<5} ");
    let text = Text { first: &first, lines: &log.lines, last: "" };
    write_lines(text.drawn(2, PLAIN, detail, drawn_width(width)), out)
}

/// Writes a line of text at this indentation.
pub fn line(text: &str, width: usize, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "  {}", short(text, drawn_width(width) - 2))
}

fn write_lines(lines: Vec<Line>, out: &mut dyn Write) -> io::Result<()> {
    for line in lines {
        for (style, text) in line {
            write!(out, "{style}{text}{style:#}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn drawn_width(width: usize) -> usize {
    width.clamp(*WIDTHS.start(), *WIDTHS.end())
}

/// Returns the lines below a trace's heading.
fn lines(trace: &Waterfall, detail: Detail, width: usize) -> Vec<Line> {
    let layout = Layout::of(trace, width);
    let indented = |text: &str| vec![(PLAIN, format!("  {}", short(text, layout.width - 2)))];
    let mut lines = vec![indented(&summary(trace))];
    lines.extend(trace.reports.iter().map(|report| indented(&report.to_string())));
    let mut services: Vec<&str> = Vec::new();
    let mut stacks: BTreeSet<String> = BTreeSet::new();
    let drawn = if detail.is_full { None } else { most_telling(&trace.rows) };
    let mut hidden = 0;
    for (place, row) in trace.rows.iter().enumerate() {
        if drawn.as_ref().is_some_and(|drawn| !drawn.contains(&place)) {
            hidden += 1;
            continue;
        }
        lines.extend(layout.hidden(std::mem::take(&mut hidden)));
        if !services.contains(&row.service.as_str()) {
            services.push(&row.service);
        }
        let service_index =
            services.iter().position(|service| *service == row.service).unwrap_or(0);
        let colour = BARS.iter().cycle().nth(service_index).copied().unwrap_or_default();
        lines.push(layout.span(row, colour));
        let column = layout.column(row);
        let below = |style: Style, text: Text<'_>| text.drawn(column, style, detail, layout.width);
        let why = why(row);
        lines.extend(below(style(row, PLAIN), Text { first: "", lines: &why, last: "" }));
        // The messages of Rust's errors have their causes.
        let is_said = |cause: &str| row.why_failed.contains(cause.trim_start_matches("caused by "));
        for cause in row.causes.iter().filter(|cause| !is_said(cause)) {
            let cause = std::slice::from_ref(cause);
            lines.extend(below(style(row, PLAIN), Text { first: "", lines: cause, last: "" }));
        }
        if detail.attributes {
            for AttributeText { key, value } in &row.attributes {
                let value_lines = message_lines(value);
                let text = Text { first: &format!("{key}="), lines: &value_lines, last: "" };
                lines.extend(below(DIM, text));
            }
        }
        for link in &row.links {
            let link = [format!("<- {link}")];
            lines.extend(below(PLAIN, Text { first: "", lines: &link, last: "" }));
        }
        for log in &row.logs {
            // The span's exception may have the stacks of the causes too.
            let whole = row.stacks.iter().find(|stack| continues(stack, log));
            let text = log_lines(log, whole, trace.began, "- ");
            lines.extend(text.drawn(column, detail, layout.width));
            stacks.extend(text.lines.iter().skip(1).map(|line| line.trim().to_owned()));
        }
        // A logged exception has the same stack, below the error.
        let is_known = |line: &str| stacks.contains(line) || row.why_failed == line;
        let is_new = |stack: &&Vec<String>| !stack.iter().all(|line| is_known(line.trim()));
        for stack in row.stacks.iter().filter(is_new) {
            lines.extend(below(PLAIN, Text { first: "exception ", lines: stack, last: "" }));
        }
        stacks.extend(row.stacks.iter().flatten().map(|line| line.trim().to_owned()));
    }
    lines.extend(layout.hidden(hidden));
    for log in &trace.loose {
        let first = "(its span never ended) ";
        lines.extend(log_lines(log, None, trace.began, first).drawn(2, detail, layout.width));
    }
    lines
}

/// Returns the places of the rows to draw, or `None` for all: of many, the failed and the slowest ones, and the spans around
/// them.
fn most_telling(rows: &[Row]) -> Option<BTreeSet<usize>> {
    if rows.len() <= MOST_SPANS {
        return None;
    }
    let parents = parents(rows);
    let mut places: Vec<usize> = (0..rows.len()).collect();
    places.sort_by(|first, second| {
        let [first, second] = [first, second].map(|place| rows.get(*place));
        let failed = |row: Option<&Row>| row.is_some_and(|row| row.has_failed);
        let own = |row: Option<&Row>| row.map_or(0.0, |row| row.own_millis);
        failed(second).cmp(&failed(first)).then(own(second).total_cmp(&own(first)))
    });
    let mut drawn = BTreeSet::new();
    for place in places {
        if drawn.len() >= MOST_SPANS {
            break;
        }
        let mut around = Some(place);
        while let Some(place) = around.filter(|place| drawn.insert(*place)) {
            around = parents.get(place).copied().flatten();
        }
    }
    Some(drawn)
}

/// Returns the place of each row's parent. The rows are depth first.
fn parents(rows: &[Row]) -> Vec<Option<usize>> {
    let mut above: Vec<usize> = Vec::new();
    let parent = |(place, row): (usize, &Row)| {
        above.truncate(row.depth);
        let parent = above.last().copied();
        above.push(place);
        parent
    };
    rows.iter().enumerate().map(parent).collect()
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
            let name = short(&named(row), LONGEST_NAME);
            format!(", {SLOWEST} slowest: {name} {:.2} ms", row.own_millis)
        }
        None => String::new(),
    };
    match trace.began {
        0 => spans,
        began => {
            let began = wire::timestamp::rfc3339_millis(began);
            format!("{spans}, {:.2} ms{slowest}, {began}", trace.millis)
        }
    }
}

/// The reason for a span's failure, and the reason why it exceeds its parent.
fn why(row: &Row) -> Vec<String> {
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

fn style(row: &Row, unless_failed: Style) -> Style {
    if row.has_failed { BAD } else { unless_failed }
}

/// A log record of a trace.
struct LogLines<'l> {
    /// Time since the beginning of the trace, and severity.
    first: String,
    lines: Vec<String>,
    number: &'l str,
}

/// Returns `true` if a stack trace has all lines of the record's, and more.
fn continues(stack: &[String], log: &Log) -> bool {
    let Some((headline, trace)) = log.lines.split_first() else { return false };
    let logged: BTreeSet<&str> = trace.iter().map(|line| line.trim()).collect();
    let whole: BTreeSet<&str> = stack.iter().map(|line| line.trim()).collect();
    let is_more = |line: &&str| !logged.contains(line) && !headline.contains(line);
    !logged.is_empty() && logged.is_subset(&whole) && whole.iter().any(is_more)
}

/// `whole`: the stack trace in place of the one that the record has.
fn log_lines<'l>(
    log: &'l Log,
    whole: Option<&Vec<String>>,
    began: u64,
    sign: &str,
) -> LogLines<'l> {
    let since_begin = if log.time == 0 || began == 0 {
        String::new()
    } else if log.time < began {
        format!("-{:.2} ms ", millis_between(log.time, began))
    } else {
        format!("+{:.2} ms ", millis_between(began, log.time))
    };
    let mut lines = log.lines.clone();
    if let Some(whole) = whole {
        lines.truncate(1);
        lines.extend(whole.iter().cloned());
    }
    let first = format!("{sign}{since_begin}{} ", short(&log.level, LONGEST_LEVEL));
    LogLines { first, lines, number: &log.number }
}

impl LogLines<'_> {
    fn drawn(&self, column: usize, detail: Detail, width: usize) -> Vec<Line> {
        let Self { first, lines, number } = self;
        let text = Text { first, lines, last: number };
        text.drawn(column, PLAIN, detail, width)
    }
}

/// The columns of a trace: sign, service, name, duration, bar.
struct Layout {
    width: usize,
    service: usize,
    name: usize,
    duration: usize,
    bar: usize,
}

impl Layout {
    fn of(trace: &Waterfall, width: usize) -> Self {
        let width = drawn_width(width);
        let longest = |of: &dyn Fn(&Row) -> usize| trace.rows.iter().map(of).max().unwrap_or(1);
        let service = longest(&|row| row.service.chars().count()).clamp(1, width / 6);
        let duration = longest(&|row| duration(row).len());
        // Three gaps, and both ends of the bar.
        let rest = width.saturating_sub(SIGN + service + duration + 5);
        let name = longest(&|row| name(row, DEEPEST).chars().count()).clamp(1, rest / 2);
        Self { width, service, name, duration, bar: rest - name }
    }

    /// The deepest indentation. It leaves half of the column for names.
    fn deepest(&self) -> usize {
        (self.name / 4).min(DEEPEST)
    }

    /// A span; `colour` is its service's.
    fn span(&self, row: &Row, colour: Style) -> Line {
        let Self { service, name: name_width, duration: duration_width, bar, .. } = *self;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "between 0 and the bar's width"
        )]
        let at = |part: f64| ((part * bar as f64) as usize).min(bar);
        let from = at(row.from).min(bar.saturating_sub(1));
        let to = at(row.to).max(from + 1);
        let sign = if row.has_failed { FAILED } else { " " };
        let name = short(&name(row, self.deepest()), name_width);
        let service_name = short(&row.service, service);
        let duration = duration(row);
        let slowest = if row.is_slowest { SLOWEST } else { ' ' };
        vec![
            (style(row, PLAIN), format!("{sign} ")),
            (
                PLAIN,
                format!(
                    "{service_name:<service$} {name:<name_width$} {duration:>duration_width$}{slowest}|{}",
                    " ".repeat(from)
                ),
            ),
            (style(row, colour), "█".repeat(to - from)),
            (PLAIN, format!("{}|", " ".repeat(bar.saturating_sub(to)))),
        ]
    }

    /// The line in place of this number of spans.
    fn hidden(&self, count: usize) -> Option<Line> {
        let text = format!("… {}: --full", plural(count, "more span"));
        let text = short(&text, self.width.saturating_sub(SIGN));
        (count > 0).then(|| vec![(DIM, format!("{}{text}", " ".repeat(SIGN)))])
    }

    /// The column of the texts below a span.
    fn column(&self, row: &Row) -> usize {
        SIGN + self.service + 1 + 2 * row.depth.min(self.deepest())
    }
}

/// A span's name and target, indented by its depth, with its number.
fn name(row: &Row, deepest: usize) -> String {
    let indent = "  ".repeat(row.depth.min(deepest));
    format!("{indent}{} {}", named(row), row.number).trim_end().to_owned()
}

/// A span's name with its target.
fn named(row: &Row) -> String {
    format!("{} {}", row.name, row.target).trim_end().to_owned()
}

fn duration(row: &Row) -> String {
    format!("{:.2} ms", row.millis)
}

/// Formats a Unix time in nanoseconds as time of day (UTC); empty for 0, an unknown time.
pub fn time_of_day(unix_nano: u64) -> String {
    let time = (unix_nano > 0).then(|| wire::timestamp::rfc3339_millis(unix_nano));
    time.and_then(|time| Some(time.get(11..23)?.to_owned())).unwrap_or_default()
}
