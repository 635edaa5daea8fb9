//! Neither the extension nor the forwarder keeps more memory the more invocations, request ids, log streams and functions it has
//! seen. The tests count allocated bytes, each in a process of its own.

mod extension_process;
mod forwarder_process;
mod http_peer;

use cap::Cap;
use std::alloc::System;
use std::process::Command;
use tokio::runtime::Builder;

/// Counts what each process of this test allocates; the other tests only pass through it.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// The number of invocations; `cargo xtask load --invocations` sets more.
const INVOCATIONS: &str = "GROWTH_INVOCATIONS";
/// So few show a growth of about 300 bytes an invocation; 4,000 also show 150.
const SHORT: u64 = 1_200;
/// The parts of a run. The first ones fill tables and buffers.
const PARTS: usize = 6;
const FIRST: usize = 2;
/// The last part may have this many bytes more than the first one with full tables.
const SLACK: usize = 48 * 1024;

#[expect(clippy::disallowed_methods, reason = "variables of the tests")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn given() -> Option<u64> {
    variable(INVOCATIONS).map(|text| text.parse().unwrap())
}

/// The least number of allocated bytes after an invocation, in each part of the run.
#[derive(Debug)]
pub(crate) struct Growth {
    invocations: u64,
    least: Vec<usize>,
}

impl Growth {
    /// The number of invocations to make, and their record.
    pub(crate) fn new() -> (u64, Self) {
        let number = given().unwrap_or(SHORT);
        (number, Self { invocations: number, least: vec![usize::MAX; PARTS] })
    }

    pub(crate) fn note(&mut self, invocation: u64) {
        let part = self.part(invocation);
        self.least[part] = self.least[part].min(ALLOCATOR.allocated());
    }

    /// Returns `true` for the parts that fill tables and buffers.
    pub(crate) fn is_first(&self, invocation: u64) -> bool {
        self.part(invocation) < FIRST
    }

    fn part(&self, invocation: u64) -> usize {
        usize::try_from(invocation * PARTS as u64 / self.invocations).unwrap()
    }

    pub(crate) fn check(self, what: &str, slack: usize) {
        let Self { invocations, least } = self;
        println!("{what}: {invocations} invocations, at least {least:?} bytes in each part");
        let begin = least[FIRST];
        let end = least[PARTS - 1];
        assert!(end <= begin + slack, "{what} grows with its invocations: {least:?}");
    }
}

/// Names the process that the test is to be.
const PROCESS: &str = "GROWTH_PROCESS";
const FORWARDER: &str = "forwarder";
const EXTENSION: &str = "extension";
const DIRECT_MODE: &str = "direct mode";

#[test]
fn no_process_grows_with_its_invocations() {
    if let Some(process) = variable(PROCESS) {
        return run(&process);
    }
    // The buffer of direct mode fills for 20 s before it is sent, so a short run says nothing.
    let processes = [EXTENSION, FORWARDER].into_iter().chain(given().map(|_| DIRECT_MODE));
    let start = |name| {
        let mut test = Command::new(std::env::current_exe().unwrap());
        test.args(["growth::no_process_grows_with_its_invocations", "--exact", "--nocapture"]);
        (name, test.env(PROCESS, name).spawn().unwrap())
    };
    // All at once.
    let processes: Vec<_> = processes.map(start).collect();
    for (name, mut process) in processes {
        assert!(process.wait().unwrap().success(), "{name}");
    }
}

fn run(process: &str) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(process == FORWARDER)
        .build()
        .unwrap();
    match process {
        FORWARDER => runtime.block_on(forwarder_process::a_forwarder()),
        EXTENSION => runtime.block_on(extension_process::an_extension_that_writes_lines()),
        DIRECT_MODE => runtime.block_on(extension_process::an_extension_that_sends()),
        other => panic!("{PROCESS} is {other}"),
    }
}
