//! `lambda-otlp demo`: functions, extension, forwarder and a backend on this machine, every item counted.

mod accounting;
mod functions;
mod html;
mod json;
mod made;
mod metric_total;
mod path;
mod run;
mod stored;
mod view;
mod warehouse;
mod waterfall;

use crate::broken_pipe;
use anyhow::Context as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `lambda-otlp demo`.
#[derive(clap::Args, Default)]
#[command(after_help = "\
Examples:
  lambda-otlp demo --html run.html
  lambda-otlp demo --endpoint https://o2.example.com/api/default --header 'authorization=Basic …'")]
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
    /// Write the run as one HTML page besides: traces, logs, metrics and the accounting.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print how it ended, the invocations and the accounting as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // A page that cannot be written is found before the run.
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
    // Colours on a terminal only, and none under NO_COLOR.
    let mut out = anstream::stdout().lock();
    let shown = if arguments.json {
        writeln!(out, "{}", json::object(&run, &accounts))
    } else {
        view::write(&run, &accounts, &mut out)
    };
    // The exit code says whether it balances, also where nobody reads the result.
    if let Err(error) = broken_pipe::ignored(shown.and_then(|()| out.flush())) {
        eprintln!("lambda-otlp: cannot print the result: {error}");
    }
    Ok(if run.is_fine(&accounts) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests;
