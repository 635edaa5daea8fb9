//! Starts the extension against a stand-in for Lambda.

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
    if architecture.target.starts_with(std::env::consts::ARCH) {
        registers(&mut Command::new(extension))?;
        return Ok("registered".to_owned());
    }
    let emulator = architecture.emulator;
    if Command::new(emulator).arg("--version").output().is_err() {
        return Ok(format!("not started: there is no {emulator}"));
    }
    registers(Command::new(emulator).arg(extension))?;
    Ok(format!("registered below {emulator}"))
}

/// Takes the place of Lambda's API until the extension has registered.
///
/// Source: Lambda Developer Guide, "Extensions API reference".
fn registers(command: &mut Command) -> anyhow::Result<()> {
    let api = TcpListener::bind("127.0.0.1:0")?;
    api.set_nonblocking(true)?;
    // Nothing of this machine's settings, but the place of the emulator.
    command.env_clear().env("PATH", "/usr/bin:/bin");
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
