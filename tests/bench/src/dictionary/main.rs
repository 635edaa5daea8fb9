//! Trains the preset dictionary of compact lines, and writes it to a new file beside the current one.
//!
//! A released dictionary never changes, because lines are decoded with it for as long as they are kept: a new one gets a new
//! number. The services are of other instrumentations, versions and names than those that tests and benches use.

#![expect(clippy::print_stdout, reason = "the program names its file")]

mod cover;

use anyhow::Context as _;
use deflate::{Codes, Deflater, Preset};
use lambda_otlp_bench::corpus::{self, Function, Template};
use std::collections::BTreeSet;
use wire::compact::{Context, Encoder};

const FILE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/wire/src/compact/dictionary-new.bin");

const TEMPLATES: [&str; 12] = [
    include_str!("../corpus/training/rust_lite.txt"),
    include_str!("../corpus/training/ours_rust.txt"),
    include_str!("../corpus/training/python_old.txt"),
    include_str!("../corpus/training/node_old.txt"),
    include_str!("../corpus/training/java_old.txt"),
    include_str!("../corpus/training/go.txt"),
    include_str!("../corpus/training/messaging.txt"),
    include_str!("../corpus/training/platform.txt"),
    include_str!("../corpus/recorded/python_layer_http.txt"),
    include_str!("../corpus/recorded/python_distro_logs.txt"),
    include_str!("../corpus/recorded/node_layer_queue.txt"),
    include_str!("../corpus/recorded/node_http_only.txt"),
];
/// Things that no test or bench has services for.
const NAMES: [&str; 12] = [
    "tickets",
    "loans",
    "parcels",
    "menus",
    "lessons",
    "flights",
    "permits",
    "playlists",
    "recipes",
    "sensors",
    "surveys",
    "tenants",
];
const SERVICES: u64 = 60;
const QUARTERS: usize = 4;

/// Deflate reaches no further back.
const MOST_TEXT_BYTES: usize = 32 * 1024;
const SEGMENT: usize = 500;
/// Coarser counts that are tried if the codes of the exact ones have no header.
const MOST_COARSE: u32 = 100;

/// A sample of the dictionary's purpose.
struct Sample {
    /// The [skeleton](Encoder::skeleton) of a request.
    skeleton: Vec<u8>,
    /// The numbers of the groups it belongs to.
    groups: [usize; 2],
}

fn main() -> anyhow::Result<()> {
    let dictionary = train(&samples());
    std::fs::write(FILE, &dictionary).with_context(|| format!("cannot write {FILE}"))?;
    println!("{} bytes in {FILE}", dictionary.len());
    Ok(())
}

/// Skeletons of traces, logs and metrics of each kind of services. Functions use known instrumentations or others, so the groups
/// are the kinds of services, and quarters of the services of all kinds.
fn samples() -> Vec<Sample> {
    let mut encoder = Encoder::new(0, &[]);
    let mut samples = Vec::new();
    for ((kind, template), offset) in TEMPLATES.into_iter().enumerate().zip(0..) {
        let template = Template::new(template);
        for (service, number) in (0..SERVICES).enumerate() {
            let mut function = Function::new(&template, &NAMES, 1000 + offset * SERVICES + number);
            let traces = function.traces(number, 5);
            let root = function.traces(number + 1, 1);
            let logs = corpus::logs(&mut function, number, 3);
            let metrics = corpus::metrics(&mut function, number);
            let values = &function.values;
            let context = Context {
                function: &values.name,
                account: &values.account,
                log_stream: &values.stream,
                region: values.region,
            };
            for request in [&traces, &root, &logs, &metrics] {
                let skeleton = encoder.skeleton(&context, &[request]).to_vec();
                let groups = [kind, TEMPLATES.len() + service % QUARTERS];
                samples.push(Sample { skeleton, groups });
            }
        }
    }
    samples
}

/// Returns a dictionary's file: the codes' numbers of bits, then the text.
///
/// The codes are those of skeletons that the text was not trained with, as a function's are: each group is deflated with the text
/// of the samples outside it.
fn train(samples: &[Sample]) -> Vec<u8> {
    let text_without = |left_out: Option<usize>| {
        let others = samples
            .iter()
            .filter(|sample| !left_out.is_some_and(|group| sample.groups.contains(&group)));
        let others: Vec<&[u8]> = others.map(|sample| sample.skeleton.as_slice()).collect();
        cover::select(&others, MOST_TEXT_BYTES, SEGMENT)
    };
    let mut counts = [0; Codes::SYMBOLS];
    let mut deflater = Deflater::default();
    let groups: BTreeSet<usize> = samples.iter().flat_map(|sample| sample.groups).collect();
    for group in groups {
        let preset = Preset::new(text_without(Some(group)).into());
        for sample in samples.iter().filter(|sample| sample.groups.contains(&group)) {
            let more = deflater.count_symbols(&preset, &sample.skeleton);
            for (count, more) in counts.iter_mut().zip(more) {
                *count += more;
            }
        }
    }
    // Writers do not use codes whose header cannot end with a byte. Others are nearly as good.
    let mut codes =
        (1..=MOST_COARSE).map(|unit| Codes::of_counts(&counts.map(|count| count / unit)));
    let codes = codes.find(|codes| codes.header().is_some());
    let codes = codes.unwrap_or_else(|| Codes::of_counts(&counts));
    codes.lengths().chain(text_without(None)).collect()
}
