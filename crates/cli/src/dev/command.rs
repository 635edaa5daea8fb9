//! Prepares the function that the command line describes.

use super::DevArguments;
use anyhow::{Context as _, bail, ensure};
use console::layer;
use local_lambda::binaries::{self, BuildError};
use local_lambda::packages::{NODE_LAYER_PINS, cache, install_once, is_at_least, run};
use local_lambda::{FunctionSpec, Initialization, LogFormat};
use settings::{Env, Source as _};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The language of the runtime client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Language {
    Python,
    Node,
}

/// The files that the extension reads from the folder of the function's code.
const CONFIG_FILES: [&str; 2] = ["lambda-otlp.toml", "otel-extension.toml"];

/// The function that the command line describes.
pub(super) struct PreparedFunction {
    pub(super) spec: FunctionSpec,
    /// Holds the layer and the runtime client.
    pub(super) folder: TempDir,
    pub(super) rebuild: Option<Rebuild>,
}

/// The way to build the function again.
#[derive(Clone)]
pub(super) struct Rebuild {
    /// The arguments after `cargo run`.
    cargo_arguments: Vec<String>,
}

impl Rebuild {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        build_with_cargo(&self.cargo_arguments).map(drop)
    }

    fn of(command: &[String]) -> Option<Self> {
        match command {
            [cargo, run, arguments @ ..] if is_cargo_run(cargo, run) => {
                Some(Self { cargo_arguments: arguments.to_vec() })
            }
            _ => None,
        }
    }
}

fn is_cargo_run(cargo: &str, run: &str) -> bool {
    cargo == "cargo" && matches!(run, "run" | "r")
}

impl PreparedFunction {
    pub(super) fn of(arguments: &DevArguments) -> anyhow::Result<Self> {
        ensure!(
            !arguments.wrapper
                || arguments.command.first().is_none_or(|program| program != "cargo"),
            "--wrapper is for functions in Python, Node and other languages with a managed runtime; a Rust function uses the library"
        );
        let variables = variables(&arguments.variables)?;
        let folder = tempfile::tempdir().context("cannot make a temporary directory")?;
        let Runtime { mut program, packages } = runtime(arguments)?;
        let layers = layers(arguments, packages, folder.path())?;
        if arguments.wrapper {
            program = wrapped(program, &layers)?;
        }
        let here = std::env::current_dir().context("cannot find the current folder")?;
        let mut spec = spec(arguments, &program, layers, &here);
        for (name, value) in environment(arguments, &program, variables, &here) {
            spec = spec.env(name, value);
        }
        Ok(Self { spec, folder, rebuild: Rebuild::of(&arguments.command) })
    }
}

/// The program that runs the function, and the packages that it needs.
struct Runtime {
    program: Program,
    /// The folder of the packages layer, if it is needed.
    packages: Option<PathBuf>,
}

fn runtime(arguments: &DevArguments) -> anyhow::Result<Runtime> {
    let handler = || {
        arguments.handler.as_deref().context("--runtime: --handler is missing: for example --handler app.handler for the function handler in app.py")
    };
    match arguments.runtime {
        Some(Language::Python) => python(handler()?, arguments.wrapper),
        Some(Language::Node) => {
            let client = match arguments.concurrency {
                Some(_) => &NODE_CLIENT_OF_MANAGED_INSTANCES,
                None => &NODE_CLIENT,
            };
            node(client, handler()?, arguments.wrapper)
        }
        None => Ok(Runtime { program: program(&arguments.command)?, packages: None }),
    }
}

