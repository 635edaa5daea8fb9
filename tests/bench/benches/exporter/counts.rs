//! Instructions and allocations of one export, counted by valgrind's tools: the same on a busy machine.

use crate::drivers::{Driver, FreedMemory, Workload};
use anyhow::{Context as _, bail};
use std::path::Path;

const FEW: u64 = 5;
const MANY: u64 = 15;
const SERVICES: u64 = 4;

#[derive(Clone, Copy)]
pub(crate) enum Count {
    Instructions,
    /// Allocated blocks; a growing block counts again.
    Allocations,
}

impl Count {
    fn arguments(self) -> [&'static str; 2] {
        match self {
            Self::Instructions => ["--tool=callgrind", "--callgrind-out-file=/dev/null"],
            Self::Allocations => ["--tool=memcheck", "--leak-check=no"],
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Instructions => "Collected :",
            Self::Allocations => "total heap usage:",
        }
    }
}

/// The mean of a few services; start, preparation and the first exports cancel out.
pub(crate) fn of_an_export(driver: &Driver, spans: u64, count: Count) -> anyhow::Result<f64> {
    let mut total = 0.0;
    for service in 0..SERVICES {
        let of = |exported| {
            let freed_memory = FreedMemory::Default;
            let service = service * 10;
            counted(
                driver,
                count,
                &Workload { service, spans, prepared: MANY, exported, freed_memory },
            )
        };
        total += of(MANY)? - of(FEW)?;
    }
    #[expect(clippy::cast_precision_loss, reason = "small constants")]
    Ok(total / (SERVICES * (MANY - FEW)) as f64)
}

fn counted(driver: &Driver, count: Count, workload: &Workload) -> anyhow::Result<f64> {
    let valgrind = Path::new("valgrind");
    let arguments = count.arguments();
    let output = driver
        .command(Some((valgrind, &arguments)), workload)
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .output()
        .context("cannot run valgrind")?;
    let report = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("valgrind: {}: {report}", output.status);
    }
    let (_, counted) = report.rsplit_once(count.label()).context("valgrind counted nothing")?;
    let number = counted.split_whitespace().next().unwrap_or_default();
    Ok(number.replace(',', "").parse()?)
}
