//! Starts the extension in a root folder that holds nothing else.

use super::Architecture;
use anyhow::{Context as _, bail};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the extension may take to register, below an emulator too.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts the extension and waits until it registers; says how it was started, or why it was not.
pub(super) fn check(architecture: &Architecture, extension: &Path) -> anyhow::Result<String> {
    let root = tempfile::tempdir()?;
    std::fs::copy(extension, root.path().join("extension"))?;
    let is_native = architecture.target.starts_with(std::env::consts::ARCH);
    if !is_native {
        // An emulator is a program of this machine, so it cannot stand in the empty root.
        if Command::new(architecture.emulator).arg("--version").output().is_err() {
            return Ok(format!("not started: there is no {}", architecture.emulator));
        }
        let mut emulator = Command::new(architecture.emulator);
        registers(emulator.arg(root.path().join("extension")))?;
        return Ok(format!("registered below {}", architecture.emulator));
    }
    for (how, program) in [("chroot", "chroot"), ("unshare", "unshare")] {
        let mut command = Command::new(program);
        if program == "unshare" {
            command.args(["--map-root-user", "--root"]);
        }
        command.arg(root.path()).arg("/extension");
        if may(program) {
            registers(&mut command)?;
            return Ok(format!("registered in a root that holds nothing else ({how})"));
        }
    }
    registers(&mut Command::new(root.path().join("extension")))?;
    Ok("registered; this user may not change its root".to_owned())
}

/// Returns `true` if this user may start a program in another root.
fn may(program: &str) -> bool {
    let arguments: &[&str] =
        if program == "unshare" { &["--map-root-user", "true"] } else { &["/", "true"] };
    let tried = Command::new(program).args(arguments).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

/// Takes the place of Lambda's API until the extension has registered.
///
/// Source: Lambda Developer Guide, "Extensions API reference".
fn registers(command: &mut Command) -> anyhow::Result<()> {
    let api = TcpListener::bind("127.0.0.1:0")?;
    api.set_nonblocking(true)?;
    // Nothing of this machine's settings, but where the program stands that starts it.
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("AWS_LAMBDA_RUNTIME_API", api.local_addr()?.to_string());
    let extension = command.stdout(Stdio::null()).spawn();
    let mut extension = extension.with_context(|| format!("cannot start {command:?}"))?;
    let registered = request(&api, &mut extension);
    extension.kill().ok();
    extension.wait()?;
    let head = registered?;
    if !head.starts_with("POST /2020-01-01/extension/register ") {
        bail!("it asked for something else first: {}", head.lines().next().unwrap_or_default());
    }
    Ok(())
}

fn request(api: &TcpListener, extension: &mut Child) -> anyhow::Result<String> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if let Ok((mut connection, _)) = api.accept() {
            connection.set_nonblocking(false)?;
            connection.set_read_timeout(Some(PATIENCE))?;
            let mut head = [0; 1024];
            let length = connection.read(&mut head)?;
            connection.write_all(b"HTTP/1.1 500 \r\ncontent-length: 0\r\n\r\n").ok();
            return Ok(String::from_utf8_lossy(head.get(..length).unwrap_or_default()).into_owned());
        }
        if let Some(status) = extension.try_wait()? {
            bail!("it ended with {status} before it registered");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("it did not register within {PATIENCE:?}")
}