/// Returns the folders of the function's layers: at most one, if they had to be merged into `folder`.
fn layers(
    arguments: &DevArguments,
    packages: Option<PathBuf>,
    folder: &Path,
) -> anyhow::Result<Vec<PathBuf>> {
    // The function's own layers replace these packages.
    let mut layers: Vec<PathBuf> = packages.into_iter().collect();
    for layer in &arguments.layers {
        if !layer.is_dir() {
            bail!("--layer: there is no folder {}: unpack the layer's zip", layer.display());
        }
        layers.push(layer.clone());
    }
    if !arguments.no_extension {
        let extension = layer::extension(arguments.extension.as_deref())?;
        layers.push(layer::assemble(folder, &extension)?);
    }
    if layers.len() > 1 {
        return Ok(vec![layer::merged(folder, &layers)?]);
    }
    Ok(layers)
}

/// Returns the layer's wrapper, which starts this program.
fn wrapped(program: Program, layers: &[PathBuf]) -> anyhow::Result<Program> {
    let mut wrappers = layers.iter().map(|layer| layer.join(layer::WRAPPER));
    let Some(wrapper) = wrappers.find(|wrapper| wrapper.is_file()) else {
        bail!(
            "--wrapper: no layer has {}: add the folder of an unpacked layer with --layer",
            layer::WRAPPER
        );
    };
    let mut arguments = vec![program.path.to_string_lossy().into_owned()];
    arguments.extend(program.arguments);
    Ok(Program { path: std::path::absolute(wrapper)?, arguments, variables: program.variables })
}

/// The settings of the function, except its variables.
fn spec(
    arguments: &DevArguments,
    program: &Program,
    layers: Vec<PathBuf>,
    here: &Path,
) -> FunctionSpec {
    let mut spec = FunctionSpec::new(&arguments.name, &program.path)
        .directory(here)
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
    if arguments.active_tracing {
        spec = spec.active_tracing();
    }
    if let Some(concurrency) = arguments.concurrency {
        spec = spec
            .initialization(Initialization::ManagedInstances)
            .max_concurrency(usize::from(concurrency));
    }
    if arguments.json_logs {
        spec = spec.log_format(LogFormat::Json);
    }
    spec
}

/// The variables of the function. Later ones replace earlier ones.
fn environment(
    arguments: &DevArguments,
    program: &Program,
    own: Vec<(String, String)>,
    here: &Path,
) -> Vec<(String, String)> {
    let mut environment = Vec::new();
    let mut set = |name: &str, value: String| environment.push((name.to_owned(), value));
    if let Some(path) = Env.get("PATH") {
        // Lambda's PATH does not have this machine's programs.
        set("PATH", path);
    }
    if !arguments.no_extension && !layer::claim_default_port() {
        let port = local_lambda::free_port().to_string();
        set("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{port}"));
        set("OTEL_LAMBDA_RECEIVER_PORT", port);
    }
    // Lambda has the code in a fixed folder that extensions know; here it is the current folder.
    let mut files = CONFIG_FILES.into_iter().map(|name| here.join(name));
    if let Some(file) = files.find(|file| file.is_file()) {
        set("LAMBDA_OTLP_CONFIG_FILE", file.to_string_lossy().into_owned());
    }
    for (name, value) in &program.variables {
        set(name, value.clone());
    }
    for (name, value) in own {
        let program_value = program.variables.iter().find(|(other, _)| *other == name);
        match program_value {
            // The runtime client is found by the same variable, so the function's value must not replace it.
            Some((_, path)) if name.ends_with("PATH") => set(&name, format!("{value}:{path}")),
            _ => set(&name, value),
        }
    }
    environment
}

/// Parses `K=V`, or `K` with this shell's value.
fn variables(given: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let read = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) => bail!("--env {text}: expected K=V, or K for the value of this shell"),
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
        [cargo, run, arguments @ ..] if is_cargo_run(cargo, run) => {
            return build_with_cargo(arguments);
        }
        [cargo, what, ..] if cargo == "cargo" => {
            bail!("`cargo {what}` cannot start a function here: use `cargo run`")
        }
        [name, arguments @ ..] => (name, arguments),
    };
    let folders = Env.get("PATH").filter(|_| !name.contains('/')).unwrap_or_else(|| ".".to_owned());
    let mut candidates = std::env::split_paths(&folders).map(|folder| folder.join(name));
    let found = candidates.find(|path| is_program(path)).with_context(|| no_program(name))?;
    Ok(Program {
        path: std::path::absolute(found)?,
        arguments: arguments.to_vec(),
        variables: Vec::new(),
    })
}

