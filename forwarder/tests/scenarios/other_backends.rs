//! The backends of `docs/backends.md`, with the settings that it states, through a proxy that leads to a stand-in. The stand-in
//! mirrors our reading of their documentation.

use crate::support::{
    Backend as AnyBackend, Telemetry, config, fixture, incoming, invocation, line_of, payload,
    repository, takes, variables,
};
use aws::{AwsSecrets, RequestSigner, SECRET_LIFETIME};
use backend::{Client, Profile, Signals};
use expect_test::expect_file;
use lambda_otlp_forwarder::{
    Config, Event, Export, Forwarder, Options, Queues, Report, SqsQueue, default_destination,
    wall_clock_now,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Metric, NumberDataPoint, Sum,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs::{read_to_string, write};
use std::sync::{Arc, Mutex};
use tempfile::NamedTempFile;
use test_support::Comparison;
use test_support::backends::{Backend, Deltas, FACTS, StandIn};
use test_support::proxy::{HttpProxy, ProxyAnswer};
use test_support::secrets::{SecretAnswer, SecretServer};
use test_support::tls::{Authority, TlsFront};
use url::Url;
use wire::{Request, SignalKind};

/// The time of the fixtures.
const NOW: u64 = 1_790_000_000_000_000_000;

/// All but OpenObserve, whose fake is more than a stand-in.
fn backends() -> Vec<Backend> {
    let mut all = Backend::read_all(&read_to_string(repository(FACTS)).unwrap()).unwrap();
    all.retain(|backend| backend.name != "OpenObserve");
    // A user for whom Datadog has enabled traces.
    let mut enabled = all.iter().find(|it| it.name == "Datadog").unwrap().clone();
    enabled.signals.append(&mut enabled.on_request);
    enabled.set = String::new();
    all.push(enabled);
    all
}

/// A value in the place of each word of the user's.
fn endpoint(backend: &Backend) -> String {
    let filled = backend.endpoint.replace('…', "prod-eu-west-2").replace("REGION", "eu-west-1");
    filled.replace("HOST", "backend.example.internal")
}

/// A stand-in, and the variables of a forwarder that sends to it.
struct Scene {
    stand_in: StandIn,
    variables: HashMap<String, String>,
    secrets: SecretServer,
    _authority: NamedTempFile,
}

impl Scene {
    async fn new(backend: &Backend) -> Self {
        let endpoint = endpoint(backend);
        let url = Url::parse(&endpoint).unwrap();
        let stand_in = StandIn::start(backend, url.path().trim_end_matches('/')).await.unwrap();
        let hosts = [url.host_str().unwrap(), "*.eu-west-1.amazonaws.com"];
        let authority = Authority::of_names("Test", &hosts);
        let file = NamedTempFile::new().unwrap();
        write(file.path(), authority.pem()).unwrap();
        let port = match url.scheme() {
            "https" => TlsFront::speaking(stand_in.address(), &authority, 2500, &[]).await.port(),
            _ => stand_in.address().port(),
        };
        let proxy = HttpProxy::start(ProxyAnswer::LeadsTo(port)).await;
        let secret = backend.secret.clone().unwrap_or_default();
        let secrets = SecretServer::start(SecretAnswer::Value(secret)).await.unwrap();
        let mut variables = variables(
            &endpoint,
            &[
                ("LAMBDA_OTLP_BACKEND", "otlp"),
                ("LAMBDA_OTLP_PROXY", &format!("http://{}", proxy.address())),
                ("LAMBDA_OTLP_CA_FILE", file.path().to_str().unwrap()),
                ("AWS_ENDPOINT_URL", &secrets.endpoint()),
                ("AWS_REGION", "eu-west-1"),
                ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
                ("AWS_SECRET_ACCESS_KEY", "key"),
            ],
        );
        let mut set = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
        if backend.secret.is_some() {
            set("LAMBDA_OTLP_SECRET", "ssm:/backend");
        }
        for (parameter, value) in backend.set.split(' ').filter_map(|it| it.split_once('=')) {
            set(&format!("LAMBDA_OTLP_{}", parameter.to_uppercase()), value);
        }
        if backend.backend == "cloudwatch" {
            // As the template does.
            set("LAMBDA_OTLP_HEADERS", "x-aws-log-group=records,x-aws-log-stream=records");
        }
        Self { stand_in, variables, secrets, _authority: file }
    }

    /// Forwards events with these variables.
    async fn forward(&self, events: Vec<Event>) -> Result<Vec<Report>, String> {
        let config =
            Config::from_source(&self.variables).0.map_err(|mistakes| mistakes.to_string())?;
        let secrets = Arc::new(AwsSecrets::new(config.secrets.clone(), wall_clock_now));
        let signer = Arc::new(RequestSigner::new(&config.secrets, wall_clock_now));
        let client = Client::authorized(&config.destination, &secrets, SECRET_LIFETIME).unwrap();
        Ok(forward(&config, client.signed_by(&signer), events).await)
    }
}

async fn forward<E: Export>(config: &Config, export: E, events: Vec<Event>) -> Vec<Report> {
    let destinations = vec![default_destination(config, export)];
    let queues = Queues::<SqsQueue>::default();
    let forwarder = Forwarder::new(destinations, queues, Options::of(config));
    let mut reports = Vec::new();
    for event in events {
        reports.push(forwarder.forward(event, &invocation()).await);
    }
    reports
}

/// The fixtures.
fn events() -> Vec<Event> {
    let names = ["otlp-only", "text-mixed", "large", "wrapped", "oldclient", "old-metrics-only"];
    names.into_iter().map(|name| fixture(&format!("awslogs-{name}"))).collect()
}

/// More spans, records and data points than the backends with low limits take in one request.
fn large_events() -> Vec<Event> {
    let mut random = fastrand::Rng::with_seed(103);
    let mut text = |length: usize| (0..length).map(|_| random.alphanumeric()).collect::<String>();
    let line = |request: &Request| line_of(request.bytes(), request.kind().as_str());
    let lines: Vec<String> = (0..130).map(|_| text(12_000)).collect();
    let spans: Vec<String> = (0..40)
        .map(|number: u8| {
            let value = Some(AnyValue { value: Some(Value::StringValue(text(90_000))) });
            let span = Span {
                trace_id: vec![1; 16],
                span_id: vec![number + 1; 8],
                start_time_unix_nano: NOW,
                end_time_unix_nano: NOW + 1,
                attributes: vec![KeyValue { key: "text".to_owned(), value, ..KeyValue::default() }],
                ..Span::default()
            };
            line(&Request::of_spans(None, vec![span]))
        })
        .collect();
    let points = (0..2_500).map(|number| NumberDataPoint {
        time_unix_nano: NOW + number,
        value: Some(Number::AsInt(1)),
        ..NumberDataPoint::default()
    });
    let sum = Sum {
        data_points: points.collect(),
        aggregation_temporality: AggregationTemporality::Delta as i32,
        is_monotonic: true,
    };
    let metric =
        Metric { name: "many".to_owned(), data: Some(Data::Sum(sum)), ..Metric::default() };
    let metrics = vec![line(&Request::of_metrics(None, vec![metric]))];
    let event = |messages: Vec<String>| {
        let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
        incoming(&payload("/aws/lambda/orders", &messages))
    };
    [lines, spans, metrics].map(event).into()
}

/// Each span, record and data point as text.
fn items(requests: &[Request]) -> Vec<String> {
    let telemetry = Telemetry::of(requests);
    let spans = telemetry.spans().map(|span| format!("{span:?}"));
    let records = telemetry.records().map(|record| format!("{record:?}"));
    let points = telemetry.metrics().flat_map(|metric| {
        let points: Vec<String> = match metric.data.as_ref().unwrap() {
            Data::Sum(sum) => sum.data_points.iter().map(|it| format!("{it:?}")).collect(),
            Data::Gauge(gauge) => gauge.data_points.iter().map(|it| format!("{it:?}")).collect(),
            Data::Histogram(of) => of.data_points.iter().map(|it| format!("{it:?}")).collect(),
            other => vec![format!("{other:?}")],
        };
        points.into_iter().map(|point| format!("{} {point}", metric.name)).collect::<Vec<_>>()
    });
    spans.chain(records).chain(points).collect()
}

/// What a backend that takes everything gets of these events.
async fn everything(events: Vec<Event>) -> Vec<Request> {
    let sent = Mutex::new(Vec::new());
    let keeps = AnyBackend(|request: &Request| {
        sent.lock().unwrap().push(request.clone());
        takes(request)
    });
    let mut config = config();
    config.platform.shape = platform::Shape::Otlp;
    config.destination.profile = Profile::Otlp;
    for report in forward(&config, keeps, events).await {
        assert_eq!(undelivered(&report), 0, "{report:?}");
    }
    sent.into_inner().unwrap()
}

/// The items that weren't accepted, without the line of the fixtures that can't be read.
fn undelivered(report: &Report) -> usize {
    let parts = report.undelivered.iter().filter(|part| part.signal.is_some());
    parts.map(|part| part.items).sum()
}

/// Returns `true` for the totals that a backend of deltas refuses.
fn is_total(request: &Request) -> bool {
    let telemetry = Telemetry::of(std::slice::from_ref(request));
    telemetry.metrics().any(|metric| match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => sum.aggregation_temporality == AggregationTemporality::Cumulative as i32,
        Data::Histogram(histogram) => {
            histogram.aggregation_temporality == AggregationTemporality::Cumulative as i32
        }
        _ => false,
    })
}

