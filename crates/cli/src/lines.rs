//! Lines of a file or of standard input, their content, and the format that functions write.

use crate::progress::Tally;
use anyhow::Context as _;
use console::time_arguments::TimeArgument;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, IsTerminal as _, Read as _};
use wire::compact::{CompactError, Context};
use wire::{Joined, Limits, LineError, LineReading, Rejoin, read_line_of};

/// The longest line. A file without newlines must not fill the memory.
pub(crate) const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;

/// The format of OTLP lines, a word of `LAMBDA_OTLP_LINE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LineFormat {
    Standard,
    Compact,
}

pub(crate) type Input = Box<dyn BufRead + Send>;

/// Opens all files, so that a missing one is reported before anything is printed. Their bytes count as progress.
pub(crate) fn open_all(files: &[String], progress: &Tally) -> anyhow::Result<Vec<(String, Input)>> {
    let open = |file: &String| {
        let input = open(file, progress).with_context(|| format!("cannot open {file}"))?;
        Ok((file.clone(), input))
    };
    files.iter().map(open).collect()
}

fn open(file: &str, progress: &Tally) -> io::Result<Input> {
    if file == "-" {
        if io::stdin().is_terminal() {
            eprintln!(
                "waiting for lines on standard input, Ctrl-D ends; to read files, name them as arguments"
            );
        }
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let opened = File::open(file)?;
    // A folder can be opened, but not read.
    if opened.metadata()?.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    Ok(Box::new(BufReader::new(progress.count_bytes(opened)?)))
}

pub(crate) enum Line {
    /// Without its newline; invalid UTF-8 is replaced.
    Text(String),
    TooLong,
}

pub(crate) fn lines(mut input: Input) -> impl Iterator<Item = io::Result<Line>> {
    std::iter::from_fn(move || next_line(&mut input).transpose())
}

fn next_line(input: &mut Input) -> io::Result<Option<Line>> {
    let mut bytes = Vec::new();
    input.take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.len() as u64 != MAX_LINE_BYTES || bytes.ends_with(b"\n") {
        let line = String::from_utf8_lossy(&bytes);
        return Ok(Some(Line::Text(line.trim_end_matches(['\r', '\n']).to_owned())));
    }
    loop {
        bytes.clear();
        input.take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() || bytes.ends_with(b"\n") {
            return Ok(Some(Line::TooLong));
        }
    }
}

/// The function that wrote compact lines, which leave out these names.
#[derive(clap::Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WritingFunction {
    /// For compact lines: the name of the function that wrote them.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    function: String,
    /// For compact lines: the function's account.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    account: String,
    /// For compact lines: their log stream, unless each line names it, as those of `aws logs tail` do.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    log_stream: String,
}

impl WritingFunction {
    fn context(&self) -> Context<'_> {
        let Self { function, account, log_stream } = self;
        Context { function, account, log_stream, region: "" }
    }

    /// Returns the writing function of a line. A log stream in the line takes precedence.
    fn of_line(&self, line: &str) -> Self {
        let log_stream = tailed(line).map_or(&*self.log_stream, |tailed| tailed.stream);
        Self { log_stream: log_stream.to_owned(), ..self.clone() }
    }
}

/// A line of `aws logs tail`: `TIME LOG_STREAM MESSAGE`.
pub(crate) struct TailedLine<'l> {
    pub(crate) timestamp_ms: i64,
    pub(crate) stream: &'l str,
    pub(crate) message: &'l str,
}

/// Splits a line of `aws logs tail`; `None` for other lines.
pub(crate) fn tailed(line: &str) -> Option<TailedLine<'_>> {
    let (time, rest) = line.split_once(' ')?;
    let (stream, message) = rest.split_once(' ')?;
    let TimeArgument::At(timestamp_ms) = TimeArgument::parse(time).ok()? else { return None };
    // Lambda's streams have the function's version in brackets.
    stream.contains(']').then_some(TailedLine { timestamp_ms, stream, message })
}

/// Describes why a line does not decode, with the remedy if a compact line needs names.
pub(crate) fn reason(error: &LineError) -> String {
    match error {
        LineError::Compact(CompactError::OtherContext(_)) => {
            format!("{error}: name its writer with --function, --account and --log-stream")
        }
        other => other.to_string(),
    }
}

/// The content of a line, or of several lines that were one.
pub(crate) struct NumberedContent {
    /// The number of its first line.
    pub(crate) number: usize,
    pub(crate) content: LineContent,
}

pub(crate) enum LineContent {
    Otlp(Box<LineReading>),
    Other(String),
}

/// A possible piece of a line.
struct LinePiece {
    number: usize,
    text: String,
}

/// Joins lines that were split into pieces.
#[derive(Default)]
pub(crate) struct LineJoiner {
    /// The writing function of the command line, for lines that do not state a log stream.
    stated: WritingFunction,
    /// The writing function of the last line.
    current: WritingFunction,
    rejoin: Rejoin,
    pieces: Vec<LinePiece>,
}

impl LineJoiner {
    pub(crate) fn new(stated: WritingFunction) -> Self {
        Self { stated, ..Self::default() }
    }

    /// Adds a line. Returns the complete contents.
    pub(crate) fn add(&mut self, number: usize, line: String) -> Vec<NumberedContent> {
        let writing = self.stated.of_line(&line);
        let mut complete = Vec::new();
        if self.current != writing {
            complete = self.take_rest();
            self.current = writing;
        }
        let context = self.current.context();
        let limits = Limits::default();
        if self.rejoin.is_waiting() {
            match self.rejoin.go_on(&line, &context, &limits) {
                Joined::More => {
                    self.pieces.push(LinePiece { number, text: line });
                    return complete;
                }
                Joined::Whole(reading) => {
                    let first = self.pieces.first().map_or(number, |piece| piece.number);
                    self.pieces.clear();
                    let otlp = LineContent::Otlp(Box::new(reading));
                    complete.push(NumberedContent { number: first, content: otlp });
                    return complete;
                }
                Joined::Broken { .. } => {
                    let pieces = std::mem::take(&mut self.pieces);
                    complete.extend(self.read_separately(pieces));
                }
            }
        }
        let whole = match read_line_of(&line, &context, &limits) {
            Some(reading) if self.rejoin.begin(&line, &reading) => {
                self.pieces.push(LinePiece { number, text: line });
                return complete;
            }
            Some(reading) => LineContent::Otlp(Box::new(reading)),
            None => LineContent::Other(line),
        };
        complete.push(NumberedContent { number, content: whole });
        complete
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// Takes the pieces of an incomplete line.
    pub(crate) fn take_rest(&mut self) -> Vec<NumberedContent> {
        self.rejoin = Rejoin::default();
        let pieces = std::mem::take(&mut self.pieces);
        self.read_separately(pieces)
    }

    /// Reads pieces that did not become one line.
    fn read_separately(&self, pieces: Vec<LinePiece>) -> Vec<NumberedContent> {
        let read = |LinePiece { number, text }: LinePiece| {
            let content = match read_line_of(&text, &self.current.context(), &Limits::default()) {
                Some(reading) => LineContent::Otlp(Box::new(reading)),
                None => LineContent::Other(text),
            };
            NumberedContent { number, content }
        };
        pieces.into_iter().map(read).collect()
    }
}
