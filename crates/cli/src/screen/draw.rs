//! Draws the full-screen view.

use super::listed::{Listed, Pane, Trace};
use console::waterfall::Waterfall;
use console::waterfall::draw::{self, FAILED, Ink, short, time_of_day};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};

/// The hint after the status text.
const HINT: &str = "? keys  q quit";
const KEYS: [(&str, &str); 9] = [
    ("up, k", "the previous trace or line"),
    ("down, j", "the next trace or line; after the last, follow the newest"),
    ("PageUp, PageDown", "20 at a time"),
    ("Home, g / End, G", "the first / the last"),
    ("Enter", "only the chosen trace"),
    ("Tab", "log records of no trace, metrics and other lines; again: the traces"),
    ("Esc", "back to the traces, and from there quit"),
    ("?", "these keys"),
    ("q, Ctrl-C", "quit"),
];
const BARS: [Color; 3] = [Color::Cyan, Color::Magenta, Color::Yellow];

pub(super) fn draw(listed: &Listed, is_coloured: bool, frame: &mut Frame<'_>) {
    let paint = Paint { is_coloured };
    let [main, status] =
        Layout::vertical([Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
    let opened = listed.opened().and_then(|place| listed.traces.get(place));
    match listed.pane {
        Pane::List => {
            let halves = [Constraint::Percentage(40), Constraint::Percentage(60)];
            let [above, below] = Layout::vertical(halves).areas(main);
            list(listed, paint, frame, above);
            trace(opened, 0, paint, frame, below);
        }
        Pane::Opened => trace(opened, listed.scrolled, paint, frame, main),
        Pane::Lines => lines(listed, frame, main),
        Pane::Keys => keys(frame, main),
    }
    let left = usize::from(status.width).saturating_sub(HINT.len() + 2);
    let status_line = Line::from(vec![
        Span::raw(format!("{:<left$}  ", short(&listed.said, left))),
        Span::styled(HINT, Style::new().add_modifier(Modifier::DIM)),
    ]);
    frame.render_widget(status_line, status);
}

#[derive(Clone, Copy)]
struct Paint {
    is_coloured: bool,
}

impl Paint {
    fn of(self, colour: Color) -> Style {
        if self.is_coloured { Style::new().fg(colour) } else { Style::new() }
    }

    fn style(self, ink: Ink) -> Style {
        match ink {
            Ink::Plain => Style::new(),
            Ink::Failed => self.bad(),
            Ink::Service(place) => {
                self.of(BARS.iter().cycle().nth(place).copied().unwrap_or_default())
            }
        }
    }

    fn bad(self) -> Style {
        self.of(Color::Red).add_modifier(Modifier::BOLD)
    }
}

fn list(listed: &Listed, paint: Paint, frame: &mut Frame<'_>, area: Rect) {
    let opened = listed.opened().unwrap_or(0);
    let height = usize::from(area.height.saturating_sub(2)).max(1);
    let first = opened.saturating_sub(height - 1);
    let rows = listed.traces.iter().enumerate().skip(first).take(height);
    let rows: Vec<Line<'_>> = rows
        .map(|(place, trace)| {
            let style = if trace.has_failed() { paint.bad() } else { Style::new() };
            let style =
                if place == opened { style.add_modifier(Modifier::REVERSED) } else { style };
            Line::styled(entry(trace, usize::from(area.width.saturating_sub(2))), style)
        })
        .collect();
    let title = format!(" Traces ({}) ", listed.traces.len());
    frame.render_widget(Paragraph::new(rows).block(Block::bordered().title(title)), area);
}

/// A trace as a line of this width: its failure sign, time, name and duration.
fn entry(trace: &Trace, width: usize) -> String {
    let Waterfall { trace_id, began, millis, rows, .. } = &trace.waterfall;
    let sign = if trace.has_failed() { FAILED } else { " " };
    let time = time_of_day(*began);
    let (service, name) =
        rows.first().map_or(("", "(log records only)"), |row| (&row.service, &row.name));
    let begin = format!("{sign} {time:<12} ");
    let is_narrow = width < 80;
    let end = if is_narrow { String::new() } else { format!(" {:>4} spans", rows.len()) };
    let end = format!(" {:>9} ms{end}", format!("{millis:.2}"));
    let id = trace_id.get(..8).unwrap_or(trace_id);
    let what = format!("{id} {:<16} {name}", short(service, 16));
    let left = width.saturating_sub(begin.chars().count() + end.len());
    // A narrow terminal has room for the name only.
    let what = if is_narrow { name } else { &what };
    format!("{begin}{:<left$}{end}", short(what, left))
}

fn trace(trace: Option<&Trace>, scrolled: usize, paint: Paint, frame: &mut Frame<'_>, area: Rect) {
    let Some(trace) = trace else {
        let text = Paragraph::new("nothing has arrived yet");
        return frame.render_widget(text.block(Block::bordered()), area);
    };
    let Waterfall { trace_id, label, .. } = &trace.waterfall;
    let title = format!(" {trace_id}: {label} ");
    let (height, width) = (area.height.saturating_sub(2), area.width.saturating_sub(2));
    let rows = draw::lines(&trace.waterfall, usize::from(width)).into_iter();
    let rows = rows.skip(scrolled).take(usize::from(height));
    let spans = |line: draw::Line| -> Line<'static> {
        line.into_iter().map(|(ink, text)| Span::styled(text, paint.style(ink))).collect()
    };
    let rows: Vec<Line<'_>> = rows.map(spans).collect();
    frame.render_widget(Paragraph::new(rows).block(Block::bordered().title(title)), area);
}

fn keys(frame: &mut Frame<'_>, area: Rect) {
    let rows: Vec<Line<'_>> =
        KEYS.iter().map(|(key, does)| Line::raw(format!("{key:<17} {does}"))).collect();
    frame.render_widget(Paragraph::new(rows).block(Block::bordered().title(" Keys ")), area);
}

/// Draws lines that belong to no trace, newest last.
fn lines(listed: &Listed, frame: &mut Frame<'_>, area: Rect) {
    let height = usize::from(area.height.saturating_sub(2));
    let end = listed.lines.len().saturating_sub(listed.scrolled);
    let first = end.saturating_sub(height);
    let rows: Vec<Line<'_>> = listed
        .lines
        .iter()
        .skip(first)
        .take(end - first)
        .map(|line| Line::raw(short(line, usize::from(area.width))))
        .collect();
    let title = format!(" Log records of no trace, metrics, other lines ({}) ", listed.lines.len());
    frame.render_widget(Paragraph::new(rows).block(Block::bordered().title(title)), area);
}