/// The part of all telemetry that a backend has to get, and the numbers of items that it doesn't.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shares {
    expected: Vec<String>,
    /// What its setting leaves out.
    not_taken: usize,
    /// Totals, if it takes only deltas.
    refused: usize,
}

impl Shares {
    fn of(backend: &Backend, signals: &Signals, everything: Vec<Request>) -> Self {
        let mut shares = Self::default();
        for (telemetry, part) in everything.into_iter().flat_map(backend::Telemetry::divide) {
            if !signals.take(telemetry) {
                shares.not_taken += part.items();
                continue;
            }
            // Item by item.
            for part in part.split_by_size(1) {
                if backend.deltas == Deltas::Required && is_total(&part) {
                    shares.refused += part.items();
                } else {
                    shares.expected.extend(items(&[part]));
                }
            }
        }
        shares
    }
}

#[tokio::test]
async fn each_backend_gets_every_item_that_it_takes_with_the_documented_settings() {
    for backend in backends() {
        let name = &backend.name;
        let scene = Scene::new(&backend).await;
        let signals = scene.variables.get("LAMBDA_OTLP_SIGNALS");
        let signals = signals.map_or_else(Signals::default, |it| Signals::parse(it).unwrap());
        // Otherwise, ours is lower.
        let has_low_limit = SignalKind::ALL.into_iter().any(|kind| {
            let limit = backend.limit(kind).filter(|_| signals.include(kind));
            limit.is_some_and(|limit| limit.bytes < 4 << 20)
        });
        let all = || {
            let large = if has_low_limit { large_events() } else { Vec::new() };
            events().into_iter().chain(large).collect::<Vec<Event>>()
        };
        let reports = scene.forward(all()).await.unwrap();
        let Shares { expected, not_taken, refused } =
            Shares::of(&backend, &signals, everything(all()).await);
        assert!(!expected.is_empty(), "{name}");
        let Comparison { missing, repeated, unexpected, .. } =
            Comparison::of(expected, items(&scene.stand_in.accepted()));
        let wrong = [&missing, &repeated, &unexpected].map(Vec::len);
        assert_eq!(wrong, [0; 3], "{name}: {:.300}", missing.join("\n"));
        let sum = |count: fn(&Report) -> usize| reports.iter().map(count).sum::<usize>();
        assert_eq!(
            (sum(|report| report.not_taken), sum(undelivered)),
            (not_taken, refused),
            "{name}"
        );
        let statuses: BTreeSet<u16> = scene.stand_in.refused().into_iter().collect();
        // The forwarder knows CloudWatch's limits.
        let is_divided = has_low_limit && backend.backend != "cloudwatch";
        let too_large = is_divided.then_some(backend.answers.size);
        let totals = (refused > 0).then_some(400);
        assert_eq!(statuses, too_large.into_iter().chain(totals).collect(), "{name}");
    }
}

