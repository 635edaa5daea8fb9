//! Answers of backends and proxies.

use super::fields;
use backend::{Client, HttpRequest, HttpResponse, Transport, TransportError};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;
use wire::protobuf::Writer;
use wire::{Request, SignalKind};

const SECRET: &str = "c2VjcmV0LXZhbHVl";

/// A backend with one answer to every request.
struct Answers(HttpResponse);

impl Transport for Answers {
    async fn send(&self, _: HttpRequest) -> Result<HttpResponse, TransportError> {
        Ok(self.0.clone())
    }
}

/// Status, content type, other headers as lines, and the body of an answer. Each item has one fate, and no text has the
/// credentials.
pub fn backend(data: &[u8]) {
    let ([first, content_type, others], body) = fields(data);
    let (profile, status_text) = first.split_once(' ').unwrap_or(("openobserve", first));
    let variables: HashMap<String, String> = [
        ("LAMBDA_OTLP_ENDPOINT", "http://127.0.0.1:9/api/default".to_owned()),
        ("LAMBDA_OTLP_BACKEND", if profile == "otlp" { "otlp" } else { "openobserve" }.to_owned()),
        ("LAMBDA_OTLP_HEADERS", format!("authorization=Basic {SECRET}")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let config = forwarder::Config::from_source(&variables).0.expect("the settings are valid");
    let header = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?))
    };
    let mut headers: HeaderMap = others.lines().filter_map(header).collect();
    if let Ok(content_type) = HeaderValue::from_str(content_type) {
        headers.insert(http::header::CONTENT_TYPE, content_type);
    }
    let status =
        status_text.parse().ok().filter(|status| (100..600).contains(status)).unwrap_or(200);
    let response = HttpResponse { status, headers, body: Bytes::copy_from_slice(body), cut: false };
    let client = Client::with_transport(&config.destination, Answers(response))
        .unwrap()
        .with_seeded_waits(1);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        for kind in SignalKind::ALL {
            let request = request(kind);
            let items = request.items();
            let deadline = Instant::now() + Duration::from_secs(30);
            let outcome = client.export(None, request, deadline).await;
            assert_eq!(outcome.items(), items, "{outcome:?}");
            assert!(outcome.ambiguous_items <= outcome.undelivered(), "{outcome:?}");
            let mut texts = vec![outcome.warning.clone()];
            texts.extend(outcome.parts.iter().map(|part| part.reason.to_string()));
            for text in texts {
                assert!(!text.contains(SECRET) && text.len() < 2_000, "{text}");
                assert!(!text.chars().any(char::is_control), "{text:?}");
            }
        }
    });
}

/// Three items: containers, scopes and items have the same field numbers in each signal, and a metric holds its points deeper.
fn request(kind: SignalKind) -> Request {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| {
        container.message(2, |scope| {
            for number in 1..=3_u8 {
                scope.message(2, |item| match kind {
                    SignalKind::Traces => {
                        item.bytes(1, &[number; 16]);
                        item.bytes(2, &[number; 8]);
                    }
                    SignalKind::Metrics => {
                        item.string(1, "m");
                        item.message(5, |gauge| gauge.message(1, |point| point.fixed64(3, 1)));
                    }
                    SignalKind::Logs => item.fixed64(1, 1),
                });
            }
        });
    });
    Request::trusted(kind, bytes)
}
