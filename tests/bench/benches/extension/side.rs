//! One of two extensions beside the same function: ours as the layer has it, or the peer's from crates.io.

use anyhow::{Context as _, ensure};
use lambda_otlp_bench::harness::{float, in_turns, max, median, millis};
use lambda_otlp_bench::memory_kib;
use lambda_otlp_tests::simulation::states::End;
use lambda_otlp_tests::simulation::{Program, Simulation};
use local_lambda::binaries::EXTENSION;
use local_lambda::free_port;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use test_support::openobserve::FakeOpenObserve;

const SCOPE: &str = "the function";
const PEER: &str = "opentelemetry-lambda-extension";
const PEER_VERSION: &str = "=0.2.0";
/// Starts of each extension.
const STARTS: u64 = 25;

pub(crate) struct Side {
    pub(crate) name: &'static str,
    pub(crate) program: Program,
    /// Names of its variables, and their values; `ENDPOINT` stands for the backend's.
    direct: &'static [(&'static str, &'static str)],
}

pub(crate) fn both() -> anyhow::Result<[Side; 2]> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/layer/bench");
    let ours = ours(&target)?;
    let peer = peer(&target)?;
    let program = |extension| Program { extension, function: crate::FUNCTION };
    let direct = &[("LAMBDA_OTLP_OUTPUT", "otlp"), ("LAMBDA_OTLP_ENDPOINT", "ENDPOINT")];
    let peers = &[("LAMBDA_OTEL_EXPORTER_ENDPOINT", "ENDPOINT")];
    Ok([
        Side { name: "ours", program: program(ours), direct },
        Side { name: "peer's", program: program(peer), direct: peers },
    ])
}

/// The extension as `cargo xtask dist --layer` builds it for this machine: static, by cargo-lambda with zig.
fn ours(folder: &Path) -> anyhow::Result<PathBuf> {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    cargo.args(["lambda", "build", "--locked", "--extension", "--profile", "release-small"]);
    cargo.args(["--target", &target, "--package", EXTENSION, "--bin", EXTENSION, "--lambda-dir"]);
    let status = cargo.arg(folder).status().context("cannot run cargo")?;
    ensure!(status.success(), "it needs `pip install cargo-lambda ziglang`");
    Ok(folder.join("extensions").join(EXTENSION))
}

/// The peer's extension, with the versions of its own lock file, in a folder of its own: in one dependency graph the features
/// of common crates would add up. Its profile is the one of its authors' workspace, which the package does not carry.
fn peer(folder: &Path) -> anyhow::Result<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["install", PEER, "--version", PEER_VERSION, "--locked", "--root"]).arg(folder);
    cargo.arg("--target-dir").arg(folder.join("peer")).envs([
        ("CARGO_PROFILE_RELEASE_LTO", "true"),
        ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
        ("CARGO_PROFILE_RELEASE_STRIP", "true"),
        ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ]);
    let status = cargo.status().context("cannot run cargo")?;
    ensure!(status.success(), "cargo could not install {PEER}");
    Ok(folder.join("bin").join(PEER))
}

pub(crate) struct Account {
    /// The hold time of each invocation.
    pub(crate) held: Vec<Duration>,
    pub(crate) acknowledged: usize,
    pub(crate) lost: usize,
    pub(crate) peak_kib: u64,
}

impl Side {
    /// A function of 128 MB with this extension, which sends to the backend if there is one.
    pub(crate) async fn begin(&self, fake: Option<&FakeOpenObserve>) -> Simulation {
        let port = free_port().to_string();
        Simulation::with(&self.program, |mut spec| {
            // Each extension knows the port under a name of its own.
            for name in ["OTEL_LAMBDA_RECEIVER_PORT", "LAMBDA_OTEL_RECEIVER_HTTP_PORT"] {
                spec = spec.env(name, &port);
            }
            for (name, value) in fake.iter().flat_map(|_| self.direct) {
                let base = fake.map_or("", FakeOpenObserve::base);
                spec = spec.env(*name, value.replace("ENDPOINT", base));
            }
            spec
        })
        .await
    }

    pub(crate) async fn end(
        &self,
        simulation: Simulation,
        fake: Option<&FakeOpenObserve>,
    ) -> anyhow::Result<Account> {
        let held = simulation.invocations().iter().map(|(_, known)| known.post_runtime).collect();
        let environments = simulation.lambda.environments("f");
        let mut peak_kib = 0;
        for extension in environments.iter().flat_map(|known| &known.extensions) {
            peak_kib = peak_kib.max(memory_kib(&extension.pid.to_string(), "VmHWM:")?);
        }
        let log = simulation.end(End::Shutdown).await;
        let spans = fake.map(FakeOpenObserve::spans).unwrap_or_default();
        let own = spans.iter().filter(|span| span.scope.name == SCOPE);
        let ids = own.filter_map(|span| {
            Some(u64::from_be_bytes(span.item.span_id.clone().try_into().ok()?))
        });
        let delivered: BTreeSet<u64> = ids.collect();
        // Ids that are not in the log once are at the backend, or lost.
        let is_lost = |id: &&u64| !delivered.contains(id) && !log.own.contains_key(id);
        let lost = log.wrong.iter().filter(is_lost).count();
        Ok(Account { held, acknowledged: log.acknowledged, lost, peak_kib })
    }
}

struct Start {
    /// Milliseconds from the start of the process to the first `next`.
    ready_ms: f64,
    rss_kib: u64,
}

/// How soon each extension asks for its first event, and how much memory it keeps.
pub(crate) async fn print_starts(sides: &[Side; 2]) -> anyhow::Result<()> {
    let starts = in_turns(STARTS, sides, async |side: &Side| {
        let simulation = side.begin(None).await;
        ensure!(simulation.lambda.initialise("f").await?, "init failed");
        let environments = simulation.lambda.environments("f");
        let state = environments
            .first()
            .and_then(|known| known.extensions.first())
            .context("the extension is gone")?;
        let after = state.ready_after.context("it has not asked for an event")?;
        let rss_kib = memory_kib(&state.pid.to_string(), "VmRSS:")?;
        let started = Start { ready_ms: millis(after), rss_kib };
        // The end is not measured here.
        simulation.lambda.kill_idle("f").await?;
        Ok(started)
    });
    let starts = starts.await?;
    let ready =
        starts.each_ref().map(|all| all.iter().map(|start| start.ready_ms).collect::<Vec<_>>());
    let memory = starts.each_ref().map(|all| max(all.iter().map(|start| float(start.rss_kib))));
    println!("| {STARTS} starts of each | ours | peer's | ratio |\n|---|---|---|---|");
    let row = |what: &str, [ours, peer]: [f64; 2], digits: usize| {
        println!("| {what} | {ours:.digits$} | {peer:.digits$} | **{:.2}** |", ours / peer);
    };
    row("process start to the first `next`, ms, median", ready.map(|own| median(&own)), 2);
    row("idle RSS, MiB, maximum", memory.map(|kib| kib / 1024.0), 2);
    let [ours, peer] = sides.each_ref().map(|side| side.program.extension.metadata());
    row("binary, bytes", [float(ours?.len()), float(peer?.len())], 0);
    Ok(())
}
