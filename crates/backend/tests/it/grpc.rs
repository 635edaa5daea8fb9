//! OTLP over gRPC, as the extension sends it: the call that a server receives, and the meaning of each answer.

use bytes::Bytes;
use h2::server::{SendResponse, handshake};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use lambda_otlp_backend::{
    Client, Compression, DestinationConfig, Fate, HttpTransport, Outcome, Protocol,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::Instant;
use url::Url;
use wire::protobuf::Writer;
use wire::{Request as Otlp, SignalKind};

/// A log record of this body.
fn log_record(body: &str) -> Otlp {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |resource| {
        resource.message(2, |scope| {
            scope.message(2, |record| record.message(5, |value| value.string(1, body)));
        });
    });
    Otlp::trusted(SignalKind::Logs, bytes)
}

async fn export(client: &Client<HttpTransport>) -> Outcome {
    client.export(None, log_record("x"), Instant::now() + Duration::from_secs(20)).await
}

/// The answer to a call.
#[derive(Clone, Default)]
struct Answer {
    /// The HTTP status, if not 200.
    http: Option<u16>,
    message: Vec<u8>,
    /// The trailers: `grpc-status` and others.
    trailers: Vec<(&'static str, String)>,
    /// Closes the connection afterwards.
    last: bool,
}

fn status(code: u64, message: &str) -> Answer {
    let trailers = vec![("grpc-status", code.to_string()), ("grpc-message", message.to_owned())];
    Answer { trailers, ..Answer::default() }
}

/// An `ExportLogsServiceResponse` with this number of rejected records.
fn taken(rejected: u64, text: &str) -> Answer {
    let mut message = Vec::new();
    if rejected > 0 {
        Writer::new(&mut message).message(1, |partial| {
            partial.varint(1, rejected);
            partial.string(2, text);
        });
    }
    Answer { message, trailers: vec![("grpc-status", "0".to_owned())], ..Answer::default() }
}

fn details(type_url: &str, seconds: u64, nanos: u64) -> String {
    use base64::Engine as _;
    let mut delay = Vec::new();
    Writer::new(&mut delay).message(1, |delay| {
        delay.varint(1, seconds);
        delay.varint(2, nanos);
    });
    let mut status = Vec::new();
    Writer::new(&mut status).message(3, |any| {
        any.string(1, type_url);
        any.bytes(2, &delay);
    });
    base64::prelude::BASE64_STANDARD_NO_PAD.encode(status)
}

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// A call as the server received it.
struct Call {
    connection: usize,
    head: Request<()>,
    message: Vec<u8>,
}

#[derive(Clone)]
struct Server {
    url: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Server {
    /// Answers the calls in turn, and all further calls with the last answer.
    async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { url, calls: Arc::default() };
        let calls = Arc::clone(&server.calls);
        let answers = Arc::new(answers);
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (calls, answers) = (Arc::clone(&calls), Arc::clone(&answers));
                tokio::spawn(async move {
                    let mut incoming = handshake(stream).await.unwrap();
                    while let Some(Ok((request, respond))) = incoming.accept().await {
                        let (calls, answers) = (Arc::clone(&calls), Arc::clone(&answers));
                        let is_last = {
                            let number = calls.lock().unwrap().len();
                            answers[number.min(answers.len() - 1)].last
                        };
                        tokio::spawn(serve(connection, request, respond, calls, answers));
                        if is_last {
                            incoming.graceful_shutdown();
                        }
                    }
                });
            }
        });
        server
    }

    fn client(&self, change: impl FnOnce(&mut DestinationConfig)) -> Client<HttpTransport> {
        let mut destination =
            DestinationConfig::new(&Url::parse(&format!("{}/ignored", self.url)).unwrap());
        destination.headers.push("organization", "shop").unwrap();
        destination.headers.push("authorization", "Basic aHVudGVyMg==").unwrap();
        change(&mut destination);
        let transport = HttpTransport::by(&destination, Protocol::Grpc).unwrap();
        let client = Client::with_transport(&destination, transport).unwrap();
        client.without_retries()
    }
}