/// The reason why there is no such program, and the remedy.
fn no_program(name: &str) -> String {
    let path = Path::new(name);
    let remedy = match path.metadata() {
        Ok(file) if file.is_dir() => return format!("{name} is a folder: name the program in it"),
        Ok(_) if name.contains('/') => {
            return format!("{name} is not executable: chmod +x {name}");
        }
        Ok(_) => format!("for the file in this folder, use ./{name}"),
        Err(_) if name.contains('/') => "check the path, and build the function first".to_owned(),
        Err(_) => "check its name and PATH; for a file, give its path".to_owned(),
    };
    format!("there is no program {name}: {remedy}")
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Builds the program that `cargo run` would start. Starting `cargo run` itself would exceed Lambda's 10 s for Init.
fn build_with_cargo(arguments: &[String]) -> anyhow::Result<Program> {
    let mut parts = arguments.splitn(2, |argument| argument == "--");
    let for_cargo: Vec<&str> =
        parts.next().unwrap_or_default().iter().map(String::as_str).collect();
    let for_program = parts.next().unwrap_or_default().to_vec();
    let here = std::env::current_dir().context("cannot find the current folder")?;
    let built = match binaries::build_with(&here, &for_cargo) {
        Err(BuildError::Failed(_)) => bail!("cargo could not build the function"),
        built => built?,
    };
    let mut binaries: Vec<&String> = built.keys().collect();
    binaries.sort_unstable();
    let name = match binaries.as_slice() {
        [one] => *one,
        [] => bail!("cargo built no binary here: add -p PACKAGE"),
        [one, other, ..] => {
            bail!("cargo built several binaries (`{one}`, `{other}`, …): add --bin NAME")
        }
    };
    let path = binaries::find(&built, name)?;
    Ok(Program { path, arguments: for_program, variables: Vec::new() })
}

/// A program with its arguments.
struct Program {
    path: PathBuf,
    arguments: Vec<String>,
    /// Environment variables that it needs. The function's own override them.
    variables: Vec<(&'static str, String)>,
}

// The runtime clients for Python and Node, with OpenTelemetry's packages, installed once in the user's cache.

const AWSLAMBDARIC: &str = "awslambdaric==4.2.2\n";
const NATIVE_CLIENT: &str = include_str!("rapid_client.cjs");

/// A version of AWS's runtime client for Node.
struct NodeClient {
    package: &'static str,
    /// The oldest Node that runs it.
    oldest: &'static str,
    /// The folder in the cache.
    folder: &'static str,
    /// The folder of the client's modules in the package.
    modules: &'static str,
    main: &'static str,
}

/// The client of the managed runtimes up to Node 22. Version 4 takes no callbacks.
const NODE_CLIENT: NodeClient = NodeClient {
    package: "aws-lambda-ric@3.3.0",
    oldest: "18",
    folder: "dev/node-runtime",
    modules: "dist",
    main: r#"process.env.AWS_EXECUTION_ENV ??= `AWS_Lambda_nodejs${process.versions.node.split(".")[0]}.x`;
const { run } = await import("./index.mjs");
await run(process.env.LAMBDA_TASK_ROOT, process.argv[2]);
"#,
};

/// The first client that runs several invocations at a time. It reads the handler from `_HANDLER`.
const NODE_CLIENT_OF_MANAGED_INSTANCES: NodeClient = NodeClient {
    package: "aws-lambda-ric@4.0.2",
    oldest: "20",
    folder: "dev/node-runtime-4",
    modules: "",
    main: r#"process.env.AWS_EXECUTION_ENV ??= `AWS_Lambda_nodejs${process.versions.node.split(".")[0]}.x`;
await import("./index.mjs");
"#,
};

/// The packages' folder in the layer (xtask, `dist --python-layer`).
const PYTHON_PACKAGES: &str = "lambda-otlp/python-packages";

/// The oldest Python that the layer instruments.
const OLDEST_PYTHON: &str = "3.10";

/// Returns AWS's runtime client on this shell's Python, which has the function's own packages, and the packages layer.
fn python(handler: &str, is_instrumented: bool) -> anyhow::Result<Runtime> {
    let script = "import sys; print(sys.executable); print('%d.%d' % sys.version_info[:2])";
    let answer = ["python3", "python"]
        .into_iter()
        .find_map(|name| printed(Command::new(name).args(["-c", script])))
        .context("there is no python3 on PATH")?;
    let (interpreter, version) = answer.trim().split_once('\n').unwrap_or((answer.trim(), ""));
    ensure!(
        is_at_least(version, OLDEST_PYTHON),
        "{interpreter} is Python {version}, which is too old: put Python {OLDEST_PYTHON} or later first on PATH"
    );
    let mut paths = Vec::new();
    if !can_import(interpreter, "awslambdaric") {
        let client =
            PythonPackages { name: "awslambdaric", target: "", requirements: AWSLAMBDARIC };
        paths.push(install_python_packages(interpreter, version, &client)?);
    }
    let mut packages = None;
    if is_instrumented && !can_import(interpreter, "opentelemetry.distro") {
        let checkout = layer::checkout();
        let file = checkout.map(|root| root.join("extension/layer/python/requirements.txt"));
        // Without a checkout, the packages come from the function or from a layer.
        if let Some(text) = file.and_then(|file| std::fs::read_to_string(file).ok()) {
            let layer =
                PythonPackages { name: "layer", target: PYTHON_PACKAGES, requirements: &text };
            packages = Some(install_python_packages(interpreter, version, &layer)?);
        }
    }
    paths.extend(Env.get("PYTHONPATH").map(PathBuf::from));
    let python_path = std::env::join_paths(paths).context("PYTHONPATH")?;
    let mut variables = vec![("PYTHONDONTWRITEBYTECODE", "1".to_owned())];
    if !python_path.is_empty() {
        variables.push(("PYTHONPATH", python_path.to_string_lossy().into_owned()));
    }
    let arguments = ["-m", "awslambdaric", handler].map(str::to_owned).to_vec();
    let program = Program { path: interpreter.into(), arguments, variables };
    Ok(Runtime { program, packages })
}

/// Returns the output of a program; `None` if it fails.
fn printed(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns `true` if this Python finds the module.
fn can_import(interpreter: &str, module: &str) -> bool {
    let import = format!("import {module}");
    let output = Command::new(interpreter).args(["-c", &import]).output();
    output.is_ok_and(|output| output.status.success())
}

/// Packages from PyPI, which are installed once in the user's cache.
struct PythonPackages<'a> {
    /// The name of their folder in the cache.
    name: &'a str,
    /// The folder below it with the modules.
    target: &'a str,
    /// Their names and versions, as a requirements file.
    requirements: &'a str,
}

/// Returns the folder of packages for this Python.
fn install_python_packages(
    interpreter: &str,
    version: &str,
    packages: &PythonPackages<'_>,
) -> anyhow::Result<PathBuf> {
    let PythonPackages { name, target, requirements } = *packages;
    // Without the dot, which would look like the beginning of a file extension.
    let folder_name = format!("python-{}-{name}", version.replace('.', "-"));
    let folder = cache()?.join("dev").join(folder_name);
    let pins = folder.with_extension("txt");
    std::fs::create_dir_all(folder.parent().unwrap_or(&folder))?;
    write_whole(&pins, requirements).with_context(|| format!("cannot write {}", pins.display()))?;
    install_once(&folder, std::slice::from_ref(&pins), || -> anyhow::Result<()> {
        eprintln!("installing {name} for Python {version} from PyPI, once");
        let mut pip = Command::new(interpreter);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip.args(["--retries", "1", "--timeout", "10", "--target"]).arg(folder.join(target));
        Ok(run(pip.arg("--requirement").arg(&pins))?)
    })?;
    Ok(folder)
}

/// Replaces a file as a whole, because another process may be reading it for its own installation.
fn write_whole(file: &Path, text: &str) -> std::io::Result<()> {
    let mut written = tempfile::NamedTempFile::new_in(file.parent().unwrap_or(file))?;
    written.write_all(text.as_bytes())?;
    written.persist(file)?;
    Ok(())
}

/// Returns AWS's runtime client on this shell's Node, and the packages layer.
fn node(client: &NodeClient, handler: &str, is_instrumented: bool) -> anyhow::Result<Runtime> {
    let script = "process.execPath + ' ' + process.versions.node";
    let answer =
        printed(Command::new("node").args(["-p", script])).context("there is no node on PATH")?;
    let (node, version) = answer.trim().rsplit_once(' ').unwrap_or((answer.trim(), ""));
    let NodeClient { package, oldest, .. } = client;
    ensure!(
        is_at_least(version, &format!("{oldest}.0")),
        "{node} is Node {version}, which is too old for {package}: put Node {oldest} or later first on PATH"
    );
    let arguments = vec![client.installed()?.to_string_lossy().into_owned(), handler.to_owned()];
    let checkout = layer::checkout().filter(|_| is_instrumented);
    let packages =
        checkout.map(|checkout| node_layer(&checkout.join("extension/layer/node"))).transpose()?;
    let program = Program { path: node.into(), arguments, variables: Vec::new() };
    Ok(Runtime { program, packages })
}

impl NodeClient {
    /// Returns the main module, installed in the cache.
    fn installed(&self) -> anyhow::Result<PathBuf> {
        let folder = cache()?.join(self.folder);
        let pins = [folder.with_extension("txt"), folder.with_extension("cjs")];
        std::fs::create_dir_all(folder.parent().unwrap_or(&folder))?;
        for (pin, text) in pins.iter().zip([self.package, NATIVE_CLIENT]) {
            write_whole(pin, text).with_context(|| format!("cannot write {}", pin.display()))?;
        }
        let modules = folder.join("node_modules/aws-lambda-ric").join(self.modules);
        install_once(&folder, &pins, || -> anyhow::Result<()> {
            eprintln!("installing {} from npm, once", self.package);
            let mut npm = Command::new("npm");
            npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
            run(npm.arg(&folder).arg(self.package))?;
            // Node takes a folder of this name for the native module.
            let native = modules.join("rapid-client.node");
            std::fs::create_dir(&native)?;
            std::fs::write(native.join("index.js"), NATIVE_CLIENT)?;
            // The package around it may have modules of the other type.
            std::fs::write(native.join("package.json"), r#"{"type":"commonjs"}"#)?;
            Ok(std::fs::write(modules.join("main.mjs"), self.main)?)
        })?;
        Ok(modules.join("main.mjs"))
    }
}

/// Returns the packages layer, made from these sources.
fn node_layer(sources: &Path) -> anyhow::Result<PathBuf> {
    let folder = cache()?.join("dev/node-layer");
    let layer = folder.join("layer");
    let pins = NODE_LAYER_PINS.map(|file| sources.join(file));
    install_once(&folder, &pins, || -> anyhow::Result<()> {
        eprintln!("installing OpenTelemetry's packages for Node from npm, once");
        std::fs::create_dir_all(&folder)?;
        for file in &pins {
            std::fs::copy(file, folder.join(file.file_name().unwrap_or_default()))?;
        }
        let npm = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"];
        run(Command::new("npm").args(npm).current_dir(&folder))?;
        let mut bundle = Command::new("npm");
        bundle.args(["run", "bundle", "--", "--outdir=layer/lambda-otlp/node-packages"]);
        Ok(run(bundle.current_dir(&folder))?)
    })?;
    Ok(layer)
}
