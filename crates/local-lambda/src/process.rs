//! Child processes: started in a process group of their own, frozen, thawed and killed. None outlives the local Lambda.

use crate::captured_output::{LineDestination, NewOutputPipes, OutputPipes};
use crate::lock;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// All living children of one local Lambda, so that none outlives it.
#[derive(Debug, Default)]
pub(crate) struct ProcessTable {
    living: Mutex<Living>,
}

#[derive(Debug, Default)]
struct Living {
    is_closed: bool,
    leaders: Vec<Pid>,
}

impl ProcessTable {
    /// Kills every process group and refuses new ones; returns when the leaders are dead.
    pub(crate) fn close(&self) {
        let mut living = lock(&self.living);
        living.is_closed = true;
        for leader in &living.leaders {
            kill_group(*leader, Signal::KILL);
        }
        for leader in &living.leaders {
            // The owner of the process still has to reap it; here it matters that it no longer runs.
            let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while matches!(rustix::process::waitid(WaitId::Pid(*leader), ended), Err(Errno::INTR)) {
            }
        }
    }

    /// Kills the group of one process, if it is one of ours and still lives.
    pub(crate) fn kill(&self, pid: u32) -> bool {
        self.signal(pid, Signal::KILL)
    }

    /// Sends the group of one process a signal, if it is one of ours and still lives.
    pub(crate) fn signal(&self, pid: u32, signal: Signal) -> bool {
        let living = lock(&self.living);
        let leader = living.leaders.iter().find(|leader| number(**leader) == pid);
        leader.inspect(|leader| kill_group(**leader, signal)).is_some()
    }
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

/// A signal to a whole group; a group that is gone already is no error.
fn kill_group(leader: Pid, signal: Signal) {
    rustix::process::kill_process_group(leader, signal).ok();
}

/// One process of a function, leader of its group.
///
/// The leader is reaped only after its group was killed, so its number cannot mean another process meanwhile.
#[derive(Debug)]
pub(crate) struct Process {
    leader: Pid,
    child: Child,
    pidfd: AsyncFd<OwnedFd>,
    output: OutputPipes,
    table: Arc<ProcessTable>,
    is_frozen: bool,
    /// The exit status of the leader, once it was reaped.
    exit_status: Option<ExitStatus>,
}

#[expect(deprecated, reason = "sound with an `OwnedFd`; its successor is an unsafe function")]
fn watch(leader: Pid) -> io::Result<AsyncFd<OwnedFd>> {
    let pidfd = rustix::process::pidfd_open(leader, PidfdFlags::empty())?;
    AsyncFd::with_interest(pidfd, Interest::READABLE)
}

pub(crate) struct ProcessStart<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: &'a [String],
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) directory: Option<&'a Path>,
}

