//! `lambda-otlp cost`: estimates the monthly cost of telemetry, and names the limits that apply.

mod account;
mod month;
mod prices;

use crate::aws::{Aws, AwsArguments};
use crate::lines::LineFormat;
use crate::terminal;
use account::AccountFigures;
use month::{CostRow, Month, TRAFFIC_TO_THE_BACKEND};
use serde::Serialize;
use std::io::{self, Write};
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp cost --invocations 10M
  lambda-otlp cost --account --region eu-west-1 --spans 10 --line compact
  lambda-otlp cost --invocations 1B/d --per-delivery 20 --memory 256
  lambda-otlp cost --invocations 500M --line compact --delivery kinesis-provisioned --json")]
pub(crate) struct CostArguments {
    /// Invocations of all functions per month, day or second: 10M, 1B/d, 40/s
    #[arg(long, value_name = "N", value_parser = parse_invocations, required_unless_present = "account")]
    invocations: Option<f64>,
    /// Read the account's invocations and log bytes of the last 30 days in this region (cloudwatch:GetMetricData)
    #[arg(long)]
    account: bool,
    #[command(flatten)]
    aws: AwsArguments,
    #[command(flatten)]
    assumptions: Assumptions,
}

/// The invocations, and the assumptions about them.
#[derive(clap::Args, Clone)]
struct Assumptions {
    /// Invocations of all functions per month. The command sets them.
    #[arg(skip)]
    invocations: f64,
    /// Spans per invocation
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    spans: u32,
    /// Ended executions of state machines and durable functions per month, day or second, with the stack's parameter Executions
    #[arg(long, value_name = "N", value_parser = parse_invocations)]
    executions: Option<f64>,
    /// Format of the lines: LAMBDA_OTLP_LINE
    #[arg(long, value_enum, default_value_t = LineFormat::Standard)]
    line: LineFormat,
    /// Memory of the functions in MB
    #[arg(long, value_name = "MB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(128..=i64::from(LARGEST_MEMORY_MB)))]
    memory: u32,
    /// Retention of the log groups in days
    #[arg(long, value_name = "DAYS", default_value_t = 14)]
    retention: u32,
    /// Invocations whose lines arrive in one delivery of CloudWatch Logs; AWS documents no number. With 0.2, an invocation that logs
    /// over seconds takes five deliveries
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = parse_per_delivery)]
    per_delivery: f64,
    /// How telemetry reaches the backend
    #[arg(long, value_enum, default_value_t = DeliveryWay::Subscription)]
    delivery: DeliveryWay,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The most that Lambda gives a function (Lambda Developer Guide, "Lambda quotas").
const LARGEST_MEMORY_MB: u32 = 10_240;

/// A way of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum DeliveryWay {
    /// Log groups invoke the forwarder
    Subscription,
    /// Log groups write to a Kinesis stream on demand, which the forwarder reads
    KinesisOnDemand,
    /// Log groups write to a Kinesis stream with shards for the peak
    KinesisProvisioned,
    /// Log groups of the class Delivery write to Firehose; not supported, only to compare
    ClassDelivery,
    /// The layer sends to the backend, with one flush for each invocation
    Direct,
}

impl DeliveryWay {
    const ALL: [Self; 5] = [
        Self::Subscription,
        Self::KinesisOnDemand,
        Self::KinesisProvisioned,
        Self::ClassDelivery,
        Self::Direct,
    ];

    fn description(self, month: &Month) -> String {
        match self {
            Self::Subscription => "subscription".to_owned(),
            Self::KinesisOnDemand => "Kinesis stream, on demand".to_owned(),
            Self::KinesisProvisioned => {
                let shards = month.shards;
                let noun = if shards > 1.0 { "shards" } else { "shard" };
                format!("Kinesis stream, {shards} {noun}")
            }
            Self::ClassDelivery => "class Delivery with Firehose (not supported)".to_owned(),
            Self::Direct => "direct mode, a flush for each invocation".to_owned(),
        }
    }
}

const SECONDS_OF_MONTH: f64 = 30.0 * 86_400.0;

#[derive(Debug, thiserror::Error)]
#[error(
    "expected a number of at least 1 and without commas, with k, M or B, and /s or /d: 10M, 1B/d, 40/s"
)]
struct InvalidInvocations;