async fn serve(
    connection: usize,
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    calls: Arc<Mutex<Vec<Call>>>,
    answers: Arc<Vec<Answer>>,
) {
    let (head, mut body) = request.into_parts();
    let mut message = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        message.extend_from_slice(&piece);
    }
    let number = {
        let mut calls = calls.lock().unwrap();
        calls.push(Call { connection, head: Request::from_parts(head, ()), message });
        calls.len() - 1
    };
    let answer = &answers[number.min(answers.len() - 1)];
    let mut response = Response::builder().status(answer.http.unwrap_or(200)).header(
        "content-type",
        if answer.http.is_some() { "text/plain" } else { "application/grpc" },
    );
    let trailers: HeaderMap = answer
        .trailers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect();
    let is_ok = answer.trailers.iter().any(|(name, value)| *name == "grpc-status" && value == "0");
    if !is_ok && answer.message.is_empty() {
        // Without a message, the status is in the headers.
        response.headers_mut().unwrap().extend(trailers);
        respond.send_response(response.body(()).unwrap(), true).unwrap();
        return;
    }
    let mut stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
    let mut framed = vec![0];
    framed.extend(u32::try_from(answer.message.len()).unwrap().to_be_bytes());
    framed.extend_from_slice(&answer.message);
    stream.send_data(framed.into(), false).unwrap();
    stream.send_trailers(trailers).unwrap();
}

#[tokio::test]
async fn a_grpc_call_uses_its_method_and_destination_headers() {
    let server = Server::start(vec![taken(0, "")]).await;
    let client = server.client(|destination| destination.stream = Some("orders".to_owned()));
    let end = Instant::now() + Duration::from_secs(20);
    let mut expected = Vec::new();
    for kind in SignalKind::ALL {
        // One resource without scopes is enough to distinguish messages.
        let request = Otlp::counted(kind, b"\x0a\x00".to_vec(), 1);
        expected.push((kind.grpc_method(), request.bytes().to_vec()));
        assert_eq!(client.export(None, request, end).await.accepted, 1);
    }
    let calls = server.calls.lock().unwrap();
    for (call, (method, message)) in calls.iter().zip(&expected) {
        assert_eq!(call.head.uri().path(), *method);
        for (name, value) in [
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("grpc-encoding", "gzip"),
            ("organization", "shop"),
            ("authorization", "Basic aHVudGVyMg=="),
            ("user-agent", concat!("lambda-otlp/", env!("CARGO_PKG_VERSION"))),
        ] {
            assert_eq!(call.head.headers()[name], value);
        }
        assert_eq!(call.message[0], 1);
        let length = u32::from_be_bytes(call.message[1..5].try_into().unwrap());
        assert_eq!(length as usize, call.message.len() - 5);
        let inflated = wire::gzip::inflate(&call.message[5..], 1000).unwrap();
        assert_eq!(&inflated, message);
    }
    let streams: Vec<bool> =
        calls.iter().map(|call| call.head.headers().contains_key("stream-name")).collect();
    assert_eq!(streams, [true, false, true], "traces, metrics, logs");
    assert!(calls.iter().all(|call| call.connection == 0), "one connection serves all");
}

#[tokio::test]
async fn an_uncompressed_message_larger_than_the_window_is_sent() {
    let server = Server::start(vec![taken(0, "")]).await;
    let client = server.client(|destination| destination.compression = Compression::None);
    let body = "x".repeat(300_000);
    let outcome =
        client.export(None, log_record(&body), Instant::now() + Duration::from_secs(20)).await;
    assert_eq!(outcome.accepted, 1);
    let calls = server.calls.lock().unwrap();
    assert!(calls[0].message.len() > 300_000 && calls[0].message[0] == 0);
    assert!(!calls[0].head.headers().contains_key("grpc-encoding"));
}

