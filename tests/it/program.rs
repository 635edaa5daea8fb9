//! Programs that tests run: their output, and their end.

use std::io::Write as _;
use std::process::{Child, Command, Output};

/// What a program that has ended printed, and its exit code.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code().unwrap(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

/// Runs a command to its end, with this standard input if it has a pipe for it.
pub(crate) fn run_to_end(command: &mut Command, input: &str) -> Ended {
    let mut child = command.spawn().unwrap();
    if let Some(mut stdin) = child.stdin.take() {
        // A program that refuses the input may have ended.
        stdin.write_all(input.as_bytes()).ok();
    }
    Ended::new(child.wait_with_output().unwrap())
}

/// A process that ends with the test.
pub(crate) struct Served {
    pub(crate) process: Child,
}

impl Served {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self { process: command.spawn().unwrap() }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
