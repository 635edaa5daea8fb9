//! `lambda-otlp rules`: checks a rules file, and shows what it would do to events.

use anyhow::Context as _;
use clap::{Args, Subcommand};
use forwarder::{
    ConvertOptions, Effect, Event, LogBatch, MOST_BYTES, MessageType, Origin, RuleSet,
    SourceLimits, StreamState, convert,
};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};
use wire::{Request, SignalKind};

/// Arguments of `lambda-otlp rules`.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Names all mistakes of a rules file, as FILE:LINE:COLUMN; exits with 1 if there are any.
    Check {
        /// The rules file (TOML).
        #[arg(value_name = "RULES.toml")]
        file: PathBuf,
    },
    /// Shows what the rules would do to the telemetry of Lambda event files; sends nothing.
    Test(TestArguments),
}

#[derive(Args)]
struct TestArguments {
    /// The rules file (TOML).
    #[arg(value_name = "RULES.toml")]
    file: PathBuf,
    /// Lambda event files: `{"awslogs":{"data":"…"}}`.
    #[arg(required = true, value_name = "EVENT.json")]
    events: Vec<PathBuf>,
    /// The region that the forwarder would run in.
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Print what is left as OTLP/JSON on stdout, one request a line, and the report on stderr.
    #[arg(long)]
    requests: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::Check { file } => {
            let Some(rules) = read(file)? else { return Ok(ExitCode::FAILURE) };
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
        Command::Test(arguments) => test(arguments),
    }
}

/// The rules of a file; its mistakes go to stderr, like a compiler's.
fn read(file: &Path) -> anyhow::Result<Option<RuleSet>> {
    let open = || format!("cannot read {}", file.display());
    let mut text = String::new();
    let limit = u64::try_from(MOST_BYTES)?.saturating_add(1);
    std::fs::File::open(file)
        .with_context(open)?
        .take(limit)
        .read_to_string(&mut text)
        .with_context(open)?;
    match RuleSet::parse(&text) {
        Ok(rules) => Ok(Some(rules)),
        Err(mistakes) => {
            for mistake in mistakes.iter() {
                eprintln!("{}:{mistake}", file.display());
            }
            eprintln!("{}: {}", file.display(), plural(mistakes.len(), "mistake"));
            Ok(None)
        }
    }
}

