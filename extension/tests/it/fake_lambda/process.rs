//! The extension's process with a scripted Lambda: signals, and few file descriptors.

use crate::fake_lambda::direct::{always, delivered, started_backend, to};
use crate::fake_lambda::support::{
    self, Call, FIRST, MINUTE, TIME, TIMEOUT, invoke, post, read, runtime_done, shutdown, traces,
};
use local_lambda::{HttpServer, free_port};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io;
use std::net::SocketAddr;
use std::process::{Output, Stdio};
use test_support::openobserve::ScriptedResponse;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;
use wire::SignalKind;

/// What the process left.
struct Ended {
    spans: usize,
    spilled: usize,
    log: String,
}

struct Process {
    _api: HttpServer,
    calls: mpsc::Receiver<Call>,
    child: Child,
    receiver: SocketAddr,
    telemetry: String,
}

impl Process {
    /// Starts the process up to its first `next`, with this limit of descriptors.
    async fn start(descriptors: Option<u32>, variables: &[(&str, &str)]) -> (Self, Call) {
        let (api, mut calls) = support::api().await;
        let port = free_port();
        let limit = descriptors.map(|most| format!("ulimit -n {most} && ")).unwrap_or_default();
        let child = Command::new("sh")
            .args(["-c", &format!("{limit}exec \"$0\"")])
            .arg(env!("CARGO_BIN_EXE_lambda-otlp-extension"))
            .env_clear()
            .envs(variables.iter().copied())
            .env("AWS_LAMBDA_RUNTIME_API", api.address().to_string())
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "10240")
            .env("OTEL_LAMBDA_RECEIVER_PORT", port.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        called(&mut calls).await.answer(200, "{}");
        let subscribe = called(&mut calls).await;
        let uri = subscribe.json()["destination"]["URI"].as_str().unwrap().to_owned();
        subscribe.answer(200, "OK");
        let next = called(&mut calls).await;
        let receiver = SocketAddr::from(([127, 0, 0, 1], port));
        let telemetry = uri.strip_prefix("http://").unwrap().to_owned();
        (Self { _api: api, calls, child, receiver, telemetry }, next)
    }

    async fn next(&mut self) -> Call {
        called(&mut self.calls).await
    }

    fn telemetry_port(&self) -> SocketAddr {
        self.telemetry.split('/').next().unwrap().parse().unwrap()
    }

    async fn spans(&self, number: u64) -> io::Result<u16> {
        let headers = [("content-type", "application/x-protobuf")];
        let authority = self.receiver.to_string();
        let body = traces(number);
        Ok(post(&authority, SignalKind::Traces.path(), &headers, &body).await?.status)
    }

    async fn deliver(&self, body: &[u8]) -> io::Result<u16> {
        let (authority, path) = self.telemetry.split_once('/').unwrap();
        Ok(post(authority, &format!("/{path}"), &[], body).await?.status)
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.try_into().unwrap()));
        kill_process(pid.unwrap(), signal).unwrap();
    }

    async fn ended(self) -> Ended {
        let ended = timeout(TIMEOUT, self.child.wait_with_output()).await.expect("it ends");
        let Output { status, stdout, stderr } = ended.unwrap();
        let log = String::from_utf8(stderr).unwrap();
        assert!(status.success(), "{status}: {log}");
        let stdout = String::from_utf8(stdout).unwrap();
        let of_traces = |lines: &mut dyn Iterator<Item = &str>| {
            let requests = lines.map(read).filter(|request| request.kind() == SignalKind::Traces);
            requests.map(|request| request.items()).sum()
        };
        let spans = of_traces(&mut stdout.lines());
        let mut spilled = stdout.lines().filter(|line| line.contains("\"spill\":true"));
        Ended { spans, spilled: of_traces(&mut spilled), log }
    }
}

async fn called(calls: &mut mpsc::Receiver<Call>) -> Call {
    timeout(TIMEOUT, calls.recv()).await.expect("a call").unwrap()
}

