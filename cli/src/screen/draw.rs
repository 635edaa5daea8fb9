//! Draws the full-screen view.

use super::listed::{Listed, Pane, Trace};
use crate::waterfall::draw::{Columns, service_width, short};
use crate::waterfall::{Log, Waterfall};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};

const KEYS: &str = "up/down choose  Enter open  Tab other lines  Esc back  q quit";
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
    }
    let status_line = Line::from(vec![
        Span::styled(KEYS, Style::new().add_modifier(Modifier::DIM)),
        Span::raw(format!("  {}", short(&listed.said, 200))),
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

    fn bad(self) -> Style {
        self.of(Color::Red).add_modifier(Modifier::BOLD)
    }
}

/// The traces, the newest at the end.
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
            Line::styled(entry(trace), style)
        })
        .collect();
    let title = format!(" Traces ({}) ", listed.traces.len());
    frame.render_widget(Paragraph::new(rows).block(Block::bordered().title(title)), area);
}

fn entry(trace: &Trace) -> String {
    let Waterfall { trace_id, rows, .. } = &trace.waterfall;
    let time = trace.began().map(wire::timestamp::rfc3339_millis).unwrap_or_default();
    // The day is the same for all.
    let time = time.get(11..23).unwrap_or_default();
    let (service, name) =
        rows.first().map_or(("", "(log records only)"), |row| (&row.service, &row.name));
    format!(
        "{time:<12} {} {:<16} {:<34} {:>10.2} ms {:>4} spans {}",
        trace_id.get(..8).unwrap_or(trace_id),
        short(service, 16),
        short(name, 34),
        trace.millis(),
        rows.len(),
        if trace.has_failed() { "ERROR" } else { "" },
    )
}

/// The trace that is opened.
fn trace(trace: Option<&Trace>, scrolled: usize, paint: Paint, frame: &mut Frame<'_>, area: Rect) {
    let Some(trace) = trace else {
        let text = Paragraph::new("nothing has come yet");
        return frame.render_widget(text.block(Block::bordered()), area);
    };
    let Waterfall { trace_id, label, .. } = &trace.waterfall;
    let title = format!(" {trace_id}: {label} ");
    let height = usize::from(area.height.saturating_sub(2));
    let rows: Vec<Line<'_>> =
        rows(&trace.waterfall, paint).into_iter().skip(scrolled).take(height).collect();
    frame.render_widget(Paragraph::new(rows).block(Block::bordered().title(title)), area);
}

fn rows(trace: &Waterfall, paint: Paint) -> Vec<Line<'static>> {
    let width = service_width(trace);
    let mut services: Vec<&str> = Vec::new();
    let mut lines = Vec::new();
    for row in &trace.rows {
        if !services.contains(&row.service.as_str()) {
            services.push(&row.service);
        }
        let place = services.iter().position(|service| *service == row.service).unwrap_or(0);
        let colour = BARS.iter().cycle().nth(place).copied().unwrap_or_default();
        let style = if row.has_failed { paint.bad() } else { paint.of(colour) };
        let Columns { head, before, bar, behind, failed, tail } = Columns::of(row, width);
        lines.push(Line::from(vec![
            Span::raw(format!("{head} |{before}")),
            Span::styled(bar, style),
            Span::raw(format!("{behind}| ")),
            Span::styled(failed, style),
            Span::raw(format!(" {tail}")),
        ]));
        lines.extend(row.logs.iter().map(|log| log_line(log, width, row.depth)));
    }
    lines.extend(trace.loose.iter().map(|log| log_line(log, width, 0)));
    lines
}

fn log_line(log: &Log, width: usize, depth: usize) -> Line<'static> {
    let Log { level, body, .. } = log;
    let indent = "  ".repeat(depth.min(width));
    Line::raw(format!("{:<width$} {indent}- {level} {}", "", short(body, 120)))
}

/// What is no trace, the newest at the end.
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
