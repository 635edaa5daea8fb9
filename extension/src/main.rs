//! The extension's process: it reads its variables, and runs until the environment ends.

use extension::{Config, Counts, Fatal};
use lambda_otlp_extension as extension;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let path = arguments.next().unwrap_or_default();
    if arguments.any(|argument| argument == "--version") {
        print_version();
        return ExitCode::SUCCESS;
    }
    let config = Config::from_source(&settings::Env);
    extension::init_log(&config);
    extension::quiet_panics();
    // Lambda knows an extension by the name of its file.
    let name = path.rsplit('/').next().unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let ended = match runtime {
        Ok(runtime) => {
            let counts = Arc::new(Counts::default());
            let ended = runtime.block_on(extension::run(&config, name, std::io::stdout(), &counts));
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

#[expect(clippy::print_stdout, reason = "asked for by a person at a terminal")]
fn print_version() {
    println!("lambda-otlp-extension {}", env!("CARGO_PKG_VERSION"));
}
