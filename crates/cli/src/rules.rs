//! `lambda-otlp rules`: checks a rules file, or shows its effect on events.

use crate::destination::{DestinationArguments, read_config};
use crate::log_events::{BACKEND, Converter, Forwarded, OTLP_BACKEND};
use crate::progress::ProgressLine;
use crate::{forward, terminal};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use console::quantity::plural;
use forwarder::{Effect, Event, Items, MAX_BYTES, Origin, RuleSet, SourceLimits, Template};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use wire::SignalKind;

#[derive(Args)]
#[command(after_help = "\
Examples:
  lambda-otlp rules check rules.toml
  lambda-otlp rules test rules.toml event.json --region eu-west-1")]
pub(crate) struct RulesArguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the mistakes of a rules file, one for each rule, as FILE:LINE:COLUMN. The exit code is 1 if there are any.
    Check {
        /// The rules file (TOML).
        #[arg(value_name = "RULES.toml")]
        file: PathBuf,
    },
    /// Show the effect of the rules on event files, without sending anything.
    Test(TestArguments),
}

#[derive(Args)]
struct TestArguments {
    /// The rules file (TOML).
    #[arg(value_name = "RULES.toml")]
    file: PathBuf,
    /// Event files, `{"awslogs":{"data":"…"}}`, or files of log lines, each as one event; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    events: Vec<PathBuf>,
    /// The log group of log lines; by default, /aws/lambda/NAME for a file NAME.log.
    #[arg(long, value_name = "NAME")]
    log_group: Option<String>,
    /// The forwarder's region.
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Print the remaining telemetry as OTLP/JSON to stdout, one request per line, and the report to stderr.
    #[arg(long)]
    requests: bool,
}

pub(crate) fn run(arguments: &RulesArguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::Check { file } => {
            let Some(rules) = read(file)? else { return Ok(ExitCode::FAILURE) };
            let count = plural(rules.rule_names().count(), "rule");
            writeln!(io::stdout(), "{}: good: {count}", file.display())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Test(arguments) => test(arguments),
    }
}

/// Reads a rules file. Prints its mistakes to stderr in the format of a compiler, and returns `None` if there are any.
fn read(file: &Path) -> anyhow::Result<Option<RuleSet>> {
    let cannot_read = || format!("cannot read {}", file.display());
    let mut text = String::new();
    let limit = u64::try_from(MAX_BYTES)?.saturating_add(1);
    let opened = std::fs::File::open(file).with_context(cannot_read)?;
    opened.take(limit).read_to_string(&mut text).with_context(cannot_read)?;
    let parsed = RuleSet::parse(&text).map_err(|mistakes| {
        for mistake in mistakes.iter() {
            eprintln!("{}:{mistake}", file.display());
        }
        eprintln!("{}: {}", file.display(), plural(mistakes.iter().len(), "mistake"));
    });
    Ok(parsed.ok())
}

