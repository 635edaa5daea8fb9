//! `lambda-otlp subscribe` and `unsubscribe`: run the subscriber's code from this machine.

use crate::aws::{self, AwsArguments};
use crate::aws::{forwarder_of, stream_of};
use crate::terminal;
use ::aws::CloudWatchLogs;
use anyhow::{Context as _, anyhow, ensure};
use aws_config::SdkConfig;
use console::screen::on_one_line;
use forwarder::wall_clock_now;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;
use subscriber::{
    Action, Collect, Entry, Fate, KinesisStream, OurFilter, Reason, Report, Selection, Sweep, Task,
    Wish, parse_patterns, parse_tags,
};
use tokio::time::Instant;

/// AWS allows five requests per second; a day is enough for all log groups of an account.
const LONGEST: Duration = Duration::from_hours(24);

fn collect(text: &str) -> Result<Collect, String> {
    match text {
        "all" => Ok(Collect::All),
        "telemetry" => Ok(Collect::Telemetry),
        "spilled" => Ok(Collect::Spilled),
        _ => Err("expected all, telemetry or spilled".to_owned()),
    }
}

/// Selection of log groups and forwarder.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("forwarder").required(true).args(["destination", "stack"])))]
struct Which {
    /// Log groups: names, or patterns with `*` such as `/aws/lambda/shop-*`; may be repeated, or separated by commas.
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,
    /// Log groups to leave out, in the same form.
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Only log groups with this tag: `team=shop`, or a key alone; may be repeated.
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<String>,
    /// The forwarder's ARN.
    #[arg(long, value_name = "ARN")]
    destination: Option<String>,
    /// The stack with the forwarder, and with the stream if it has one.
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// Make the changes. Without --yes, the command only prints its plan.
    #[arg(long)]
    yes: bool,
    /// Print all examined log groups as one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    aws: AwsArguments,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp subscribe --stack lambda-otlp --include '/aws/lambda/*' --exclude '*-dev' --yes
  lambda-otlp subscribe --destination FORWARDER_ARN --tag team=shop --yes")]
pub(crate) struct SubscribeArguments {
    #[command(flatten)]
    which: Which,
    /// The lines to forward: `all`, `telemetry` (OTLP lines, and Lambda's reports and failures), or `spilled` (OTLP lines that a
    /// layer in direct mode could not send).
    #[arg(long, value_name = "LINES", value_parser = collect, default_value = "all")]
    collect: Collect,
    /// Also subscribe log groups that have another subscription filter. CloudWatch Logs allows two.
    #[arg(long)]
    beside_others: bool,
}

#[derive(clap::Args)]
#[command(after_help = "\
Example:
  lambda-otlp unsubscribe --stack lambda-otlp --yes")]
pub(crate) struct UnsubscribeArguments {
    #[command(flatten)]
    which: Which,
}

pub(crate) fn subscribe(arguments: &SubscribeArguments) -> anyhow::Result<ExitCode> {
    let SubscribeArguments { which, collect, beside_others } = arguments;
    if which.include.is_empty() && which.tags.is_empty() {
        anyhow::bail!(
            "no log groups: use --include, for example --include '/aws/lambda/*', or --tag"
        );
    }
    run(which, Task::Subscribe, *collect, *beside_others)
}

pub(crate) fn unsubscribe(arguments: &UnsubscribeArguments) -> anyhow::Result<ExitCode> {
    // Our filters are recognized by their name and destination alone.
    run(&arguments.which, Task::Unsubscribe, Collect::All, false)
}

fn run(
    which: &Which,
    task: Task,
    collect: Collect,
    beside_others: bool,
) -> anyhow::Result<ExitCode> {
    let named = parsed("--include", &which.include, parse_patterns)?;
    let exclude = parsed("--exclude", &which.exclude, parse_patterns)?;
    let tags = parsed("--tag", &which.tags, parse_tags)?;
    let include =
        if named.is_empty() { parse_patterns("*").map_err(|e| anyhow!(e))? } else { named };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let aws = runtime.block_on(aws::load(&which.aws));
    let report = runtime.block_on(async {
        let (forwarder, log_group, stream) = destination(which, &aws).await?;
        let ours = OurFilter::new(&forwarder, stream, collect.pattern()).with_context(|| {
            format!("{forwarder} is not a function's ARN: expected arn:aws:lambda:{{region}}:{{account}}:function:{{name}}")
        })?;
        let own = [ours.default_log_group()].into_iter().chain(log_group);
        let selection = Selection::new(include, exclude, tags, own);
        let logs = CloudWatchLogs::new(aws::logs_settings(&aws).await?, wall_clock_now);
        let wish = Wish { ours, former: None, beside_others };
        let (logs, selection, wish) = (&logs, &selection, &wish);
        let sweep = Sweep { logs, selection, wish, task, reach: &[], dry_run: !which.yes };
        anyhow::Ok(sweep.run(Instant::now() + LONGEST).await)
    })?;
    let mut out = io::stdout().lock();
    terminal::ignored(if which.json {
        writeln!(out, "{}", console::screen::json(&report.to_json()))
    } else {
        write(&report, &mut out)
    })?;
    if !which.yes {
        eprintln!("nothing was changed; use --yes to make the changes");
    }
    let is_selected = |entry: &Entry| {
        entry.action != Action::Leave || entry.reason.as_ref().is_some_and(Reason::is_notable)
    };
    // If the listing failed, a log group may exist.
    let is_listed = task == Task::Subscribe && report.not_listed.is_none();
    if is_listed && !report.entries.iter().any(is_selected) {
        let place = runtime.block_on(aws::place(&aws));
        anyhow::bail!(
            "no log group matches in {place}; Lambda creates one at a function's first invocation"
        );
    }
    let is_done = report.failure().is_none() && report.not_reached() == 0;
    Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Parses the values of an argument. An empty shell variable must not select all log groups.
fn parsed<T>(
    argument: &str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<Vec<T>, String>,
) -> anyhow::Result<Vec<T>> {
    let parsed = parse(&texts.join(",")).map_err(|problem| anyhow!("{argument}: {problem}"))?;
    ensure!(
        texts.is_empty() || !parsed.is_empty(),
        "{argument} is empty: name a value, or omit the argument"
    );
    Ok(parsed)
}

/// Returns the forwarder's ARN, its own log group and its Kinesis stream, as far as they are known.
async fn destination(
    which: &Which,
    aws: &SdkConfig,
) -> anyhow::Result<(String, Option<String>, Option<KinesisStream>)> {
    let Some(stack) = &which.stack else {
        return Ok((which.destination.clone().unwrap_or_default(), None, None));
    };
    let function = forwarder_of(aws, stack).await?;
    let forwarder = function.function_arn.context("AWS returned a function without an ARN")?;
    let log_group = function.logging_config.and_then(|config| config.log_group);
    Ok((forwarder, log_group, stream_of(aws, stack).await?))
}

/// Writes a row for each changed or skipped log group, and the sums.
fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let is_shown = |entry: &&Entry| {
        let is_left = entry.action == Action::Leave && entry.fate == Fate::Done;
        !is_left || entry.reason.as_ref().is_some_and(Reason::is_notable)
    };
    let shown: Vec<&Entry> = report.entries.iter().filter(is_shown).collect();
    let width = shown.iter().map(|entry| entry.group.name.len()).max().unwrap_or_default();
    for Entry { group, action, reason, fate, .. } in shown {
        let group = &group.name;
        let reason = reason.as_ref().map(ToString::to_string).unwrap_or_default();
        let (word, text) = match fate {
            Fate::Done | Fate::Planned => (action.as_str(), reason),
            Fate::Gone => ("gone", "was deleted meanwhile".to_owned()),
            Fate::Failed(text) => ("failed", text.clone()),
            Fate::NotReached => ("waits", "the time limit was reached".to_owned()),
        };
        let row = format!("{word:<7} {group:<width$}  {text}");
        writeln!(out, "{}", on_one_line(&row).trim_end())?;
    }
    let count = |action| report.count(action);
    writeln!(
        out,
        "{} log groups: {} put, {} update, {} keep, {} remove, {} leave, {} failed",
        report.entries.len(),
        count(Action::Put),
        count(Action::Update),
        count(Action::Keep),
        count(Action::Remove),
        count(Action::Leave),
        report.failed(),
    )?;
    if let Some(problem) = &report.not_listed {
        let problem = on_one_line(problem);
        writeln!(out, "not all log groups could be listed: {problem}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::aws::LogGroup;
    use subscriber::Unselected;
    use test_support::selects;

    /// A span as line, in both formats.
    fn lines(spill: bool) -> [String; 2] {
        let names = wire::compact::Names::default();
        let span = b"\x0a\x04\x12\x02\x12\x00".to_vec();
        let request = wire::Request::trusted(wire::SignalKind::Traces, span);
        let envelope = wire::Envelope { spill, ..wire::Envelope::default() };
        let limits = wire::LineLimits::default();
        let encoders =
            [wire::LineEncoder::new(6, limits), wire::LineEncoder::compact(names, limits)];
        encoders.map(|mut encoder| {
            let mut line = Vec::new();
            assert_eq!(encoder.encode(&envelope, request.clone(), &mut line).lines, 1);
            let line = String::from_utf8(line).unwrap();
            let reading = wire::read_line(&line, &wire::Limits::default()).unwrap();
            assert_eq!((reading.decoded.len(), reading.text), (1, None), "{line}");
            line
        })
    }

    #[test]
    fn patterns_select_telemetry_and_spilled_lines() {
        let telemetry = |line: &str| selects(Collect::Telemetry.pattern(), line);
        let spilled = |line: &str| selects(Collect::Spilled.pattern(), line);
        for spill in [false, true] {
            for line in lines(spill) {
                assert!(telemetry(&line), "{line}");
                assert_eq!(spilled(&line), spill, "{line}");
                // Printed by a runtime with the JSON log format.
                let wrapped = serde_json::json!({"level": "INFO", "message": line}).to_string();
                assert!(telemetry(&wrapped), "{wrapped}");
            }
        }
        for (line, expected) in [
            (
                "REPORT RequestId: 79104EXAMPLEB723\tDuration: 12.34 ms\tBilled Duration: 13 ms\t\n",
                true,
            ),
            (
                r#"{"time":"2026-11-02T10:00:00.000Z","type":"platform.report","record":{"requestId":"7"}}"#,
                true,
            ),
            ("2026-11-02T10:00:00.000Z 79104EXAMPLEB723 Task timed out after 3.00 seconds\n", true),
            (r#"{"resourceSpans":[{"scopeSpans":[]}]}"#, true),
            (r#"INFO: {"resource":{},"scopeLogs":[]}"#, true),
            ("RequestId: 79104EXAMPLEB723 Error: Runtime exited with error: signal: killed", true),
            ("order stored", false),
            // The second part of a line that Lambda split.
            (r#""},{"traceId":"0af7651916cd43dd8448eb211c80319c"}]}]}]}"#, false),
            ("START RequestId: 79104EXAMPLEB723 Version: $LATEST\n", false),
        ] {
            assert_eq!(telemetry(line), expected, "{line}");
            assert!(!spilled(line), "{line}");
        }
    }

    #[test]
    fn the_subscription_table_gives_each_action_and_its_reason() {
        let entry = |group: &str, action, reason, fate| Entry {
            group: LogGroup { name: group.to_owned(), ..LogGroup::default() },
            action,
            reason,
            fate,
            subscribed: None,
        };
        let full = Some(Reason::Full("a, b".to_owned()));
        let excluded = Some(Reason::Unselected(Unselected::Excluded));
        let report = Report {
            entries: vec![
                entry("/a", Action::Put, None, Fate::Planned),
                entry("/full", Action::Leave, full, Fate::Done),
                entry("/gone", Action::Put, None, Fate::Gone),
                entry("/no", Action::Leave, excluded.clone(), Fate::Done),
                entry("/off", Action::Remove, excluded, Fate::Planned),
                entry("/x", Action::Put, None, Fate::Failed("the Lambda function".to_owned())),
            ],
            ..Report::default()
        };
        let mut out = Vec::new();
        write(&report, &mut out).unwrap();
        let expected = "\
put     /a
leave   /full  has its two filters already (a, b): remove one
gone    /gone  was deleted meanwhile
remove  /off   excluded
failed  /x     the Lambda function
6 log groups: 1 put, 0 update, 0 keep, 1 remove, 2 leave, 1 failed
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
