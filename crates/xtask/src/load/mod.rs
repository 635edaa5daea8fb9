//! Sustained load on the forwarder and on the layer, each as a real process in the local Lambda. Every log line and span has a
//! number, and each number must arrive as often as it was sent.

mod backend;
mod picture;
mod telemetry;

use crate::checks;
use crate::openobserve::Server;
use anyhow::{Context as _, bail, ensure};
use backend::Backend;
use http::{HeaderMap, Method};
use picture::Curve;
use serde_json::json;
use simulator::{FunctionSpec, InvocationResult, Lambda, binaries};
use std::collections::HashMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

pub(crate) const USAGE: &str = "load [--seconds N] [--picture FILE]";

const SECONDS: u64 = 60;
/// Different events, which the forwarder gets in turn.
const EVENTS: u32 = 16;
/// Requests a second into the layer's receiver, and their spans: 10,000 spans a second.
const REQUESTS_A_SECOND: u32 = 100;
const SPANS_OF_REQUEST: u32 = 100;

pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let (mut seconds, mut picture) = (SECONDS, None);
    for argument in arguments.chunks(2) {
        match argument {
            ["--seconds", number] => seconds = number.parse().context("--seconds: not a number")?,
            ["--picture", file] => picture = Some(*file),
            _ => bail!("cargo xtask {USAGE}"),
        }
    }
    let duration = Duration::from_secs(seconds);
    let programs = programs(&checks::root()?)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start tokio")?;
    let curves = runtime.block_on(async {
        anyhow::Ok([forwarder(&programs, duration).await?, layer(&programs, duration).await?])
    })?;
    if let Some(file) = picture {
        std::fs::write(file, picture::draw(&curves)).with_context(|| file.to_owned())?;
    }
    Ok(())
}

fn programs(root: &Path) -> anyhow::Result<HashMap<String, PathBuf>> {
    // Link-time optimisation takes minutes, and changes little here.
    let settings = ["profile.release.lto='off'", "profile.release.codegen-units=16"];
    let settings = settings.iter().flat_map(|setting| ["--config", setting]);
    let binaries = ["lambda-otlp-forwarder", "lambda-otlp-extension", "demo-function"];
    let binaries = binaries.iter().flat_map(|binary| ["--bin", binary]);
    let arguments: Vec<&str> = ["--release"].into_iter().chain(settings).chain(binaries).collect();
    Ok(binaries::build_with(root, &arguments)?)
}

/// One environment of the forwarder, which gets the next event as soon as it answers.
async fn forwarder(
    programs: &HashMap<String, PathBuf>,
    duration: Duration,
) -> anyhow::Result<Curve> {
    let backend = Backend::start().await?;
    let lambda = Arc::new(Lambda::start().await?);
    let forwarder =
        FunctionSpec::new("forwarder", binaries::find(programs, "lambda-otlp-forwarder")?);
    let forwarder = forwarder.timeout(Duration::from_mins(1));
    lambda.create_function(forwarder.env("LAMBDA_OTLP_ENDPOINT", backend.endpoint()))?;
    let events: Vec<telemetry::Event> = (0..EVENTS).map(telemetry::event).collect();
    let sent = Arc::new(AtomicU64::new(0));
    let sampling = Sampling::begin(Arc::clone(&sent), {
        let lambda = Arc::clone(&lambda);
        move || lambda.environments("forwarder").first()?.pid
    });
    let begun = Instant::now();
    let mut invocations = 0;
    while begun.elapsed() < duration {
        let Some(event) = events.get(invocations % events.len()) else { break };
        match lambda.invoke("forwarder", &event.json).await?.result {
            InvocationResult::Response(_) => {}
            other => bail!("the forwarder failed: {other:?}"),
        }
        sent.fetch_add(event.bytes, Ordering::Relaxed);
        invocations += 1;
    }
    let curve = sampling.end("forwarder", "MB/s", 1e6)?;
    let log = lambda.log_events("forwarder");
    let complaint = log.iter().find(|event| event.message.contains("\"ERROR\""));
    let complaint = complaint.map(|event| event.message.clone());
    ensure!(complaint.is_none(), "the forwarder: {complaint:?}");
    let (mut missing, mut repeated) = (0, 0);
    for (index, event) in events.iter().enumerate() {
        let times = invocations / events.len() + usize::from(index < invocations % events.len());
        let [lost, again] = backend.differences(event.numbers.clone(), u32::try_from(times)?);
        (missing, repeated) = (missing + lost, repeated + again);
    }
    let numbers: usize = events.iter().map(|event| event.numbers.len()).sum();
    report(&curve, numbers * invocations / events.len(), [missing, repeated])?;
    Ok(curve)
}

