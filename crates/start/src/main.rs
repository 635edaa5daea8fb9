//! `cargo demo` and `cargo xtask`: builds the programs and starts the requested one.
//!
//! This program has no dependencies, so that its message appears before cargo compiles the others. It builds them with the
//! features of `cargo test`, so that cargo compiles each dependency once for the demo, xtask and the tests.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// The demo, and the programs that it runs.
const DEMO: [&str; 6] = [
    "lambda-otlp-demo",
    "demo-function",
    "demo-checkout",
    "demo-parcels",
    "lambda-otlp-extension",
    "lambda-otlp-forwarder",
];

/// The steps of the demo, and their duration on two cores.
const STEPS: &str = "\
· step 1: cargo compiles the demo's functions, the extension and the forwarder. 1 to 2 minutes the first time.
· step 2: the demo installs packages for its Python functions from PyPI. Some seconds, once.
· step 3: the demo invokes its functions, shows their traces, and counts every item. About 10 seconds.
";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let started = match arguments.next() {
        Some(name) if name == "demo" => start(&DEMO, STEPS, arguments),
        _ => start(&["xtask"], "", arguments),
    };
    started.unwrap_or_else(|error| {
        let _written = writeln!(io::stderr(), "cannot build and start the program: {error}");
        ExitCode::FAILURE
    })
}

/// Builds the programs and starts the first of them. Returns only if that fails.
fn start(
    programs: &[&str],
    notice: &str,
    arguments: impl Iterator<Item = std::ffi::OsString>,
) -> io::Result<ExitCode> {
    io::stderr().write_all(notice.as_bytes())?;
    let mut build = Command::new("cargo");
    build.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    build.args(["build", "--example", "features-of-tests"]);
    build.args(programs.iter().flat_map(|program| ["--bin", program]));
    if notice.is_empty() {
        build.arg("--quiet");
    }
    without_package(&mut build);
    if !build.stdin(Stdio::null()).status()?.success() {
        return Ok(ExitCode::FAILURE);
    }
    let program = programs.first().copied().unwrap_or_default();
    let program = std::env::current_exe()?.with_file_name(program);
    Err(Command::new(program).args(arguments).exec())
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