/// Parses `10M`, `1B/d` or `40/s` to a number per month of 30 days.
fn parse_invocations(text: &str) -> Result<f64, InvalidInvocations> {
    let (number, period) = text.split_once('/').unwrap_or((text, "month"));
    let periods_of_month = match period {
        "month" => 1.0,
        "d" | "day" => 30.0,
        "s" => SECONDS_OF_MONTH,
        _ => return Err(InvalidInvocations),
    };
    let letter = number.chars().next_back().unwrap_or_default();
    let factor = match letter {
        'k' | 'K' => 1e3,
        'M' => 1e6,
        'B' => 1e9,
        _ => 1.0,
    };
    let digits = number.strip_suffix(['k', 'K', 'M', 'B']).unwrap_or(number);
    let per_period: f64 = digits.parse().map_err(|_| InvalidInvocations)?;
    let invocations = per_period * factor * periods_of_month;
    // The price tiers are not known beyond.
    (1.0..=1e15).contains(&invocations).then_some(invocations).ok_or(InvalidInvocations)
}

#[derive(Debug, thiserror::Error)]
#[error("expected a number from 0.01 to 1000")]
struct InvalidPerDelivery;

fn parse_per_delivery(text: &str) -> Result<f64, InvalidPerDelivery> {
    let number = text.parse().ok().filter(|number| (0.01..=1000.0).contains(number));
    number.ok_or(InvalidPerDelivery)
}

