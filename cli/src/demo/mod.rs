//! `lambda-otlp demo`: functions, extension, forwarder and a backend on this machine, every item counted.

mod accounting;
mod functions;
mod made;
mod metric_total;
mod path;
mod run;
mod stored;
mod view;

use std::io::{self, Write};
use std::process::ExitCode;

/// Arguments of `lambda-otlp demo`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The demo's backend drops this many records although it answers 200: the demo must notice.
    #[arg(long, value_name = "N", default_value_t = 0)]
    lose: u64,
    /// It drops them only after it has stored so many.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "lose")]
    lose_after: u64,
    /// Post to this OTLP endpoint as well; for OpenObserve the base with `/api/{org}`.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Header of the requests to --endpoint; may be repeated.
    #[arg(long = "header", value_name = "K=V", requires = "endpoint")]
    headers: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let run = runtime.block_on(path::run(arguments))?;
    let accounts = run.accounts();
    let mut out = io::stdout().lock();
    // The exit code says whether it balances, also where nobody reads the result.
    if let Err(error) = view::write(&run, &accounts, &mut out).and_then(|()| out.flush()) {
        eprintln!("lambda-otlp: cannot print the result: {error}");
    }
    let fine = accounts.balance() && run.refused_elsewhere.is_empty();
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests;
