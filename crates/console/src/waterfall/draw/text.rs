//! Texts of several lines in a terminal: wrapped, indented, and cut.

use super::Detail;
use crate::screen::on_one_line;
use anstyle::Style;

/// Maximum number of rows of a text, unless all are wanted.
const MOST_ROWS: usize = 12;
/// The indentation of further lines.
const BELOW: &str = "    ";
/// The least width of a text.
const NARROWEST: usize = 16;

/// The pieces of a line, each in its style.
pub(super) type Line = Vec<(Style, String)>;

/// A text of several lines.
pub(super) struct Text<'t> {
    /// The text before the first line.
    pub(super) first: &'t str,
    pub(super) lines: &'t [String],
    /// The text after the first line.
    pub(super) last: &'t str,
}

impl Text<'_> {
    /// Returns the rows of the text, wrapped and indented.
    pub(super) fn drawn(
        &self,
        column: usize,
        style: Style,
        detail: Detail,
        width: usize,
    ) -> Vec<Line> {
        if self.lines.is_empty() && self.first.is_empty() {
            return Vec::new();
        }
        let text_width = width.saturating_sub(column).max(NARROWEST);
        let headline = self.lines.first().map(String::as_str).unwrap_or_default();
        let first_line = format!("{}{headline} {}", self.first, self.last);
        let mut rows = wrapped(first_line.trim_end(), text_width, self.indentation(text_width));
        for line in self.lines.iter().skip(1) {
            rows.extend(wrapped(&format!("{BELOW}{line}"), text_width, BELOW.len()));
        }
        let hidden = rows.len().saturating_sub(MOST_ROWS);
        // A row for the number of hidden rows would hide one more.
        if hidden > 1 && !detail.is_full {
            rows.truncate(MOST_ROWS);
            rows.push(short(&format!("{BELOW}… {hidden} more: --full"), text_width));
        }
        let indent = " ".repeat(column);
        rows.into_iter().map(|row| vec![(Style::new(), indent.clone()), (style, row)]).collect()
    }

    /// The column in which the first line continues: that of its text, unless little room is left.
    fn indentation(&self, width: usize) -> usize {
        let column = self.first.chars().count();
        if column * 2 <= width { column } else { BELOW.len() }
    }
}

/// Breaks a line into rows of this width, at spaces where it has some. Further rows are indented.
fn wrapped(line: &str, width: usize, indentation: usize) -> Vec<String> {
    let line = on_one_line(line);
    let mut left: &str = &line;
    let mut rows: Vec<String> = Vec::new();
    let mut indent = 0;
    loop {
        let room = width.saturating_sub(indent).max(1);
        let pad = " ".repeat(indent);
        let Some((cut, _)) = left.char_indices().nth(room) else {
            rows.push(format!("{pad}{left}"));
            return rows;
        };
        let head = left.get(..cut).unwrap_or(left);
        // A break in the first half would waste the row.
        let space = head.rfind(' ').filter(|space| *space > cut / 2);
        let end = space.unwrap_or(cut);
        let row = left.get(..end).unwrap_or(left);
        rows.push(format!("{pad}{row}"));
        left = left.get(end..).unwrap_or_default();
        if space.is_some() {
            left = left.trim_start_matches(' ');
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
