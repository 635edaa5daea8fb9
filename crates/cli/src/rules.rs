//! `lambda-otlp rules`: checks a rules file, or shows its effect on events.

use crate::destination::{DestinationArguments, read_config};
use crate::{forward, terminal};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use console::quantity::plural;
use console::time_arguments::now_unix_nano;
use forwarder::{
    Effect, Event, LogBatch, MOST_BYTES, MessageType, Mistakes, Options, Origin, RuleSet,
    StreamState, convert,
};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use wire::{Request, SignalKind};

#[derive(Args)]
#[command(after_help = "\
Examples:
  lambda-otlp rules check rules.toml
  lambda-otlp rules test rules.toml event.json --region eu-west-1")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print all errors of a rules file as FILE:LINE:COLUMN. The exit code is 1 if there are any.
    Check(CheckArguments),
    /// Show the effect of the rules on event files, without sending anything.
    Test(TestArguments),
}

#[derive(Args)]
struct CheckArguments {
    /// The rules file (TOML).
    #[arg(value_name = "RULES.toml")]
    file: PathBuf,
}

#[derive(Args, Default)]
struct TestArguments {
    /// The rules file (TOML).
    #[arg(value_name = "RULES.toml")]
    file: PathBuf,
    /// Event files: `{"awslogs":{"data":"…"}}`; `-` is standard input.
    #[arg(required = true, value_name = "EVENT.json")]
    events: Vec<PathBuf>,
    /// The forwarder's region.
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Print the remaining telemetry as OTLP/JSON to stdout, one request per line, and the report to stderr.
    #[arg(long)]
    requests: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::Check(arguments) => check(arguments),
        Command::Test(arguments) => test(arguments),
    }
}

