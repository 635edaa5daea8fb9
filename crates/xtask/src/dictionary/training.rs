//! The training set: services of other instrumentations, versions and names than those that tests and benches use.

use lambda_otlp_bench::corpus::{self, Function, Template};
use wire::compact::{Context, Encoder, Sample};

const TEMPLATES: [&str; 8] = [
    include_str!("training/rust_lite.txt"),
    include_str!("training/ours_rust.txt"),
    include_str!("training/python_old.txt"),
    include_str!("training/node_old.txt"),
    include_str!("training/java_old.txt"),
    include_str!("training/go.txt"),
    include_str!("training/messaging.txt"),
    include_str!("training/platform.txt"),
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

/// Skeletons of traces, logs and metrics of each kind of services. Functions use known instrumentations or others, so the groups
/// are the kinds of services, and quarters of the services of all kinds.
pub(crate) fn samples() -> Vec<Sample> {
    let mut encoder = Encoder::new(0, (&[]).into());
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
                let groups = vec![kind, TEMPLATES.len() + service % QUARTERS];
                samples.push(Sample { skeleton, groups });
            }
        }
    }
    samples
}
