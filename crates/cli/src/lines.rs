//! Lines of a file or of standard input, and what stands in them.

use anyhow::Context as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use wire::{Joined, Limits, LineReading, Rejoin, read_line};

/// No writer writes a longer one, and a file without newlines must not fill the memory.
pub(crate) const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;

/// Opens a file; `-` is standard input.
pub(crate) fn open(file: &str) -> anyhow::Result<Box<dyn BufRead + Send>> {
    if file == "-" {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    Ok(Box::new(BufReader::new(File::open(file).with_context(|| format!("cannot open {file}"))?)))
}

/// A line of the input.
pub(crate) enum Line {
    /// Without its newline; what is no UTF-8 is replaced.
    Text(String),
    /// It was longer than [`MAX_LINE_BYTES`], and skipped.
    TooLong,
    /// There are no more.
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

/// What a line is, or several that were one.
pub(crate) enum Found {
    Otlp(Box<LineReading>),
    Other(String),
}

/// Joins lines again that were cut into pieces.
#[derive(Default)]
pub(crate) struct Joining {
    rejoin: Rejoin,
    /// Number and text of the lines that may be pieces of one.
    pieces: Vec<(usize, String)>,
}

impl Joining {
    /// What is known with this line, each with the number of the line that it begins in.
    pub(crate) fn take(&mut self, number: usize, line: String) -> Vec<(usize, Found)> {
        let limits = Limits::default();
        let mut found = Vec::new();
        if self.rejoin.is_waiting() {
            match self.rejoin.go_on(&line, &limits) {
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

    /// Whether a line waits for its other pieces.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// What waits for a piece that does not come.
    pub(crate) fn rest(&mut self) -> Vec<(usize, Found)> {
        self.rejoin = Rejoin::default();
        self.alone()
    }

    /// What cannot be joined is read line by line.
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