#[tokio::test]
async fn a_connection_closed_with_goaway_is_replaced() {
    let server = Server::start(vec![Answer { last: true, ..taken(0, "") }]).await;
    let client = server.client(|_| ());
    for _ in 0..3 {
        let outcome = export(&client).await;
        assert_eq!((outcome.accepted, outcome.ambiguous_items), (1, 0), "{outcome:?}");
        // The server announces the end of the connection with GOAWAY.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    client.drop_connections().unwrap();
    assert_eq!(export(&client).await.accepted, 1);
    let connections: Vec<usize> =
        server.calls.lock().unwrap().iter().map(|call| call.connection).collect();
    assert_eq!(connections, [0, 1, 2, 3]);
}

/// The fate of one record as `fate: reason`, and the earliest retry.
async fn of(answer: Answer) -> (String, Option<u64>, usize) {
    let server = Server::start(vec![answer]).await;
    let outcome: Outcome = export(&server.client(|_| ())).await;
    assert_eq!(outcome.items(), 1);
    let text = match outcome.parts.first() {
        None => "taken".to_owned(),
        Some(part) => {
            let fate = match part.fate {
                Fate::Park => "later",
                Fate::ParkRefused => "refused",
                Fate::ParkWithAlarm => "never",
                Fate::DeadLetter => "dead",
                Fate::DeadLetterPartial => "rejected",
            };
            format!("{fate}: {}", part.reason)
        }
    };
    (text, outcome.retry_after.map(|after| after.as_secs()), outcome.ambiguous_items)
}

#[tokio::test]
async fn each_grpc_status_decides_fate_and_ambiguity() {
    let check = async |answer: Answer, expected: &str, ambiguous: usize| {
        let (text, retry_after, ambiguous_items) = of(answer).await;
        assert!(text.starts_with(expected), "{text}\nexpected {expected}");
        assert_eq!((retry_after, ambiguous_items), (None, ambiguous), "{text}");
    };
    check(taken(0, ""), "taken", 0).await;
    check(taken(1, "too old"), "rejected: rejected: too old", 0).await;
    for (code, message, answered, end, ambiguous) in [
        (14, "full", "later: answered", " (UNAVAILABLE): full", 0),
        (1, "", "later: answered", " (CANCELLED)", 1),
        (4, "", "later: answered", " (DEADLINE_EXCEEDED)", 1),
        (10, "", "later: answered", " (ABORTED)", 0),
        (11, "", "later: answered", " (OUT_OF_RANGE)", 0),
        (15, "", "later: answered", " (DATA_LOSS)", 1),
        (16, "who?", "never: answered", " (UNAUTHENTICATED): who?", 0),
        (7, "", "never: answered", " (PERMISSION_DENIED)", 0),
        (12, "", "never: answered", " (UNIMPLEMENTED)", 0),
        (3, "%C3%A9", "refused: answered", " (INVALID_ARGUMENT): é", 0),
        (8, "quota", "later: answered", " (RESOURCE_EXHAUSTED): quota", 0),
        (8, "message larger than max", "refused: answered", " (RESOURCE_EXHAUSTED)", 0),
        (11, "length too large", "refused: answered", " (OUT_OF_RANGE)", 0),
        (99, "", "never: answered", "", 0),
    ] {
        let expected = format!("{answered} gRPC's status {code}{end}");
        check(status(code, message), &expected, ambiguous).await;
    }
    let of_proxy = Answer { http: Some(502), message: b"proxy".to_vec(), ..Answer::default() };
    check(of_proxy, "later: answered 502 Bad Gateway", 1).await;
    let endless = Answer { message: b"x".to_vec(), ..Answer::default() };
    check(endless, "later: no answer from 127.0.0.1", 1).await;
}

#[tokio::test]
async fn the_retry_delay_is_read_from_the_status_details() {
    let longest = details(RETRY_INFO, u64::MAX, u32::MAX.into());
    let other = details("type.googleapis.com/google.rpc.ErrorInfo", 2, 0);
    for (code, details, fate, after) in [
        (14, details(RETRY_INFO, 2, 0), "later: answered gRPC", Some(2)),
        (14, details(RETRY_INFO, 2, 1), "later: answered gRPC", Some(3)),
        (14, longest, "later: answered gRPC", Some(24 * 3600)),
        (8, details(RETRY_INFO, 0, 50_000_000), "later: answered gRPC", Some(1)),
        (8, details(RETRY_INFO, 0, 0) + "==", "later: answered gRPC", Some(0)),
        (8, other, "later: answered gRPC", None),
        (14, "no base64".to_owned(), "later: answered gRPC", None),
    ] {
        let mut answer = status(code, "");
        answer.trailers.push(("grpc-status-details-bin", details.clone()));
        let (text, retry_after, _) = of(answer).await;
        assert!(text.starts_with(fate), "{text}");
        assert_eq!(retry_after, after, "{code} {details}");
    }
    // With a delay, this is no limit of the message.
    let mut answer = status(8, "usage larger than the quota");
    answer.trailers.push(("grpc-status-details-bin", details(RETRY_INFO, 1, 0)));
    assert_eq!(of(answer).await.1, Some(1));
}

#[tokio::test]
async fn credentials_echoed_in_a_grpc_status_are_masked() {
    let (text, _, _) = of(status(14, "cannot take Basic aHVudGVyMg%3D%3D")).await;
    assert!(text.ends_with("cannot take ****"), "{text}");
}