fn body(events: &[Value]) -> Vec<u8> {
    serde_json::to_vec(events).unwrap()
}

/// Lambda sends SHUTDOWN. Emulators and container tools send the signal.
#[tokio::test]
async fn sigterm_ends_the_extension_as_shutdown_does() {
    let backend = always(ScriptedResponse::Status(503)).await;
    let variables = to(&backend, &[("O2_FLUSH_INTERVAL_MS", "60000")]);
    let (process, next) = Process::start(None, &variables).await;
    next.answer(200, invoke(FIRST, MINUTE));
    assert_eq!(process.spans(3).await.unwrap(), 200);
    process.signal(Signal::TERM);
    let ended = process.ended().await;
    // And the span of the running invocation.
    assert_eq!(ended.spilled, 3 + 1, "{}", ended.log);
    // Without a backend.
    let (process, next) = Process::start(None, &[]).await;
    next.answer(200, invoke(FIRST, MINUTE));
    assert_eq!(process.spans(3).await.unwrap(), 200);
    process.signal(Signal::TERM);
    assert_eq!(process.ended().await.spans, 3 + 1);
}

#[tokio::test]
async fn connections_never_take_the_descriptors_of_lambdas_calls() {
    let backend = started_backend().await;
    for variables in [Vec::new(), to(&backend, &[])] {
        let (mut process, mut next) = Process::start(Some(20), &variables).await;
        let mut unfinished = Vec::new();
        for number in 1..=3 {
            let request_id = format!("request-{number}");
            next.answer(200, invoke(&request_id, MINUTE));
            for port in [process.receiver, process.telemetry_port()] {
                for _ in 0..40 {
                    let mut connection = TcpStream::connect(port).await.unwrap();
                    // The other end may have closed it already.
                    connection.write_all(b"POST /v1/traces HTTP/1.1\r\nhost: a\r\n").await.ok();
                    unfinished.push(connection);
                }
            }
            // SDKs and Lambda repeat a request whose connection was closed.
            while !matches!(process.spans(1).await, Ok(200)) {}
            while !matches!(process.deliver(&body(&[runtime_done(&request_id)])).await, Ok(200)) {}
            next = process.next().await;
        }
        next.answer(200, shutdown("spindown"));
        let ended = process.ended().await;
        if variables.is_empty() {
            assert_eq!(ended.spans, 3 + 3, "{}", ended.log);
        } else {
            assert_eq!(delivered(&backend) + ended.spilled, 3, "{}", ended.log);
        }
    }
}

/// Events have words of up to 2 KiB, and many invocations may be open.
#[tokio::test]
async fn telemetry_of_open_invocations_keeps_the_process_below_64_mb() {
    const AT_ONCE: usize = 20;
    let managed = ("AWS_LAMBDA_INITIALIZATION_TYPE", "lambda-managed-instances");
    let (mut process, next) = Process::start(None, &[managed]).await;
    let mut stdout = process.child.stdout.take().unwrap();
    let drained =
        tokio::spawn(async move { tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await });
    let word = "w".repeat(2048);
    let parts = vec![json!({"name": word, "durationMs": 1}); 32];
    for first in (0..1000).step_by(AT_ONCE) {
        let event = |number| {
            json!({"time": TIME, "type": "platform.start", "record": {
                "requestId": format!("request-{number}"), "version": word, "spans": parts,
            }})
        };
        let events: Vec<Value> = (first..first + AT_ONCE).map(event).collect();
        let delivery = body(&events);
        while !matches!(process.deliver(&delivery).await, Ok(200)) {}
    }
    let path = format!("/proc/{}/status", process.child.id().unwrap());
    let status = std::fs::read_to_string(path).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kibibytes: usize = peak.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    assert!(kibibytes < 64 * 1024, "{peak}");
    next.answer(200, shutdown("spindown"));
    process.ended().await;
    assert!(drained.await.unwrap().unwrap() > 0);
}
