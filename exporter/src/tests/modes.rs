//! The modes, with an Extensions API played by the test.

use super::driver::{Function, attribute, block_on, context, succeed};
use crate::extension::Mode;
use crate::lambda_otel_lite::create_traced_handler;
use lambda_runtime::LambdaEvent;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// An Extensions API, with one extension.
struct Api {
    address: String,
    /// Each request line.
    requests: Receiver<String>,
    /// The answer to the next request for an event.
    events: SyncSender<&'static str>,
}

const REGISTERED: &str =
    "HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: e-1\r\nContent-Length: 2\r\n\r\n{}";
const REFUSED: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
/// The driver's invocation.
const INVOKE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 73\r\n\r\n\
    {\"eventType\":\"INVOKE\",\"requestId\":\"3da1f2dc-3222-475e-9205-e2e6c6318895\"}";
/// Closes the connection without an answer.
const CLOSED: &str = "";

impl Api {
    /// Answers the registration with this.
    fn start(registration: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (request, requests) = sync_channel(100);
        let (events, event) = sync_channel::<&str>(100);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                while let Some(line) = read_request(&mut connection) {
                    let is_registration = line.contains("register");
                    request.send(line).unwrap();
                    // The test is over when no more events come.
                    let answer = if is_registration { Ok(registration) } else { event.recv() };
                    let Ok(answer) = answer else { return };
                    if answer == CLOSED {
                        break;
                    }
                    connection.write_all(answer.as_bytes()).unwrap();
                }
            }
        });
        Self { address, requests, events }
    }

    fn function(
        &self,
        mode: &str,
        variables: &[(&str, &str)],
        gate: impl Fn(Duration) -> io::Result<()> + Send + Sync + 'static,
    ) -> Function {
        let own = [
            ("AWS_LAMBDA_RUNTIME_API", self.address.as_str()),
            ("LAMBDA_EXTENSION_SPAN_PROCESSOR_MODE", mode),
        ];
        let variables: Vec<_> = own.into_iter().chain(variables.iter().copied()).collect();
        let function = Function::with_gate(&variables, gate);
        std::fs::remove_file(wire::invocation_record::path(&self.address)).ok();
        function
    }

    fn asked(&self) -> String {
        self.requests.recv_timeout(Duration::from_secs(60)).unwrap()
    }
}

/// Reads a request, which the client writes at once: its first line and its body. `None` at the end of the connection.
fn read_request(connection: &mut TcpStream) -> Option<String> {
    let mut buffer = [0; 4096];
    let bytes = connection.read(&mut buffer).ok().filter(|bytes| *bytes > 0)?;
    let (head, body) = std::str::from_utf8(&buffer[..bytes]).unwrap().split_once("\r\n\r\n")?;
    Some(format!("{} {body}", head.lines().next()?).trim().to_owned())
}

/// The messages of writes that begin, a sender of permissions to go on, and the gate that needs them.
fn gate() -> (Receiver<()>, SyncSender<()>, impl Fn(Duration) -> io::Result<()> + Send + Sync) {
    let (begins, began) = sync_channel(10);
    let (go_on, goes_on) = sync_channel(10);
    let goes_on = Mutex::new(goes_on);
    let gate = move |_| {
        begins.send(()).unwrap();
        goes_on.lock().unwrap().recv().unwrap();
        Ok(())
    };
    (began, go_on, gate)
}

#[test]
fn async_mode_writes_between_the_response_and_the_next_event() {
    let api = Api::start(REGISTERED);
    let (began, go_on, gate) = gate();
    let function = api.function("async", &[], gate);
    assert_eq!(
        api.asked(),
        r#"POST /2020-01-01/extension/register HTTP/1.1 {"events":["INVOKE"]}"#
    );
    assert_eq!(api.asked(), "GET /2020-01-01/extension/event/next HTTP/1.1");
    api.events.send(INVOKE).unwrap();
    // Nothing is written yet, and the response is there.
    function.invoke();
    began.recv().unwrap();
    assert!(api.requests.try_recv().is_err(), "the invocation is not over");
    go_on.send(()).unwrap();
    assert_eq!(api.asked(), "GET /2020-01-01/extension/event/next HTTP/1.1");
    assert_eq!(function.output.take_lines().len(), 1);
}

