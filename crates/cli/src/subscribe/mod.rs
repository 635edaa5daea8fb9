//! `lambda-otlp subscribe` and `unsubscribe`: run the subscriber's code from this machine.

mod destination;
mod direct_mode;
mod stack;

use crate::aws::{self, Aws, AwsArguments};
use crate::progress::ProgressLine;
use crate::terminal;
use anyhow::{anyhow, ensure};
use console::quantity::plural;
use console::screen::on_one_line;
use destination::TargetForwarder;
use direct_mode::DirectSenders;
use settings::Pattern;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;
use subscriber::{
    Action, Collect, DecisionReason, InvalidSelection, LogGroupEntry, LogGroupFate, OurFilter,
    Selection, Sweep, SweepReport, TagCondition, Task, WantedFilter, parse_patterns, parse_tags,
};
use tokio::time::Instant;

/// AWS allows five requests per second; a day is enough for all log groups of an account.
const LONGEST: Duration = Duration::from_hours(24);

/// Selection of log groups and forwarder.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("forwarder").required(true).args(["destination", "stack"])))]
struct LogGroupArguments {
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
The command adds and updates the forwarder's filters, and removes none. With --prune, it also removes the forwarder's filter from
log groups that --include names and --exclude or --tag rules out.

Examples:
  lambda-otlp subscribe --stack lambda-otlp --include '/aws/lambda/*' --exclude '*-dev' --yes
  lambda-otlp subscribe --destination FORWARDER_ARN --tag team=shop --yes
  lambda-otlp subscribe --stack lambda-otlp --include '/aws/lambda/*' --exclude '*-dev' --prune")]
pub(crate) struct SubscribeArguments {
    #[command(flatten)]
    which: LogGroupArguments,
    /// The lines to forward: `all`, `telemetry` (OTLP lines, and Lambda's reports and failures), or `spilled` (OTLP lines that a
    /// layer in direct mode could not send). Without it, `all`, and a filter for spilled lines stays one.
    #[arg(long, value_name = "LINES")]
    collect: Option<Collect>,
    /// Also subscribe log groups that have another subscription filter. CloudWatch Logs allows two.
    #[arg(long)]
    beside_others: bool,
    /// Also remove the forwarder's filter from log groups that --include names and --exclude or --tag rules out.
    #[arg(long)]
    prune: bool,
}

#[derive(clap::Args)]
#[command(after_help = "\
Without --include, --exclude and --tag, the command removes the forwarder's filter from all log groups of the region.

Examples:
  lambda-otlp unsubscribe --stack lambda-otlp --include /aws/lambda/shop --yes
  lambda-otlp unsubscribe --stack lambda-otlp --yes")]
pub(crate) struct UnsubscribeArguments {
    #[command(flatten)]
    which: LogGroupArguments,
}

pub(crate) fn subscribe(arguments: &SubscribeArguments) -> anyhow::Result<ExitCode> {
    let SubscribeArguments { which, collect, beside_others, prune } = arguments;
    if which.include.is_empty() && which.tags.is_empty() {
        anyhow::bail!(
            "no log groups: use --include, for example --include '/aws/lambda/*', or --tag"
        );
    }
    let task = if *prune { Task::Follow } else { Task::Add };
    run(which, task, *collect, *beside_others)
}

pub(crate) fn unsubscribe(arguments: &UnsubscribeArguments) -> anyhow::Result<ExitCode> {
    // Our filters are recognized by their name and destination alone.
    run(&arguments.which, Task::Remove, None, false)
}

fn run(
    which: &LogGroupArguments,
    task: Task,
    stated: Option<Collect>,
    beside_others: bool,
) -> anyhow::Result<ExitCode> {
    let collect = stated.unwrap_or(Collect::All);
    let names = SelectedNames::parse(which)?;
    terminal::block_on(async {
        let aws = Aws::load(&which.aws).await?;
        let progress = ProgressLine::start("log groups");
        let stack = which.stack.as_deref();
        let target = TargetForwarder::find(stack, which.destination.as_deref(), &aws, task).await?;
        let Some(ours) = OurFilter::new(&target.arn, target.stream, collect.pattern()) else {
            return Err(destination::not_a_function(&target.arn));
        };
        destination::check(&aws, &target.arn, &ours.as_filter(), task, &which.aws).await?;
        let own = [ours.default_log_group()].into_iter().chain(target.own_log_groups);
        let selection = names.into_selection(own);
        let logs = aws.patient().logs()?;
        let wanted =
            WantedFilter { ours, former: None, beside_others, keeps_spilled: stated.is_none() };
        let sweep = Sweep {
            logs: &logs,
            selection: &selection,
            wanted: &wanted,
            task,
            also_included: &[],
            dry_run: !which.yes,
        };
        let counts = progress.counts();
        let deadline = Instant::now() + LONGEST;
        let report = sweep
            .run_watched(deadline, |now| {
                counts.set_total(now.listed);
                counts.set_done(now.handled);
            })
            .await;
        let subscriber = stack::find(&aws, stack, &target.arn).await;
        let direct_senders = if task == Task::Remove || collect == Collect::Spilled {
            DirectSenders::default()
        } else {
            DirectSenders::find(&aws, &subscribed_groups(&report)).await
        };
        drop(progress);
        check_any_selected(which, task, &report, &aws).await?;
        print(which, &report, &direct_senders)?;
        let mut warnings = pattern_warnings(&report, collect);
        warnings.extend(direct_senders.warning(&which.forwarder_flags()));
        if let Some(subscriber) = subscriber {
            warnings.extend(subscriber.warnings(&report, collect, task));
        }
        for warning in warnings {
            eprintln!("{warning}");
        }
        if !which.yes {
            eprintln!("nothing was changed; use --yes to make the changes");
        }
        let is_done = report.first_error().is_none() && report.not_reached_count() == 0;
        Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// The patterns and tags of the command line.
struct SelectedNames {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
    tags: Vec<TagCondition>,
}

impl SelectedNames {
    /// Includes all names if none is given.
    fn parse(which: &LogGroupArguments) -> anyhow::Result<Self> {
        let named = parsed("--include", &which.include, parse_patterns)?;
        let include = if named.is_empty() { parse_patterns("*")? } else { named };
        let exclude = parsed("--exclude", &which.exclude, parse_patterns)?;
        let tags = parsed("--tag", &which.tags, parse_tags)?;
        Ok(Self { include, exclude, tags })
    }

    /// `own` are the log groups of the forwarder, which are never selected.
    fn into_selection(self, own: impl IntoIterator<Item = String>) -> Selection {
        Selection::new(self.include, self.exclude, self.tags, own)
    }
}

/// Fails if no log group is selected, or warns if a filter was to be removed: a script may remove the filter of a log group that is
/// gone.
async fn check_any_selected(
    which: &LogGroupArguments,
    task: Task,
    report: &SweepReport,
    aws: &Aws,
) -> anyhow::Result<()> {
    let is_any_selected = match task {
        // Most log groups have no filter to remove.
        Task::Remove => which.include.is_empty() || !report.entries.is_empty(),
        Task::Add | Task::Follow => report.entries.iter().any(is_selected),
    };
    // If the listing failed, a log group may exist.
    if report.not_listed.is_some() || is_any_selected {
        return Ok(());
    }
    let problem = which.no_match(report.entries.len(), &aws::place(aws).await);
    ensure!(task == Task::Remove, problem);
    eprintln!("warning: {problem}");
    Ok(())
}

impl LogGroupArguments {
    /// Returns the flags with which another command finds the same forwarder.
    fn forwarder_flags(&self) -> String {
        let destination = self.destination.as_deref().unwrap_or_default();
        aws::forwarder_flags(self.stack.as_deref(), destination, &self.aws.flags())
    }

    /// Describes why no log group of a region and account is selected. `included`: the number of log groups that `--include` names.
    fn no_match(&self, included: usize, place: &str) -> String {
        if included > 0 {
            let groups = plural(included, "log group");
            return format!(
                "--include names {groups} in {place}, but --exclude and --tag leave none of them: exclude less, or drop a tag"
            );
        }
        let patterns = self.include.iter().flat_map(|text| text.split(','));
        let hint = match aws::hint_without_path(patterns) {
            Some(hint) => hint,
            None => "Lambda creates one at a function's first invocation".to_owned(),
        };
        format!("no log group matches in {place}: {hint}")
    }
}

/// The log groups that have our filter after the change, without those of spilled lines.
fn subscribed_groups(report: &SweepReport) -> Vec<&str> {
    let is_subscribed = |entry: &&LogGroupEntry| {
        matches!(entry.action, Action::Add | Action::Update | Action::Keep)
            && !entry.stays_spilled
            && is_done_or_planned(entry)
    };
    report.entries.iter().filter(is_subscribed).map(|entry| entry.group.name.as_str()).collect()
}

/// Returns `true` if the action was taken, or would be without `--yes`.
fn is_done_or_planned(entry: &LogGroupEntry) -> bool {
    matches!(entry.fate, LogGroupFate::Done | LogGroupFate::Planned)
}

/// Log groups that a warning names.
const MAX_NAMES: usize = 5;

/// Warns of filters that forward other lines than before, by the lines that they forwarded.
fn pattern_warnings(report: &SweepReport, collect: Collect) -> Vec<String> {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in report.entries.iter().filter(|entry| is_done_or_planned(entry)) {
        if let Some(pattern) = &entry.former_pattern {
            groups.entry(pattern).or_default().push(&entry.group.name);
        }
    }
    let warning = |(former_pattern, groups): (&str, Vec<&str>)| {
        let filters = plural(groups.len(), "filter");
        let shown = groups.get(..MAX_NAMES.min(groups.len())).unwrap_or_default().join(", ");
        let more = if groups.len() > MAX_NAMES { ", …" } else { "" };
        let before = lines_of(former_pattern);
        let now = lines_of(collect.pattern());
        let remedy = match Collect::word_of(former_pattern) {
            Some(word) => format!("to keep {word}, use --collect {word} for them"),
            None => "to keep the pattern, leave them out with --exclude".to_owned(),
        };
        format!(
            "warning: the lines of {filters} change from {before} to {now} ({shown}{more}): {remedy}"
        )
    };
    groups.into_iter().map(warning).collect()
}

/// The lines of a filter pattern: `all`, or the pattern itself if `--collect` has no word for it.
fn lines_of(pattern: &str) -> String {
    Collect::word_of(pattern).map_or_else(|| format!("pattern {pattern:?}"), str::to_owned)
}

fn print(
    which: &LogGroupArguments,
    report: &SweepReport,
    direct_senders: &DirectSenders,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    terminal::ignore_broken_pipe(if which.json {
        writeln!(out, "{}", console::screen::json(&report.to_json()))
    } else {
        write(report, direct_senders, &mut out)
    })
}

fn is_selected(entry: &LogGroupEntry) -> bool {
    entry.action != Action::Skip || entry.reason.as_ref().is_some_and(DecisionReason::is_notable)
}

/// Parses the values of an argument. An empty shell variable must not select all log groups.
fn parsed<T>(
    argument: &str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<Vec<T>, InvalidSelection>,
) -> anyhow::Result<Vec<T>> {
    let values = parse(&texts.join(",")).map_err(|problem| anyhow!("{argument}: {problem}"))?;
    ensure!(
        texts.is_empty() || !values.is_empty(),
        "{argument} is empty: give it a value, or leave it out"
    );
    Ok(values)
}

/// Writes a row for each changed or skipped log group, and the sums.
fn write(
    report: &SweepReport,
    direct_senders: &DirectSenders,
    out: &mut dyn Write,
) -> io::Result<()> {
    let is_shown = |entry: &&LogGroupEntry| {
        let is_skipped = entry.action == Action::Skip && entry.fate == LogGroupFate::Done;
        !is_skipped || entry.reason.as_ref().is_some_and(DecisionReason::is_notable)
    };
    let shown: Vec<&LogGroupEntry> = report.entries.iter().filter(is_shown).collect();
    let width = shown.iter().map(|entry| entry.group.name.len()).max().unwrap_or_default();
    for LogGroupEntry { group, action, reason, fate, former_pattern, stays_spilled, .. } in shown {
        let group = &group.name;
        let spilled = stays_spilled
            .then(|| "forwards spilled lines only, as before; --collect changes that".to_owned());
        let former =
            former_pattern.as_deref().map(|it| format!("forwarded {} before", lines_of(it)));
        let reason_text = reason.as_ref().map(ToString::to_string);
        let texts: Vec<String> = reason_text
            .into_iter()
            .chain(former)
            .chain(spilled)
            .chain(direct_senders.note(group))
            .collect();
        let (word, text) = match fate {
            LogGroupFate::Done | LogGroupFate::Planned => (action.as_str(), texts.join("; ")),
            LogGroupFate::Gone => ("gone", "was deleted meanwhile".to_owned()),
            LogGroupFate::Failed(text) => ("failed", text.clone()),
            LogGroupFate::NotReached => {
                ("missed", "the time limit was reached: run the command again".to_owned())
            }
        };
        let row = format!("{word:<7} {group:<width$}  {text}");
        writeln!(out, "{}", on_one_line(&row).trim_end())?;
    }
    let groups = plural(report.entries.len(), "log group");
    let count = |action| report.count(action);
    writeln!(
        out,
        "{groups}: add {}, update {}, keep {}, remove {}, skip {}; {} failed",
        count(Action::Add),
        count(Action::Update),
        count(Action::Keep),
        count(Action::Remove),
        count(Action::Skip),
        report.failed_count(),
    )?;
    if let Some(problem) = &report.not_listed {
        writeln!(out, "not all log groups could be listed: {}", on_one_line(problem))?;
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
        let names = wire::compact::OwnedContext::default();
        let span = b"\x0a\x04\x12\x02\x12\x00".to_vec();
        let request = wire::Request::trusted(wire::SignalKind::Traces, span);
        let envelope = wire::Envelope { spill, ..wire::Envelope::default() };
        let limits = wire::LineLimits::default();
        let encoders =
            [wire::LineEncoder::new(6, limits), wire::LineEncoder::compact(names, limits)];
        encoders.map(|mut encoder| {
            let mut bytes = Vec::new();
            assert_eq!(encoder.encode(&envelope, request.clone(), &mut bytes).lines, 1);
            let line = String::from_utf8(bytes).unwrap();
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
        let entry = |group: &str, action, reason, fate| LogGroupEntry {
            group: LogGroup { name: group.to_owned(), ..LogGroup::default() },
            action,
            reason,
            fate,
            former_pattern: None,
            stays_spilled: false,
            subscribed: None,
        };
        let full = Some(DecisionReason::Full("a, b".to_owned()));
        let excluded = Some(DecisionReason::Unselected(Unselected::Excluded));
        let report = SweepReport {
            entries: vec![
                entry("/a", Action::Add, None, LogGroupFate::Planned),
                entry("/full", Action::Skip, full, LogGroupFate::Done),
                entry("/gone", Action::Add, None, LogGroupFate::Gone),
                entry("/no", Action::Skip, excluded.clone(), LogGroupFate::Done),
                entry("/off", Action::Remove, excluded, LogGroupFate::Planned),
                LogGroupEntry {
                    former_pattern: Some(Collect::Spilled.pattern().to_owned()),
                    ..entry("/spilled", Action::Update, None, LogGroupFate::Planned)
                },
                entry(
                    "/x",
                    Action::Add,
                    None,
                    LogGroupFate::Failed("the Lambda function".to_owned()),
                ),
            ],
            ..SweepReport::default()
        };
        let mut out = Vec::new();
        write(&report, &DirectSenders::default(), &mut out).unwrap();
        let expected = "\
add     /a
skip    /full     already has two filters (a, b): remove one
gone    /gone     was deleted meanwhile
remove  /off      excluded
update  /spilled  forwarded spilled before
failed  /x        the Lambda function
7 log groups: add 1, update 1, keep 0, remove 1, skip 2; 1 failed
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(
            pattern_warnings(&report, Collect::All),
            [
                "warning: the lines of 1 filter change from spilled to all (/spilled): to keep spilled, use --collect spilled for them"
            ]
        );
    }
}
