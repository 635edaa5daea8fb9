//! Prepares the function that the command line describes.

use super::Arguments;
use super::packages;
use super::program::Program;
use anyhow::{Context as _, bail};
use console::layer;
use settings::{Env, Source as _};
use simulator::FunctionSpec;
use simulator::binaries::{self, BuildError};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use tempfile::TempDir;

/// The language of the runtime client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Language {
    Python,
    Node,
}

/// The files that the extension reads from the folder of the function's code.
const CONFIG_FILES: [&str; 2] = ["lambda-otlp.toml", "otel-extension.toml"];

pub(super) struct Prepared {
    pub(super) spec: FunctionSpec,
    /// Holds the layer and the runtime client.
    pub(super) folder: TempDir,
}

impl Prepared {
    pub(super) fn of(arguments: &Arguments) -> anyhow::Result<Self> {
        let variables = variables(&arguments.variables)?;
        let folder = tempfile::tempdir().context("cannot make a temporary directory")?;
        let (mut program, packages) = match arguments.runtime {
            Some(Language::Python) => packages::python(arguments.handler()?, arguments.wrapper)?,
            Some(Language::Node) => (packages::node(folder.path(), arguments.wrapper)?, None),
            None => (program(&arguments.command)?, None),
        };
        let mut layers = arguments.layers.clone();
        for layer in &layers {
            if !layer.is_dir() {
                bail!("--layer: there is no folder {}: unpack the layer's zip", layer.display());
            }
        }
        if !arguments.no_extension {
            let extension = layer::extension(arguments.extension.as_deref())?;
            layers.push(layer::assemble(folder.path(), &extension, layer::Wrapper::find())?);
        }
        // The function's own layers replace these packages.
        layers.splice(0..0, packages);
        if layers.len() > 1 {
            layers = vec![layer::merged(folder.path(), &layers)?];
        }
        if arguments.wrapper {
            let wrappers = layers.iter().map(|layer| layer.join(layer::WRAPPER));
            let Some(wrapper) = wrappers.into_iter().find(|wrapper| wrapper.is_file()) else {
                bail!(
                    "--wrapper: no layer has {}: add the folder of an unpacked layer with --layer",
                    layer::WRAPPER
                );
            };
            program.arguments.insert(0, program.path.to_string_lossy().into_owned());
            program.path = std::path::absolute(wrapper)?;
        }
        let here = std::env::current_dir().context("cannot find the current folder")?;
        let mut spec = FunctionSpec::new(&arguments.name, &program.path)
            .directory(&here)
            .timeout(arguments.timeout)
            .memory_mb(arguments.memory)
            // In Lambda each environment has its own loopback; here two extensions would share a port.
            .max_environments(1);
        for argument in &program.arguments {
            spec = spec.argument(argument);
        }
        for layer in layers {
            spec = spec.layer(layer);
        }
        if let Some(handler) = &arguments.handler {
            spec = spec.handler(handler);
        }
        if let Some(path) = Env.get("PATH") {
            // Lambda's PATH does not have this machine's programs.
            spec = spec.env("PATH", path);
        }
        if !arguments.no_extension && !layer::is_usual_port_free() {
            let port = simulator::free_port().to_string();
            spec = spec.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{port}"));
            spec = spec.env("OTEL_LAMBDA_RECEIVER_PORT", port);
        }
        // Lambda has the code in a fixed folder that extensions know; here it is the current folder.
        let mut files = CONFIG_FILES.into_iter().map(|name| here.join(name));
        if let Some(file) = files.find(|file| file.is_file()) {
            spec = spec.env("LAMBDA_OTLP_CONFIG_FILE", file.to_string_lossy());
        }
        for (name, value) in &program.variables {
            spec = spec.env(*name, value);
        }
        for (name, value) in variables {
            // The runtime client is found by the same variable, so the function's value must not replace it.
            let of_program = program.variables.iter().find(|(own, _)| *own == name);
            let value = match of_program.filter(|_| name.ends_with("PATH")) {
                Some((_, path)) => format!("{value}:{path}"),
                None => value,
            };
            spec = spec.env(name, value);
        }
        Ok(Self { spec, folder })
    }
}

impl Arguments {
    fn handler(&self) -> anyhow::Result<&str> {
        self.handler.as_deref().context("--runtime: --handler is missing")
    }
}

/// Parses `K=V`, or `K` with this shell's value.
fn variables(given: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let read = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) => bail!("--env: expected K=V, or K"),
        None => match Env.get(text) {
            Some(value) => Ok((text.clone(), value)),
            None => bail!(
                "--env {text}: this shell has no such variable: set it, or use --env {text}=VALUE"
            ),
        },
    };
    given.iter().map(read).collect()
}

fn program(command: &[String]) -> anyhow::Result<Program> {
    let (name, arguments) = match command {
        [] => bail!(
            "no function: add `-- COMMAND` at the end, or --runtime python|node --handler FILE.FUNCTION"
        ),
        [cargo, run, arguments @ ..] if cargo == "cargo" && matches!(run.as_str(), "run" | "r") => {
            return of_cargo(arguments);
        }
        [cargo, what, ..] if cargo == "cargo" => {
            bail!("`cargo {what}` cannot start a function here: use `cargo run`")
        }
        [name, arguments @ ..] => (name, arguments),
    };
    let path = if name.contains('/') {
        std::path::absolute(name)?
    } else {
        let path = Env.get("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).map(|folder| folder.join(name));
        found.into_iter().find(|path| is_program(path)).with_context(|| {
            format!("there is no program {name} on PATH: for a file in this folder, use ./{name}")
        })?
    };
    if !path.exists() {
        bail!("there is no program {}: build it first", path.display());
    }
    if !is_program(&path) {
        bail!("{} is not executable: name the function's bootstrap", path.display());
    }
    Ok(Program { path, arguments: arguments.to_vec(), variables: Vec::new() })
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Builds the program that `cargo run` would start. Starting `cargo run` itself would exceed Lambda's 10 s for Init.
fn of_cargo(arguments: &[String]) -> anyhow::Result<Program> {
    let separator = arguments.iter().position(|argument| argument == "--");
    let (for_cargo, own) = match separator {
        Some(at) => (arguments.get(..at), arguments.get(at + 1..)),
        None => (Some(arguments), None),
    };
    let for_cargo: Vec<&str> = for_cargo.unwrap_or_default().iter().map(String::as_str).collect();
    let here = std::env::current_dir().context("cannot find the current folder")?;
    let built = match binaries::build_with(&here, &for_cargo) {
        Err(BuildError::Failed(_)) => bail!("cargo could not build the function"),
        built => built?,
    };
    let named = for_cargo.windows(2).find_map(|pair| match pair {
        ["--bin", name] => Some((*name).to_owned()),
        _ => None,
    });
    let named = named.or_else(|| {
        for_cargo.iter().find_map(|argument| argument.strip_prefix("--bin=").map(str::to_owned))
    });
    let mut binaries: Vec<&String> = built.keys().collect();
    binaries.sort_unstable();
    let name = match (named, binaries.as_slice()) {
        (Some(name), _) => name,
        (None, [one]) => (*one).clone(),
        (None, []) => bail!("cargo built no binary here: add -p PACKAGE"),
        (None, [one, other, ..]) => {
            bail!("cargo built several binaries (`{one}`, `{other}`, …): add --bin NAME")
        }
    };
    let path = binaries::find(&built, &name)?;
    let arguments = own.unwrap_or_default().to_vec();
    Ok(Program { path, arguments, variables: Vec::new() })
}
