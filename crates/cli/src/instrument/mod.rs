//! `lambda-otlp instrument`, `uninstrument` and `fleet`: add the layers and the wrapper to functions, remove them again, and list
//! functions.

mod account;
mod configuration;
mod fleet;
mod layers;
mod line;
mod plan;
mod record;
mod report;
mod run;
mod snippets;
mod trust;
mod undo;

use crate::aws::{self, Aws, AwsArguments};
use crate::lines::LineFormat;
use crate::terminal;
use account::Account;
use anyhow::{anyhow, bail, ensure};
pub(crate) use configuration::Support;
pub(crate) use fleet::{FleetArguments, run as fleet};
use futures_util::{StreamExt as _, TryStreamExt as _};
use layers::{LayerKind, LayerVersion, Layers};
pub(crate) use layers::{is_our_layer, is_same_layer, may_be_our_layer};
use plan::InstrumentOptions;
pub(crate) use plan::{OUR_WRAPPER, WRAPPER};
use report::FunctionReport;
use run::{InstrumentRun, InstrumentTask};
use settings::Pattern;
use std::collections::BTreeSet;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;
use subscriber::{Selection, parse_tags};
use trust::StackLayers;
use wire::arn::Arn;

/// Selection of functions.
#[derive(clap::Args, Clone, Debug)]
struct FunctionArguments {
    /// Functions: names, or patterns with `*` such as `shop-*`; may be repeated, or separated by commas.
    #[arg(long = "function", value_name = "PATTERN")]
    functions: Vec<String>,
    /// Functions to leave out, in the same form.
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Only functions with this tag: `team=shop`, or a key alone; may be repeated.
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<String>,
    #[command(flatten)]
    aws: AwsArguments,
}

/// Output and confirmation.
#[derive(clap::Args, Clone, Copy, Debug)]
struct Confirmation {
    /// Make the changes without asking. Without a terminal and --yes, the command only prints its plan.
    #[arg(long)]
    yes: bool,
    /// Print all selected functions as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp instrument --function 'shop-*' --line compact
  lambda-otlp instrument --tag team=shop --exclude '*-dev' --stack lambda-otlp --yes")]
pub(crate) struct InstrumentArguments {
    #[command(flatten)]
    which: FunctionArguments,
    /// The stack that publishes the layers.
    #[arg(long, value_name = "NAME", default_value = "lambda-otlp")]
    stack: String,
    /// A layer version instead of the stack's; may be repeated: the extension for each architecture, and packages layers.
    #[arg(long = "layer", value_name = "ARN", conflicts_with = "stack")]
    layers: Vec<String>,
    /// Format of the functions' OTLP lines: `compact` sets LAMBDA_OTLP_LINE, for less than half of the cost, and `standard` restores
    /// it. Without this, the variable stays as it is.
    #[arg(long, value_enum, hide_possible_values = true, value_name = "FORMAT")]
    line: Option<LineFormat>,
    /// Also change functions that CloudFormation manages, though their next deployment may revert it.
    #[arg(long)]
    managed: bool,
    /// Also change functions that run published versions. The versions keep their layers until you publish new ones.
    #[arg(long)]
    versions: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

#[derive(clap::Args)]
#[command(after_help = "\
Example:
  lambda-otlp uninstrument --function 'shop-*' --yes")]
pub(crate) struct UninstrumentArguments {
    #[command(flatten)]
    which: FunctionArguments,
    /// Trust this layer version, which `instrument` added or replaced, though it is of another account or has a name of yours;
    /// may be repeated.
    #[arg(long = "layer", value_name = "ARN")]
    layers: Vec<String>,
    #[command(flatten)]
    confirmation: Confirmation,
}

pub(crate) fn instrument(arguments: &InstrumentArguments) -> anyhow::Result<ExitCode> {
    let InstrumentArguments { which, stack, layers, line, managed, versions, confirmation } =
        arguments;
    let selection = which.selection()?;
    terminal::block_on(async {
        let aws = Aws::load(&which.aws).await?;
        which.check_place(&aws).await?;
        let account = Account::new(&aws)?;
        let arns = if layers.is_empty() {
            stack_layers(&aws, stack).await?
        } else {
            layers.iter().cloned().collect()
        };
        let trusted = arns.iter().cloned().collect();
        let offered = read_layers(&account, arns).await?;
        let options = InstrumentOptions {
            layers: offered,
            line: *line,
            managed: *managed,
            versions: *versions,
        };
        let run = InstrumentRun::new(
            account,
            StackLayers::new(aws.clone(), trusted),
            InstrumentTask::Instrument(options),
        );
        change(&aws, &run, selection, *confirmation).await
    })
}

pub(crate) fn uninstrument(arguments: &UninstrumentArguments) -> anyhow::Result<ExitCode> {
    let UninstrumentArguments { which, layers, confirmation } = arguments;
    let selection = which.selection()?;
    check_layer_versions(layers.iter())?;
    terminal::block_on(async {
        let aws = Aws::load(&which.aws).await?;
        which.check_place(&aws).await?;
        let stack_layers = StackLayers::new(aws.clone(), layers.iter().cloned().collect());
        let run =
            InstrumentRun::new(Account::new(&aws)?, stack_layers, InstrumentTask::Uninstrument);
        change(&aws, &run, selection, *confirmation).await
    })
}

impl FunctionArguments {
    fn selection(&self) -> anyhow::Result<Selection> {
        if self.functions.is_empty() && self.tags.is_empty() {
            bail!("no functions: use --function, for example --function 'shop-*', or --tag");
        }
        self.selection_or_all()
    }

