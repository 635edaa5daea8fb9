//! The extension's process. It reads its variables and runs until the environment ends, or makes a health check.

use extension::{Config, Counts, Fatal};
use lambda_otlp_extension as extension;
use settings::Check;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

const HELP: &str = "\
The Lambda extension of lambda-otlp. Lambda starts it from a layer without arguments. Its settings are variables.

  --health-check, -h  check the variables and, in direct mode, the backend: DNS, TLS, credentials, and a log record
                      that it has to store; exits with 1 if a check fails
  --version, -v       print the version
  --help              print this
";

/// Differs from 1, the exit code of a failed health check.
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let path = arguments.next().unwrap_or_default();
    // OpenObserve's extension has the short forms.
    match arguments.next().as_deref() {
        Some("--version" | "-v") => {
            print(concat!("lambda-otlp-extension ", env!("CARGO_PKG_VERSION"), "\n"))
        }
        Some("--help") => print(HELP),
        Some("--health-check" | "-h") => health_check(&Config::from_source(&settings::Env)),
        unknown => run(&path, unknown),
    }
}

fn run(path: &str, unknown: Option<&str>) -> ExitCode {
    let counts = Arc::new(Counts::default());
    extension::report_panics(&counts);
    let config = extension::read_config(&settings::Env);
    // In Lambda an unknown argument must not keep the function from starting.
    if let Some(unknown) = unknown.filter(|_| !config.is_in_lambda()) {
        print(&format!("unknown argument {unknown:?}\n\n{HELP}"));
        return ExitCode::from(WRONG_USAGE);
    }
    // It fails only if a subscriber is set already.
    drop(tracing::subscriber::set_global_default(extension::log(&config)));
    // Lambda requires the name of the extension's file.
    let name = path.rsplit('/').next().unwrap_or_default();
    let ended = match runtime() {
        Ok(runtime) => {
            let stdout = std::io::stdout();
            let ended = runtime.block_on(extension::run(&config, name, stdout, &counts));
            // Dropping the runtime would wait for DNS lookups, which may take many seconds.
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

#[expect(clippy::print_stdout, reason = "a person at a terminal asked for it")]
fn print(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}
