//! `lambda-otlp cost`: estimates the monthly cost of telemetry, and names the limits that apply.

mod month;
mod prices;

use month::Month;
use std::io::{self, Write};
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp cost --invocations 10M
  lambda-otlp cost --invocations 1B/d --per-delivery 20 --memory 256")]
pub(crate) struct Arguments {
    /// Invocations of all functions per month, day or second: 10M, 1B/d, 40/s
    #[arg(long, value_name = "N", value_parser = invocations)]
    invocations: f64,
    /// Spans per invocation
    #[arg(long, value_name = "N", default_value_t = 3)]
    spans: u32,
    /// Format of the lines: LAMBDA_OTLP_LINE
    #[arg(long, value_enum, default_value_t = LineFormat::Standard)]
    line: LineFormat,
    /// Memory of the functions in MB
    #[arg(long, value_name = "MB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(128..=10_240))]
    memory: u32,
    /// Retention of the log groups in days
    #[arg(long, value_name = "DAYS", default_value_t = 14)]
    retention: u32,
    /// Invocations per delivery. CloudWatch Logs does not document it; 1 is the most expensive
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    per_delivery: u32,
}

/// The format of OTLP lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LineFormat {
    Standard,
    Compact,
}

const SECONDS_OF_MONTH: f64 = 30.0 * 86_400.0;

/// Parses `10M`, `1B/d` or `40/s` to a number per month of 30 days.
fn invocations(text: &str) -> Result<f64, String> {
    let wrong = || "expected a number, with k, M or B, and /s or /d: 10M, 1B/d, 40/s".to_owned();
    let (number, times) = match text.split_once('/') {
        None => (text, 1.0),
        Some((number, "month")) => (number, 1.0),
        Some((number, "d" | "day")) => (number, 30.0),
        Some((number, "s")) => (number, SECONDS_OF_MONTH),
        Some(_) => return Err(wrong()),
    };
    let scales = [('k', 1e3), ('K', 1e3), ('M', 1e6), ('B', 1e9)];
    let found = |(letter, scale): (char, f64)| Some((number.strip_suffix(letter)?, scale));
    let (digits, scale) = scales.into_iter().find_map(found).unwrap_or((number, 1.0));
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    let invocations = number * scale * times;
    // The price tiers are not known beyond.
    (1.0..=1e15).contains(&invocations).then_some(invocations).ok_or_else(wrong)
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    write(arguments, &mut anstream::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

fn write(arguments: &Arguments, out: &mut impl Write) -> io::Result<()> {
    let month = Month::of(arguments);
    writeln!(out, "{:<46} {:>28} {:>12}", "per month", "", "USD")?;
    for row in &month.rows {
        writeln!(out, "{:<46} {:>28} {:>12.2}", row.what, row.quantity, row.usd)?;
    }
    let total = month.total();
    writeln!(out, "{:<46} {:>28} {total:>12.2}", "total", "")?;
    let of_million = total / (arguments.invocations / 1e6);
    writeln!(out, "{:<46} {:>28} {of_million:>12.2}", "per million invocations", "")?;
    writeln!(out)?;
    let deliveries = month.deliveries / SECONDS_OF_MONTH * PEAK;
    let at_once = deliveries * month.delivery_ms / 1000.0;
    writeln!(
        out,
        "At a peak of {PEAK} times the mean: {deliveries:.1} events per second, {at_once:.1} concurrent forwarders.\n{CONCURRENCY}"
    )?;
    writeln!(out, "\n{}", prices::ASSUMED)
}

/// The ratio of peak to mean traffic.
const PEAK: f64 = 3.0;
/// Source: Lambda Developer Guide, "Lambda quotas".
const CONCURRENCY: &str = "\
An account and region has 1000 concurrent invocations by default, shared with your functions. If the forwarder needs more than a fifth
of them, use a Kinesis stream (CreateKinesisStream=true), Collect=telemetry if the functions also send logs as OTLP, or a higher quota.";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn arguments(words: &str) -> Arguments {
        Command::parse_from(["cost"].into_iter().chain(words.split(' '))).arguments
    }

    fn row(words: &str, what: &str) -> f64 {
        let month = Month::of(&arguments(words));
        month.rows.iter().find(|row| row.what.starts_with(what)).map_or(0.0, |row| row.usd)
    }

    #[track_caller]
    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= expected.abs() * 1e-3, "{found}, not {expected}");
    }

    #[test]
    fn invocation_counts_accept_units_and_rates() {
        let check = |text: &str, expected: Option<f64>| {
            assert_eq!(invocations(text).ok(), expected, "{text}");
        };
        check("1000", Some(1000.0));
        check("2.5k", Some(2500.0));
        check("10M", Some(10e6));
        check("10M/month", Some(10e6));
        check("1B/d", Some(30e9));
        check("2/s", Some(5_184_000.0));
        for wrong in ["", "M", "ten", "-1", "0", "1/h", "1MM", "inf", "NaN", "1e300", "1/s/d"] {
            check(wrong, None);
        }
    }

    #[test]
    fn costs_follow_tiers_and_deliveries() {
        let ingestion = |words: &str| row(words, "CloudWatch Logs: ingestion");
        // 1,831 bytes for three spans and 26 for their log event: 1.857 GB per million.
        close(ingestion("--invocations 1M"), 0.9285);
        close(ingestion("--invocations 1M --line compact"), 0.2505);
        // 55.71 TB: 10 at 0.50, 20 at 0.25, 20 at 0.10, 5.71 at 0.05.
        close(ingestion("--invocations 30B"), 12_285.5);
        let requests = |words: &str| row(words, "forwarder: requests");
        close(requests("--invocations 10M --per-delivery 100"), 0.02);
        // 400 invocations make an event of 870 KB: 614 KB above the first 256 count as ten requests.
        close(requests("--invocations 10M --per-delivery 400"), 11.0 * 0.005);
        // 607 bytes of the forwarder's line and 26 for its log event, ten times a minute at most.
        let own_log = |words: &str| row(words, "forwarder: its own log");
        close(own_log("--invocations 1M"), 432_000.0 * 633.0 / 1e9 * 0.5);
        close(own_log("--invocations 1M --per-delivery 100"), 0.003_165);
    }

    #[test]
    fn the_cost_table_states_its_assumptions() {
        let arguments = arguments("--invocations 10M --line compact");
        let mut out = Vec::new();
        write(&arguments, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        // The table in docs/cost.md.
        for part in [
            "5.01 GB         2.50\n",
            "6.44\n",
            "11.6 events per second, 0.6 concurrent forwarders",
            "0.50 USD",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