impl Process {
    /// Starts a process. The lines of its standard output and error go to `destination`.
    pub(crate) fn start(
        start: ProcessStart<'_>,
        destination: &LineDestination,
        table: &Arc<ProcessTable>,
    ) -> io::Result<Self> {
        let NewOutputPipes { pipes, stdout, stderr } = NewOutputPipes::open(destination)?;
        let mut command = Command::new(start.program);
        command
            .args(start.arguments)
            .env_clear()
            .envs(start.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::from(stdout))
            .stderr(Stdio::from(stderr))
            .process_group(0);
        if let Some(directory) = start.directory {
            command.current_dir(directory);
        }
        let (leader, mut child) = {
            let mut living = lock(&table.living);
            if living.is_closed {
                return Err(io::Error::other("the local Lambda is shutting down"));
            }
            let child = command.spawn()?;
            let leader = Pid::from_child(&child);
            living.leaders.push(leader);
            (leader, child)
        };
        // The command holds the writing ends of the pipes; only the child may have them.
        drop(command);
        let pidfd = match watch(leader) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                kill_group(leader, Signal::KILL);
                drop(child.wait());
                lock(&table.living).leaders.retain(|other| *other != leader);
                return Err(error);
            }
        };
        Ok(Self {
            leader,
            child,
            pidfd,
            output: pipes,
            table: Arc::clone(table),
            is_frozen: false,
            exit_status: None,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the leader has ended by itself; cancel safe.
    pub(crate) async fn ended(&self) {
        // A pidfd becomes readable when the process ends and stays so; an error would mean the same.
        drop(self.pidfd.readable().await);
    }

    /// Like [`ended`](Self::ended), to wait for one of several processes.
    pub(crate) fn poll_ended(&self, context: &mut Context<'_>) -> Poll<()> {
        self.pidfd.poll_read_ready(context).map(drop)
    }

    /// Tells the whole group to stop; [`freeze`](Self::freeze) waits until it has.
    pub(crate) fn begin_freeze(&mut self) {
        kill_group(self.leader, Signal::STOP);
        self.is_frozen = true;
    }

    /// Writes every line that has come out so far.
    pub(crate) fn drain(&self) {
        self.output.drain();
    }

    /// Stops the whole group and writes every line that it has written so far.
    pub(crate) async fn freeze(&mut self) {
        self.begin_freeze();
        let stopped = WaitIdOptions::STOPPED
            | WaitIdOptions::EXITED
            | WaitIdOptions::NOWAIT
            | WaitIdOptions::NOHANG;
        // A stop takes effect within microseconds, unless a thread is inside an uninterruptible system call.
        let begin = Instant::now();
        while matches!(rustix::process::waitid(WaitId::Pid(self.leader), stopped), Ok(None)) {
            match begin.elapsed().as_millis() {
                0 => tokio::task::yield_now().await,
                1..2000 => tokio::time::sleep(Duration::from_millis(1)).await,
                _ => break,
            }
        }
        self.output.drain();
    }

    pub(crate) fn thaw(&mut self) {
        if self.is_frozen {
            kill_group(self.leader, Signal::CONT);
            self.is_frozen = false;
        }
    }

    /// Asks the leader to end, as Lambda does where an extension is registered.
    pub(crate) fn terminate(&mut self) {
        self.thaw();
        rustix::process::kill_process(self.leader, Signal::TERM).ok();
    }

    /// Kills the whole group; the rest is for [`end`](Self::end).
    pub(crate) fn kill(&self) {
        kill_group(self.leader, Signal::KILL);
    }

    /// Kills the rest of the group, writes its last lines, and returns the leader's exit status.
    ///
    /// If the leader ended by itself, the status is its own, otherwise the status of the kill.
    pub(crate) async fn end(mut self) -> Option<ExitStatus> {
        self.kill();
        self.ended().await;
        let status = self.reap();
        self.output.finish();
        status
    }

    /// The most memory the leader has had resident so far, in MB, rounded up.
    pub(crate) fn peak_memory_mb(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let memory = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kilobytes: u64 = memory.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kilobytes.div_ceil(1024))
    }

    fn reap(&mut self) -> Option<ExitStatus> {
        if self.exit_status.is_none() {
            let mut living = lock(&self.table.living);
            self.exit_status = self.child.wait().ok();
            living.leaders.retain(|leader| *leader != self.leader);
        }
        self.exit_status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.exit_status.is_none() {
            kill_group(self.leader, Signal::KILL);
            self.reap();
        }
    }
}

/// The state letter of `/proc/PID/stat` (`R` running, `S` sleeping, `T` stopped, `Z` ended); `None` without such a process.
pub fn process_state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may itself contain anything.
    stat.rsplit_once(") ")?.1.chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloudwatch::{CloudWatch, LogWriter};
    use crate::function::FunctionSpec;
    use crate::telemetry::{Category, Telemetry};

    #[tokio::test]
    async fn freezing_a_process_drains_its_pipes() {
        let cloudwatch = Arc::<CloudWatch>::default();
        let table = Arc::<ProcessTable>::default();
        let spec = Arc::new(FunctionSpec::new("f", "/bin/sh"));
        let writer = Arc::new(LogWriter::new(&cloudwatch, &spec, "environment"));
        let telemetry = Telemetry::new(&spec, &Arc::default());
        let destination = LineDestination { writer, telemetry, category: Category::Function };
        let start = ProcessStart {
            program: &spec.bootstrap,
            arguments: &["-c".to_owned(), "echo out; echo err >&2; kill -STOP $$".to_owned()],
            environment: BTreeMap::new(),
            directory: None,
        };
        let mut process = Process::start(start, &destination, &table).unwrap();
        // Without the reader tasks, only the freeze can have written the log.
        process.output.stop_reading();
        while process_state(process.pid()) != Some('T') {
            tokio::task::yield_now().await;
        }
        assert!(cloudwatch.events("/aws/lambda/f").is_empty());
        process.freeze().await;
        let messages: Vec<_> =
            cloudwatch.events("/aws/lambda/f").into_iter().map(|event| event.message).collect();
        assert_eq!(messages, ["out\n", "err\n"]);
        process.end().await;
    }
}
