//! Runs the gate. The long form adds checks that take hours, or that few changes can break, and prints all that it ran.

use crate::checks::{Length, long_test, root};
use crate::dist::crates::Upload;
use crate::{chaos, dist, load, pytest, stack};
use anyhow::{Context as _, bail, ensure};
use local_lambda::packages::cache;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const CARGO_DENY: &str = "0.20.2";

/// Cases of each property; 256 are proptest's own number.
const CASES: u64 = 20_000;

/// Generated requests and damaged compact lines; the gate has hundreds and thousands.
const COMPACT_CASES: u64 = 1_000_000;

/// Changed inputs for each input of a fuzz corpus; the gate runs 30.
const FUZZ_CHANGES: u64 = 2000;

/// Schedules of faults with real processes.
const SCHEDULES_OF_PROCESSES: u64 = 50;

/// Invocations of each process that must not grow; the gate makes 1,200.
const INVOCATIONS: &str = "1000000";

type Check = fn(&Path) -> anyhow::Result<()>;

const LONG: [(&str, Check); 22] = [
    ("licences, sources, banned crates", deny),
    ("clippy of tests", |root| clippy(root, &["--workspace", "--all-targets"])),
    ("clippy of wire's features, each alone", |root| {
        ["", "decode", "bulk"].iter().try_for_each(|feature| {
            let wire = ["--package", "lambda-otlp-wire", "--no-default-features", "--features"];
            clippy(root, &[&wire[..], &[*feature]].concat())
        })
    }),
    ("rustdoc", |root| {
        let mut doc = cargo(root, &["doc", "--workspace", "--no-deps", "--lib", "--bins"]);
        succeed(doc.env("RUSTDOCFLAGS", "-D warnings"))
    }),
    ("rustdoc of the library's features, each alone", dist::crates::document_each_feature),
    (
        "the published crates with the oldest Rust that they support",
        dist::crates::check_with_oldest_rust,
    ),
    ("a dry run of publishing the crates", |_| dist::crates::publish(Upload::No)),
    ("the demo", |root| succeed(&mut cargo(root, &["demo"]))),
    ("the demo with a lost record", lossy_demo),
    ("a function that aborts on panic", |root| {
        let abort = ["test", "--package", "lambda-otlp-tests", "--test", "it", "abort"];
        succeed(cargo(root, &abort).args(["--", "--ignored"]))
    }),
    ("the live page in Chromium", |root| {
        let page = ["test", "--package", "lambda-otlp-tests", "--test", "it", "page"];
        succeed(cargo(root, &page).args(["--", "--ignored"]))
    }),
    ("20,000 cases of each property", |_| {
        let properties = ["--package", "lambda-otlp-wire", "properties"];
        // The next step runs these with more cases.
        long_test(
            &[&properties[..], &["--", "--skip", "compact::properties"]].concat(),
            "PROPTEST_CASES",
            CASES,
        )
    }),
    ("1,000,000 generated and damaged compact lines", |_| {
        let compact = ["--package", "lambda-otlp-wire", "compact::properties"];
        long_test(&compact, "PROPTEST_CASES", COMPACT_CASES)
    }),
    ("2,000 changes of each input of the fuzz corpora", |_| {
        let fuzz = ["--package", "lambda-otlp-tests", "--test", "it", "fuzz"];
        long_test(&fuzz, "FUZZ_CHANGES", FUZZ_CHANGES)
    }),
    ("the memory of events that take long", |_| {
        let memory = ["--package", "lambda-otlp-forwarder", "--test", "scenarios", "peak_memory"];
        long_test(&memory, "LONG_MEMORY_CASES", 1)
    }),
    ("schedules of faults", |_| chaos::run(&[])),
    ("50 schedules of faults with real processes", |_| {
        chaos::processes::run(0..SCHEDULES_OF_PROCESSES)
    }),
    ("1,000,000 invocations of each process", |_| load::run(&["--invocations", INVOCATIONS])),
    ("sustained load", |_| load::run(&[])),
    ("other projects' packages", |_| pytest::interop()),
    ("the layer's release files", |_| dist::run(dist::What::Layer)),
    ("the template: sam build", |_| stack::run(Length::Long)),
];

pub(crate) fn run(length: Length) -> anyhow::Result<()> {
    let root = root()?;
    let gate: (&str, Check) =
        ("the gate", |root| succeed(Command::new("bash").arg(".ci/run").current_dir(root)));
    let checks = std::iter::once(&gate);
    let long = LONG.iter().filter(|_| length == Length::Long);
    let mut passed = Vec::new();
    for (name, check) in checks.chain(long) {
        println!("\n=== {name}");
        let start = Instant::now();
        check(&root).with_context(|| (*name).to_owned())?;
        passed.push(format!("{:>6} s  {name}", start.elapsed().as_secs()));
    }
    println!("\npassed:\n{}", passed.join("\n"));
    Ok(())
}

/// Compiles a tool of cargo once into the cache, and returns its program. A debug build compiles in a third of the time.
pub(crate) fn installed(root: &Path, tool: &str, version: &str) -> anyhow::Result<PathBuf> {
    let folder = cache()?.join(format!("{tool}-{version}"));
    let program = folder.join("bin").join(tool);
    if !program.is_file() {
        println!("compiles {tool} {version}, once");
        let build = folder.join("build");
        let mut install = cargo(root, &["install", tool, "--version", version]);
        install.args(["--locked", "--quiet", "--debug", "--root"]).arg(&folder);
        succeed(install.env("CARGO_TARGET_DIR", &build))?;
        std::fs::remove_dir_all(build)?;
    }
    Ok(program)
}

fn deny(root: &Path) -> anyhow::Result<()> {
    let program = installed(root, "cargo-deny", CARGO_DENY)?;
    let check = ["--log-level", "error", "check", "bans", "licenses", "sources"];
    succeed(Command::new(program).args(check).current_dir(root))
}

fn clippy(root: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let mut clippy = cargo(root, &["clippy", "--locked", "--quiet"]);
    succeed(clippy.args(arguments).args(["--", "-D", "warnings"]))
}

fn lossy_demo(root: &Path) -> anyhow::Result<()> {
    let mut lossy = cargo(root, &["demo", "--lose", "1"]);
    let output = lossy.output().with_context(|| format!("cannot run {lossy:?}"))?;
    let is_noticed = String::from_utf8_lossy(&output.stdout).contains("NOT BALANCED");
    ensure!(
        output.status.code() == Some(1) && is_noticed,
        "the demo did not notice a lost record: it ended with {}",
        output.status
    );
    Ok(())
}

pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(arguments).current_dir(root);
    cargo
}

pub(crate) fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}
