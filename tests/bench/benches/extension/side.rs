//! One of the extensions beside the same function: ours as the layer has it, or a peer's.

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
/// Where the programs are built.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/layer/bench");
const DJV3: &str = "opentelemetry-lambda-extension";
const DJV3_VERSION: &str = "=0.2.0";
/// The path of rotel's extension. It's no crate of crates.io, so somebody has to have it.
const ROTEL: &str = "ROTEL_EXTENSION";
/// Starts of each extension.
const STARTS: u64 = 25;

pub(crate) struct Side {
    pub(crate) name: &'static str,
    pub(crate) program: Program,
    /// Names of its variables, and their values. `PORT` stands for the one where the function sends OTLP, `FREE` for another.
    variables: &'static [(&'static str, &'static str)],
    /// Variables that name the backend; `ENDPOINT` stands for its URL.
    backend: &'static [(&'static str, &'static str)],
}

/// Ours, djv3's and rotel's, each configured as its README says.
#[expect(clippy::disallowed_methods, reason = "a setting of the benchmark, not of the product")]
pub(crate) fn all() -> anyhow::Result<[Side; 3]> {
    let program = |extension| Program { extension, function: crate::FUNCTION };
    let rotel = std::env::var_os(ROTEL).map(PathBuf::from);
    let rotel = rotel.with_context(|| format!("set {ROTEL} to the path of rotel-extension"))?;
    Ok([
        Side {
            name: "ours",
            program: program(ours()?),
            variables: &[],
            backend: &[("LAMBDA_OTLP_OUTPUT", "otlp"), ("LAMBDA_OTLP_ENDPOINT", "ENDPOINT")],
        },
        Side {
            name: "djv3's",
            program: program(djv3()?),
            variables: &[
                ("LAMBDA_OTEL_RECEIVER_HTTP_PORT", "PORT"),
                ("LAMBDA_OTEL_TELEMETRY_API_LISTENER_PORT", "FREE"),
                ("SIGNALS_COMPLETION", "1"),
            ],
            backend: &[("LAMBDA_OTEL_EXPORTER_ENDPOINT", "ENDPOINT")],
        },
        Side {
            name: "rotel's",
            program: program(rotel),
            variables: &[
                ("ROTEL_OTLP_HTTP_ENDPOINT", "127.0.0.1:PORT"),
                ("ROTEL_OTLP_GRPC_ENDPOINT", "127.0.0.1:FREE"),
                ("ROTEL_TELEMETRY_ENDPOINT", "0.0.0.0:FREE"),
            ],
            backend: &[
                ("ROTEL_OTLP_EXPORTER_ENDPOINT", "ENDPOINT"),
                ("ROTEL_OTLP_EXPORTER_PROTOCOL", "http"),
            ],
        },
    ])
}

/// The extension as `cargo xtask dist --layer` builds it for this machine: static, by cargo-lambda with zig.
pub(crate) fn ours() -> anyhow::Result<PathBuf> {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    cargo.args(["lambda", "build", "--locked", "--extension", "--profile", "release-small"]);
    cargo.args(["--target", &target, "--package", EXTENSION, "--bin", EXTENSION, "--lambda-dir"]);
    let status = cargo.arg(FOLDER).status().context("cannot run cargo")?;
    ensure!(status.success(), "it needs `pip install cargo-lambda ziglang`");
    Ok(Path::new(FOLDER).join("extensions").join(EXTENSION))
}

/// djv3's extension, with the versions of its own lock file, in a folder of its own: in one dependency graph the features
/// of common crates would add up. Its profile is the one of its authors' workspace, which the package does not carry.
fn djv3() -> anyhow::Result<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["install", DJV3, "--version", DJV3_VERSION, "--locked", "--root", FOLDER]);
    cargo.arg("--target-dir").arg(Path::new(FOLDER).join("djv3")).envs([
        ("CARGO_PROFILE_RELEASE_LTO", "true"),
        ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
        ("CARGO_PROFILE_RELEASE_STRIP", "true"),
        ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ]);
    let status = cargo.status().context("cannot run cargo")?;
    ensure!(status.success(), "cargo could not install {DJV3}");
    Ok(Path::new(FOLDER).join("bin").join(DJV3))
}

pub(crate) struct Account {
    /// The hold time of each invocation.
    pub(crate) held: Vec<Duration>,
    pub(crate) acknowledged: usize,
    /// Acknowledged spans that are not at the backend but in the function's log.
    pub(crate) logged: usize,
    /// Acknowledged spans that are in neither.
    pub(crate) lost: usize,
    pub(crate) peak_kib: u64,
}

impl Side {
    /// A function of 128 MB with this extension, which sends to the backend if there is one.
    pub(crate) async fn begin(&self, fake: Option<&FakeOpenObserve>) -> Simulation {
        let port = free_port().to_string();
        Simulation::with(&self.program, |mut spec| {
            spec = spec.env("OTEL_LAMBDA_RECEIVER_PORT", &port);
            for (name, value) in self.variables {
                let value = value.replace("PORT", &port).replace("FREE", &free_port().to_string());
                spec = spec.env(*name, value);
            }
            for (name, value) in fake.iter().flat_map(|_| self.backend) {
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
        // What djv3's extension cannot send, it prints as JSON with the ids in hexadecimal.
        let fallback: Vec<&str> = log
            .text
            .iter()
            .map(String::as_str)
            .filter(|line| line.contains("otlp_fallback"))
            .collect();
        let is_printed = |id: u64| {
            let hexadecimal = format!("{id:016x}");
            fallback.iter().any(|line| line.contains(&hexadecimal))
        };
        let mut account =
            Account { held, acknowledged: log.acknowledged.len(), logged: 0, lost: 0, peak_kib };
        for id in log.acknowledged.iter().filter(|id| !delivered.contains(id)) {
            if log.own.contains_key(id) || is_printed(*id) {
                account.logged += 1;
            } else {
                account.lost += 1;
            }
        }
        Ok(account)
    }
}

struct Start {
    /// Milliseconds from the start of the process to the first `next`.
    ready_ms: f64,
    rss_kib: u64,
}

/// How soon each extension asks for its first event, and how much memory it keeps.
pub(crate) async fn print_starts(sides: &[Side; 3]) -> anyhow::Result<()> {
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
    println!(
        "| {STARTS} starts of each | process start to the first `next`, ms, median | idle RSS, MiB, maximum | binary, bytes |"
    );
    println!("|---|---|---|---|");
    for (side, starts) in sides.iter().zip(&starts) {
        let ready: Vec<f64> = starts.iter().map(|start| start.ready_ms).collect();
        let rss = max(starts.iter().map(|start| float(start.rss_kib))) / 1024.0;
        let bytes = side.program.extension.metadata()?.len();
        println!("| {} | {:.2} | {rss:.2} | {bytes} |", side.name, median(&ready));
    }
    Ok(())
}
