//! `cargo demo`: says how long it takes, builds the demo and all programs that it runs, and starts it.
//!
//! This program has no dependencies, so the message appears before cargo compiles the others.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// The programs of the demo.
const PROGRAMS: [&str; 6] = [
    "lambda-otlp-demo",
    "demo-function",
    "demo-checkout",
    "demo-parcels",
    "lambda-otlp-extension",
    "lambda-otlp-forwarder",
];

/// The steps, and their duration on two cores.
const STEPS: &str = "\
· step 1: cargo compiles the demo's functions, the extension and the forwarder. 1 to 2 minutes the first time.
· step 2: the demo installs packages for its Python functions from PyPI. Some seconds, once.
· step 3: the demo invokes its functions, shows their traces, and counts every item. About 10 seconds.
";

fn main() -> ExitCode {
    match start() {
        Ok(code) => code,
        Err(error) => {
            let _written = writeln!(io::stderr(), "cargo demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns only if the demo does not start.
fn start() -> io::Result<ExitCode> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut build = Command::new("cargo");
    build.current_dir(workspace).args(["build", "--example", "features-of-tests"]);
    build.args(PROGRAMS.iter().flat_map(|program| ["--bin", program]));
    without_package(&mut build);
    io::stderr().write_all(STEPS.as_bytes())?;
    if !build.stdin(Stdio::null()).status()?.success() {
        return Ok(ExitCode::FAILURE);
    }
    let demo = std::env::current_exe()?.with_file_name("lambda-otlp-demo");
    Err(Command::new(demo).args(std::env::args_os().skip(1)).exec())
}

/// Removes the variables with which `cargo run` describes this package: they would make build scripts run again.
#[expect(clippy::disallowed_methods, reason = "names for cargo's child, not settings of ours")]
fn without_package(command: &mut Command) {
    let of_package =
        ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    for (name, _) in std::env::vars_os() {
        if of_package.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
}
