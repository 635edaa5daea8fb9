//! Draws a trace in the terminal.

use super::{Log, Row, Waterfall};
use anstyle::{AnsiColor, Style};
use std::io::{self, Write};

pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const HEADING: Style = Style::new().bold();
/// The bars of the first service of a trace, of its second, and so on.
const BARS: [Style; 3] =
    [AnsiColor::Cyan.on_default(), AnsiColor::Magenta.on_default(), AnsiColor::Yellow.on_default()];

const BAR: usize = 40;
/// So many characters of a service's name are shown.
const LONGEST_SERVICE: usize = 24;
/// So many of a log record's level, which whoever wrote it has chosen.
const LONGEST_LEVEL: usize = 16;
/// So many of why a span failed.
const LONGEST_FAILURE: usize = 80;
/// What is deeper is not indented further.
const DEEPEST: usize = 24;

/// A trace: its spans with their log records.
pub(crate) fn waterfall(trace: &Waterfall, out: &mut dyn Write) -> io::Result<()> {
    let label = on_one_line(&trace.label);
    writeln!(out, "\n{HEADING}Trace {}: {label}{HEADING:#}", trace.trace_id)?;
    let width = service_width(trace);
    let mut services: Vec<&str> = Vec::new();
    for row in &trace.rows {
        if !services.contains(&row.service.as_str()) {
            services.push(&row.service);
        }
        let colour = services.iter().position(|service| *service == row.service).unwrap_or(0);
        bar(row, width, colour, out)?;
        let indent = "  ".repeat(row.depth.min(DEEPEST));
        for link in &row.links {
            writeln!(out, "  {:<width$} {indent}<- {}", "", on_one_line(link))?;
        }
        for Log { level, body, number, .. } in &row.logs {
            let (level, body) = (short(level, LONGEST_LEVEL), short(body, 80));
            writeln!(out, "  {:<width$} {indent}- {level} {body} {number}", "")?;
        }
    }
    for Log { level, body, number, .. } in &trace.loose {
        let (level, body) = (short(level, LONGEST_LEVEL), short(body, 60));
        writeln!(out, "  (its span never ended) {level} {body} {number}")?;
    }
    Ok(())
}

/// One span of a waterfall.
fn bar(row: &Row, width: usize, colour: usize, out: &mut dyn Write) -> io::Result<()> {
    let colour = BARS.iter().cycle().nth(colour).copied().unwrap_or_default();
    let style = if row.has_failed { BAD } else { colour };
    let Columns { head, before, bar, behind, failed, tail } = Columns::of(row, width);
    writeln!(
        out,
        "  {head} |{before}{style}{bar}{style:#}{behind}| {style}{failed:<5}{style:#} {tail}"
    )
}

/// One span as text.
pub(crate) struct Columns {
    /// Service, name and duration.
    pub(crate) head: String,
    pub(crate) before: String,
    pub(crate) bar: String,
    pub(crate) behind: String,
    pub(crate) failed: &'static str,
    /// Why it failed, its number, and why it is longer than the span above it.
    pub(crate) tail: String,
}

impl Columns {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "between 0 and the bar's width"
    )]
    pub(crate) fn of(row: &Row, width: usize) -> Self {
        let Row { depth, service, name, millis, why_failed, number, remark, .. } = row;
        let at = |part: f64| ((part * BAR as f64) as usize).min(BAR);
        let from = at(row.from).min(BAR - 1);
        let to = at(row.to).max(from + 1);
        let service = short(service, width);
        let name = short(&format!("{}{name}", "  ".repeat((*depth).min(DEEPEST))), 34);
        let remark = if remark.is_empty() { String::new() } else { format!("({remark})") };
        let tail = [short(why_failed, LONGEST_FAILURE), number.clone(), remark];
        let tail: Vec<String> = tail.into_iter().filter(|part| !part.is_empty()).collect();
        Self {
            head: format!("{service:<width$} {name:<34} {millis:>9.2} ms"),
            before: " ".repeat(from),
            bar: "█".repeat(to - from),
            behind: " ".repeat(BAR - to),
            failed: if row.has_failed { "ERROR" } else { "" },
            tail: tail.join(" "),
        }
    }
}

/// The width of the services' names.
pub(crate) fn service_width(trace: &Waterfall) -> usize {
    let longest = trace.rows.iter().map(|row| row.service.chars().count()).max().unwrap_or(0);
    longest.clamp(8, LONGEST_SERVICE)
}

/// At most `width` characters on one line, none of which moves a terminal.
pub(crate) fn short(text: &str, width: usize) -> String {
    let line = on_one_line(text.lines().next().unwrap_or_default());
    if line.chars().count() <= width {
        return line;
    }
    let kept: String = line.chars().take(width - 1).collect();
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
