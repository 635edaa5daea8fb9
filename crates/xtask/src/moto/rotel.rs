//! Runs rotel, an OTLP receiver from PyPI, and counts the items in its output.

use crate::pypi::Environment;
use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;

/// Prints the folder of rotel, and of the library it is linked with.
const ASK: &str = "import sysconfig; print(sysconfig.get_paths()['platlib']); print(sysconfig.get_config_var('LIBDIR') or '')";
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Rotel {
    process: Child,
    printed: NamedTempFile,
    port: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) spans: usize,
    pub(super) log_records: usize,
    pub(super) data_points: usize,
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spans, log_records, data_points } = self;
        write!(f, "{spans} spans, {log_records} log records, {data_points} data points")
    }
}

impl Rotel {
    pub(super) fn start(environment: &Environment, port: u16) -> anyhow::Result<Self> {
        let asked = Command::new(&environment.python).args(["-c", ASK]).output()?;
        let answer = String::from_utf8(asked.stdout)?;
        let (packages, libraries) = answer.trim_end().split_once('\n').unwrap_or((&answer, ""));
        let agent = PathBuf::from(packages.trim()).join("rotel/rotel-agent");
        let grpc_port = simulator::free_port();
        let printed = NamedTempFile::new().context("cannot make a temporary file")?;
        let process = Command::new(agent)
            .arg("start")
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{port}")])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc_port}")])
            .args(["--exporter", "blackhole", "--debug-log-verbosity", "detailed"])
            .args(["--debug-log", "traces", "--debug-log", "logs", "--debug-log", "metrics"])
            .env("LD_LIBRARY_PATH", libraries)
            .stdin(Stdio::null())
            .stdout(printed.reopen()?)
            .stderr(printed.reopen()?)
            .spawn()
            .context("cannot run rotel")?;
        let mut rotel = Self { process, printed, port };
        rotel.wait_until_it_listens()?;
        Ok(rotel)
    }

    /// Ends it by SIGTERM, so that it prints its last items, and counts.
    pub(super) fn stop(mut self) -> anyhow::Result<Received> {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("no process")?, Signal::TERM)?;
        self.process.wait()?;
        Ok(count(&self.printed()?))
    }

    fn printed(&self) -> anyhow::Result<String> {
        let mut printed = String::new();
        File::open(self.printed.path())?.read_to_string(&mut printed)?;
        Ok(printed)
    }

    fn wait_until_it_listens(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if let Some(status) = self.process.try_wait()? {
                bail!("rotel ended with {status}: {}", self.printed()?);
            }
            if started.elapsed() > PATIENCE {
                bail!("rotel does not listen");
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Items begin with a line such as `Span #3`.
fn count(printed: &str) -> Received {
    let items = |names: &[&str]| {
        let begins = |line: &&str| {
            names.iter().any(|name| {
                line.trim_start()
                    .strip_prefix(name)
                    .and_then(|rest| rest.strip_prefix(" #"))
                    .is_some_and(|number| {
                        number.starts_with(|character: char| character.is_ascii_digit())
                    })
            })
        };
        printed.lines().filter(begins).count()
    };
    Received {
        spans: items(&["Span"]),
        log_records: items(&["LogRecord"]),
        data_points: items(&["NumberDataPoints", "HistogramDataPoints"]),
    }
}
