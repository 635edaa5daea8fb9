//! `lambda-otlp decode`: OTLP lines in, OTLP/JSON or a summary out.

use anyhow::Context as _;
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read as _, Write};
use std::process::ExitCode;
use wire::{Joined, Limits, LineReading, Rejoin, SignalKind, read_line};

/// Arguments of `lambda-otlp decode`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Files of lines; `-` is standard input, which is also read when no file is named.
    files: Vec<String>,
    /// Print one row a file instead of the requests.
    #[arg(long)]
    summary: bool,
    /// With --summary: one JSON object a file.
    #[arg(long, requires = "summary")]
    json: bool,
}

/// What a file holds.
#[derive(Default, Serialize)]
struct Summary {
    file: String,
    /// Non-empty input lines.
    lines: usize,
    /// Decoded OTLP requests.
    requests: usize,
    spans: usize,
    data_points: usize,
    log_records: usize,
    /// Lines that claim to be OTLP and did not decode.
    undecodable: usize,
    /// Whether it looks like an event of the forwarder's.
    #[serde(skip)]
    is_event: bool,
}

impl Summary {
    /// Says what to do instead with a file that holds no OTLP line.
    fn hint(&self) -> Option<String> {
        let Self { file, lines, .. } = self;
        if self.requests > 0 || self.undecodable > 0 {
            return None;
        }
        Some(if self.is_event {
            format!(
                "{file}: no OTLP line; it looks like a Lambda event: `lambda-otlp forward --dry-run {file}` reads those"
            )
        } else {
            format!("{file}: no OTLP line among {lines}")
        })
    }
}

/// Whether a line begins a delivery of CloudWatch Logs, or of Kinesis or SQS, on one line or on many.
fn begins_event(line: &str) -> bool {
    let line = line.trim_start().trim_start_matches('{').trim_start();
    line.starts_with("\"awslogs\"") || line.starts_with("\"Records\"")
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    let standard_input = ["-".to_owned()];
    let files =
        if arguments.files.is_empty() { &standard_input } else { arguments.files.as_slice() };
    let mut summaries = Vec::new();
    for file in files {
        let requests_to: Option<&mut dyn Write> =
            if arguments.summary { None } else { Some(&mut out) };
        summaries.push(decode_file(file, requests_to)?);
    }
    if arguments.summary && arguments.json {
        for summary in &summaries {
            serde_json::to_writer(&mut out, summary)?;
            out.write_all(b"\n")?;
        }
    } else if arguments.summary {
        write_table(&summaries, &mut out)?;
    }
    out.flush()?;
    for hint in summaries.iter().filter_map(Summary::hint) {
        eprintln!("{hint}");
    }
    let undecodable = summaries.iter().any(|summary| summary.undecodable > 0);
    Ok(if undecodable { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn decode_file(file: &str, requests_to: Option<&mut dyn Write>) -> anyhow::Result<Summary> {
    let mut input: Box<dyn BufRead> = if file == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(file).with_context(|| format!("cannot open {file}"))?))
    };
    let summary = Summary { file: file.to_owned(), ..Summary::default() };
    let mut decoding =
        Decoding { summary, requests_to, rejoin: Rejoin::default(), pieces: Vec::new() };
    let mut bytes = Vec::new();
    for number in 1usize.. {
        let whole =
            read_line_of(&mut input, &mut bytes).with_context(|| format!("cannot read {file}"))?;
        if bytes.is_empty() {
            break;
        }
        let line = String::from_utf8_lossy(&bytes);
        if line.trim().is_empty() {
            continue;
        }
        decoding.summary.lines += 1;
        if whole {
            decoding.take(number, line.trim_end_matches(['\r', '\n']))?;
        } else {
            decoding.summary.undecodable += 1;
            eprintln!("{file}:{number}: skipped: the line is longer than {MAX_LINE_BYTES} bytes");
        }
    }
    decoding.end()
}

/// One file, line by line; a line that was cut into several is joined again.
struct Decoding<'a> {
    summary: Summary,
    requests_to: Option<&'a mut dyn Write>,
    rejoin: Rejoin,
    /// Number and text of the lines that may be pieces of one.
    pieces: Vec<(usize, String)>,
}

