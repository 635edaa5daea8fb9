//! The runtime clients for Python and Node, with OpenTelemetry's packages, installed once in the user's cache.

use super::program::Program;
use anyhow::{Context as _, bail};
use console::layer;
use settings::{Env, Source as _};
use simulator::packages::{cache, install_once};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const AWSLAMBDARIC: &str = "awslambdaric==4.2.2\n";
/// A small runtime client that follows the Developer Guide, because AWS's own for Node compiles C++ for minutes.
const NODE_RUNTIME: &str = include_str!("../../../../tests/interop/unchanged/node/runtime.mjs");

/// The packages' folder in the layer (xtask, `dist --python-layer`).
const PYTHON_PACKAGES: &str = "lambda-otlp/python-packages";

/// Returns AWS's runtime client on this shell's Python, which has the function's own packages, and the packages layer.
pub(super) fn python(
    handler: &str,
    instrumented: bool,
) -> anyhow::Result<(Program, Option<PathBuf>)> {
    let ask = "import sys; print(sys.executable); print('%d.%d' % sys.version_info[:2])";
    let asked = ["python3", "python"].into_iter().find_map(|name| {
        let answer = Command::new(name).args(["-c", ask]).output().ok()?;
        answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).into_owned())
    });
    let asked = asked.context("there is no python3 on PATH")?;
    let (interpreter, version) = asked.trim().split_once('\n').unwrap_or((asked.trim(), ""));
    let mut paths = Vec::new();
    if !imports(interpreter, "awslambdaric") {
        paths.push(python_packages(interpreter, version, "awslambdaric", "", AWSLAMBDARIC)?);
    }
    let mut packages = None;
    if instrumented && !imports(interpreter, "opentelemetry.instrumentation.aws_lambda") {
        let checkout = layer::checkout();
        let file = checkout.map(|root| root.join("extension/layer/python/requirements.txt"));
        // Without a checkout, the packages come from the function or from a layer.
        if let Some(text) = file.and_then(|file| std::fs::read_to_string(file).ok()) {
            packages =
                Some(python_packages(interpreter, version, "layer", PYTHON_PACKAGES, &text)?);
        }
    }
    paths.extend(Env.get("PYTHONPATH").map(PathBuf::from));
    let paths = std::env::join_paths(paths).context("PYTHONPATH")?;
    let mut variables = vec![("PYTHONDONTWRITEBYTECODE", "1".to_owned())];
    if !paths.is_empty() {
        variables.push(("PYTHONPATH", paths.to_string_lossy().into_owned()));
    }
    let arguments = ["-m", "awslambdaric", handler].map(str::to_owned).to_vec();
    Ok((Program { path: interpreter.into(), arguments, variables }, packages))
}

fn imports(interpreter: &str, module: &str) -> bool {
    let import = format!("import {module}");
    let tried = Command::new(interpreter).args(["-c", &import]).output();
    tried.is_ok_and(|tried| tried.status.success())
}

fn python_packages(
    interpreter: &str,
    version: &str,
    name: &str,
    target: &str,
    pinned: &str,
) -> anyhow::Result<PathBuf> {
    // Without the dot, which would look like the beginning of a file extension.
    let folder = format!("python-{}-{name}", version.replace('.', "-"));
    let folder = cache()?.join("dev").join(folder);
    let pins = folder.with_extension("txt");
    std::fs::create_dir_all(folder.parent().unwrap_or(&folder))?;
    write_whole(&pins, pinned).with_context(|| format!("cannot write {}", pins.display()))?;
    install_once(&folder, std::slice::from_ref(&pins), || -> anyhow::Result<()> {
        eprintln!("installing {name} for Python {version} from PyPI, once");
        let mut pip = Command::new(interpreter);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip.args(["--retries", "1", "--timeout", "10", "--target"]).arg(folder.join(target));
        run(pip.arg("--requirement").arg(&pins))
    })?;
    Ok(folder)
}

/// Writes a file that another process may be reading, as it is being installed from.
fn write_whole(file: &Path, text: &str) -> std::io::Result<()> {
    let mut written = tempfile::NamedTempFile::new_in(file.parent().unwrap_or(file))?;
    written.write_all(text.as_bytes())?;
    written.persist(file)?;
    Ok(())
}

pub(super) fn node(folder: &Path, instrumented: bool) -> anyhow::Result<Program> {
    let asked = Command::new("node").args(["-p", "process.execPath"]).output();
    let asked = asked.ok().filter(|asked| asked.status.success());
    let asked = asked.context("there is no node on PATH")?;
    let node = PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
    let runtime = folder.join("runtime.mjs");
    std::fs::write(&runtime, NODE_RUNTIME).context("cannot write the runtime's client")?;
    let mut variables = Vec::new();
    if instrumented && let Some(checkout) = layer::checkout() {
        let packages = node_packages(&checkout.join("extension/layer/node"))?;
        variables.push(("NODE_PATH", packages.to_string_lossy().into_owned()));
    }
    Ok(Program { path: node, arguments: vec![runtime.to_string_lossy().into_owned()], variables })
}

fn node_packages(sources: &Path) -> anyhow::Result<PathBuf> {
    let folder = cache()?.join("dev/node-instrumentation");
    let pins = ["package.json", "package-lock.json"].map(|file| sources.join(file));
    install_once(&folder, &pins, || -> anyhow::Result<()> {
        eprintln!("installing OpenTelemetry's packages for Node from npm, once");
        std::fs::create_dir_all(&folder)?;
        for file in &pins {
            std::fs::copy(file, folder.join(file.file_name().unwrap_or_default()))?;
        }
        let npm = ["ci", "--omit=dev", "--no-audit", "--no-fund", "--ignore-scripts"];
        run(Command::new("npm").args(npm).current_dir(&folder))
    })?;
    Ok(folder.join("node_modules"))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = Path::new(command.get_program()).display().to_string();
    let output = command.output().with_context(|| format!("cannot run {name}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    bail!("{name} ended with {}: {}", output.status, said.lines().next_back().unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_pin_file_is_replaced_atomically() {
        let folder = tempfile::tempdir().unwrap();
        let (file, is_over) = (folder.path().join("pins.txt"), AtomicBool::new(false));
        let pins = "package==1.0\n".repeat(10_000);
        write_whole(&file, &pins).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    write_whole(&file, &pins).unwrap();
                }
            });
            let is_whole = (0..500).all(|_| std::fs::read_to_string(&file).unwrap() == pins);
            is_over.store(true, Ordering::Relaxed);
            assert!(is_whole);
        });
    }
}
