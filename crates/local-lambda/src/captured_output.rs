//! The output of a process: its standard output and error, read from their pipes and split into lines.

use crate::cloudwatch::{LogWriter, MAX_EVENT_BYTES};
use crate::lock;
use crate::telemetry::{Category, Telemetry};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use tokio::net::unix::pipe::Receiver;
use tokio::task::JoinHandle;

const PIPE_BUFFER_BYTES: usize = 65_536;

/// The destination of the lines that a function, or its extensions, print.
#[derive(Debug, Clone)]
pub(crate) struct LineDestination {
    pub(crate) writer: Arc<LogWriter>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) category: Category,
}

impl LineDestination {
    fn write(&self, bytes: &[u8]) {
        let line = String::from_utf8_lossy(bytes);
        self.telemetry.emit_line(self.category, &line);
        self.writer.line(line.into_owned());
    }
}

/// The pipes of a process's standard output and error, with the tasks that read them.
#[derive(Debug)]
pub(crate) struct OutputPipes {
    pipes: Vec<Arc<OutputPipe>>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct OutputPipe {
    read_end: Receiver,
    lines: Mutex<LineSplitter>,
    destination: LineDestination,
}

/// New pipes, and their ends for the process.
pub(crate) struct NewOutputPipes {
    pub(crate) pipes: OutputPipes,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

impl NewOutputPipes {
    /// Makes the two pipes and begins to read them.
    pub(crate) fn open(destination: &LineDestination) -> io::Result<Self> {
        let (stdout_reader, stdout) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr_reader, stderr) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let pipes = vec![
            OutputPipe::new(stdout_reader, destination)?,
            OutputPipe::new(stderr_reader, destination)?,
        ];
        let readers = pipes.iter().map(|pipe| tokio::spawn(Arc::clone(pipe).read_on())).collect();
        Ok(Self { pipes: OutputPipes { pipes, readers }, stdout, stderr })
    }
}

impl OutputPipes {
    /// Writes the content of the pipes. If the process is stopped or dead, this is all its output.
    pub(crate) fn drain(&self) {
        for pipe in &self.pipes {
            pipe.read_until_empty();
        }
    }

    /// Writes the rest of the output, including a last line without a line feed. For a process that has ended.
    pub(crate) fn finish(&self) {
        self.drain();
        for pipe in &self.pipes {
            lock(&pipe.lines).finish(|line| pipe.destination.write(line));
        }
    }

    /// Leaves further output in the pipes, until `drain`.
    pub(crate) fn stop_reading(&self) {
        for reader in &self.readers {
            reader.abort();
        }
    }
}

impl Drop for OutputPipes {
    fn drop(&mut self) {
        self.stop_reading();
    }
}

/// The state of a pipe after a read.
#[derive(Debug, PartialEq, Eq)]
enum AfterRead {
    Empty,
    Closed,
    MoreToRead,
}

impl OutputPipe {
    fn new(read_end: OwnedFd, destination: &LineDestination) -> io::Result<Arc<Self>> {
        // This makes only the reading end non-blocking: the process must find an ordinary pipe.
        let read_end = Receiver::from_owned_fd(read_end)?;
        let lines = Mutex::new(LineSplitter::new(MAX_EVENT_BYTES));
        Ok(Arc::new(Self { read_end, lines, destination: destination.clone() }))
    }

    async fn read_on(self: Arc<Self>) {
        while self.read_end.readable().await.is_ok() {
            // With `WouldBlock`, tokio waits for the next bytes.
            let read = self.read_end.try_io(|| match self.read() {
                AfterRead::Empty => Err(io::ErrorKind::WouldBlock.into()),
                read => Ok(read),
            });
            if matches!(read, Ok(AfterRead::Closed)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    fn read_until_empty(&self) {
        // The bound is met only by a process that could not be stopped and writes faster than we read.
        for _ in 0..1024 {
            if self.read() != AfterRead::MoreToRead {
                return;
            }
        }
    }

    /// Reads one buffer from the system, because tokio may not have seen the newest bytes.
    fn read(&self) -> AfterRead {
        let mut buffer = vec![0; PIPE_BUFFER_BYTES];
        // Held over the read, so that the reader task and `drain` cannot exchange their buffers' order.
        let mut lines = lock(&self.lines);
        match rustix::io::read(&self.read_end, &mut buffer) {
            Ok(0) => AfterRead::Closed,
            Ok(length) => {
                let read = buffer.get(..length).unwrap_or_default();
                lines.push(read, |line| self.destination.write(line));
                AfterRead::MoreToRead
            }
            Err(Errno::INTR) => AfterRead::MoreToRead,
            Err(Errno::AGAIN) => AfterRead::Empty,
            Err(_) => AfterRead::Closed,
        }
    }
}

/// Cuts a stream of bytes into lines with their line feeds, and longer lines into pieces without.
#[derive(Debug)]
struct LineSplitter {
    pending: Vec<u8>,
    max_bytes: usize,
}

impl LineSplitter {
    fn new(max_bytes: usize) -> Self {
        Self { pending: Vec::new(), max_bytes }
    }

    fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let room = self.max_bytes - self.pending.len();
            let window = bytes.get(..room).unwrap_or(bytes);
            let line_end = window.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let (taken, rest) = bytes.split_at(line_end.unwrap_or(window.len()));
            self.pending.extend_from_slice(taken);
            bytes = rest;
            if line_end.is_some() || self.pending.len() == self.max_bytes {
                line(&self.pending);
                self.pending.clear();
            }
        }
    }

    fn finish(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.pending.is_empty() {
            line(&self.pending);
            self.pending.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_split_into_lines_across_reads() {
        #[track_caller]
        fn check(reads: &[&str], expected: &[&str]) {
            let mut splitter = LineSplitter::new(4);
            let mut lines = Vec::new();
            for read in reads {
                splitter.push(read.as_bytes(), |line| {
                    lines.push(String::from_utf8_lossy(line).into_owned());
                });
            }
            splitter.finish(|line| lines.push(String::from_utf8_lossy(line).into_owned()));
            assert_eq!(lines, expected);
        }
        check(&[""], &[]);
        check(&["a\n"], &["a\n"]);
        check(&["a\nb\n"], &["a\n", "b\n"]);
        check(&["a", "b", "\nc"], &["ab\n", "c"]);
        check(&["\n\n"], &["\n", "\n"]);
        check(&["abc\n"], &["abc\n"]);
        check(&["abcd\n"], &["abcd", "\n"]);
        check(&["abcde\n"], &["abcd", "e\n"]);
        check(&["ab", "cdefghi", "j\n"], &["abcd", "efgh", "ij\n"]);
    }
}
