//! The state of the full-screen view, and the effects of keys.

use crate::shown::held::Held;
use crate::shown::text;
use console::waterfall::Waterfall;
use console::waterfall::draw;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::collections::VecDeque;
use std::ops::ControlFlow;

const MOST_TRACES: usize = 1000;
const MOST_ITEMS: usize = 10_000;
const MOST_LINES: usize = 5000;
const PAGE: usize = 20;

/// The traces and lines so far, and the position in them.
#[derive(Default)]
pub(super) struct Listed {
    pub(super) traces: VecDeque<Trace>,
    /// Log records without a trace, data points and other lines.
    pub(super) lines: VecDeque<String>,
    pub(super) pane: Pane,
    /// The index of the open trace; `None` follows the newest.
    chosen: Option<usize>,
    /// The number of hidden rows before the open trace's first visible row, or after the last visible line.
    pub(super) scrolled: usize,
    pub(super) said: String,
}

/// The part that receives keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pane {
    #[default]
    List,
    /// The open trace alone.
    Opened,
    Lines,
    Keys,
}

pub(super) struct Trace {
    held: Held,
    pub(super) waterfall: Waterfall,
}

impl Listed {
    pub(super) fn add(&mut self, held: Held) {
        for line in text::records(&held).chain(text::metrics(&held)) {
            self.add_line(line.trim().to_owned());
        }
        let Held { spans, records, .. } = held;
        for span in spans {
            let id = span.span.trace_id.clone();
            self.of_trace(&id, |held| held.spans.push(span));
        }
        for record in records.into_iter().filter(|(_, record)| !record.trace_id.is_empty()) {
            let id = record.1.trace_id.clone();
            self.of_trace(&id, |held| held.records.push(record));
        }
        for trace in &mut self.traces {
            trace.redraw();
        }
        while self.traces.len() > MOST_TRACES {
            self.traces.pop_front();
            self.chosen = self.chosen.map(|place| place.saturating_sub(1));
        }
    }

    fn of_trace(&mut self, trace_id: &[u8], add: impl FnOnce(&mut Held)) {
        let id = wire::ids::to_hex(trace_id);
        let place = self.traces.iter().rposition(|trace| trace.waterfall.trace_id == id);
        let place = place.unwrap_or_else(|| {
            self.traces.push_back(Trace::new(id));
            self.traces.len() - 1
        });
        if let Some(trace) = self.traces.get_mut(place).filter(|t| t.held.items() < MOST_ITEMS) {
            add(&mut trace.held);
        }
    }

    pub(super) fn add_line(&mut self, line: String) {
        self.lines.push_back(line);
        while self.lines.len() > MOST_LINES {
            self.lines.pop_front();
        }
    }

    pub(super) fn say(&mut self, text: &str) {
        text.clone_into(&mut self.said);
    }

    pub(super) fn opened(&self) -> Option<usize> {
        let last = self.traces.len().checked_sub(1)?;
        Some(self.chosen.map_or(last, |place| place.min(last)))
    }

    /// Handles a key. Breaks if the key closes the view.
    pub(super) fn press(&mut self, key: KeyEvent) -> ControlFlow<()> {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if is_control => return ControlFlow::Break(()),
            KeyCode::Char('q') => return ControlFlow::Break(()),
            KeyCode::Esc if self.pane == Pane::List => return ControlFlow::Break(()),
            KeyCode::Esc => self.turn_to(Pane::List),
            KeyCode::Char('?') if self.pane == Pane::Keys => self.turn_to(Pane::List),
            KeyCode::Char('?') => self.turn_to(Pane::Keys),
            KeyCode::Enter if self.pane == Pane::List => self.turn_to(Pane::Opened),
            KeyCode::Tab if self.pane == Pane::Lines => self.turn_to(Pane::List),
            KeyCode::Tab => self.turn_to(Pane::Lines),
            KeyCode::Up | KeyCode::Char('k') => self.step_back(1),
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::PageUp => self.step_back(PAGE),
            KeyCode::PageDown => self.step(PAGE),
            KeyCode::Home | KeyCode::Char('g') => self.step_back(usize::MAX),
            KeyCode::End | KeyCode::Char('G') => self.step(usize::MAX),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn turn_to(&mut self, pane: Pane) {
        self.pane = pane;
        self.scrolled = 0;
    }

    fn step_back(&mut self, by: usize) {
        match self.pane {
            Pane::List => {
                self.chosen = self.opened().map(|place| place.saturating_sub(by));
                self.scrolled = 0;
            }
            Pane::Opened => self.scrolled = self.scrolled.saturating_sub(by),
            Pane::Lines => self.scrolled = self.scrolled.saturating_add(by).min(self.lines.len()),
            Pane::Keys => {}
        }
    }

    fn step(&mut self, by: usize) {
        match self.pane {
            Pane::List => {
                let last = self.traces.len().saturating_sub(1);
                let place = self.opened().unwrap_or(0).saturating_add(by);
                // At the end of the list the view follows the newest trace.
                self.chosen = (place < last).then_some(place);
                self.scrolled = 0;
            }
            Pane::Opened => {
                let trace = self.opened().and_then(|place| self.traces.get(place));
                let most = trace.map_or(0, Trace::height).saturating_sub(1);
                self.scrolled = self.scrolled.saturating_add(by).min(most);
            }
            Pane::Lines => self.scrolled = self.scrolled.saturating_sub(by),
            Pane::Keys => {}
        }
    }
}

impl Trace {
    fn new(trace_id: String) -> Self {
        let waterfall = Waterfall { trace_id, ..Waterfall::default() };
        Self { held: Held::default(), waterfall }
    }

    fn redraw(&mut self) {
        let shown = &self.waterfall;
        let logs = shown.rows.iter().map(|row| row.logs.len()).sum::<usize>() + shown.loose.len();
        if shown.rows.len() + logs != self.held.items()
            && let Some(waterfall) = self.held.waterfalls().pop()
        {
            self.waterfall = waterfall;
        }
    }

    fn height(&self) -> usize {
        draw::lines(&self.waterfall, 0).len()
    }

    pub(super) fn has_failed(&self) -> bool {
        self.waterfall.rows.iter().any(|row| row.has_failed)
    }
}
