//! Lays a trace out as lines of a terminal.

use super::attributes::millis_between;
use super::{Log, Row, Waterfall};
use anstyle::{AnsiColor, Style};
use std::io::{self, IsTerminal as _, Write};

pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(crate) const HEADING: Style = Style::new().bold();
/// The bars of the first service of a trace, of its second, and so on.
const BARS: [Style; 3] =
    [AnsiColor::Cyan.on_default(), AnsiColor::Magenta.on_default(), AnsiColor::Yellow.on_default()];

/// The sign in front of a failed span or trace, for people who do not see its colour.
pub(crate) const FAILED: &str = "✗";

/// Columns of output that goes to a file or another program.
const PRINTED: usize = 100;
/// The narrowest layout, inside the frame of a terminal of 40 columns, and the widest.
const WIDTHS: std::ops::RangeInclusive<usize> = 38..=200;
/// The columns before a service: a sign and a space.
const SIGN: usize = 2;
/// The longest shown name of a log record's severity, which the function chooses.
const LONGEST_LEVEL: usize = 16;
/// Deeper spans are not indented further.
const DEEPEST: usize = 24;

/// The columns of the terminal, or [`PRINTED`] if stdout is no terminal.
pub(crate) fn terminal_width() -> usize {
    let is_terminal = io::stdout().is_terminal();
    let size = is_terminal.then(ratatui::crossterm::terminal::size).and_then(Result::ok);
    size.map_or(PRINTED, |(columns, _)| usize::from(columns))
}

/// The colour of a piece of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    Plain,
    /// The colour of the service with this place in the trace.
    Service(usize),
    Failed,
}

/// A line in pieces.
pub(crate) type Line = Vec<(Ink, String)>;

/// Writes a trace: its spans with their log records.
pub(crate) fn waterfall(trace: &Waterfall, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let label = on_one_line(&trace.label);
    writeln!(out, "\n{HEADING}Trace {}: {label}{HEADING:#}", trace.trace_id)?;
    for line in lines(trace, width) {
        for (ink, text) in line {
            let style = match ink {
                Ink::Plain => Style::new(),
                Ink::Service(place) => BARS.iter().cycle().nth(place).copied().unwrap_or_default(),
                Ink::Failed => BAD,
            };
            write!(out, "{style}{text}{style:#}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The lines of a trace below its heading, none of them wider than the terminal. Their number does not depend on the width.
pub(crate) fn lines(trace: &Waterfall, width: usize) -> Vec<Line> {
    let layout = Layout::of(trace, width);
    let mut lines =
        vec![vec![(Ink::Plain, format!("  {}", short(&summary(trace), layout.width - 2)))]];
    let mut services: Vec<&str> = Vec::new();
    for row in &trace.rows {
        if !services.contains(&row.service.as_str()) {
            services.push(&row.service);
        }
        let place = services.iter().position(|service| *service == row.service).unwrap_or(0);
        lines.push(layout.span(row, place));
        lines.extend(remark(row).map(|text| layout.below(row, ink(row, Ink::Plain), &text)));
        let linked = row.links.iter().map(|link| format!("<- {link}"));
        let logs = row.logs.iter().map(|log| format!("- {}", log_text(log, trace.began)));
        let below = linked.chain(logs);
        lines.extend(below.map(|text| layout.below(row, Ink::Plain, &text)));
    }
    lines.extend(trace.loose.iter().map(|log| {
        let text = format!("(its span never ended) {}", log_text(log, trace.began));
        vec![(Ink::Plain, format!("  {}", short(&text, layout.width - 2)))]
    }));
    lines
}

/// The number of failed spans of a trace, its duration and its time.
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

/// The reason why a span failed, then the reason why it is longer than the span above it.
fn remark(row: &Row) -> Option<String> {
    let why = row.why_failed.lines().next().map(|why| format!("ERROR {why}"));
    let remark = (!row.remark.is_empty()).then(|| format!("({})", row.remark));
    let parts: Vec<String> = why.into_iter().chain(remark).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// The colour of a span's lines.
fn ink(row: &Row, unless_failed: Ink) -> Ink {
    if row.has_failed { Ink::Failed } else { unless_failed }
}

/// A log record: its time since the beginning of its trace, its severity and its text.
fn log_text(log: &Log, began: u64) -> String {
    let Log { level, body, number, time, .. } = log;
    let time = match (*time, began) {
        (0, _) | (_, 0) => String::new(),
        (time, began) if time < began => format!("-{:.2} ms ", millis_between(time, began)),
        (time, began) => format!("+{:.2} ms ", millis_between(began, time)),
    };
    let body = body.lines().next().unwrap_or_default();
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

    /// The deepest indentation, so that half of the column is left to the names.
    fn deepest(&self) -> usize {
        (self.name / 4).min(DEEPEST)
    }

    /// A span of the service with this place in the trace.
    fn span(&self, row: &Row, place: usize) -> Line {
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
            (ink(row, Ink::Plain), format!("{sign} ")),
            (
                Ink::Plain,
                format!(
                    "{service_name:<service$} {name:<name_width$} {duration:>duration_width$} |{}",
                    " ".repeat(from)
                ),
            ),
            (ink(row, Ink::Service(place)), "█".repeat(to - from)),
            (Ink::Plain, format!("{}|", " ".repeat(bar.saturating_sub(to)))),
        ]
    }

    /// A text below a span's name.
    fn below(&self, row: &Row, ink: Ink, text: &str) -> Line {
        let column = SIGN + self.service + 1 + 2 * row.depth.min(self.deepest());
        vec![
            (Ink::Plain, " ".repeat(column)),
            (ink, short(text, self.width.saturating_sub(column))),
        ]
    }
}

/// A span's name, indented by its depth, and its number.
fn name(row: &Row, deepest: usize) -> String {
    let indent = "  ".repeat(row.depth.min(deepest));
    format!("{indent}{} {}", row.name, row.number).trim_end().to_owned()
}

fn duration(row: &Row) -> String {
    format!("{:.2} ms", row.millis)
}

/// The time of day (UTC) of nanoseconds since the Unix epoch; nothing for 0, a time that is not known.
pub(crate) fn time_of_day(unix_nano: u64) -> String {
    let time = (unix_nano > 0).then(|| wire::timestamp::rfc3339_millis(unix_nano));
    time.and_then(|time| Some(time.get(11..23)?.to_owned())).unwrap_or_default()
}

/// At most `width` characters on one line, none of which moves a terminal.
pub(crate) fn short(text: &str, width: usize) -> String {
    let line = on_one_line(text.lines().next().unwrap_or_default());
    if line.chars().count() <= width {
        return line;
    }
    let kept: String = line.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// The text without what moves a terminal, begins a line, or turns the direction of what follows (Unicode, UAX #9).
fn on_one_line(text: &str) -> String {
    let moves = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if moves(c) { ' ' } else { c }).collect()
}
