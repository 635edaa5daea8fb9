//! Instructions and memory of hostile content, by valgrind: for each family and three sizes, a process of its own reads the
//! content. A reader of more than linear effort shows as instructions a byte that grow with the size.

use crate::checks::output;
use anyhow::{Context as _, ensure};
use backend::{Client, HttpRequest, HttpResponse, Transport, TransportError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use forwarder::{Config, Event, Forwarder, InvocationContext, Options, Queues, SqsQueue};
use http::HeaderMap;
use platform::{
    Aggregator, Converter, Identity, Invocations, LogEventRef, LogSource, Names, PlatformOptions,
    Shape, TelemetryRecord, parse_batch,
};
use serde_json::json;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use test_support::hostile::{Family, PLAIN, Place, families};
use tokio::time::Instant;

/// Bytes of the smallest content. A datagram has at most 64 KiB.
const SMALLEST: usize = 64 * 1024;

/// Maximum cost of a line with a hostile head, as a multiple of a plain line of its length.
const MAX_OF_PLAIN: f64 = 3.0;

/// Maximum memory of an event.
const MAX_MIB: f64 = 100.0;

pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    if let ["--read", name, file] = arguments {
        return read(find(name)?, Path::new(file));
    }
    let wanted = |family: &&Family| {
        arguments.is_empty() || arguments.iter().any(|part| family.name.contains(part))
    };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("content");
    let mut idle = HashMap::new();
    let plain = Measured::of(&PLAIN, &file, &mut idle)?;
    println!(
        "| family | {} | growth | of a plain line | MiB |\n|---|---|---|---|---|---|---|",
        sizes()
    );
    let mut failed = Vec::new();
    for family in families().filter(wanted) {
        let measured = Measured::of(family, &file, &mut idle)?;
        let growth = measured.growth();
        let is_head = matches!(family.place, Place::Head | Place::Heads);
        let of_plain = if is_head { measured.largest() / plain.largest() } else { 0.0 };
        let [first, second, third] = measured.instructions;
        let shown = if is_head { format!("{of_plain:.2}") } else { "–".to_owned() };
        println!(
            "| {} | {first:.0} | {second:.0} | {third:.0} | {growth:.2} | {shown} | {:.0} |",
            family.name, measured.mib
        );
        if growth > family.max_growth || of_plain > MAX_OF_PLAIN || measured.mib > MAX_MIB {
            failed.push(family.name);
        }
    }
    ensure!(failed.is_empty(), "beyond a limit: {}", failed.join(", "));
    Ok(())
}

fn find(name: &str) -> anyhow::Result<&'static Family> {
    let mut all = families().chain([&PLAIN]);
    all.find(|family| family.name == name).with_context(|| format!("no family {name}"))
}

fn sizes() -> String {
    [1, 2, 4].map(|times| format!("{} KiB", times * SMALLEST / 1024)).join(" | ")
}

/// Processes that read nearly nothing, by the place.
type Idle = HashMap<String, IdleProcess>;

#[derive(Clone, Copy)]
struct IdleProcess {
    instructions: f64,
    mib: f64,
}

struct Measured {
    /// Instructions a byte in three sizes, each twice the one before.
    instructions: [f64; 3],
    /// Memory of the largest content, above that of none.
    mib: f64,
}

impl Measured {
    fn of(family: &Family, file: &Path, idle: &mut Idle) -> anyhow::Result<Self> {
        let sizes = match family.place {
            // The largest datagram.
            Place::XRay => [SMALLEST / 4, SMALLEST / 2, SMALLEST - 1024],
            _ => [SMALLEST, 2 * SMALLEST, 4 * SMALLEST],
        };
        let idle_process = match idle.entry(format!("{:?}", family.place)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let nothing = input(family.place, "x");
                *new.insert(IdleProcess {
                    instructions: counted(family, &nothing, file)?,
                    mib: memory(family, &nothing, file)?,
                })
            }
        };
        let mut instructions = [0.0; 3];
        for (of_size, bytes) in instructions.iter_mut().zip(sizes) {
            let input = input(family.place, &family.content(bytes));
            *of_size = (counted(family, &input, file)? - idle_process.instructions) / float(bytes);
        }
        let [.., largest] = sizes;
        let input = input(family.place, &family.content(largest));
        let mib = memory(family, &input, file)? - idle_process.mib;
        Ok(Self { instructions, mib })
    }

    fn growth(&self) -> f64 {
        let [smallest, .., largest] = self.instructions;
        largest / smallest
    }

    fn largest(&self) -> f64 {
        let [.., largest] = self.instructions;
        largest
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes far below 2^52")]
fn float(bytes: usize) -> f64 {
    bytes as f64
}

/// The instructions of a process that reads this input.
fn counted(family: &Family, input: &[u8], file: &Path) -> anyhow::Result<f64> {
    std::fs::write(file, input)?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
    let output = output(reading(valgrind.arg(std::env::current_exe()?), family, file))
        .context("valgrind counts the instructions; install it")?;
    let printed = String::from_utf8_lossy(&output.stderr);
    let (_, count) = printed
        .lines()
        .find_map(|line| line.split_once("refs:"))
        .context("valgrind gave no count")?;
    Ok(count.trim().replace(',', "").parse()?)
}

/// The peak memory of a process that reads this input, in MiB.
fn memory(family: &Family, input: &[u8], file: &Path) -> anyhow::Result<f64> {
    std::fs::write(file, input)?;
    let output = output(reading(&mut Command::new(std::env::current_exe()?), family, file))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse::<f64>()? / 1024.0)
}

