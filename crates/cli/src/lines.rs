//! Lines of a file or of standard input, and their content.

use anyhow::Context as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use wire::compact::Context;
use wire::{Joined, Limits, LineReading, Rejoin, read_line};

/// The longest line. A file without newlines must not fill the memory.
pub(crate) const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;

pub(crate) fn open(file: &str) -> anyhow::Result<Box<dyn BufRead + Send>> {
    if file == "-" {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    Ok(Box::new(BufReader::new(File::open(file).with_context(|| format!("cannot open {file}"))?)))
}

pub(crate) enum Line {
    /// Without its newline; invalid UTF-8 is replaced.
    Text(String),
    TooLong,
    End,
}

pub(crate) fn next_line(input: &mut dyn BufRead) -> io::Result<Line> {
    let mut bytes = Vec::new();
    input.take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(Line::End);
    }
    if bytes.len() as u64 != MAX_LINE_BYTES || bytes.ends_with(b"\n") {
        let line = String::from_utf8_lossy(&bytes);
        return Ok(Line::Text(line.trim_end_matches(['\r', '\n']).to_owned()));
    }
    loop {
        bytes.clear();
        input.take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() || bytes.ends_with(b"\n") {
            return Ok(Line::TooLong);
        }
    }
}

/// The content of a line, or of several lines that were one.
pub(crate) enum Found {
    Otlp(Box<LineReading>),
    Other(String),
}

/// Joins lines that were split into pieces.
#[derive(Default)]
pub(crate) struct Joining {
    rejoin: Rejoin,
    /// Numbers and texts of possible pieces of one line.
    pieces: Vec<(usize, String)>,
}

impl Joining {
    /// Adds a line. Returns the complete contents, each with the number of its first line.
    pub(crate) fn take(&mut self, number: usize, line: String) -> Vec<(usize, Found)> {
        let limits = Limits::default();
        let mut found = Vec::new();
        if self.rejoin.is_waiting() {
            match self.rejoin.go_on(&line, &Context::default(), &limits) {
                Joined::More => {
                    self.pieces.push((number, line));
                    return found;
                }
                Joined::Whole(reading) => {
                    let first = self.pieces.first().map_or(number, |(first, _)| *first);
                    self.pieces.clear();
                    found.push((first, Found::Otlp(Box::new(reading))));
                    return found;
                }
                Joined::Broken => found = self.alone(),
            }
        }
        match read_line(&line, &limits) {
            Some(reading) if self.rejoin.begin(&line, &reading) => self.pieces.push((number, line)),
            Some(reading) => found.push((number, Found::Otlp(Box::new(reading)))),
            None => found.push((number, Found::Other(line))),
        }
        found
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// Returns the pieces of an incomplete line.
    pub(crate) fn rest(&mut self) -> Vec<(usize, Found)> {
        self.rejoin = Rejoin::default();
        self.alone()
    }

    fn alone(&mut self) -> Vec<(usize, Found)> {
        let pieces = std::mem::take(&mut self.pieces).into_iter();
        let read = |(number, line): (usize, String)| {
            let found = match read_line(&line, &Limits::default()) {
                Some(reading) => Found::Otlp(Box::new(reading)),
                None => Found::Other(line),
            };
            (number, found)
        };
        pieces.map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let error = open("/nonexistent/shop.log").err().unwrap();
        assert!(
            format!("{error:#}").starts_with("cannot open /nonexistent/shop.log: "),
            "{error:#}"
        );
    }
}