impl Decoding<'_> {
    fn take(&mut self, number: usize, line: &str) -> anyhow::Result<()> {
        let limits = Limits::default();
        if self.rejoin.is_waiting() {
            match self.rejoin.go_on(line, &limits) {
                Joined::More => {
                    self.pieces.push((number, line.to_owned()));
                    return Ok(());
                }
                Joined::Whole(reading) => {
                    let first = self.pieces.first().map_or(number, |(first, _)| *first);
                    self.pieces.clear();
                    return self.take_reading(first, &reading);
                }
                Joined::Broken => self.take_pieces_alone()?,
            }
        }
        let Some(reading) = read_line(line, &limits) else {
            self.summary.is_event |= begins_event(line);
            return Ok(());
        };
        if self.rejoin.begin(line, &reading) {
            self.pieces.push((number, line.to_owned()));
            return Ok(());
        }
        self.take_reading(number, &reading)
    }

    /// What cannot be joined is read line by line.
    fn take_pieces_alone(&mut self) -> anyhow::Result<()> {
        for (number, line) in std::mem::take(&mut self.pieces) {
            if let Some(reading) = read_line(&line, &Limits::default()) {
                self.take_reading(number, &reading)?;
            }
        }
        Ok(())
    }

    fn end(mut self) -> anyhow::Result<Summary> {
        self.take_pieces_alone()?;
        Ok(self.summary)
    }

    fn take_reading(&mut self, number: usize, reading: &LineReading) -> anyhow::Result<()> {
        let summary = &mut self.summary;
        for decoded in &reading.decoded {
            if let Some(out) = &mut self.requests_to {
                out.write_all(decoded.request.to_json().as_bytes())?;
                out.write_all(b"\n")?;
            }
            summary.requests += 1;
            match decoded.request.kind() {
                SignalKind::Traces => summary.spans += decoded.request.items(),
                SignalKind::Metrics => summary.data_points += decoded.request.items(),
                SignalKind::Logs => summary.log_records += decoded.request.items(),
            }
        }
        for undecodable in &reading.undecodable {
            summary.undecodable += 1;
            eprintln!(
                "{}:{number}: {} ({} bytes, SHA-256 {})",
                summary.file, undecodable.reason, undecodable.bytes, undecodable.sha256
            );
        }
        Ok(())
    }
}

/// No writer writes a longer one, and a file without newlines must not fill the memory.
const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;

/// Reads one line, newline included, into `bytes`; nothing at the end. False if the line is longer
/// than [`MAX_LINE_BYTES`]: then all of it is read, and only its beginning kept.
fn read_line_of(input: &mut dyn BufRead, bytes: &mut Vec<u8>) -> io::Result<bool> {
    bytes.clear();
    input.take(MAX_LINE_BYTES).read_until(b'\n', bytes)?;
    if bytes.len() as u64 != MAX_LINE_BYTES || bytes.ends_with(b"\n") {
        return Ok(true);
    }
    let mut rest = Vec::new();
    loop {
        rest.clear();
        input.take(MAX_LINE_BYTES).read_until(b'\n', &mut rest)?;
        if rest.is_empty() || rest.ends_with(b"\n") {
            return Ok(false);
        }
    }
}

fn write_table(summaries: &[Summary], out: &mut dyn Write) -> io::Result<()> {
    let width =
        summaries.iter().map(|summary| summary.file.chars().count()).max().unwrap_or(0).max(4);
    writeln!(
        out,
        "{:width$} {:>8} {:>9} {:>8} {:>12} {:>12} {:>12}",
        "file", "lines", "requests", "spans", "data points", "log records", "undecodable"
    )?;
    for summary in summaries {
        writeln!(
            out,
            "{:width$} {:>8} {:>9} {:>8} {:>12} {:>12} {:>12}",
            summary.file,
            summary.lines,
            summary.requests,
            summary.spans,
            summary.data_points,
            summary.log_records,
            summary.undecodable
        )?;
    }
    Ok(())
}
