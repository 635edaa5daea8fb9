//! CloudWatch's endpoints, in whose place a proxy leads to a fake backend.

use crate::requests::{NOW, numbered, send, shop};
use aws::{AwsSecretsSettings, Credentials, CredentialsSource, RequestSigner};
use lambda_otlp_backend::{Client, DestinationConfig, OwnAuthority, Profile, WrittenLogGroup};
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, metric::Data};
use opentelemetry_proto::tonic::trace::v1::Span;
use settings::{Proxy, Secret};
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use test_support::openobserve::{FakeOpenObserve, ScriptedResponse};
use test_support::proxy::{HttpProxy, ProxyAnswer};
use test_support::tls::{Authority, TlsFront};
use url::Url;
use wire::Request;

const TOKEN: &str = "token-of-a-role";

fn spans() -> Request {
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        start_time_unix_nano: NOW,
        end_time_unix_nano: NOW + 1,
        ..Span::default()
    };
    Request::of_spans(shop(), vec![span])
}

/// A gauge with this number of points.
fn points(count: usize) -> Request {
    let points = vec![NumberDataPoint { time_unix_nano: NOW, ..NumberDataPoint::default() }; count];
    let data = Some(Data::Gauge(Gauge { data_points: points }));
    Request::of_metrics(shop(), vec![Metric { name: "m".to_owned(), data, ..Metric::default() }])
}

/// A client of CloudWatch that sends to this backend, and what it signs with.
async fn client(backend: &FakeOpenObserve) -> (Client, Arc<RequestSigner>) {
    let authority = Authority::new("AWS");
    let front = TlsFront::start(backend, &authority, 2500).await;
    let proxy = HttpProxy::start(ProxyAnswer::LeadsTo(front.port())).await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(authority.pem().as_bytes()).unwrap();
    // The fake backend wants an organization.
    let url = Url::parse("https://xray.eu-west-1.amazonaws.com/api/default").unwrap();
    let mut destination = DestinationConfig::new(&url);
    destination.profile = Profile::Otlp;
    destination.headers.push("x-aws-log-group", "records").unwrap();
    destination.own_authority = Some(OwnAuthority::from_file(file.path()).unwrap());
    let proxy = Url::parse(&format!("http://{}", proxy.address())).unwrap();
    destination.proxy = Some(Proxy::new(&proxy));
    let written =
        |name: &str| WrittenLogGroup { name: name.to_owned(), region: "eu-west-1".to_owned() };
    assert_eq!(destination.written_log_groups(), ["aws/spans", "records"].map(written));
    let credentials = Credentials {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: Secret::new("key"),
        session_token: Some(Secret::new(TOKEN)),
    };
    let credentials = Some(CredentialsSource::Variables(credentials));
    let settings = AwsSecretsSettings { credentials, ..AwsSecretsSettings::default() };
    let signer = RequestSigner::new(&settings, || UNIX_EPOCH + Duration::from_nanos(NOW));
    (Client::new(&destination).unwrap(), Arc::new(signer))
}

#[tokio::test]
async fn each_signal_goes_to_its_own_host_with_a_signature_and_within_the_limits() {
    let backend = FakeOpenObserve::builder().clock(|| NOW).start().await.unwrap();
    let (client, signer) = client(&backend).await;
    let client = client.signed_by(&signer);
    assert_eq!(send(&client, spans()).await.accepted, 1);
    assert_eq!(send(&client, numbered(0..3)).await.accepted, 3);
    assert_eq!(send(&client, points(2500)).await.accepted, 2500);
    let requests = backend.requests();
    let seen: Vec<String> = requests
        .iter()
        .map(|request| {
            let text = |name: &str| request.headers[name].to_str().unwrap();
            assert_eq!(text("x-amz-security-token"), TOKEN);
            let (scope, _) = text("authorization").split_once("/aws4_request, ").unwrap();
            let service = scope.rsplit('/').next().unwrap();
            format!("{} {service} {} {}", text("host"), request.path, request.stored)
        })
        .collect();
    let metrics = "monitoring.eu-west-1.amazonaws.com monitoring /api/default/v1/metrics";
    assert_eq!(
        seen,
        [
            "xray.eu-west-1.amazonaws.com xray /api/default/v1/traces 1",
            "logs.eu-west-1.amazonaws.com logs /api/default/v1/logs 3",
            &format!("{metrics} 1000"),
            &format!("{metrics} 1000"),
            &format!("{metrics} 500"),
        ]
    );
}

#[tokio::test]
async fn nothing_is_sent_without_a_signature_and_no_reason_repeats_the_token() {
    let backend = FakeOpenObserve::builder().clock(|| NOW).start().await.unwrap();
    let (client, _) = client(&backend).await;
    let outcome = send(&client, spans()).await;
    let reason = outcome.parts[0].reason.to_string();
    assert!(reason.ends_with(": cannot sign the request: only the forwarder signs"), "{reason}");
    assert!(backend.requests().is_empty());
    let (client, signer) = self::client(&backend).await;
    let client = client.signed_by(&signer);
    let text = format!("The Canonical String should have been x-amz-security-token:{TOKEN}");
    let body = text.into_bytes();
    backend.script([ScriptedResponse::Response { status: 403, headers: Vec::new(), body }]);
    let outcome = send(&client, spans()).await;
    let reason = outcome.parts[0].reason.to_string();
    assert!(reason.contains("x-amz-security-token:****") && !reason.contains(TOKEN), "{reason}");
}