/// A mistake of a user in the settings of a backend.
struct Mistake {
    what: &'static str,
    make: fn(&mut Scene, &Backend) -> bool,
}

/// Each returns `false` if the backend's settings don't allow it.
const MISTAKES: [Mistake; 6] = [
    Mistake {
        what: "another key",
        make: |scene, backend| {
            let Some(secret) = &backend.secret else { return false };
            let wrong = format!("{secret}-of-another");
            scene.secrets.answer(SecretAnswer::Value(wrong));
            true
        },
    },
    Mistake {
        what: "no secret",
        make: |scene, _| scene.variables.remove("LAMBDA_OTLP_SECRET").is_some(),
    },
    Mistake {
        what: "no log group for records",
        make: |scene, backend| {
            let is_needed = !backend.headers.is_empty();
            is_needed && scene.variables.remove("LAMBDA_OTLP_HEADERS").is_some()
        },
    },
    Mistake {
        what: "all signals",
        make: |scene, _| scene.variables.remove("LAMBDA_OTLP_SIGNALS").is_some(),
    },
    Mistake {
        what: "the path of traces",
        make: |scene, backend| {
            let endpoint = format!("{}/v1/traces", endpoint(backend).trim_end_matches('/'));
            scene.variables.insert("LAMBDA_OTLP_ENDPOINT".to_owned(), endpoint);
            true
        },
    },
    Mistake {
        what: "another path",
        make: |scene, backend| {
            let endpoint = format!("{}/other", endpoint(backend).trim_end_matches('/'));
            scene.variables.insert("LAMBDA_OTLP_ENDPOINT".to_owned(), endpoint);
            true
        },
    },
];