fn check(CheckArguments { file }: &CheckArguments) -> anyhow::Result<ExitCode> {
    let rules = match read(file)? {
        Ok(rules) => rules,
        Err(mistakes) => {
            say(file, &mistakes);
            return Ok(ExitCode::FAILURE);
        }
    };
    let (services, routes) = rules.counts();
    let counts = [
        plural(rules.rule_names().count(), "rule"),
        plural(services, "service name"),
        plural(rules.destinations().len(), "destination"),
        plural(routes, "route"),
    ];
    writeln!(io::stdout(), "{}: good: {}", file.display(), counts.join(", "))?;
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> anyhow::Result<Result<RuleSet, Mistakes>> {
    let open = || format!("cannot read {}", file.display());
    let mut text = String::new();
    let limit = u64::try_from(MOST_BYTES)?.saturating_add(1);
    std::fs::File::open(file)
        .with_context(open)?
        .take(limit)
        .read_to_string(&mut text)
        .with_context(open)?;
    Ok(RuleSet::parse(&text))
}

/// Prints errors to stderr in the format of a compiler.
fn say(file: &Path, mistakes: &Mistakes) {
    for mistake in mistakes.iter() {
        eprintln!("{}:{mistake}", file.display());
    }
    eprintln!("{}: {}", file.display(), plural(mistakes.iter().len(), "mistake"));
}

fn test(arguments: &TestArguments) -> anyhow::Result<ExitCode> {
    let rules = match read(&arguments.file)? {
        Ok(rules) => rules,
        Err(mistakes) => {
            say(&arguments.file, &mistakes);
            return Ok(ExitCode::FAILURE);
        }
    };
    let mut trial = Trial::new(&rules, arguments, options()?);
    let mut complete = true;
    for path in &arguments.events {
        let partly = || format!("{}: cannot read all of it", path.display());
        let tried = forward::read(path, None).and_then(|events| {
            events.iter().try_for_each(|event| trial.event(event)).with_context(partly)
        });
        if let Err(error) = tried {
            if terminal::is_broken_pipe(&error) {
                return Err(error);
            }
            eprintln!("{error:#}");
            complete = false;
        }
    }
    let report = trial.report();
    if arguments.requests {
        eprint!("{report}");
    } else {
        io::stdout().write_all(report.as_bytes())?;
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The forwarder's options by its variables, except those of its destination.
fn options() -> anyhow::Result<Options> {
    let variables = DestinationArguments::default().variables(true)?;
    Ok(Options::of(&read_config(&variables)?))
}

struct Trial<'a> {
    rules: &'a RuleSet,
    arguments: &'a TestArguments,
    options: Options,
    observed_unix_nano: u64,
    origins: BTreeMap<String, Described>,
    effects: Vec<Effect>,
    before: [usize; 3],
    after: [usize; 3],
    undecodable: usize,
}

impl<'a> Trial<'a> {
    fn new(rules: &'a RuleSet, arguments: &'a TestArguments, options: Options) -> Self {
        Self {
            rules,
            arguments,
            options,
            observed_unix_nano: now_unix_nano(),
            origins: BTreeMap::new(),
            effects: Vec::new(),
            before: [0; 3],
            after: [0; 3],
            undecodable: 0,
        }
    }

    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        let mut stream = StreamState::default();
        let mut read = Ok(());
        let limits = self.options.source;
        for batch in event.batches(&limits) {
            match batch {
                Ok(batch) => self.batch(&batch, &mut stream)?,
                Err(error) => read = read.and(Err(error)),
            }
        }
        self.rest(&mut stream)?;
        Ok(read?)
    }

    /// Converts the log events that a stream held back at the end of its delivery.
    fn rest(&mut self, stream: &mut StreamState) -> anyhow::Result<()> {
        let rest = stream.take_held();
        rest.map_or(Ok(()), |rest| self.batch(&rest, stream))
    }

    fn batch(&mut self, batch: &LogBatch, stream: &mut StreamState) -> anyhow::Result<()> {
        if batch.message_type == MessageType::Control {
            return Ok(());
        }
        let region = self.arguments.region.as_ref().or(self.options.region.as_ref());
        let origin = batch.origin.clone().or_region(region.map(String::as_str));
        self.origins.insert(origin.log_group.clone(), Described::new(self.rules, &origin));
        if !stream.is_of(&origin) {
            self.rest(stream)?;
            *stream = StreamState::default();
        }
        let service_name = self.rules.service_name(&origin);
        let mut events = batch.events.as_slice();
        while !events.is_empty() {
            let before = std::mem::take(stream);
            let service_name = service_name.as_deref();
            let observed = self.observed_unix_nano;
            let options = &self.options.convert;
            let converted = convert(&origin, events, before, options, service_name, observed);
            *stream = converted.state;
            self.undecodable +=
                converted.undecodable.iter().map(|(_, line)| line.lines()).sum::<usize>();
            self.requests(&origin, converted.requests)?;
            events = events.get(converted.taken.max(1)..).unwrap_or_default();
        }
        Ok(())
    }

    fn requests(&mut self, origin: &Origin, requests: Vec<Request>) -> anyhow::Result<()> {
        for request in &requests {
            count(&mut self.before, request);
        }
        let applied = self.rules.apply(origin, requests);
        Effect::add_all(&mut self.effects, applied.effects);
        for request in applied.requests {
            count(&mut self.after, &request);
            if self.arguments.requests {
                writeln!(io::stdout(), "{}", request.to_json())?;
            }
        }
        Ok(())
    }

    /// The effects of a rule, in the order of [`EFFECTS`].
    fn effect(&self, rule: &str) -> [usize; 4] {
        let effect = self.effects.iter().find(|effect| &*effect.rule == rule);
        effect.map_or([0; 4], |effect| {
            [effect.matched, effect.dropped, effect.changed, effect.redacted]
        })
    }

    fn report(&self) -> String {
        let mut text = String::new();
        for (log_group, Described { service_name, routes }) in &self.origins {
            let _infallible = writeln!(text, "{log_group}");
            if let Some(name) = service_name {
                let _infallible = writeln!(text, "  service name: {name}");
            }
            let routes: Vec<String> = routes
                .iter()
                .map(|(destination, stream)| match stream {
                    Some(stream) => format!("{destination} (stream {stream})"),
                    None => destination.clone(),
                })
                .collect();
            if !routes.is_empty() {
                let _infallible = writeln!(text, "  goes to: {}", routes.join(", "));
            }
        }
        let width = self.rules.rule_names().map(|name| name.chars().count()).max().unwrap_or(0);
        let width = width.max("undecodable lines".len());
        text.push('\n');
        row(&mut text, width, "rule", &EFFECTS);
        for name in self.rules.rule_names() {
            row(&mut text, width, name, &self.effect(name));
        }
        text.push('\n');
        let items = SignalKind::ALL.map(|kind| format!("{}s", kind.item()));
        row(&mut text, width, "items", &items);
        row(&mut text, width, "before", &self.before);
        row(&mut text, width, "after", &self.after);
        if self.undecodable > 0 {
            row(&mut text, width, "undecodable lines", &[self.undecodable]);
        }
        text
    }
}

const EFFECTS: [&str; 4] = ["matched", "dropped", "changed", "redacted"];

struct Described {
    service_name: Option<String>,
    routes: Vec<(String, Option<String>)>,
}

impl Described {
    fn new(rules: &RuleSet, origin: &Origin) -> Self {
        let routes = rules.routes(origin);
        let routes = routes.iter().map(|it| (it.destination.to_owned(), it.stream.clone()));
        Self { service_name: rules.service_name(origin), routes: routes.collect() }
    }
}

fn row(text: &mut String, width: usize, name: &str, cells: &[impl std::fmt::Display]) {
    let _infallible = write!(text, "{name:<width$}");
    for cell in cells {
        let _infallible = write!(text, "{cell:>13}");
    }
    text.push('\n');
}

fn count(counts: &mut [usize; 3], request: &Request) {
    for (kind, count) in SignalKind::ALL.into_iter().zip(counts) {
        if kind == request.kind() {
            *count += request.items();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn fixture(name: &str) -> Event {
        let events = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/events");
        forward::read(&events.join(name), None).unwrap().remove(0)
    }

    #[expect(clippy::needless_pass_by_value, reason = "reads better in a table")]
    fn check(rules: &str, event: &str, expected: Expect) {
        let rules = RuleSet::parse(rules).unwrap();
        let arguments =
            TestArguments { region: Some("eu-west-1".to_owned()), ..TestArguments::default() };
        let mut trial = Trial::new(&rules, &arguments, options().unwrap());
        trial.event(&fixture(event)).unwrap();
        expected.assert_eq(&trial.report());
    }

    #[test]
    fn a_rules_test_reports_the_effect_of_each_rule() {
        check(
            "",
            "awslogs-text-mixed.json",
            expect![[r"
                /aws/lambda/orders

                rule                   matched      dropped      changed     redacted

                items                    spans  data points  log records
                before                      30           15            8
                after                       30           15            8
            "]],
        );
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
        );
    }

    #[test]
    fn a_rules_test_rejects_unsupported_events() {
        let (rules, arguments) = (RuleSet::default(), TestArguments::default());
        let mut trial = Trial::new(&rules, &arguments, options().unwrap());
        assert!(trial.event(&fixture("firehose-cwl.json")).is_err());
    }
}
