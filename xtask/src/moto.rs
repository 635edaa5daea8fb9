//! Runs the deployed path on moto, a stand-in for AWS that nobody here wrote: from PutLogEvents through the real forwarder to
//! rotel, and the services that the functions use.

mod aws;
mod cli;
mod queues;
mod redrive;
mod secrets;
mod subscription;

use crate::checks::Tally;
use crate::pypi::{self, Environment};
use anyhow::Context as _;
use simulator::binaries;
use std::path::PathBuf;
use std::time::SystemTime;
use tokio::runtime::Runtime;

/// What all stories need.
struct Workshop {
    root: PathBuf,
    environment: Environment,
    forwarder: PathBuf,
    command_line: PathBuf,
}

pub(crate) fn run() -> anyhow::Result<()> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let environment = match pypi::install(&root, "moto", "xtask/src/moto/requirements.txt") {
        Ok(environment) => environment,
        Err(reason) => {
            println!("skipped: {reason}");
            return Ok(());
        }
    };
    let built = binaries::build(&root, &["lambda-otlp-forwarder", "lambda-otlp-cli"])?;
    let forwarder = binaries::find(&built, "lambda-otlp-forwarder")?;
    let command_line = binaries::find(&built, "lambda-otlp")?;
    let workshop = Workshop { root, environment, forwarder, command_line };
    let runtime = Runtime::new().context("cannot start tokio")?;
    let mut tally = Tally::default();
    runtime.block_on(async {
        subscription::check(&workshop, &mut tally).await;
        redrive::check(&workshop, &mut tally).await;
        secrets::check(&workshop, &mut tally).await;
        queues::check(&workshop, &mut tally).await;
        cli::check(&workshop, &mut tally).await;
    });
    tally.finish()
}

#[expect(clippy::disallowed_methods, reason = "where these checks read the clock")]
fn now() -> SystemTime {
    SystemTime::now()
}
