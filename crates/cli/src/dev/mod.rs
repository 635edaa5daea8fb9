//! `lambda-otlp dev`: runs a function in the local Lambda with the layer's extension, invokes it, and shows its
//! telemetry.

mod command;
mod event_kinds;
mod events;
mod function;
mod http;
mod live_page;
mod output;
mod page;
mod session;
mod watch;

use crate::aws::AwsArguments;
use crate::destination::DestinationArguments;
use crate::lines::WritingFunction;
use crate::shown::OutputArguments;
use anyhow::bail;
use command::PreparedFunction;
use console::time_arguments::parse_duration;
use session::{GivenEvents, Session};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp dev --event order.json -- cargo run --bin orders
  lambda-otlp dev --runtime python --handler app.handler < events.jsonl
  lambda-otlp dev --event-kind sqs --body '{\"id\": 7}' --watch --runtime python --handler app.handler
  lambda-otlp dev --wrapper --runtime node --handler index.handler --http 9000
  lambda-otlp dev --concurrency 8 --runtime python --handler app.handler < events.jsonl")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct DevArguments {
    /// The function: a program, `cargo run …`, or a runtime client such as `python3 -m awslambdaric app.handler`.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// The handler, which the runtime gets in the variable `_HANDLER`.
    #[arg(long, value_name = "FILE.FUNCTION")]
    handler: Option<String>,
    /// Use the runtime client of this language with --handler, instead of COMMAND.
    #[arg(long, value_enum, conflicts_with = "command", requires = "handler")]
    runtime: Option<command::Language>,
    /// Invoke the function with this JSON file, or with each event on standard input (`-`); may be repeated. Without
    /// --event, --event-kind and --http, events come from standard input: JSON on one line or on several.
    #[arg(long = "event", value_name = "FILE", group = "given")]
    events: Vec<PathBuf>,
    /// Invoke the function with an event as this service sends it.
    #[arg(long, value_enum, value_name = "KIND", group = "given")]
    event_kind: Option<event_kinds::EventSource>,
    /// The body of the --event-kind event: a message, a request's body, an object's key.
    #[arg(long, value_name = "TEXT", requires = "event_kind")]
    body: Option<String>,
    /// Repeat the events of --event and --event-kind N times. The first invocation is a cold start.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "given", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Reload the function when its code in the current folder changes, and repeat the events. A `cargo run` function is
    /// built again.
    #[arg(long)]
    watch: bool,
    /// Invoke the function with this JSON file as the client context, except through --http.
    #[arg(long, value_name = "FILE")]
    client_context: Option<PathBuf>,
    /// Listen on this port of 127.0.0.1 (0: any). Requests become events of a function URL, and `aws lambda invoke
    /// --endpoint-url` works.
    #[arg(long, value_name = "PORT")]
    http: Option<u16>,
    /// Show the traces on a live page, and repeat its events there. It listens on this port of 127.0.0.1, or on any.
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    open: Option<u16>,
    /// The function's name.
    #[arg(long, default_value = "function")]
    name: String,
    /// The function's timeout: 3s, 15m.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "30s")]
    timeout: Duration,
    /// The function's memory in MB; not enforced.
    #[arg(long, value_name = "MB", default_value_t = 128)]
    memory: u64,
    /// Environment variable of the function; `K` alone uses this shell's value. May be repeated.
    #[arg(long = "env", value_name = "K=V")]
    variables: Vec<String>,
    /// Give the function this shell's AWS credentials and region, or those of --profile and --region. By default it
    /// gets fake ones.
    #[arg(long)]
    aws: bool,
    #[command(flatten)]
    account: AwsArguments,
    /// Sample each invocation for X-Ray, like Lambda's active tracing.
    #[arg(long)]
    active_tracing: bool,
    /// Run the function on a managed instance, with N invocations at a time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: Option<u16>,
    /// Log in Lambda's JSON format instead of text.
    #[arg(long)]
    json_logs: bool,
    /// Start the function through the layer's wrapper, which instruments Python and Node functions.
    #[arg(long)]
    wrapper: bool,
    /// Folder of another layer, as Lambda mounts it at /opt; its extensions run too. May be repeated.
    #[arg(long = "layer", value_name = "FOLDER")]
    layers: Vec<PathBuf>,
    /// The extension's binary; by default, the one of this checkout, or of the layer beside this program
    /// (`lambda-otlp-layer/`).
    #[arg(long, value_name = "PATH", conflicts_with = "no_extension")]
    extension: Option<PathBuf>,
    /// Run the function without the extension.
    #[arg(long)]
    no_extension: bool,
    #[command(flatten)]
    destination: DestinationArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &DevArguments) -> anyhow::Result<ExitCode> {
    if arguments.account.are_given() && !arguments.aws {
        bail!("--region and --profile need --aws, which gives the function credentials");
    }
    let given = GivenEvents::read(arguments)?;
    let prepared = PreparedFunction::of(arguments)?;
    let session = Session::begin(arguments, prepared, given)?;
    let is_shown = arguments.output.show(&session.incoming, WritingFunction::default());
    let is_fine = session.end();
    Ok(if is_shown? && is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
