//! Instructions of one export, counted by callgrind: the same on a busy machine.

use crate::drivers::{Driver, FreedMemory, Workload};
use anyhow::{Context as _, bail};
use std::path::Path;

const FEW: u64 = 5;
const MANY: u64 = 15;
const SERVICES: u64 = 4;

/// The mean of a few services; start, preparation and the first exports cancel out.
pub(crate) fn of_an_export(driver: &Driver, spans: u64) -> anyhow::Result<f64> {
    let mut total = 0.0;
    for service in 0..SERVICES {
        let counted = |exported| {
            let freed_memory = FreedMemory::Default;
            let service = service * 10;
            count(driver, &Workload { service, spans, prepared: MANY, exported, freed_memory })
        };
        total += counted(MANY)? - counted(FEW)?;
    }
    #[expect(clippy::cast_precision_loss, reason = "small constants")]
    Ok(total / (SERVICES * (MANY - FEW)) as f64)
}

fn count(driver: &Driver, workload: &Workload) -> anyhow::Result<f64> {
    let valgrind = Path::new("valgrind");
    let arguments = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
    let output = driver
        .command(Some((valgrind, &arguments)), workload)
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .output()
        .context("cannot run valgrind")?;
    let report = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("valgrind: {}: {report}", output.status);
    }
    let (_, collected) = report.rsplit_once("Collected :").context("valgrind counted nothing")?;
    Ok(collected.lines().next().unwrap_or_default().trim().parse()?)
}
