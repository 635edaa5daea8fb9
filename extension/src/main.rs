//! The extension's process: it reads its variables, and runs until the environment ends. A person may ask it for a health check.

use extension::{ARGUMENT, Config, Counts, Fatal, Handover, take_over_panics};
use lambda_otlp_extension as extension;
use settings::Check;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

const HELP: &str = "\
The Lambda extension of lambda-otlp. Lambda starts it out of a layer, without arguments; its settings are variables.

  --health-check, -h  look at the variables, and where telemetry is sent directly at the backend: its name, TLS, the
                      credentials, and whether it takes a log record, which it stores; ends with 1 if something fails
  --version, -v       print the version
  --help              print this
";

/// Not 1, which a health check ends with.
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let path = arguments.next().unwrap_or_default();
    // The short forms are those of OpenObserve's extension.
    match arguments.next().as_deref() {
        Some("--version" | "-v") => {
            print(concat!("lambda-otlp-extension ", env!("CARGO_PKG_VERSION"), "\n"))
        }
        Some("--help") => print(HELP),
        Some("--health-check" | "-h") => health_check(&Config::from_source(&settings::Env)),
        Some(ARGUMENT) => run(&path, Handover::read(&arguments.next().unwrap_or_default()), None),
        unknown => run(&path, Handover::default(), unknown),
    }
}

fn run(path: &str, handover: Handover, unknown: Option<&str>) -> ExitCode {
    let (handover, counts) = (Arc::new(handover), Arc::new(Counts::default()));
    // What the variables and the file hold is anybody's, so it is read where a panic is taken over.
    take_over_panics(path, &handover, &counts);
    let config = if handover.has_given_up() {
        Config::of_lambda(&settings::Env)
    } else {
        Config::from_source(&settings::Env)
    };
    // Whatever an extension is started with, it must not keep the function from starting.
    if let Some(unknown) = unknown.filter(|_| !config.is_in_lambda()) {
        print(&format!("unknown argument {unknown:?}\n\n{HELP}"));
        return ExitCode::from(WRONG_USAGE);
    }
    extension::init_log(&config);
    // Lambda knows an extension by the name of its file.
    let name = path.rsplit('/').next().unwrap_or_default();
    let ended = match runtime() {
        Ok(runtime) => {
            let stdout = std::io::stdout();
            let ended = runtime.block_on(extension::run(&config, name, stdout, &counts, &handover));
            // A name that is being looked up would be waited for otherwise, for as long as the system's resolver likes.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(Fatal::Start(error)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "the extension ends");
            ExitCode::FAILURE
        }
    }
}

fn health_check(config: &Config) -> ExitCode {
    let checks = match runtime() {
        Ok(runtime) => {
            let checks = runtime.block_on(extension::health_check(config));
            runtime.shutdown_background();
            checks
        }
        Err(error) => vec![Check::failed("system", error.to_string())],
    };
    for check in &checks {
        print(&format!("{check}\n"));
    }
    if checks.iter().any(Check::is_failed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_io().enable_time().build()
}

#[expect(clippy::print_stdout, reason = "asked for by a person at a terminal")]
fn print(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}
