//! What both transports are held against.

use lambda_otlp_backend::{Client, Outcome, OwnAuthority, Transport};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use simulator::sink::tls::{Authority, TlsFront};
use std::io::Write as _;
use std::time::Duration;
use tokio::time::Instant;
use wire::Request;

/// The present of the sinks.
pub(crate) const NOW: u64 = 1_785_500_000_000_000_000;

/// As the forwarder would find it in its package.
pub(crate) fn trusting(authority: &Authority) -> OwnAuthority {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(authority.pem().as_bytes()).unwrap();
    OwnAuthority::from_file(file.path()).unwrap()
}

/// One record.
pub(crate) async fn export<T: Transport>(client: &Client<T>) -> Outcome {
    let record = LogRecord { time_unix_nano: NOW, ..Default::default() };
    let scope = ScopeLogs { log_records: vec![record], ..Default::default() };
    let resource = ResourceLogs { scope_logs: vec![scope], ..Default::default() };
    let request =
        Request::encode::<wire::Logs>(&ExportLogsServiceRequest { resource_logs: vec![resource] });
    client.export(None, request, Instant::now() + Duration::from_secs(10)).await
}

/// One handshake for two exports, and another one after the connections were dropped.
pub(crate) async fn keeps_connections_until_they_are_dropped<T: Transport>(
    client: &Client<T>,
    front: &TlsFront,
) {
    let export_twice = async || {
        for _ in 0..2 {
            assert_eq!(export(client).await.accepted, 1);
        }
        front.handshakes()
    };
    assert_eq!(export_twice().await, 1);
    client.drop_connections().unwrap();
    assert_eq!(export_twice().await, 2);
}
