//! Test cases of other projects, read in place and not copied into this repository. Each test is skipped if they are absent.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, number_data_point};
use serde_json::Value;

use super::*;

/// The cases of a file; `None` if it is absent.
fn cases(name: &str) -> Option<Vec<Value>> {
    let above = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut files = above.map(|folder| folder.join("shared/samples/peers/foreign").join(name));
    let text = std::fs::read_to_string(files.find(|file| file.is_file())?).unwrap();
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Runs `check` on each case, and expects this many to pass and none to fail.
fn check_all(name: &str, expected: usize, check: impl Fn(&Value) -> Result<(), String>) {
    let Some(cases) = cases(name) else { return eprintln!("skipped: {name} is not here") };
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|case| Some(format!("{}: {}", case["case"], check(case).err()?)))
        .collect();
    println!("{name}: {} of {}", cases.len() - failed.len(), cases.len());
    assert_eq!((cases.len(), failed), (expected, Vec::new()));
}

/// Returns the difference, if any.
fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    actual: &T,
    expected: &T,
) -> Result<(), String> {
    if actual == expected {
        return Ok(());
    }
    Err(format!("{what}: {actual:?} where {expected:?} is expected"))
}

fn metrics_of<'a>(converted: &'a ConvertedLines, scope: &str) -> &'a [Metric] {
    let scopes = converted.metrics.iter().flat_map(|metrics| &metrics.scope_metrics);
    let mut scopes = scopes.filter(|of| of.scope.as_ref().unwrap().name == scope);
    scopes.next().map_or(&[], |scope| &scope.metrics)
}

fn double(value: Option<&number_data_point::Value>) -> f64 {
    render::number(value).parse().unwrap()
}

/// The sum of the values of each metric in each namespace, as in CloudWatch.
type Sums = BTreeMap<(String, String), f64>;

fn sums_of_points(metrics: &[Metric]) -> Sums {
    let mut sums = Sums::new();
    for metric in metrics {
        let points: Vec<(f64, &[_])> = match metric.data.as_ref().unwrap() {
            Data::Sum(sum) => sum
                .data_points
                .iter()
                .map(|point| (double(point.value.as_ref()), point.attributes.as_slice()))
                .collect(),
            Data::Gauge(gauge) => gauge
                .data_points
                .iter()
                .map(|point| (double(point.value.as_ref()), point.attributes.as_slice()))
                .collect(),
            Data::Histogram(histogram) => histogram
                .data_points
                .iter()
                .map(|point| (point.sum.unwrap(), point.attributes.as_slice()))
                .collect(),
            other => panic!("{other:?}"),
        };
        for (sum, attributes) in points {
            let namespace = attributes.iter().find(|pair| pair.key == names::CLOUDWATCH_NAMESPACE);
            let namespace = render::value(namespace.unwrap().value.as_ref().unwrap());
            *sums.entry((namespace, metric.name.clone())).or_default() += sum;
        }
    }
    sums
}

fn sums_of_document(document: &Value) -> Sums {
    let mut sums = Sums::new();
    for directive in document["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten() {
        for metric in directive["Metrics"].as_array().into_iter().flatten() {
            let Some(name) = metric["Name"].as_str() else { continue };
            let sum = match &document[name] {
                Value::Array(values) => values.iter().filter_map(Value::as_f64).sum(),
                value => match value.as_f64().or_else(|| value["Sum"].as_f64()) {
                    Some(sum) => sum,
                    None => continue,
                },
            };
            let namespace = directive["Namespace"].as_str().unwrap().to_owned();
            *sums.entry((namespace, name.to_owned())).or_default() += sum;
        }
    }
    sums
}

#[test]
fn emf_documents_yield_their_metric_sums() {
    check_all("emf.jsonl", 38, |case| {
        let line = case["line"].as_str().unwrap();
        let document = match case.get("emf") {
            Some(document) => document.clone(),
            None => serde_json::from_str(line).unwrap(),
        };
        let converted = lines(&[line], PlatformOptions::default());
        let sums = sums_of_points(metrics_of(&converted, names::EMF_SCOPE));
        let rounded = |sums: Sums| -> Vec<(_, String)> {
            sums.into_iter().map(|(key, sum)| (key, format!("{sum:.6}"))).collect()
        };
        same("sums", &rounded(sums), &rounded(sums_of_document(&document)))?;
        same("log records", &log_records(&converted), &1)?;
        let is_malformed = case.get("malformed").is_some() || line.contains(r#""text": "7""#);
        same("dropped", &converted.dropped_values, &usize::from(is_malformed))?;
        if line.starts_with('{') {
            return Ok(());
        }
        let records = render::log_records(converted.logs.as_ref().unwrap());
        let shown = render::record(&records[0].1);
        let id = document["requestId"].as_str().unwrap();
        same("has the request id", &shown.contains(&format!("faas.invocation_id={id}")), &true)?;
        same("repeats the metrics", &shown.contains("_aws="), &false)
    });
}
