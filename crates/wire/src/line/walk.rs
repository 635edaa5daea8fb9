//! Walks through the text of a log event, object by object, and keeps the text around the lines.

use super::find::{self, is_blank};

pub(super) struct Walk<'t> {
    pub(super) text: &'t str,
    /// The number of log records around the text.
    pub(super) wrappers: usize,
    pub(super) at: usize,
    /// The start of the first object, if only a runtime's prefix precedes it.
    first: usize,
    /// The next object after `at` whose first key is the marker.
    pub(super) marked: Option<usize>,
    /// The first object with invalid JSON; beyond it only marked ones are searched.
    pub(super) broken: Option<(usize, serde_json::Error)>,
    /// `true` until other text was kept. Text before a line does not count, because it matters to no later decision.
    pub(super) only_lines: bool,
    /// A position after lines with other text: the lines before it do not end the text.
    pub(super) text_behind: usize,
    /// The position after which only lines follow.
    pub(super) lines_from: Option<usize>,
    pub(super) bytes_searched: usize,
    found: bool,
    prefix: &'t str,
    around: String,
}

impl<'t> Walk<'t> {
    pub(super) fn new(text: &'t str, wrappers: usize) -> Self {
        let mut walk = Self {
            text,
            wrappers,
            at: 0,
            first: find::first_object(text),
            marked: None,
            broken: None,
            only_lines: true,
            text_behind: 0,
            lines_from: None,
            bytes_searched: 0,
            found: false,
            prefix: "",
            around: String::new(),
        };
        walk.find_marked(0);
        walk
    }

    pub(super) fn from(&self, at: usize) -> &'t str {
        self.text.get(at..).unwrap_or_default()
    }

    pub(super) fn between(&self, begin: usize, end: usize) -> &'t str {
        self.text.get(begin..end).unwrap_or_default()
    }

    /// Returns `true` if a line at this position, after nothing but lines, begins the text.
    pub(super) fn begins_text(&self, begin: usize) -> bool {
        let before = if self.at == 0 { self.first } else { self.skip_blank(self.at) };
        self.only_lines && begin == before
    }

    pub(super) fn skip_blank(&self, at: usize) -> usize {
        self.text.len() - self.from(at).trim_start_matches(is_blank).len()
    }

    /// The start of an object at the beginning of the remaining text.
    pub(super) fn object_here(&self) -> Option<usize> {
        let begin = if self.at == 0 { self.first } else { self.skip_blank(self.at) };
        (self.broken.is_none() && self.from(begin).starts_with('{')).then_some(begin)
    }

    /// The start of an incomplete object, which includes all text after `at`.
    pub(super) fn unfinished(&self) -> Option<usize> {
        let (begin, error) = self.broken.as_ref()?;
        (error.is_eof() && *begin >= self.at).then_some(*begin)
    }

    /// Continues after a line; `inside` is other text within it.
    pub(super) fn take(&mut self, begin: usize, end: usize, inside: &str) {
        if self.at == 0 && begin == self.first {
            self.prefix = self.between(0, begin);
        } else {
            self.around.push_str(self.between(self.at, begin));
        }
        self.around.push_str(inside);
        self.found = true;
        self.go_on(end);
    }

    /// Continues after other text.
    pub(super) fn keep(&mut self, end: usize) {
        self.only_lines = false;
        self.around.push_str(self.between(self.at, end));
        self.go_on(end);
    }

    /// Leaves a marked object in the text, and searches for the next after it.
    pub(super) fn leave_marked(&mut self, end: usize) {
        self.only_lines = false;
        self.find_marked(end);
    }

    fn go_on(&mut self, end: usize) {
        self.at = end;
        if self.marked.is_some_and(|marked| marked < end) {
            self.find_marked(end);
        }
    }

    fn find_marked(&mut self, from: usize) {
        self.marked = find::marked_object(self.text, from);
        self.bytes_searched += self.marked.unwrap_or(self.text.len()) - from;
    }

    /// The text around the lines; `None` if there is none. The prefix of a line is dropped unless there is other text.
    pub(super) fn finish(mut self) -> Option<String> {
        self.around.push_str(self.from(self.at));
        if !self.around.trim_matches(is_blank).is_empty() {
            self.around.insert_str(0, self.prefix);
        }
        self.found.then_some(self.around)
    }
}
