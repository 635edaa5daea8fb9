//! The layer on this machine: its extension, and a folder as Lambda mounts it at `/opt`.

use anyhow::{Context as _, bail};
use local_lambda::binaries::{self, EXTENSION};
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The wrapper script's file name in the layer.
pub const WRAPPER: &str = "lambda-otlp-handler";
/// The layer's folder with the files that the wrapper makes Python and Node load.
const RUNTIME_FILES: &str = "lambda-otlp";
/// The unpacked layer in the folder of an installed command line.
const INSTALLED_LAYER: &str = "lambda-otlp-layer";
/// The default port of OTLP over HTTP.
const OTLP_PORT: u16 = 4318;

/// Returns the checkout of lambda-otlp. It contains this program or the current folder. A development build may be in a target
/// folder elsewhere, so the checkout that it was built from counts too.
pub fn checkout() -> Option<PathBuf> {
    let program = std::env::current_exe().ok();
    let current_folder = std::env::current_dir().ok();
    // A release names no folder of the machine that built it.
    #[cfg(debug_assertions)]
    let source = Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    #[cfg(not(debug_assertions))]
    let source = None;
    let is_checkout = |folder: &&Path| {
        ["demo", "extension"].iter().all(|part| folder.join(part).join("Cargo.toml").is_file())
    };
    [program, current_folder, source]
        .iter()
        .flatten()
        .find_map(|path| path.ancestors().find(is_checkout))
        .map(Path::to_owned)
}

/// Returns the given extension. Without one, builds it in the checkout, or finds it in the installed layer.
pub fn extension(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(given) = given {
        if !given.is_file() {
            bail!("--extension: there is no file {}", given.display());
        }
        return Ok(std::path::absolute(given)?);
    }
    if let Some(checkout) = checkout() {
        let built = binaries::build(&checkout, &[EXTENSION])?;
        return Ok(binaries::find(&built, EXTENSION)?);
    }
    let extension = installed_layer()?.join("extensions").join(EXTENSION);
    if extension.is_file() {
        return Ok(extension);
    }
    bail!(
        "there is no {}: use --extension PATH (a layer's zip has it in extensions/), or --no-extension",
        extension.display()
    )
}

fn installed_layer() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find this program's folder")?;
    Ok(program.with_file_name(INSTALLED_LAYER))
}

/// Makes a layer in this folder with the extension. It also gets the wrapper and the files that the wrapper makes runtimes load, if
/// the checkout or the installed layer has them.
pub fn assemble(folder: &Path, extension: &Path) -> anyhow::Result<PathBuf> {
    let layer = binaries::layer(folder, extension).context("cannot make the layer")?;
    let (wrapper, runtime_files) = if let Some(checkout) = checkout() {
        let sources = checkout.join("extension/layer");
        (sources.join(WRAPPER), sources)
    } else {
        let installed = installed_layer()?;
        (installed.join(WRAPPER), installed.join(RUNTIME_FILES))
    };
    if wrapper.is_file() {
        let link = |source: PathBuf, name: &str| symlink(source, layer.join(name));
        link(wrapper, WRAPPER)
            .and_then(|()| link(runtime_files, RUNTIME_FILES))
            .context("cannot put the wrapper into the layer")?;
    }
    Ok(layer)
}

/// Merges layers into one folder, as Lambda does for `/opt`: later files replace earlier ones.
///
/// The files are copied, because Node resolves a module's neighbours from a link's target.
pub fn merged(folder: &Path, layers: &[PathBuf]) -> anyhow::Result<PathBuf> {
    let opt = folder.join("opt");
    for layer in layers {
        copy(layer, &opt).with_context(|| format!("cannot copy layer {}", layer.display()))?;
    }
    Ok(opt)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return std::fs::copy(from, to).map(drop);
    }
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Claims the default port of OTLP over HTTP until this process ends. Returns `false` if another process has claimed it, or if a
/// program listens there.
///
/// In Lambda each environment has its own loopback interface; here all extensions share one. To find the port free is not enough:
/// before the extension starts, another process could start an extension there, which would then receive the function's telemetry.
pub fn claim_default_port() -> bool {
    // An abstract name belongs to one process at a time, and to the same network namespace as the port.
    static CLAIM: OnceLock<Option<UnixListener>> = OnceLock::new();
    let claim = CLAIM.get_or_init(|| {
        let name = SocketAddr::from_abstract_name("lambda-otlp/usual-otlp-port").ok()?;
        UnixListener::bind_addr(&name).ok()
    });
    claim.is_some() && TcpListener::bind((Ipv4Addr::LOCALHOST, OTLP_PORT)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_later_layers_replace_earlier_ones() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("a/lambda-otlp/x", "of a");
        write("a/lambda-otlp/y", "of a");
        write("b/lambda-otlp/y", "of b");
        write("linked/z", "behind a link");
        symlink(folder.path().join("linked"), folder.path().join("b/linked")).unwrap();
        let layers = ["a", "b"].map(|layer| folder.path().join(layer));
        let opt = merged(folder.path(), &layers).unwrap();
        let read = |path: &str| std::fs::read_to_string(opt.join(path)).unwrap();
        assert_eq!(["lambda-otlp/x", "lambda-otlp/y"].map(read), ["of a", "of b"]);
        assert_eq!(read("linked/z"), "behind a link");
    }
}