fn test(arguments: &TestArguments) -> anyhow::Result<ExitCode> {
    let Some(rules) = read(&arguments.file)? else { return Ok(ExitCode::FAILURE) };
    let mut trial = Trial::new(&rules, arguments);
    let mut complete = true;
    for path in &arguments.events {
        if let Err(error) = trial.event(path) {
            eprintln!("{}: not read, or not to its end: {error:#}", path.display());
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

/// The rules, and what they have done so far.
struct Trial<'a> {
    rules: &'a RuleSet,
    arguments: &'a TestArguments,
    convert: ConvertOptions,
    observed_unix_nano: u64,
    origins: BTreeSet<String>,
    effects: Vec<Effect>,
    before: [usize; 3],
    after: [usize; 3],
    undecodable: usize,
}

impl<'a> Trial<'a> {
    fn new(rules: &'a RuleSet, arguments: &'a TestArguments) -> Self {
        Self {
            rules,
            arguments,
            convert: ConvertOptions::default(),
            observed_unix_nano: now_unix_nano(),
            origins: BTreeSet::new(),
            effects: Vec::new(),
            before: [0; 3],
            after: [0; 3],
            undecodable: 0,
        }
    }

    fn event(&mut self, path: &Path) -> anyhow::Result<()> {
        let bytes = std::fs::read(path)?;
        let event: Event = serde_json::from_slice(&bytes).context("no Lambda event")?;
        let mut stream = StreamState::default();
        let mut printed = Ok(());
        let read = event.read(&SourceLimits::default(), &mut |batch| {
            printed = self.batch(&batch, &mut stream);
            printed.is_ok()
        });
        printed?;
        self.rest(&mut stream)?;
        Ok(read?)
    }

    /// What a stream still held back when its delivery was over.
    fn rest(&mut self, stream: &mut StreamState) -> anyhow::Result<()> {
        let rest = stream.take_held();
        rest.map_or(Ok(()), |rest| self.batch(&rest, stream))
    }

    fn batch(&mut self, batch: &LogBatch, stream: &mut StreamState) -> anyhow::Result<()> {
        if batch.message_type == MessageType::Control {
            return Ok(());
        }
        let origin = batch.origin.clone().or_region(self.arguments.region.as_deref());
        self.origins.insert(self.describe(&origin));
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
            let converted = convert(&origin, events, before, &self.convert, service_name, observed);
            *stream = converted.state;
            self.undecodable += converted.undecodable.len();
            for request in converted.requests {
                self.request(&origin, request)?;
            }
            events = events.get(converted.taken.max(1)..).unwrap_or_default();
        }
        Ok(())
    }

    fn request(&mut self, origin: &Origin, request: Request) -> anyhow::Result<()> {
        count(&mut self.before, &request);
        let applied = self.rules.apply(origin, request);
        Effect::add_all(&mut self.effects, applied.effects);
        let Some(request) = applied.request else { return Ok(()) };
        count(&mut self.after, &request);
        if self.arguments.requests {
            writeln!(io::stdout(), "{}", request.to_json())?;
        }
        Ok(())
    }

    /// What the rules say of an origin: where its telemetry goes, and what its service is called.
    fn describe(&self, origin: &Origin) -> String {
        let mut text = origin.log_group.clone();
        if let Some(name) = self.rules.service_name(origin) {
            let _infallible = write!(text, "\n  service name: {name}");
        }
        let routes = self.rules.routes(origin);
        let routes: Vec<String> = routes
            .iter()
            .map(|route| match &route.stream {
                Some(stream) => format!("{} (stream {stream})", route.destination),
                None => route.destination.to_owned(),
            })
            .collect();
        if !routes.is_empty() {
            let _infallible = write!(text, "\n  goes to: {}", routes.join(", "));
        }
        text
    }

    fn report(&self) -> String {
        let mut text = String::new();
        for origin in &self.origins {
            text.push_str(origin);
            text.push('\n');
        }
        let columns = ["matched", "dropped", "changed", "redacted"];
        let width = self.rules.rule_names().map(|name| name.chars().count()).max().unwrap_or(0);
        let width = width.max("undecodable lines".len());
        text.push('\n');
        row(&mut text, width, "rule", &columns);
        for name in self.rules.rule_names() {
            let effect = self.effects.iter().find(|effect| &*effect.rule == name);
            let counts = effect.map_or([0; 4], |effect| {
                [effect.matched, effect.dropped, effect.changed, effect.redacted]
            });
            row(&mut text, width, name, &counts);
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

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[expect(clippy::disallowed_methods, reason = "the command line reads the clock here, once")]
fn now_unix_nano() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/events").join(name)
    }

    #[expect(clippy::needless_pass_by_value, reason = "reads better in a table")]
    fn check(rules: &str, event: &str, expected: Expect) {
        let rules = RuleSet::parse(rules).unwrap();
        let arguments = TestArguments {
            file: PathBuf::new(),
            events: Vec::new(),
            region: Some("eu-west-1".to_owned()),
            requests: false,
        };
        let mut trial = Trial::new(&rules, &arguments);
        trial.event(&fixture(event)).unwrap();
        expected.assert_eq(&trial.report());
    }

    #[test]
    fn events_go_through_the_conversion_and_the_rules() {
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
    fn what_is_no_event_is_an_error() {
        let (rules, arguments) = (
            RuleSet::default(),
            TestArguments {
                file: PathBuf::new(),
                events: Vec::new(),
                region: None,
                requests: false,
            },
        );
        let mut trial = Trial::new(&rules, &arguments);
        assert!(trial.event(&fixture("firehose-cwl.json")).is_err());
        assert!(trial.event(Path::new("no-such-file.json")).is_err());
    }
}
