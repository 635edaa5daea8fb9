//! Texts of several lines in a terminal: wrapped, indented, and cut.

use super::Detail;
use crate::screen::on_one_line;
use anstyle::Style;

/// Maximum number of rows of a text, unless all are wanted.
const MAX_ROWS: usize = 12;
/// The indentation of further lines.
const BELOW: &str = "    ";
/// The least width of a text.
const NARROWEST: usize = 16;

/// A line of the terminal.
pub(super) struct Line {
    pub(super) pieces: Vec<Piece>,
}

/// A part of a line in one style.
pub(super) struct Piece {
    pub(super) style: Style,
    pub(super) text: String,
}

impl Line {
    pub(super) fn styled(style: Style, text: String) -> Self {
        Self { pieces: vec![Piece { style, text }] }
    }
}

/// A text of several lines.
#[derive(Clone, Copy)]
pub(super) struct Text<'t> {
    /// Precedes the first line, in the same row.
    pub(super) prefix: &'t str,
    pub(super) lines: &'t [String],
    /// Follows the first line, in the same row.
    pub(super) suffix: &'t str,
}

/// The place of a text on the terminal.
#[derive(Clone, Copy)]
pub(super) struct TextColumns {
    /// The column in which the text begins.
    pub(super) column: usize,
    /// The columns of the terminal that may be used.
    pub(super) width: usize,
}

impl<'t> Text<'t> {
    /// A text whose lines stand alone.
    pub(super) fn of_lines(lines: &'t [String]) -> Self {
        Self { prefix: "", lines, suffix: "" }
    }

    /// Returns the rows of the text, wrapped and indented.
    pub(super) fn drawn(self, style: Style, detail: Detail, position: TextColumns) -> Vec<Line> {
        if self.lines.is_empty() && self.prefix.is_empty() {
            return Vec::new();
        }
        let text_width = position.width.saturating_sub(position.column).max(NARROWEST);
        let headline = self.lines.first().map(String::as_str).unwrap_or_default();
        let first_line = format!("{}{headline} {}", self.prefix, self.suffix);
        let mut rows = wrapped(first_line.trim_end(), text_width, self.indentation(text_width));
        for line in self.lines.iter().skip(1) {
            rows.extend(wrapped(&format!("{BELOW}{line}"), text_width, BELOW.len()));
        }
        let hidden = rows.len().saturating_sub(MAX_ROWS);
        // A row for the number of hidden rows would hide one more.
        if hidden > 1 && !detail.is_full {
            rows.truncate(MAX_ROWS);
            rows.push(short(&format!("{BELOW}… {hidden} more: --full"), text_width));
        }
        let indent = " ".repeat(position.column);
        let line = |row: String| Line {
            pieces: vec![
                Piece { style: Style::new(), text: indent.clone() },
                Piece { style, text: row },
            ],
        };
        rows.into_iter().map(line).collect()
    }

    /// The column in which the first line continues: below its text, unless little room is left.
    fn indentation(self, width: usize) -> usize {
        let column = self.prefix.chars().count();
        if column * 2 <= width { column } else { BELOW.len() }
    }
}

/// Breaks a line into rows of this width, at spaces where it has some. Further rows are indented.
fn wrapped(line: &str, width: usize, indentation: usize) -> Vec<String> {
    let printable = on_one_line(line);
    let mut rest: &str = &printable;
    let mut rows: Vec<String> = Vec::new();
    let mut indent = 0;
    loop {
        let room = width.saturating_sub(indent).max(1);
        let pad = " ".repeat(indent);
        let Some((most, _)) = rest.char_indices().nth(room) else {
            rows.push(format!("{pad}{rest}"));
            return rows;
        };
        let fitting = rest.get(..most).unwrap_or(rest);
        // A break in the first half would waste the row.
        let space = fitting.rfind(' ').filter(|space| *space > most / 2);
        let end = space.unwrap_or(most);
        let row = rest.get(..end).unwrap_or(rest);
        rows.push(format!("{pad}{row}"));
        rest = rest.get(end..).unwrap_or_default();
        if space.is_some() {
            rest = rest.trim_start_matches(' ');
        }
        indent = indentation;
    }
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