#[tokio::test]
async fn a_wrong_setting_of_each_backend_gets_an_error_with_its_remedy() {
    let mut text = String::new();
    let mut names = BTreeSet::new();
    for backend in backends() {
        if !names.insert(backend.name.clone()) {
            continue;
        }
        writeln!(text, "{}", backend.name).unwrap();
        for Mistake { what, make } in MISTAKES {
            let mut scene = Scene::new(&backend).await;
            if !make(&mut scene, &backend) {
                continue;
            }
            let events = ["otlp-only", "text-mixed"].map(|it| fixture(&format!("awslogs-{it}")));
            writeln!(text, "  {what}").unwrap();
            let mut reasons: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
            match scene.forward(events.into()).await {
                Ok(reports) => {
                    for part in reports.iter().flat_map(|report| &report.undelivered) {
                        let Some(signal) = part.signal else { continue };
                        // Only the path differs.
                        let reason = format!("{:?}: {}", part.fate, part.reason)
                            .replace(signal.as_str(), "SIGNAL");
                        reasons.entry(reason).or_default().insert(signal.as_str());
                    }
                }
                Err(mistakes) => writeln!(text, "    {mistakes}").unwrap(),
            }
            for (reason, signals) in reasons {
                let signals: Vec<&str> = signals.into_iter().collect();
                writeln!(text, "    {}: {reason}", signals.join(", ")).unwrap();
            }
        }
    }
    expect_file![repository("forwarder/tests/fixtures/other-backends.txt")].assert_eq(&text);
}
