//! `lambda-otlp decode`: prints OTLP lines as OTLP/JSON, or a summary.

use crate::lines::{self, Found, Joining, Line, MAX_LINE_BYTES, Writer, next_line, open};
use anyhow::Context as _;
use serde::Serialize;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use wire::{LineReading, SignalKind};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp decode shop.log
  lambda-otlp decode --summary shop.log orders.log
  aws logs tail /aws/lambda/shop | lambda-otlp decode --function shop --account 123456789012")]
pub(crate) struct Arguments {
    /// Files of lines; `-` (the default) is standard input.
    files: Vec<String>,
    /// Print one JSON object per file instead of the requests.
    #[arg(long)]
    summary: bool,
    #[command(flatten)]
    writer: Writer,
}

#[derive(Default, Serialize)]
struct Summary {
    file: String,
    lines: usize,
    requests: usize,
    spans: usize,
    data_points: usize,
    log_records: usize,
    /// OTLP lines that cannot be decoded.
    undecodable: usize,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    let standard_input = ["-".to_owned()];
    let files =
        if arguments.files.is_empty() { &standard_input } else { arguments.files.as_slice() };
    // A missing file is reported before anything is printed.
    for file in files {
        lines::check(file)?;
    }
    let mut summaries = Vec::new();
    for file in files {
        summaries.push(decode_file(file, arguments, &mut out)?);
    }
    if arguments.summary {
        for summary in &summaries {
            serde_json::to_writer(&mut out, summary)?;
            out.write_all(b"\n")?;
        }
    }
    out.flush()?;
    for Summary { file, lines, .. } in
        summaries.iter().filter(|it| it.requests + it.undecodable == 0)
    {
        eprintln!("{file}: no OTLP line among {lines}");
    }
    let undecodable = summaries.iter().any(|summary| summary.undecodable > 0);
    Ok(if undecodable { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Counts the requests of a file, and prints them unless there will be a summary.
fn decode_file(file: &str, arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Summary> {
    let mut input = open(file)?;
    let mut summary = Summary { file: file.to_owned(), ..Summary::default() };
    let mut joining = Joining::new(arguments.writer.clone());
    for number in 1usize.. {
        let (found, is_end) =
            match next_line(&mut input).with_context(|| format!("cannot read {file}"))? {
                Line::End => (joining.rest(), true),
                Line::Text(line) if line.trim().is_empty() => continue,
                Line::Text(line) => (joining.take(number, line), false),
                Line::TooLong => {
                    summary.undecodable += 1;
                    eprintln!(
                        "{file}:{number}: skipped: the line is longer than {MAX_LINE_BYTES} bytes"
                    );
                    (Vec::new(), false)
                }
            };
        for (number, found) in found {
            if let Found::Otlp(reading) = found {
                if !arguments.summary {
                    for request in &reading.decoded {
                        writeln!(out, "{}", request.to_json())?;
                    }
                }
                summary.add(number, &reading);
            }
        }
        if is_end {
            break;
        }
        summary.lines += 1;
    }
    Ok(summary)
}

impl Summary {
    fn add(&mut self, number: usize, reading: &LineReading) {
        for request in &reading.decoded {
            self.requests += 1;
            match request.kind() {
                SignalKind::Traces => self.spans += request.items(),
                SignalKind::Metrics => self.data_points += request.items(),
                SignalKind::Logs => self.log_records += request.items(),
            }
        }
        for undecodable in &reading.undecodable {
            self.undecodable += undecodable.lines();
            let reason = lines::reason(&undecodable.reason);
            eprintln!(
                "{}:{number}: {reason} ({} bytes, SHA-256 {})",
                self.file, undecodable.bytes, undecodable.sha256
            );
        }
    }
}
