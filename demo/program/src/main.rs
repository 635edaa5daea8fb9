//! `cargo demo`: functions, extension, forwarder and a backend on this machine, every item counted.

mod accounting;
mod arguments;
mod functions;
mod html;
mod made;
mod metric_total;
mod path;
mod run;
mod stored;
mod view;
mod warehouse;
mod waterfall;

use anyhow::Context as _;
use arguments::Arguments;
use clap::Parser as _;
use std::io::{self, ErrorKind, Write as _};
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
        let _written = writeln!(io::stderr(), "demo: {error:#}");
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
    let run = runtime.block_on(path::run(arguments))?;
    let accounts = run.accounts();
    if let Some(mut page) = page {
        let written = page.write_all(html::page(&run, &accounts).as_bytes());
        written.context("--html: cannot write the page")?;
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
