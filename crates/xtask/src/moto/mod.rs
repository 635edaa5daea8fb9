//! Runs the deployed path on moto, an independent stand-in for AWS: from PutLogEvents through the real forwarder to
//! rotel, and the services that the functions use.

mod aws;
mod cli;
mod doctor;
mod front;
mod queues;
mod rotel;
mod secrets;
mod stack;
mod subscriber;
mod subscription;

use crate::checks::{self, Tally};
use crate::pypi::{self, Environment};
use anyhow::Context as _;
use aws::Moto;
use simulator::binaries;
use std::path::PathBuf;
use tokio::runtime::Runtime;

struct Workshop {
    root: PathBuf,
    environment: Environment,
    forwarder: PathBuf,
    subscriber: PathBuf,
    command_line: PathBuf,
}

pub(crate) fn run() -> anyhow::Result<()> {
    let root = checks::root()?;
    let environment = pypi::install(&root, "moto")?;
    let programs = ["lambda-otlp-forwarder", "lambda-otlp-subscriber", "lambda-otlp"];
    let built = binaries::build(&root, &programs)?;
    let forwarder = binaries::find(&built, "lambda-otlp-forwarder")?;
    let subscriber = binaries::find(&built, "lambda-otlp-subscriber")?;
    let command_line = binaries::find(&built, "lambda-otlp")?;
    let workshop = Workshop { root, environment, forwarder, subscriber, command_line };
    let runtime = Runtime::new().context("cannot start tokio")?;
    let mut tally = Tally::default();
    stack::check(&workshop, &mut tally);
    runtime.block_on(async {
        subscription::check(&workshop, &mut tally).await;
        match Moto::start(&workshop, None) {
            Ok(moto) => {
                secrets::check(&moto, &mut tally).await;
                queues::check(&moto, &mut tally).await;
            }
            Err(error) => tally.note("moto", Err(error)),
        }
        cli::check(&workshop, &mut tally).await;
        doctor::check(&workshop, &mut tally).await;
        subscriber::check(&workshop, &mut tally).await;
    });
    tally.finish()
}