#[test]
fn an_unavailable_mode_becomes_sync() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let refuses = Api::start(REFUSED);
    let accepts = Api::start(REGISTERED);
    let snapshot = ("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start");
    for (why, mode, variables) in [
        ("outside Lambda", "async", vec![]),
        ("nobody listens", "async", vec![("AWS_LAMBDA_RUNTIME_API", &*nobody)]),
        ("refused", "async", vec![("AWS_LAMBDA_RUNTIME_API", &*refuses.address)]),
        ("refused", "finalize", vec![("AWS_LAMBDA_RUNTIME_API", &*refuses.address)]),
        ("SnapStart", "async", vec![("AWS_LAMBDA_RUNTIME_API", &*accepts.address), snapshot]),
    ] {
        let mode = [("LAMBDA_EXTENSION_SPAN_PROCESSOR_MODE", mode)];
        let function = Function::with_variables(&[&mode[..], &variables].concat());
        assert!(matches!(function.completion.telemetry.mode(), Mode::Sync), "{why}");
        function.invoke();
        assert_eq!(function.span().name, "orders", "{why}");
    }
    assert!(accepts.requests.try_recv().is_err(), "it is not registered");
}

#[test]
fn async_mode_retries_the_api_and_writes_spans_once() {
    let api = Api::start(REGISTERED);
    let function = api.function("async", &[], |_| Ok(()));
    api.asked();
    for round in 0..3 {
        assert_eq!(api.asked(), "GET /2020-01-01/extension/event/next HTTP/1.1", "{round}");
        api.events.send(if round < 2 { CLOSED } else { INVOKE }).unwrap();
        function.invoke();
    }
    assert_eq!(api.asked(), "GET /2020-01-01/extension/event/next HTTP/1.1");
    // Whichever thread wrote them: each once.
    assert_eq!(function.written().spans.len(), 3);
}

#[test]
fn concurrent_invocations_are_each_written_once_in_every_mode() {
    for mode in ["sync", "async", "finalize"] {
        let api = Api::start(REGISTERED);
        let managed = [("AWS_LAMBDA_INITIALIZATION_TYPE", "lambda-managed-instances")];
        let function = api.function(mode, &managed, |_| Ok(()));
        let handler = create_traced_handler("orders", function.completion.clone(), succeed);
        if mode != "sync" {
            let registered = r#"POST /2020-01-01/extension/register HTTP/1.1 {"events":[]}"#;
            assert_eq!(api.asked(), registered, "such instances take no INVOKE");
        }
        thread::scope(|scope| {
            for of_thread in 0..8 {
                let handler = &handler;
                scope.spawn(move || {
                    for number in 0..25 {
                        let mut context = context();
                        context.request_id = format!("r-{of_thread}-{number}");
                        let event = LambdaEvent::new(json!({}), context);
                        block_on(handler(event)).unwrap();
                    }
                });
            }
        });
        let mut roots = BTreeSet::new();
        if mode == "finalize" {
            let written = function.written();
            assert_eq!(written.lines, [""; 0]);
            roots = written.roots;
            function.completion.force_flush(Duration::from_secs(60)).unwrap();
        }
        let mut spans = Vec::new();
        while spans.len() < 200 {
            let written = function.written();
            roots.extend(written.roots);
            spans.extend(written.spans);
        }
        let named = |span: &Span| {
            let request_id = attribute(span, "faas.invocation_id").unwrap();
            (request_id.trim_matches('"').to_owned(), span.trace_id.clone())
        };
        let named: BTreeSet<_> = spans.iter().map(named).collect();
        let traces: BTreeSet<_> = spans.iter().map(|span| &span.trace_id).collect();
        assert_eq!((spans.len(), traces.len()), (200, 200), "{mode}");
        // Each root line names the trace that the spans have.
        assert_eq!(roots, named, "{mode}");
        while !function.completion.telemetry.invocations.is_outside() {
            assert_eq!(mode, "async", "only its thread may be a little later");
            thread::yield_now();
        }
    }
}

#[test]
fn force_flush_times_out_and_shutdown_writes_the_rest() {
    let (began, go_on, gate) = gate();
    let function = Function::with_gate(&[], gate);
    tracing::info_span!("first").in_scope(|| ());
    let moment = Duration::from_millis(1);
    let late = function.completion.force_flush(moment).unwrap_err();
    assert_eq!(
        late.to_string(),
        opentelemetry_sdk::error::OTelSdkError::Timeout(moment).to_string()
    );
    began.recv().unwrap();
    go_on.send(()).unwrap();
    go_on.send(()).unwrap();
    tracing::info_span!("second").in_scope(|| ());
    function.completion.shutdown(Duration::from_secs(60)).unwrap();
    assert_eq!(function.output.take_lines().len(), 2);
    tracing::info_span!("too late").in_scope(|| ());
    function.completion.force_flush(Duration::from_secs(60)).unwrap_err();
    assert_eq!(function.output.take_lines(), [""; 0]);
}