fn reading<'c>(command: &'c mut Command, family: &Family, file: &Path) -> &'c mut Command {
    command.args(["hostile", "--read", family.name]).arg(file)
}

/// The input of a reader: the event of a subscription, or the content itself.
fn input(place: Place, content: &str) -> Vec<u8> {
    let (log_group, is_one) = match place {
        Place::Head | Place::LogEvent => ("/aws/lambda/orders", true),
        Place::Heads | Place::LogEvents => ("/aws/lambda/orders", false),
        Place::SpanLine => ("aws/spans", !content.contains('\n')),
        Place::Telemetry | Place::OtlpJson(_) | Place::XRay => return content.as_bytes().to_vec(),
    };
    let messages: Vec<&str> =
        if is_one { vec![content] } else { content.split_inclusive('\n').collect() };
    let log_events: Vec<_> = messages
        .iter()
        .map(|message| json!({"id": "1", "timestamp": 1_790_000_000_000_u64, "message": message}))
        .collect();
    let delivery = json!({"messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": log_group,
        "logStream": "2026/09/21/[$LATEST]abc", "subscriptionFilters": ["f"], "logEvents": log_events});
    let data = STANDARD.encode(wire::gzip::compress(1, delivery.to_string().as_bytes()));
    json!({"awslogs": {"data": data}}).to_string().into_bytes()
}

/// A backend that accepts everything at once.
struct Accepting;

impl Transport for Accepting {
    async fn send(&self, _: HttpRequest) -> Result<HttpResponse, TransportError> {
        Ok(HttpResponse { status: 200, headers: HeaderMap::new(), body: Bytes::new(), cut: false })
    }
}

/// Reads the content as the forwarder or the extension does, and prints the peak memory of this process in KiB.
fn read(family: &Family, file: &Path) -> anyhow::Result<()> {
    let content = std::fs::read(file)?;
    match family.place {
        Place::Telemetry => read_telemetry(&String::from_utf8_lossy(&content)),
        Place::OtlpJson(kind) => {
            let most = 16 * 1024 * 1024;
            drop(extension::read_body(kind, "application/json", "", false, content, most));
        }
        Place::XRay => drop(extension::read_datagram(&content, 1)),
        _ => forward(&content)?,
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    println!("{}", peak.trim().trim_end_matches(" kB"));
    Ok(())
}

fn forward(event: &[u8]) -> anyhow::Result<()> {
    let event: Event = serde_json::from_slice(event).context("no event")?;
    let endpoint = "http://127.0.0.1:9/api/default".to_owned();
    let variables = HashMap::from([("LAMBDA_OTLP_ENDPOINT".to_owned(), endpoint)]);
    let config = Config::from_source(&variables).0?;
    let client = Client::with_transport(&config.destination, Accepting)?;
    let destination = forwarder::default_destination(&config, client);
    let forwarder =
        Forwarder::new(vec![destination], Queues::<SqsQueue>::default(), Options::of(&config));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async {
        let deadline = Instant::now() + Duration::from_hours(1);
        let invocation = InvocationContext {
            observed_unix_nano: 1_790_000_000_000_000_000,
            deadline,
            queue_deadline: deadline,
            account: None,
        };
        let report = forwarder.forward(event, &invocation).await;
        ensure!(report.panics == 0, "a chunk panicked");
        Ok(())
    })
}

fn read_telemetry(body: &str) {
    let batch = parse_batch(body);
    let options = PlatformOptions {
        shape: Shape::default(),
        names: Names::default(),
        platform_logs_all: true,
    };
    let source =
        LogSource { log_group: "/aws/lambda/orders", log_stream: "s", account: "1", region: None };
    let mut aggregator = Aggregator::new(options.shape, options.names);
    let mut invocations = Invocations::default();
    let mut converter = Converter::new(Identity::of(&source), options, 1);
    for event in &batch.events {
        let of = |message| LogEventRef { id: "", time_ms: 1, message };
        match &event.record {
            TelemetryRecord::Platform(record) => {
                aggregator.add(&mut invocations, record, event.time_unix_nano.unwrap_or(1));
                converter.convert_platform_event(&of(event.text), (**record).clone(), true);
            }
            TelemetryRecord::Line { message, .. } => converter.convert_log_event(&of(message)),
        }
    }
    drop((aggregator.take(&mut invocations), converter.finish()));
}
