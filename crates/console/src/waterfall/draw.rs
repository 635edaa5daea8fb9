//! Draws a trace in a terminal.

use super::millis_between;
use super::{Log, Row, Waterfall};
use crate::screen::on_one_line;
use anstyle::{AnsiColor, Style};
use std::io::{self, Write};

pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
pub const HEADING: Style = Style::new().bold();
const PLAIN: Style = Style::new();
/// The bars of a trace's services, in the order of their first spans.
const BARS: [Style; 3] =
    [AnsiColor::Cyan.on_default(), AnsiColor::Magenta.on_default(), AnsiColor::Yellow.on_default()];

/// The sign before a failed span or trace, for readers who do not see its colour.
const FAILED: &str = "✗";

/// The width of output to a file or pipe.
const PRINTED: usize = 100;
/// The range of widths. The narrowest fits the frame of a terminal with 40 columns.
const WIDTHS: std::ops::RangeInclusive<usize> = 38..=200;
/// The columns before a service: a sign and a space.
const SIGN: usize = 2;
/// The function chooses a record's severity text, so its length needs a limit.
const LONGEST_LEVEL: usize = 16;
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

/// The pieces of a line, each in its style.
type Line = Vec<(Style, String)>;

/// Writes a trace under this label: its spans with their log records.
pub fn waterfall(
    trace: &Waterfall,
    label: &str,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let label = on_one_line(label);
    writeln!(out, "\n{HEADING}Trace {}: {label}{HEADING:#}", trace.trace_id)?;
    for line in lines(trace, width) {
        for (style, text) in line {
            write!(out, "{style}{text}{style:#}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Returns the lines below a trace's heading.
fn lines(trace: &Waterfall, width: usize) -> Vec<Line> {
    let layout = Layout::of(trace, width);
    let mut lines = vec![vec![(PLAIN, format!("  {}", short(&summary(trace), layout.width - 2)))]];
    let mut services: Vec<&str> = Vec::new();
    for row in &trace.rows {
        if !services.contains(&row.service.as_str()) {
            services.push(&row.service);
        }
        let place = services.iter().position(|service| *service == row.service).unwrap_or(0);
        let colour = BARS.iter().cycle().nth(place).copied().unwrap_or_default();
        lines.push(layout.span(row, colour));
        lines.extend(remark(row).map(|text| layout.below(row, style(row, PLAIN), &text, false)));
        let linked = row.links.iter().map(|link| format!("<- {link}"));
        lines.extend(linked.map(|text| layout.below(row, PLAIN, &text, false)));
        lines.extend(row.logs.iter().map(|log| {
            let text = format!("- {}", log_text(log, trace.began));
            layout.below(row, PLAIN, &text, log.is_serious)
        }));
    }
    lines.extend(trace.loose.iter().map(|log| {
        let text = format!("(its span never ended) {}", log_text(log, trace.began));
        let width = if log.is_serious { usize::MAX } else { layout.width - 2 };
        vec![(PLAIN, format!("  {}", short(&text, width)))]
    }));
    lines
}

/// The number of failed spans, the duration and the time of a trace.
fn summary(trace: &Waterfall) -> String {
    let failed = trace.rows.iter().filter(|row| row.has_failed).count();
    let spans = match (trace.rows.len(), failed) {
        (1, 0) => "1 span".to_owned(),
        (all, 0) => format!("{all} spans"),
        (all, failed) => format!("{FAILED} {failed} of {all} spans failed"),
    };
    match trace.began {
        0 => spans,
        began => {
            let began = wire::timestamp::rfc3339_millis(began);
            format!("{spans}, {:.2} ms, {began}", trace.millis)
        }
    }
}

/// The reason for a span's failure, and the reason why it exceeds its parent.
fn remark(row: &Row) -> Option<String> {
    let why = row.why_failed.lines().next().map(|why| format!("ERROR {why}"));
    let remark = (!row.remark.is_empty()).then(|| format!("({})", row.remark));
    let parts: Vec<String> = why.into_iter().chain(remark).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn style(row: &Row, unless_failed: Style) -> Style {
    if row.has_failed { BAD } else { unless_failed }
}

/// A log record: time since the beginning of the trace, severity and text.
fn log_text(log: &Log, began: u64) -> String {
    let Log { level, body, number, time, .. } = log;
    let time = match (*time, began) {
        (0, _) | (_, 0) => String::new(),
        (time, began) if time < began => format!("-{:.2} ms ", millis_between(time, began)),
        (time, began) => format!("+{:.2} ms ", millis_between(began, time)),
    };
    let body = if log.is_serious { on_one_line(body) } else { first_line(body).to_owned() };
    format!("{time}{} {body} {number}", short(level, LONGEST_LEVEL)).trim_end().to_owned()
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
        let width = width.clamp(*WIDTHS.start(), *WIDTHS.end());
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
        vec![
            (style(row, PLAIN), format!("{sign} ")),
            (
                PLAIN,
                format!(
                    "{service_name:<service$} {name:<name_width$} {duration:>duration_width$} |{}",
                    " ".repeat(from)
                ),
            ),
            (style(row, colour), "█".repeat(to - from)),
            (PLAIN, format!("{}|", " ".repeat(bar.saturating_sub(to)))),
        ]
    }

    fn below(&self, row: &Row, style: Style, text: &str, is_whole: bool) -> Line {
        let column = SIGN + self.service + 1 + 2 * row.depth.min(self.deepest());
        let width = if is_whole { usize::MAX } else { self.width.saturating_sub(column) };
        vec![(PLAIN, " ".repeat(column)), (style, short(text, width))]
    }
}

/// A span's name, indented by its depth, with its number.
fn name(row: &Row, deepest: usize) -> String {
    let indent = "  ".repeat(row.depth.min(deepest));
    format!("{indent}{} {}", row.name, row.number).trim_end().to_owned()
}

fn duration(row: &Row) -> String {
    format!("{:.2} ms", row.millis)
}

/// Formats a Unix time in nanoseconds as time of day (UTC); empty for 0, an unknown time.
pub fn time_of_day(unix_nano: u64) -> String {
    let time = (unix_nano > 0).then(|| wire::timestamp::rfc3339_millis(unix_nano));
    time.and_then(|time| Some(time.get(11..23)?.to_owned())).unwrap_or_default()
}

/// Shortens the first line of the text to `width` characters, without control characters.
pub fn short(text: &str, width: usize) -> String {
    let line = on_one_line(first_line(text));
    if line.chars().count() <= width {
        return line;
    }
    let kept: String = line.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
