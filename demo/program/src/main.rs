//! `cargo demo`: functions, extension, forwarder and a backend on this machine, every item counted.
//!
//! The functions stand in the folders of their languages, with a `ledger` of their items. `run` starts them, and proves that each
//! item arrived once. `made` adds the items that no ledger lists, `stored` has those in the backend, `accounting` compares both.
//! `html` makes the page: console's page of traces with tables of invocations and of the accounting (`view`).

mod accounting;
mod functions;
mod html;
mod made;
mod run;
mod stored;
mod view;

use anyhow::Context as _;
use clap::Parser;
use std::io::{self, ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit code for invalid arguments and for failures before the run: `EX_USAGE` of `sysexits.h`.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // The reader of the help may be gone.
            let _printed = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    run(&arguments).unwrap_or_else(|error| {
        let text = console::screen::on_lines(&format!("{error:#}"));
        let _written = writeln!(io::stderr(), "demo: {text}");
        ExitCode::from(USAGE)
    })
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // Opened before the run, so that a wrong path costs no time.
    let page = match &arguments.html {
        Some(path) => {
            let file = std::fs::File::create(path);
            Some(file.with_context(|| format!("--html: cannot write {}", path.display()))?)
        }
        None => None,
    };
    let run = runtime.block_on(run::run(arguments))?;
    let accounts = run.accounts();
    if let Some(mut page) = page {
        let html = html::page(&run, &accounts).context("--html: cannot make the page")?;
        page.write_all(html.as_bytes()).context("--html: cannot write the page")?;
    }
    // anstream writes colours only to a terminal, and none if NO_COLOR is set.
    let mut out = anstream::stdout().lock();
    let shown = view::write(&run, &accounts, &mut out);
    // If the reader is gone, the exit code still tells whether the run balances.
    match shown.and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let _written = writeln!(io::stderr(), "demo: cannot print the result: {error}");
        }
        _ => {}
    }
    Ok(if run.is_fine(&accounts) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests;

/// Runs functions, the extension, the forwarder and a backend on this machine, and compares every item that the functions made
/// with the items in the backend.
#[derive(Parser, Default)]
#[command(
    name = "cargo demo",
    bin_name = "cargo demo",
    after_help = "\
Examples:
  cargo demo --html run.html
  cargo demo --endpoint https://o2.example.com/api/default --header 'authorization=Basic …'"
)]
pub(crate) struct Arguments {
    /// Make the demo's backend drop this many records although it answers 200; the demo reports them.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) lose: u64,
    /// Also post to this OTLP endpoint; for OpenObserve the base URL with `/api/{org}`.
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Header of the requests to --endpoint; may be repeated.
    #[arg(long = "header", value_name = "K=V", requires = "endpoint")]
    pub(crate) headers: Vec<String>,
    /// Also write the run as one HTML page: traces, logs and the accounting.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}
