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
        let requests_to: Option<&mut dyn Write> =
            if arguments.summary { None } else { Some(&mut out) };
        summaries.push(decode_file(file, arguments.writer.clone(), requests_to)?);
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

fn decode_file(
    file: &str,
    writer: Writer,
    requests_to: Option<&mut dyn Write>,
) -> anyhow::Result<Summary> {
    let mut input = open(file)?;
    let summary = Summary { file: file.to_owned(), ..Summary::default() };
    let mut decoding = Decoding { summary, requests_to };
    let mut joining = Joining::new(writer);
    for number in 1usize.. {
        match next_line(&mut input).with_context(|| format!("cannot read {file}"))? {
            Line::End => break,
            Line::Text(line) if line.trim().is_empty() => {}
            Line::Text(line) => {
                decoding.summary.lines += 1;
                decoding.take(joining.take(number, line))?;
            }
            Line::TooLong => {
                decoding.summary.lines += 1;
                decoding.summary.undecodable += 1;
                eprintln!(
                    "{file}:{number}: skipped: the line is longer than {MAX_LINE_BYTES} bytes"
                );
            }
        }
    }
    decoding.take(joining.rest())?;
    Ok(decoding.summary)
}

struct Decoding<'a> {
    summary: Summary,
    requests_to: Option<&'a mut dyn Write>,
}

impl Decoding<'_> {
    fn take(&mut self, found: Vec<(usize, Found)>) -> anyhow::Result<()> {
        for (number, found) in found {
            if let Found::Otlp(reading) = found {
                self.take_reading(number, &reading)?;
            }
        }
        Ok(())
    }

    fn take_reading(&mut self, number: usize, reading: &LineReading) -> anyhow::Result<()> {
        let summary = &mut self.summary;
        for request in &reading.decoded {
            if let Some(out) = &mut self.requests_to {
                out.write_all(request.to_json().as_bytes())?;
                out.write_all(b"\n")?;
            }
            summary.requests += 1;
            match request.kind() {
                SignalKind::Traces => summary.spans += request.items(),
                SignalKind::Metrics => summary.data_points += request.items(),
                SignalKind::Logs => summary.log_records += request.items(),
            }
        }
        for undecodable in &reading.undecodable {
            summary.undecodable += undecodable.lines();
            let reason = lines::reason(&undecodable.reason);
            eprintln!(
                "{}:{number}: {reason} ({} bytes, SHA-256 {})",
                summary.file, undecodable.bytes, undecodable.sha256
            );
        }
        Ok(())
    }
}
