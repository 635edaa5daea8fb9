//! Runs `sam build` and inspects its packages.

use super::settings::SETTINGS;
use crate::checks::{Length, Tally, has_target, output};
use crate::dist::functions::{self, FORWARDER, Program, SUBSCRIBER, TARGETS, Target};
use crate::dist::{self, ARCHITECTURES, Architecture};
use crate::pypi::Environment;
use anyhow::{Context as _, bail, ensure};
use memchr::memmem;
use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// The script that a function's package starts. It selects one of the binaries beside it.
const BOOTSTRAP: &str = "bootstrap";

struct Build {
    profile: &'static str,
    functions: Vec<&'static Target>,
    layers: Vec<&'static Architecture>,
}

pub(super) fn check(root: &Path, tools: &Environment, length: Length, tally: &mut Tally) {
    tally.note("bootstrap", chooses(&root.join("deploy/stack").join(BOOTSTRAP)));
    // The functions' release profile adds minutes of link-time optimization but the same libraries and symbols. A second
    // architecture takes as long as the first.
    let (profile, architectures) = if length == Length::Long { ("release", 2) } else { ("dev", 1) };
    let has = |function: &&Target| has_target(root, function.triple);
    let functions: Vec<_> = TARGETS.iter().filter(has).take(architectures).collect();
    let is_built = |architecture: &&Architecture| has_target(root, architecture.target);
    let layers: Vec<_> = ARCHITECTURES.iter().filter(is_built).take(architectures).collect();
    if layers.len() < architectures {
        println!(
            "skip  layers that rustup has no target for: {} of {architectures} built",
            layers.len()
        );
    }
    let build = Build { profile, functions, layers };
    let names: Vec<&str> = build.functions.iter().map(|function| function.architecture).collect();
    let name = format!("sam build, {}, profile {}", names.join(" and "), build.profile);
    tally.note(
        &name,
        sam_build(root, tools, &build).and_then(|folder| inspect(folder.path(), &build)),
    );
}

fn sam_build(root: &Path, tools: &Environment, build: &Build) -> anyhow::Result<TempDir> {
    let folder = tempfile::tempdir()?;
    let mut sam = tools.command("sam")?;
    sam.args(["build", "--config-file", SETTINGS, "--build-dir"]).arg(folder.path());
    let names: Vec<&str> = build.functions.iter().map(|function| function.architecture).collect();
    sam.env("ARCHITECTURES", names.join(" ")).env("PROFILE", build.profile).current_dir(root);
    for Architecture { layer, .. } in &ARCHITECTURES {
        if !build.layers.iter().any(|built| built.layer == *layer) {
            sam.args(["--exclude", layer]);
        }
    }
    // The cargo that runs this program has locked the usual target folder.
    let target = simulator::packages::cache()?.join("stack-target");
    output(sam.env("CARGO_TARGET_DIR", target))?;
    Ok(folder)
}

/// Checks that the script passes its arguments to the binary of this machine, and reports a missing binary.
fn chooses(bootstrap: &Path) -> anyhow::Result<String> {
    let package = tempfile::tempdir()?;
    let script = package.path().join(BOOTSTRAP);
    std::fs::copy(bootstrap, &script)?;
    let started = |script: &Path| Command::new(script).arg("an argument").output();
    let machine = output(Command::new("uname").arg("-m"))?;
    let machine = String::from_utf8_lossy(&machine.stdout).trim().to_owned();
    let without = started(&script)?;
    let said = String::from_utf8_lossy(&without.stderr);
    ensure!(!without.status.success() && said.contains("Architecture"), "nothing to start: {said}");
    for name in [machine.as_str(), "another"] {
        let program = package.path().join(format!("bootstrap-{name}"));
        std::fs::write(&program, format!("#!/bin/sh\necho \"{name}, $1\"\n"))?;
        std::fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    }
    let said = started(&script)?.stdout;
    let (said, expected) = (String::from_utf8_lossy(&said), format!("{machine}, an argument\n"));
    ensure!(said == expected, "it started {said}");
    Ok(format!("starts bootstrap-{machine} here, and says so where there is none"))
}

fn inspect(folder: &Path, build: &Build) -> anyhow::Result<String> {
    let mut said = vec![
        package(folder, "ForwarderFunction", &FORWARDER, &forwarder::TABLE, build)?,
        package(folder, "SubscriberFunction", &SUBSCRIBER, &subscriber::TABLE, build)?,
    ];
    for function in &build.functions {
        let name = format!("bootstrap-{}", function.machine);
        let of = |package: &str| std::fs::read(folder.join(package).join(&name));
        ensure!(of("ForwarderFunction")? == of("RedriveFunction")?, "two codes of one program");
    }
    let mut layers = Vec::new();
    for architecture in &build.layers {
        let layer = architecture.layer;
        let extension = folder.join(layer).join("extensions/lambda-otlp-extension");
        let bytes = std::fs::read(&extension).with_context(|| format!("{layer} is not built"))?;
        dist::inspect(&bytes, architecture).with_context(|| format!("the extension of {layer}"))?;
        for loaded in dist::LOADED {
            if !folder.join(layer).join("lambda-otlp").join(loaded).is_file() {
                bail!("{layer} has no lambda-otlp/{loaded}, which the wrapper has a runtime load");
            }
        }
        layers.push(format!("{layer} {} bytes", bytes.len()));
    }
    said.push(format!("static: {}", layers.join(", ")));
    Ok(said.join("; "))
}

/// Checks that a function's package contains the script, and for each architecture the program that reads these variables.
fn package(
    folder: &Path,
    function: &str,
    program: &Program,
    table: &::settings::Table,
    build: &Build,
) -> anyhow::Result<String> {
    let package = folder.join(function);
    let mut said = Vec::new();
    for target in &build.functions {
        let name = format!("bootstrap-{}", target.machine);
        let binary = package.join(&name);
        let bytes = std::fs::read(&binary)
            .with_context(|| format!("sam build left no {name} of {function}"))?;
        for variable in table.variables() {
            if memmem::find(&bytes, variable.name.as_bytes()).is_none() {
                bail!("{} is not in {name} of {function}: is it this program?", variable.name);
            }
        }
        let (major, minor) = functions::inspect(&binary, &bytes, target)?;
        if build.profile == "release" && bytes.len() > program.max_bytes {
            bail!("{function}: {} bytes, over {}", bytes.len(), program.max_bytes);
        }
        said.push(format!("{name} {} bytes, glibc {major}.{minor} at most", bytes.len()));
    }
    let mut expected: BTreeSet<String> =
        build.functions.iter().map(|target| format!("bootstrap-{}", target.machine)).collect();
    expected.insert(BOOTSTRAP.to_owned());
    let found = names(&package)?;
    ensure!(found == expected, "{function} holds {found:?}");
    Ok(format!("{function}: {}", said.join(", ")))
}

fn names(folder: &Path) -> anyhow::Result<BTreeSet<String>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("there is no {}", folder.display()))?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect()
}
