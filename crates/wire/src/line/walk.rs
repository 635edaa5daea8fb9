//! Walks through the text of a log event, object by object, and keeps the text around the lines.

use super::find::{self, is_blank};
use std::ops::Range;

pub(super) struct Walk<'t> {
    pub(super) text: &'t str,
    /// The number of log records around the text.
    pub(super) wrappers: usize,
    /// The position up to which the text was passed.
    pub(super) at: usize,
    /// The start of the first object, if only a runtime's prefix precedes it.
    first_object: usize,
    /// The next object after `at` whose first key is the marker.
    pub(super) next_marked: Option<usize>,
    /// The first object with invalid JSON; beyond it only marked ones are searched.
    pub(super) broken: Option<BrokenObject>,
    /// `true` until other text was passed. Text before a line does not count, because it matters to no later decision.
    only_lines: bool,
    /// A position known to have other text, which the lines before it therefore do not precede alone.
    other_text_at: usize,
    /// The position after which only lines follow, if known.
    only_lines_from: Option<usize>,
    pub(super) bytes_searched: usize,
    has_line: bool,
    prefix: &'t str,
    other_text: String,
}

pub(super) struct BrokenObject {
    pub(super) begin: usize,
    pub(super) error: serde_json::Error,
}

/// The content of the text after a position, as far as it is known.
pub(super) enum Rest {
    OnlyLines,
    HasOtherText,
    Unknown,
}

impl<'t> Walk<'t> {
    pub(super) fn new(text: &'t str, wrappers: usize) -> Self {
        let mut walk = Self {
            text,
            wrappers,
            at: 0,
            first_object: find::first_object(text),
            next_marked: None,
            broken: None,
            only_lines: true,
            other_text_at: 0,
            only_lines_from: None,
            bytes_searched: 0,
            has_line: false,
            prefix: "",
            other_text: String::new(),
        };
        walk.find_marked(0);
        walk
    }

    pub(super) fn from(&self, begin: usize) -> &'t str {
        self.text.get(begin..).unwrap_or_default()
    }

    pub(super) fn within(&self, place: &Range<usize>) -> &'t str {
        self.text.get(place.clone()).unwrap_or_default()
    }

    /// The position of the first character at or after this position that is not blank.
    pub(super) fn skip_blank(&self, at: usize) -> usize {
        self.text.len() - self.from(at).trim_start_matches(is_blank).len()
    }

    /// The position where an object directly follows the passed text.
    fn next_position(&self) -> usize {
        if self.at == 0 { self.first_object } else { self.skip_blank(self.at) }
    }

    /// Returns `true` if nothing but lines precedes a line at this position.
    pub(super) fn begins_text(&self, begin: usize) -> bool {
        self.only_lines && begin == self.next_position()
    }

    /// The start of an object that directly follows the passed text.
    pub(super) fn next_object(&self) -> Option<usize> {
        let begin = self.next_position();
        (self.broken.is_none() && self.from(begin).starts_with('{')).then_some(begin)
    }

    /// The start of an incomplete object, which includes all text after the passed one.
    pub(super) fn unfinished(&self) -> Option<usize> {
        let BrokenObject { begin, error } = self.broken.as_ref()?;
        (error.is_eof() && *begin >= self.at).then_some(*begin)
    }

    pub(super) fn rest_after(&self, end: usize) -> Rest {
        if self.only_lines_from.is_some_and(|from| end >= from) {
            Rest::OnlyLines
        } else if end <= self.other_text_at {
            Rest::HasOtherText
        } else {
            Rest::Unknown
        }
    }

    pub(super) fn note_only_lines_from(&mut self, from: usize) {
        self.only_lines_from = Some(from);
    }

    pub(super) fn note_other_text_at(&mut self, at: usize) {
        self.other_text_at = at;
    }

    /// Notes that nothing is known about all the text from here on, which counts as other text.
    pub(super) fn note_unreadable_rest(&mut self) {
        self.other_text_at = self.text.len();
    }

    /// Passes a line; `inside` is other text within it.
    pub(super) fn pass_line(&mut self, place: &Range<usize>, inside: &str) {
        if self.at == 0 && place.start == self.first_object {
            self.prefix = self.within(&(0..place.start));
        } else {
            self.other_text.push_str(self.within(&(self.at..place.start)));
        }
        self.other_text.push_str(inside);
        self.has_line = true;
        self.go_on(place.end);
    }

    /// Passes other text.
    pub(super) fn pass_text(&mut self, end: usize) {
        self.only_lines = false;
        self.other_text.push_str(self.within(&(self.at..end)));
        self.go_on(end);
    }

    /// Leaves a marked object in the text, and searches for the next after it.
    pub(super) fn leave_marked(&mut self, end: usize) {
        self.only_lines = false;
        self.find_marked(end);
    }

    fn go_on(&mut self, end: usize) {
        self.at = end;
        if self.next_marked.is_some_and(|marked| marked < end) {
            self.find_marked(end);
        }
    }

    fn find_marked(&mut self, from: usize) {
        self.next_marked = find::marked_object(self.text, from);
        self.bytes_searched += self.next_marked.unwrap_or(self.text.len()) - from;
    }

    /// The text around the lines; `None` without a line. The prefix of a line is dropped unless there is other text.
    pub(super) fn finish(mut self) -> Option<String> {
        self.other_text.push_str(self.from(self.at));
        if !self.other_text.trim_matches(is_blank).is_empty() {
            self.other_text.insert_str(0, self.prefix);
        }
        self.has_line.then_some(self.other_text)
    }
}
