//! `lambda-otlp decode`: prints OTLP lines as OTLP/JSON, or a summary.

use crate::lines::{
    self, Input, Line, LineContent, LineJoiner, MAX_LINE_BYTES, NumberedContent, WritingFunction,
};
use crate::progress::ProgressLine;
use anyhow::Context as _;
use console::screen;
use serde::Serialize;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use wire::SignalKind;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp decode shop.log
  lambda-otlp decode --summary shop.log orders.log
  aws logs tail /aws/lambda/shop | lambda-otlp decode --function shop --account 123456789012")]
pub(crate) struct DecodeArguments {
    /// Files of lines; `-` (the default) is standard input.
    #[arg(default_value = "-", hide_default_value = true)]
    files: Vec<String>,
    /// Print one JSON object per file instead of the requests.
    #[arg(long)]
    summary: bool,
    #[command(flatten)]
    writer: WritingFunction,
}

#[derive(Default, Serialize)]
struct DecodeSummary {
    file: String,
    lines: usize,
    requests: usize,
    spans: usize,
    data_points: usize,
    log_records: usize,
    /// OTLP lines that cannot be decoded.
    undecodable: usize,
}

pub(crate) fn run(arguments: &DecodeArguments) -> anyhow::Result<ExitCode> {
    // A pager may show the requests, in the place of progress.
    let progress =
        if arguments.summary { ProgressLine::start("decoding") } else { ProgressLine::hidden() };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut summaries = Vec::new();
    for (file, input) in lines::open_all(&arguments.files, progress.counts())? {
        let requests: &mut dyn Write = if arguments.summary { &mut io::sink() } else { &mut out };
        summaries.push(decode_file(file, input, &arguments.writer, requests)?);
    }
    drop(progress);
    if arguments.summary {
        for summary in &summaries {
            serde_json::to_writer(&mut out, summary)?;
            out.write_all(b"\n")?;
        }
    }
    out.flush()?;
    for summary in &summaries {
        if summary.requests + summary.undecodable == 0 {
            eprintln!("{}: no OTLP line among {}", summary.file, summary.lines);
        }
    }
    let is_any_undecodable = summaries.iter().any(|summary| summary.undecodable > 0);
    Ok(if is_any_undecodable { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn decode_file(
    file: String,
    input: Input,
    writer: &WritingFunction,
    out: &mut dyn Write,
) -> anyhow::Result<DecodeSummary> {
    let mut summary = DecodeSummary { file, ..DecodeSummary::default() };
    let mut joiner = LineJoiner::new(writer.clone());
    for (number, line) in (1..).zip(lines::lines(input)) {
        match line.with_context(|| format!("cannot read {}", summary.file))? {
            Line::Text(line) if line.trim().is_empty() => continue,
            Line::Text(line) => summary.print(joiner.add(number, line), out)?,
            Line::TooLong => {
                summary.undecodable += 1;
                let file = &summary.file;
                eprintln!(
                    "{file}:{number}: skipped: the line is longer than {MAX_LINE_BYTES} bytes"
                );
            }
        }
        summary.lines += 1;
    }
    summary.print(joiner.take_rest(), out)?;
    Ok(summary)
}

impl DecodeSummary {
    /// Prints the requests of these lines, and counts them.
    fn print(&mut self, contents: Vec<NumberedContent>, out: &mut dyn Write) -> io::Result<()> {
        for NumberedContent { number, content } in contents {
            let LineContent::Otlp(reading) = content else { continue };
            for request in &reading.decoded {
                writeln!(out, "{}", screen::json(&request.to_json()))?;
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
        Ok(())
    }
}