fn test(arguments: &TestArguments) -> anyhow::Result<ExitCode> {
    let Some(rules) = read(&arguments.file)? else { return Ok(ExitCode::FAILURE) };
    let mut trial = Trial::new(rules, arguments.region.clone())?;
    let mut is_complete = true;
    let mut event_count = 0;
    // A pager may show the requests, in the place of progress.
    let progress =
        if arguments.requests { ProgressLine::hidden() } else { ProgressLine::start("events") };
    let counts = progress.counts();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for path in &arguments.events {
        let partly = || format!("{}: cannot read all of it", path.display());
        let tried = forward::read(path, arguments.log_group.as_deref()).and_then(|events| {
            event_count += events.len();
            counts.set_total(event_count);
            events.into_iter().try_for_each(|event| {
                let Forwarded { report, requests } =
                    runtime.block_on(trial.add(event)).with_context(partly)?;
                for warning in report.warnings {
                    eprintln!("{}: warning: {warning}", path.display());
                }
                counts.add(1);
                let lines = requests.iter().filter(|_| arguments.requests);
                let text: String = lines.map(|request| request.to_json() + "\n").collect();
                Ok(terminal::ignore_broken_pipe(io::stdout().write_all(text.as_bytes()))?)
            })
        });
        if let Err(error) = tried {
            eprintln!("{error:#}");
            is_complete = false;
        }
    }
    drop(progress);
    let report = trial.report();
    if arguments.requests {
        eprint!("{report}");
    } else {
        io::stdout().write_all(report.as_bytes())?;
    }
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The effects of rules on events that go through the forwarder's pipeline.
struct Trial {
    rules: RuleSet,
    region: Option<String>,
    /// The stream of the variables' destination.
    stream: Option<Template>,
    converter: Converter,
    /// The lines that describe each log group.
    log_groups: BTreeMap<String, Vec<String>>,
    effects: Vec<Effect>,
    before: Items,
    after: Items,
}

impl Trial {
    /// The forwarder's variables apply, except those of its destination.
    fn new(rules: RuleSet, region: Option<String>) -> anyhow::Result<Self> {
        let variables =
            DestinationArguments::default().variables(true)?.with(BACKEND, OTLP_BACKEND);
        let mut config = read_config(&variables)?;
        config.region = region.or(config.region);
        let stream = config.destination.stream.clone();
        Ok(Self {
            region: config.region.clone(),
            stream: stream.map(|stream| Template::parse(&stream)).transpose()?,
            converter: Converter::of(config, rules.clone()),
            rules,
            log_groups: BTreeMap::new(),
            effects: Vec::new(),
            before: Items::default(),
            after: Items::default(),
        })
    }

    /// Adds the effects on an event. Returns its remaining telemetry, and the report without its part about rules.
    async fn add(&mut self, event: Event) -> anyhow::Result<Forwarded> {
        let batches = event.batches(&SourceLimits::default()).flatten();
        for batch in batches.filter(|batch| !batch.is_control) {
            let origin = batch.origin.or_region(self.region.as_deref());
            let lines = self.describe(&origin);
            self.log_groups.insert(origin.log_group, lines);
        }
        let mut forwarded = self.converter.forward(event).await;
        let report = &mut forwarded.report;
        self.before += report.ledgers.total.items;
        for request in &forwarded.requests {
            self.after.add(request.kind(), request.items());
        }
        Effect::add_all(&mut self.effects, std::mem::take(&mut report.rules));
        match report.read_error.take() {
            Some(error) => Err(error.into()),
            None => Ok(forwarded),
        }
    }

    /// Describes a log group: its name, service name and routes.
    fn describe(&self, origin: &Origin) -> Vec<String> {
        let mut lines = vec![origin.log_group.clone()];
        if let Some(name) = self.rules.service_name(origin) {
            lines.push(format!("  service name: {name}"));
        }
        let mut routes = Vec::new();
        for route in self.rules.routes(origin) {
            let stream = route.stream.or_else(|| self.default_stream(route.destination, origin));
            routes.push(match stream {
                Some(stream) => format!("{} (stream {stream})", route.destination),
                None => route.destination.to_owned(),
            });
        }
        if !routes.is_empty() {
            lines.push(format!("  goes to: {}", routes.join(", ")));
        }
        lines
    }

    /// The stream of a destination for log events whose route names none.
    fn default_stream(&self, destination: &str, origin: &Origin) -> Option<String> {
        let rule = self.rules.destinations().iter().find(|rule| rule.name == destination);
        let stream = rule.map_or(self.stream.as_ref(), |rule| rule.stream.as_ref());
        stream.map(|stream| stream.fill_stream(origin))
    }

    /// The effects of a rule, in the order of [`EFFECTS`].
    fn effect(&self, rule: &str) -> [usize; 4] {
        let effect = self.effects.iter().find(|effect| &*effect.rule == rule);
        effect.map_or([0; 4], |effect| {
            [effect.matched, effect.dropped, effect.changed, effect.redacted]
        })
    }

    fn report(&self) -> String {
        let lines: Vec<&str> = self.log_groups.values().flatten().map(String::as_str).collect();
        let mut text = lines.join("\n");
        let name_widths = self.rules.rule_names().map(|name| name.chars().count());
        let width = name_widths.max().unwrap_or(0).max("undecodable lines".len());
        text.push_str(if text.is_empty() { "\n" } else { "\n\n" });
        row(&mut text, width, "rule", &EFFECTS);
        for name in self.rules.rule_names() {
            row(&mut text, width, name, &self.effect(name));
        }
        text.push('\n');
        let items = SignalKind::ALL.map(|kind| format!("{}s", kind.item()));
        row(&mut text, width, "items", &items);
        for (name, items) in [("before", self.before), ("after", self.after)] {
            row(&mut text, width, name, &[items.spans, items.data_points, items.log_records]);
        }
        if self.before.undecodable > 0 {
            row(&mut text, width, "undecodable lines", &[self.before.undecodable]);
        }
        text
    }
}

const EFFECTS: [&str; 4] = ["matched", "dropped", "changed", "redacted"];

fn row(text: &mut String, width: usize, name: &str, cells: &[impl std::fmt::Display]) {
    let _infallible = write!(text, "{name:<width$}");
    for cell in cells {
        let _infallible = write!(text, "{cell:>13}");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn fixture(name: &str) -> Event {
        let events = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/events");
        forward::read(&events.join(name), None).unwrap().remove(0)
    }

    async fn check(rules: &str, event: &str, expected: Expect) {
        let rules = RuleSet::parse(rules).unwrap();
        let mut trial = Trial::new(rules, Some("eu-west-1".to_owned())).unwrap();
        trial.add(fixture(event)).await.unwrap();
        expected.assert_eq(&trial.report());
    }

    #[tokio::test]
    async fn a_rules_test_reports_the_effect_of_each_rule() {
        let rules = r#"
            [[rule]]
            name = "spans"
            match.signal = "traces"
            sample = 0.5

            [[rule]]
            name = "points"
            match.metric_name = { not = "faas.*" }
            drop = true

            [[rule]]
            name = "info"
            match.severity = { below = "WARN" }
            drop = true

            [[rule]]
            name = "never"
            match.function = "nobody"
            drop = true

            [[service]]
            log_group = "*"
            name = "all-{region}"

            [[route]]
            log_group = "/aws/lambda/*"
            stream = "{function}"
        "#;
        check(
            rules,
            "awslogs-text-mixed.json",
            expect![[r"
                /aws/lambda/orders
                  service name: all-eu-west-1
                  goes to: default (stream orders)

                rule                   matched      dropped      changed     redacted
                spans                       30           20            0            0
                points                       8            8            0            0
                info                         3            3            0            0
                never                        0            0            0            0

                items                    spans  data points  log records
                before                      30           15            8
                after                       10            7            5
            "]],
        )
        .await;
    }

    #[tokio::test]
    async fn a_rules_test_shows_whole_traces() {
        let rules = r#"
            [[rule]]
            name = "failed traces"
            match.trace.failed = true
            keep = true

            [[rule]]
            name = "the others"
            sample = 0
        "#;
        check(
            rules,
            "awslogs-text-mixed.json",
            expect![[r"
                /aws/lambda/orders

                rule                   matched      dropped      changed     redacted
                failed traces               38            0            0            0
                the others                  38            0            0            0

                items                    spans  data points  log records
                before                      30           15            8
                after                       30           15            8
            "]],
        )
        .await;
    }

    #[tokio::test]
    async fn a_rules_test_names_the_stream_of_each_destination() {
        const AUDIT: &str = "[destination.audit]\nendpoint = \"https://audit.example.com\"\nstream = \"audit-{region}\"\n";
        for (route, expected) in [
            (r#"stream = "{function}""#, "default (stream orders)"),
            (
                r#"to = ["default", "audit"]"#,
                "default (stream apps), audit (stream audit-eu-west-1)",
            ),
        ] {
            let text = format!("{AUDIT}[[route]]\nlog_group = \"*\"\n{route}\n");
            let rules = RuleSet::parse(&text).unwrap();
            let mut trial = Trial::new(rules, Some("eu-west-1".to_owned())).unwrap();
            trial.stream = Some(Template::parse("apps").unwrap());
            trial.add(fixture("awslogs-text-mixed.json")).await.unwrap();
            let report = trial.report();
            assert!(report.contains(&format!("goes to: {expected}\n")), "{report}");
        }
    }

    #[tokio::test]
    async fn a_rules_test_rejects_unsupported_events() {
        let mut trial = Trial::new(RuleSet::default(), None).unwrap();
        assert!(trial.add(fixture("firehose-cwl.json")).await.is_err());
    }
}