pub(crate) fn run(arguments: &CostArguments) -> anyhow::Result<ExitCode> {
    let read = async || AccountFigures::read(&Aws::load(&arguments.aws).await?).await;
    let account = if arguments.account { Some(terminal::block_on(read())?) } else { None };
    let estimate = Estimate::with(account, arguments)?;
    let mut out = anstream::stdout().lock();
    if arguments.assumptions.json {
        // As one text, so that a closed pipe is an error of the output.
        writeln!(out, "{}", serde_json::to_string_pretty(&estimate)?)?;
    } else {
        estimate.write(&mut out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The cost of a month of 30 days.
#[derive(Serialize)]
struct Estimate {
    /// `None` without `--account`.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountFigures>,
    delivery: DeliveryWay,
    rows: Vec<CostRow>,
    total_usd: f64,
    /// Without fixed costs.
    usd_per_million_invocations: f64,
    /// Invocations of the forwarder.
    events_per_second_at_peak: f64,
    concurrent_forwarders_at_peak: f64,
    ways: Vec<WayCost>,
    break_even: BreakEven,
}

/// The cost of the same invocations by one way of delivery.
#[derive(Serialize)]
struct WayCost {
    delivery: DeliveryWay,
    description: String,
    total_usd: f64,
    usd_per_million_invocations: f64,
}

/// The limits from which another way costs less than a subscription; `None` if it never does.
#[derive(Serialize)]
struct BreakEven {
    invocations_with_kinesis_on_demand: Option<f64>,
    invocations_with_kinesis_provisioned: Option<f64>,
    /// Memory of the functions up to which direct mode costs less.
    memory_mb_with_direct: f64,
}

impl Estimate {
    /// Estimates the cost of the given invocations, or else of the account's.
    fn with(account: Option<AccountFigures>, arguments: &CostArguments) -> anyhow::Result<Self> {
        let invocations = match (arguments.invocations, &account) {
            (Some(given), _) => given,
            (None, Some(account)) => account.invocations()?,
            (None, None) => 0.0,
        };
        let assumptions = Assumptions { invocations, ..arguments.assumptions.clone() };
        Ok(Self { account, ..Self::of(&assumptions) })
    }

    fn of(assumptions: &Assumptions) -> Self {
        let millions = assumptions.invocations / 1e6;
        let month = Month::of(assumptions, assumptions.delivery);
        let events_per_second = month.events / SECONDS_OF_MONTH * PEAK;
        let way = |delivery: DeliveryWay| {
            let month = Month::of(assumptions, delivery);
            WayCost {
                delivery,
                description: delivery.description(&month),
                total_usd: month.total(),
                usd_per_million_invocations: month.variable() / millions,
            }
        };
        Self {
            account: None,
            delivery: assumptions.delivery,
            total_usd: month.total(),
            usd_per_million_invocations: month.variable() / millions,
            events_per_second_at_peak: events_per_second,
            concurrent_forwarders_at_peak: events_per_second * month.event_ms / 1000.0,
            ways: DeliveryWay::ALL.map(way).into(),
            break_even: BreakEven::of(assumptions),
            rows: month.rows,
        }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        if let Some(account) = &self.account {
            account.write(out)?;
        }
        writeln!(out, "{:<46} {:>28} {:>12}", "per month", "", "USD")?;
        for row in &self.rows {
            writeln!(out, "{:<46} {:>28} {:>12.2}", row.what, row.quantity, row.usd)?;
        }
        writeln!(out, "{:<46} {:>28} {:>12.2}", "total", "", self.total_usd)?;
        let per_million = self.usd_per_million_invocations;
        let what = "per million invocations, without fixed costs";
        writeln!(out, "{what:<46} {:>28} {per_million:>12.2}\n", "")?;
        if self.delivery != DeliveryWay::Direct {
            writeln!(
                out,
                "At a peak of {PEAK} times the mean: {:.1} events per second, {:.1} concurrent forwarders.\n{CONCURRENCY}\n",
                self.events_per_second_at_peak, self.concurrent_forwarders_at_peak
            )?;
        }
        writeln!(
            out,
            "{:<46} {:>28} {:>12}",
            "ways of delivery (--delivery)", "per million", "USD"
        )?;
        for way in &self.ways {
            let per_million = way.usd_per_million_invocations;
            writeln!(out, "{:<46} {per_million:>28.2} {:>12.2}", way.description, way.total_usd)?;
        }
        self.break_even.write(out)?;
        writeln!(out, "\n{}", prices::ASSUMED)
    }
}

impl BreakEven {
    fn of(assumptions: &Assumptions) -> Self {
        let subscription = Month::of(assumptions, DeliveryWay::Subscription).total();
        let direct = Month::of(assumptions, DeliveryWay::Direct);
        let is_traffic = |row: &&CostRow| row.what == TRAFFIC_TO_THE_BACKEND;
        let traffic = direct.rows.iter().find(is_traffic).map_or(0.0, |row| row.usd);
        let usd_per_mb = (direct.total() - traffic) / f64::from(assumptions.memory);
        Self {
            invocations_with_kinesis_on_demand: invocations_from(
                assumptions,
                DeliveryWay::KinesisOnDemand,
            ),
            invocations_with_kinesis_provisioned: invocations_from(
                assumptions,
                DeliveryWay::KinesisProvisioned,
            ),
            memory_mb_with_direct: (subscription - traffic) / usd_per_mb,
        }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let millions = |invocations: Option<f64>| match invocations {
            Some(invocations) => {
                format!("above {:.0} million invocations a month", invocations / 1e6)
            }
            None => "at no number of invocations".to_owned(),
        };
        let sizes = if self.memory_mb_with_direct < f64::from(LARGEST_MEMORY_MB) {
            format!("of up to {:.0} MB", self.memory_mb_with_direct)
        } else {
            "of any size".to_owned()
        };
        writeln!(
            out,
            "A stream costs less than subscriptions {} (on demand), {} (shards). Direct mode does in functions {sizes}.",
            millions(self.invocations_with_kinesis_on_demand),
            millions(self.invocations_with_kinesis_provisioned),
        )
    }
}

/// The number of invocations from which this way costs less than a subscription.
fn invocations_from(assumptions: &Assumptions, delivery: DeliveryWay) -> Option<f64> {
    let costs_less = |invocations: f64| {
        let with_invocations = Assumptions { invocations, ..assumptions.clone() };
        let subscription = Month::of(&with_invocations, DeliveryWay::Subscription).total();
        Month::of(&with_invocations, delivery).total() < subscription
    };
    let mut dearer = 1e3;
    let mut cheaper = 1e12;
    if !costs_less(cheaper) {
        return None;
    }
    // Half a percent is more exact than the prices.
    while cheaper / dearer > 1.005 {
        let middle = f64::sqrt(dearer * cheaper);
        if costs_less(middle) {
            cheaper = middle;
        } else {
            dearer = middle;
        }
    }
    Some(cheaper)
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
        arguments: CostArguments,
    }

    fn parsed(words: &str) -> CostArguments {
        Command::parse_from(["cost"].into_iter().chain(words.split(' '))).arguments
    }

    fn arguments(words: &str) -> Assumptions {
        let CostArguments { invocations, assumptions, .. } = parsed(words);
        Assumptions { invocations: invocations.unwrap(), ..assumptions }
    }

    fn row(words: &str, what: &str) -> f64 {
        let arguments = arguments(words);
        let month = Month::of(&arguments, arguments.delivery);
        month.rows.iter().find(|row| row.what.starts_with(what)).map_or(0.0, |row| row.usd)
    }

    #[track_caller]
    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= expected.abs() * 1e-3, "{found}, not {expected}");
    }

    #[test]
    fn invocation_counts_accept_units_and_rates() {
        let check = |text: &str, expected: Option<f64>| {
            assert_eq!(parse_invocations(text).ok(), expected, "{text}");
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
    fn executions_cost_messages_and_short_invocations() {
        let executions = |words: &str| row(words, "executions: queue and histories");
        // Three requests of SQS and one of Lambda, and 0.1 s of 128 MB.
        close(
            executions("--invocations 1M --executions 1k"),
            0.0012 + 0.0002 + 12.5 * prices::GB_SECOND,
        );
        close(row("--invocations 1M --executions 1k", "executions: asking"), 0.648 * 0.4);
        close(executions("--invocations 1M"), 0.0);
        close(executions("--invocations 1M --executions 1k --delivery direct"), 0.0);
    }

    #[test]
    fn fixed_costs_do_not_grow() {
        for (what, usd) in [
            ("forwarder: its own metrics", 2.40),
            ("alarms", 1.10),
            ("retry queue: polling", 0.2592),
        ] {
            close(row("--invocations 1k", what), usd);
            close(row("--invocations 10B", what), usd);
        }
        let on_demand = "--invocations 1k --delivery kinesis-on-demand";
        close(row(on_demand, "Kinesis: stream"), 28.80);
        let provisioned = "--delivery kinesis-provisioned --invocations";
        close(row(&format!("{provisioned} 1k"), "Kinesis: shards"), 10.80);
        // 3,858 deliveries per second on average, 11,574 at the peak: twelve shards of 1,000 records.
        close(row(&format!("{provisioned} 10B --line compact"), "Kinesis: shards"), 129.60);
        // 475 bytes of the line and 297 of other lines are one unit of 25 KB.
        close(row(&format!("{provisioned} 10B --line compact"), "Kinesis: data"), 140.0);
    }

    #[test]
    fn the_class_delivery_has_prices_of_its_own() {
        let cost =
            |words: &str, what: &str| row(&format!("--delivery class-delivery {words}"), what);
        // 475 bytes of the line and 26 for its log event: 0.501 GB per million.
        close(cost("--invocations 1M --line compact", "CloudWatch Logs: ingestion"), 0.12525);
        // 55.71 TB: 10 at 0.25, 20 at 0.15, 20 at 0.075, 5.71 at 0.05.
        close(cost("--invocations 30B", "CloudWatch Logs: ingestion"), 7285.5);
        // A day, whatever the retention is; the forwarder's log group, at 43,200 lines of 633 bytes, is of the class Standard.
        let stored = 0.501 / 30.0 + 43_200.0 * 633.0 / 1e9 * 90.0 / 30.0;
        close(
            cost("--invocations 1M --line compact --retention 90", "CloudWatch Logs: storage"),
            stored * 0.03,
        );
        // 772 bytes of a record count as 5 KB.
        close(cost("--invocations 1M --line compact", "Firehose: data"), 5.12 * 0.029);
        // One event a minute, and from 4,074 records of 772 bytes on, one for each 3 MB.
        close(cost("--invocations 1M --line compact", "forwarder: requests"), 0.00864);
        let events = 1e9 / (3.0 * 1024.0 * 1024.0 / (475.0 * 0.75 + 148_391.0 / 500.0));
        close(cost("--invocations 1B --line compact", "forwarder: requests"), events * 0.2 / 1e6);
    }

    #[test]
    fn a_stream_costs_less_from_a_number_of_invocations_on() {
        let estimate = Estimate::of(&arguments("--invocations 10M --line compact"));
        let BreakEven {
            invocations_with_kinesis_on_demand: on_demand,
            invocations_with_kinesis_provisioned: provisioned,
            memory_mb_with_direct: memory_mb,
        } = estimate.break_even;
        // 28.80 and 10.80 USD by what a million invocations save.
        assert!((170e6..182e6).contains(&on_demand.unwrap()), "{on_demand:?}");
        assert!((38e6..42e6).contains(&provisioned.unwrap()), "{provisioned:?}");
        // 77 ms of this memory cost as much as lines and forwarder.
        let words = format!("--invocations 10M --line compact --memory {memory_mb:.0}");
        let direct = Month::of(&arguments(&words), DeliveryWay::Direct).total();
        assert!((direct / estimate.total_usd - 1.0).abs() < 0.01, "{direct}");
    }

    #[test]
    fn the_figures_of_an_account_take_the_place_of_the_assumed_ones() {
        let account = || {
            Some(AccountFigures::of("region eu-west-1, account 123456789012", [2e7, 6e8, 3.5e11]))
        };
        let estimate = Estimate::with(account(), &parsed("--account --line compact")).unwrap();
        let given = |words: &str| Estimate::of(&arguments(words)).total_usd;
        close(estimate.total_usd, given("--invocations 20M --line compact"));
        let mut out = Vec::new();
        estimate.write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let head: Vec<String> = text.lines().take(4).map(words).collect();
        let expected = [
            "last 30 days, region eu-west-1, account 123456789012 USD",
            "invocations of all functions 20000000",
            "log events of all log groups 600000000",
            "CloudWatch Logs: ingestion of all log groups 350.00 GB 175.00",
        ];
        assert_eq!(head, expected, "{text}");
        let json = serde_json::to_value(&estimate).unwrap();
        assert_eq!(json["account"]["invocations"], 2e7);
        assert_eq!(json["account"]["log_gb"], 350.0);
        // Given invocations win.
        let estimate = Estimate::with(account(), &parsed("--account --invocations 1M")).unwrap();
        close(estimate.total_usd, given("--invocations 1M"));
        let none = Some(AccountFigures::of("region eu-west-1", [0.0; 3]));
        let error = Estimate::with(none, &parsed("--account")).map(drop).unwrap_err().to_string();
        assert!(error.starts_with("CloudWatch has no invocations"), "{error}");
    }

    #[test]
    fn an_invocation_that_logs_over_seconds_costs_more_than_one_delivery() {
        let cost = |words: &str| Estimate::of(&arguments(words)).usd_per_million_invocations;
        let one = cost("--invocations 10M --line compact");
        let five = cost("--invocations 10M --line compact --per-delivery 0.2");
        close(row("--invocations 10M --per-delivery 0.2", "forwarder: requests"), 10.0);
        assert!(five > one * 3.0, "{one} {five}");
    }

    fn with_separators(text: &str) -> String {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = whole.len();
        let mut out = String::new();
        for (at, digit) in whole.chars().enumerate() {
            if at > 0 && (digits - at).is_multiple_of(3) {
                out.push(',');
            }
            out.push(digit);
        }
        if fraction.is_empty() { out } else { format!("{out}.{fraction}") }
    }

    /// Rows of docs/cost.md that compare the ways of delivery.
    fn rows_of_ways() -> Vec<String> {
        let mut rows = Vec::new();
        for (line, format) in [("default", "standard"), ("compact", "compact")] {
            for millions in ["1", "10", "100", "1000"] {
                let estimate =
                    Estimate::of(&arguments(&format!("--invocations {millions}M --line {format}")));
                let cell = |way: &WayCost| {
                    let total = with_separators(&format!("{:.2}", way.total_usd));
                    format!("{total} ({:.2})", way.usd_per_million_invocations)
                };
                let cells: Vec<String> = estimate.ways.iter().map(cell).collect();
                let millions = with_separators(millions);
                rows.push(format!("| {millions} million | {line} | {} |", cells.join(" | ")));
            }
        }
        rows
    }

    /// Rows of docs/cost.md about growth.
    fn rows_of_growth() -> Vec<String> {
        let row = |(name, words): (&str, &str)| {
            let standard = Estimate::of(&arguments(words));
            let compact = Estimate::of(&arguments(&format!("{words} --line compact")));
            let events = with_separators(&format!("{:.0}", standard.events_per_second_at_peak));
            let concurrent = standard.concurrent_forwarders_at_peak;
            let concurrent = if concurrent < 10.0 {
                format!("{concurrent:.1}")
            } else {
                with_separators(&format!("{concurrent:.0}"))
            };
            format!(
                "| {name} | {:.2}, {:.2} | {events} | {concurrent} |",
                standard.usd_per_million_invocations, compact.usd_per_million_invocations
            )
        };
        let of = [
            ("10 million a month", "--invocations 10M"),
            ("a billion a month", "--invocations 1B"),
            ("a billion a day, 20 per event", "--invocations 1B/d --per-delivery 20"),
            ("a billion a day, one per event", "--invocations 1B/d"),
        ];
        of.map(row).into()
    }

    #[test]
    fn the_page_about_cost_has_the_figures_of_the_command() {
        let page = include_str!("../../../../docs/cost.md");
        let mut out = Vec::new();
        Estimate::of(&arguments("--invocations 10M --line compact")).write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let (table, _) = text.split_once("\n\n").unwrap();
        assert!(page.contains(table), "{table}");
        let rows = [rows_of_ways(), rows_of_growth()].concat();
        let missing: Vec<&String> = rows.iter().filter(|row| !page.contains(*row)).collect();
        assert!(missing.is_empty(), "{missing:#?}");
        for part in ["At a peak of 3 times the mean: ", "ingestion 0.50 USD per GB"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
