//! Sends event files with `lambda-otlp forward` into rotel, an independent receiver, and compares the counts.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value returns null if the key is missing"
)]

use crate::checks::{self, Tally, output};
use crate::pypi;
use crate::rotel::{Received, Rotel};
use anyhow::ensure;
use serde_json::Value;
use simulator::binaries;
use std::path::Path;
use std::process::Command;

const CASES: [(&str, Received); 6] = [
    ("text-mixed", Received { spans: 30, log_records: 8, data_points: 15 }),
    ("otlp-only", Received { spans: 530, log_records: 0, data_points: 0 }),
    ("large", Received { spans: 530, log_records: 997, data_points: 0 }),
    ("control", Received { spans: 0, log_records: 0, data_points: 0 }),
    ("empty", Received { spans: 0, log_records: 0, data_points: 0 }),
    ("one-garbage", Received { spans: 0, log_records: 1, data_points: 0 }),
];

pub(crate) fn run() -> anyhow::Result<()> {
    let root = checks::root()?;
    let Some(receiver) = pypi::install(&root, "moto", "all checks") else { return Ok(()) };
    let cli = binaries::find(&binaries::build(&root, &["lambda-otlp"])?, "lambda-otlp")?;
    let mut tally = Tally::default();
    for (name, expected) in CASES {
        let file = root.join(format!("tests/fixtures/events/awslogs-{name}.json"));
        tally.note(
            name,
            Rotel::start(&receiver).and_then(|rotel| send(&cli, &file, rotel, expected)),
        );
    }
    tally.finish()
}

fn send(cli: &Path, file: &Path, rotel: Rotel, expected: Received) -> anyhow::Result<String> {
    let endpoint = rotel.endpoint();
    let mut forward = Command::new(cli);
    forward.arg("forward").arg(file).args(["--endpoint", &endpoint, "--json"]);
    let sent = output(&mut forward)?;
    let received = rotel.stop()?;
    ensure!(received == expected, "{received:?}, not {expected:?}");
    let ledger: Value = serde_json::from_slice(&sent.stdout)?;
    let is_none = |fate: &str| ledger[fate] == 0;
    ensure!(is_none("lost") && is_none("returned"), "{ledger}");
    ensure!(ledger["items"]["undecodable"] == ledger["dropped"], "{ledger}");
    Ok(format!("rotel printed {received}"))
}