/// The layer in direct mode beside a function that waits, while a client sends spans to the layer's receiver.
async fn layer(programs: &HashMap<String, PathBuf>, duration: Duration) -> anyhow::Result<Curve> {
    let backend = Backend::start().await?;
    let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
    let extensions = scratch.path().join("layer/extensions");
    std::fs::create_dir_all(&extensions)?;
    let extension = binaries::find(programs, "lambda-otlp-extension")?;
    std::os::unix::fs::symlink(extension, extensions.join("lambda-otlp-extension"))?;
    let lambda = Arc::new(Lambda::start().await?);
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let function = FunctionSpec::new("orders", binaries::find(programs, "demo-function")?)
        .timeout(duration + Duration::from_secs(5))
        .layer(scratch.path().join("layer"))
        .env("DEMO_LEDGER", scratch.path().join("ledger").to_string_lossy())
        .env("OTEL_LAMBDA_RECEIVER_PORT", port.to_string())
        .env("LAMBDA_OTLP_ENDPOINT", backend.endpoint())
        .env("LAMBDA_OTLP_OUTPUT", "otlp");
    lambda.create_function(function)?;
    lambda.invoke("orders", json!({"action": "ok"}).to_string()).await?;
    let sent = Arc::new(AtomicU64::new(0));
    let sampling = Sampling::begin(Arc::clone(&sent), {
        let lambda = Arc::clone(&lambda);
        move || Some(lambda.environments("orders").first()?.extensions.first()?.pid)
    });
    // The receiver answers while the handler waits for its timeout; the environment is not frozen then.
    let waiting = lambda.invoke("orders", json!({"action": "timeout"}).to_string());
    let sending = async {
        let numbers = send_spans(port, duration, &sent).await?;
        anyhow::Ok((numbers, sampling.end("layer", "spans/s", 1.0)?))
    };
    let (waited, sent) = tokio::join!(waiting, sending);
    waited?;
    let (numbers, curve) = sent?;
    lambda.recycle("orders").await?;
    report(&curve, numbers as usize, backend.differences(0..numbers, 1))?;
    Ok(curve)
}

/// Sends requests at a constant rate; returns the number of spans.
async fn send_spans(port: u16, duration: Duration, sent: &AtomicU64) -> anyhow::Result<u32> {
    let receiver = Server::new(&format!("http://127.0.0.1:{port}"), "", "")?;
    let mut ticks = interval(Duration::from_secs(1) / REQUESTS_A_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let begun = Instant::now();
    let mut numbers = 0;
    while begun.elapsed() < duration {
        ticks.tick().await;
        let request = telemetry::spans(numbers..numbers + SPANS_OF_REQUEST);
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, "application/x-protobuf".parse()?);
        let body = request.into_bytes().into();
        let answer = receiver.send(Method::POST, "/v1/traces", headers, body).await?;
        ensure!(answer.status().is_success(), "the receiver answered {}", answer.status());
        numbers += SPANS_OF_REQUEST;
        sent.fetch_add(u64::from(SPANS_OF_REQUEST), Ordering::Relaxed);
    }
    Ok(numbers)
}

/// Measures throughput and memory every second.
struct Sampling(JoinHandle<()>, Arc<Mutex<Vec<(u64, f64)>>>);

impl Sampling {
    fn begin(sent: Arc<AtomicU64>, pid: impl Fn() -> Option<u32> + Send + 'static) -> Self {
        let samples: Arc<Mutex<Vec<(u64, f64)>>> = Arc::default();
        let taken = Arc::clone(&samples);
        let task = tokio::spawn(async move {
            let mut ticks = interval(Duration::from_secs(1));
            loop {
                ticks.tick().await;
                let Some(mib) = pid().and_then(resident_mib) else { continue };
                let sample = (sent.load(Ordering::Relaxed), mib);
                taken.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
            }
        });
        Self(task, samples)
    }

    /// `unit` is the number of bytes or items in a unit of the throughput.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn end(self, name: &'static str, throughput: &'static str, unit: f64) -> anyhow::Result<Curve> {
        self.0.abort();
        let samples = std::mem::take(&mut *self.1.lock().unwrap_or_else(PoisonError::into_inner));
        ensure!(samples.len() > 3, "{name}: the run was too short for a curve");
        let rate = |pair: &[(u64, f64)]| match pair {
            [(earlier, _), (later, _)] => (later - earlier) as f64 / unit,
            _ => 0.0,
        };
        let rates = samples.windows(2).map(rate).collect();
        let memory = samples.iter().map(|(_, mib)| *mib).collect();
        Ok(Curve { name, unit: throughput, rates, memory })
    }
}

fn resident_mib(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// Prints a row. Fails if a number is missing or repeated, or if the memory grew.
fn report(curve: &Curve, items: usize, [missing, repeated]: [usize; 2]) -> anyhow::Result<()> {
    let Curve { name, unit, rates, memory } = curve;
    #[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    let most = |part: &[f64]| part.iter().copied().fold(0.0, f64::max);
    let (middle, last) = (memory.len() / 3, memory.len() * 2 / 3);
    let before = most(memory.get(..last).unwrap_or_default().get(middle..).unwrap_or_default());
    let after = most(memory.get(last..).unwrap_or_default());
    println!(
        "{name}: {} s, {mean:.1} {unit}, {items} items, {missing} missing, {repeated} repeated, {before:.0} MiB in the second \
         third, {after:.0} MiB in the last",
        rates.len()
    );
    ensure!(missing + repeated == 0, "{name}: items are missing or repeated");
    ensure!(after <= before * 1.05 + 1.0, "{name}: its memory grows");
    Ok(())
}