    /// Fails if an ARN is of another account or region: the function of the same name here is another one.
    async fn check_place(&self, aws: &Aws) -> anyhow::Result<()> {
        for (argument, texts) in [("--function", &self.functions), ("--exclude", &self.exclude)] {
            let joined = texts.join(",");
            for text in joined.split(',').map(str::trim) {
                let Some((before, _)) = text.split_once(":function:") else { continue };
                let account = before.rsplit(':').next().unwrap_or_default();
                let region = Arn::parse(text).map(|arn| arn.region);
                let is_here = region.is_none_or(|region| region == aws.region())
                    && aws::account(aws).await.as_deref() == Some(account);
                if !is_here {
                    let place = aws::place(aws).await;
                    bail!(
                        "{argument}: {text} is not in {place}, where this command works: use --region and --profile of the function"
                    );
                }
            }
        }
        Ok(())
    }

    /// Selects all functions if neither names nor tags are given.
    fn selection_or_all(&self) -> anyhow::Result<Selection> {
        let named = patterns("--function", &self.functions)?;
        let exclude = patterns("--exclude", &self.exclude)?;
        let tags =
            parse_tags(&self.tags.join(",")).map_err(|problem| anyhow!("--tag: {problem}"))?;
        ensure!(
            self.tags.is_empty() || !tags.is_empty(),
            "--tag is empty: give it a value, or leave it out"
        );
        let include = if named.is_empty() { vec![Pattern::new("*")] } else { named };
        Ok(Selection::new(include, exclude, tags, []))
    }
}

/// Parses patterns of function names. An empty shell variable must not select all functions.
fn patterns(argument: &str, texts: &[String]) -> anyhow::Result<Vec<Pattern>> {
    let joined = texts.join(",");
    let parts = joined.split(',').map(str::trim).filter(|part| !part.is_empty());
    let patterns: Vec<Pattern> =
        parts.map(|part| pattern(argument, part)).collect::<anyhow::Result<_>>()?;
    ensure!(
        texts.is_empty() || !patterns.is_empty(),
        "{argument} is empty: give it a value, or leave it out"
    );
    Ok(patterns)
}

/// Reads a name, a pattern, or the ARN of a function.
fn pattern(argument: &str, text: &str) -> anyhow::Result<Pattern> {
    // arn:aws:lambda:{region}:{account}:function:{name}, and {name}:{version or alias}
    let parts: Vec<&str> = match text.split_once(":function:") {
        Some((before, name)) if is_function_place(before) => name.split(':').collect(),
        Some(_) => Vec::new(),
        None => text.split(':').collect(),
    };
    match parts.as_slice() {
        [name] | [name, "$LATEST"] if is_function_pattern(name) => Ok(Pattern::new(name)),
        [name, version] if is_function_pattern(name) => bail!(
            "{argument}: published versions such as {version} of {name} keep their layers: name the function alone, then publish a version"
        ),
        _ => bail!(
            "{argument}: {text:?} is not a function's name: expected a name, or a pattern such as shop-*"
        ),
    }
}

/// Returns `true` for `arn:aws:lambda:{region}:{account}`, and for an account: Lambda takes both before `:function:`.
fn is_function_place(text: &str) -> bool {
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    match text.split(':').collect::<Vec<_>>().as_slice() {
        ["arn", _, "lambda", region, account] => !region.is_empty() && is_account(account),
        [account] => is_account(account),
        _ => false,
    }
}

/// Lambda API Reference, "CreateFunction": letters, digits, hyphens and underscores.
fn is_function_pattern(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_*".contains(c))
}

/// Returns the layer versions among the stack's outputs.
async fn stack_layers(aws: &Aws, stack: &str) -> anyhow::Result<BTreeSet<String>> {
    let outputs = match aws::stack_values(aws, stack).await {
        Ok(values) => values.outputs,
        Err(error) if aws::says_no_stack(&error) => {
            let place = aws::place(aws).await;
            bail!("there is no stack {stack} in {place}: check --stack, --region and --profile");
        }
        Err(error) => return Err(error),
    };
    let arns: BTreeSet<String> =
        outputs.into_values().filter(|value| is_layer_version(value)).collect();
    ensure!(
        !arns.is_empty(),
        "stack {stack} has no output with a layer: name the stack of lambda-otlp with --stack, or layers with --layer"
    );
    Ok(arns)
}

/// Returns `true` for `arn:aws:lambda:{region}:{account}:layer:{name}:{version}`.
fn is_layer_version(text: &str) -> bool {
    let Some(arn) = Arn::parse(text).filter(|arn| arn.service == "lambda") else { return false };
    let layer = arn.resource.strip_prefix("layer:").and_then(|layer| layer.split_once(':'));
    let is_version = |version: &str| {
        (1..=19).contains(&version.len()) && version.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_name = |name: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        (1..=64).contains(&name.len()) && name.bytes().all(is_allowed)
    };
    arn.account_id().is_some()
        && is_name(arn.region)
        && layer.is_some_and(|(name, version)| is_name(name) && is_version(version))
}

/// Fails if an argument `--layer` is no layer version.
fn check_layer_versions<'a>(mut arns: impl Iterator<Item = &'a String>) -> anyhow::Result<()> {
    if let Some(other) = arns.find(|arn| !is_layer_version(arn)) {
        bail!(
            "--layer: {other:?} is not a layer version: expected arn:aws:lambda:{{region}}:{{account}}:layer:{{name}}:{{version}}"
        );
    }
    Ok(())
}

/// Number of layer versions that are read at a time.
const AT_A_TIME: usize = 4;

/// Reads the layer versions that functions may get.
async fn read_layers(account: &Account, arns: BTreeSet<String>) -> anyhow::Result<Layers> {
    check_layer_versions(arns.iter())?;
    let read = futures_util::stream::iter(arns).map(async |arn| account.layer_version(&arn).await);
    let layers: Vec<LayerVersion> = read.buffered(AT_A_TIME).try_collect().await?;
    ensure!(
        layers.iter().any(|layer| layer.kind() == LayerKind::Extension),
        "no layer with the extension, only packages layers: give its ARN with --layer too"
    );
    Ok(Layers { versions: layers })
}

/// Plans, asks, and changes functions.
async fn change(
    aws: &Aws,
    run: &InstrumentRun,
    selection: Selection,
    confirmation: Confirmation,
) -> anyhow::Result<ExitCode> {
    let mut report = run.plan(&selection).await?;
    if report.entries.is_empty() {
        let place = aws::place(aws).await;
        bail!("no function matches in {place}: check --function, --tag, --region and --profile");
    }
    let Confirmation { yes, json } = confirmation;
    if !json {
        let mut out = io::stdout().lock();
        terminal::ignore_broken_pipe(report.write_plan(&run.task, &mut out))?;
    }
    let changes = report.changes();
    let confirmed = yes || (!json && changes > 0 && is_confirmed(changes)?);
    if confirmed && changes > 0 {
        run.stop_on_ctrl_c();
        report = run.apply(report).await;
    }
    let mut out = io::stdout().lock();
    if json {
        terminal::ignore_broken_pipe(writeln!(
            out,
            "{}",
            console::screen::json(&report.to_json())
        ))?;
    } else if confirmed && changes > 0 {
        terminal::ignore_broken_pipe(report.write_result(&mut out))?;
    }
    if !confirmed && changes > 0 {
        eprintln!("nothing was changed; use --yes to make the changes");
    }
    Ok(exit_code(&report))
}

fn exit_code(report: &FunctionReport) -> ExitCode {
    if report.is_successful() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Asks the person at the terminal. Returns `false` without a terminal.
fn is_confirmed(changes: usize) -> anyhow::Result<bool> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Ok(false);
    }
    let functions = if changes == 1 { "function" } else { "functions" };
    eprint!("change {changes} {functions}? [y/N] ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_by_name_pattern_or_arn() {
        let check = |text: &str, expected: &str| {
            let found = match patterns("--function", &[text.to_owned()]) {
                Ok(patterns) => patterns.iter().map(Pattern::as_str).collect::<Vec<_>>().join(" "),
                Err(error) => error.to_string(),
            };
            assert_eq!(found, expected, "{text}");
        };
        check("shop-*, cart", "shop-* cart");
        check("arn:aws:lambda:eu-west-1:123456789012:function:cart", "cart");
        check("cart:$LATEST", "cart");
        check("123456789012:function:cart", "cart");
        check(
            "arn:aws:sqs:eu-west-1:123456789012:function:cart",
            "--function: \"arn:aws:sqs:eu-west-1:123456789012:function:cart\" is not a function's name: expected a name, or a pattern such as shop-*",
        );
        check(
            "arn:aws:lambda:eu-west-1:123456789012:function:cart:live",
            "--function: published versions such as live of cart keep their layers: name the function alone, then publish a version",
        );
        check(
            "/aws/lambda/cart",
            "--function: \"/aws/lambda/cart\" is not a function's name: expected a name, or a pattern such as shop-*",
        );
        check("", "--function is empty: give it a value, or leave it out");
    }

    #[test]
    fn only_outputs_with_a_layer_version_are_layers() {
        assert!(is_layer_version("arn:aws-cn:lambda:cn-north-1:123456789012:layer:a-arm64:12"));
        for other in [
            "arn:aws:lambda:eu-west-1:123456789012:layer:a-arm64",
            "arn:aws:lambda:eu-west-1:123456789012:function:a:12",
            "arn:aws:lambda:eu-west-1:1:layer:a:12",
            "arn:aws:lambda:eu-west-1:123456789012:layer:a b:12",
            "arn:aws:lambda:eu-west-1:123456789012:layer:a:",
            r#"{Layers: ["arn:aws:lambda:eu-west-1:123456789012:layer:a-arm64:12"]}"#,
        ] {
            assert!(!is_layer_version(other), "{other}");
        }
    }
}
