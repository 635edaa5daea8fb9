//! OTLP/JSON of random requests, compared with opentelemetry-proto's own writer and reader.

use super::JsonError;
use crate::random_request::Random;
use crate::request::{Limits, Request};
use crate::signal::{Logs, Metrics, Signal, SignalKind, Traces};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use proptest::prelude::*;

fn read<S: Signal>(json: &str) -> Result<S::Request, JsonError> {
    let request = Request::from_json(S::KIND, json.as_bytes(), &Limits::default())?;
    Ok(request.decode::<S>().unwrap().unwrap())
}

/// Our reader reads opentelemetry-proto's output as the same message. It writes an attribute without a value as `null`, and an
/// empty value inside an array as an object without keys.
fn agrees<S: Signal>(request: &Request) -> Result<(), TestCaseError>
where
    S::Request: PartialEq + std::fmt::Debug,
{
    let request = request.decode::<S>().unwrap().unwrap();
    let json = serde_json::to_string(&request).unwrap();
    let ours = read::<S>(&json).map_err(|error| TestCaseError::fail(format!("{error}: {json}")))?;
    prop_assert_eq!(&ours, &request, "{}", json);
    // The other way: its own reader gets the same from the JSON.
    let theirs: S::Request = serde_json::from_str(&json).unwrap();
    prop_assert_eq!(&ours, &theirs, "{}", json);
    // Our output is read as the same bytes.
    let request = Request::encode::<S>(&request);
    let written = request.to_json();
    let read = Request::from_json(S::KIND, written.as_bytes(), &Limits::default()).unwrap();
    // prost writes a `oneof` before its neighbours of lower numbers, so the order may differ.
    prop_assert_eq!(read.bytes().len(), request.bytes().len(), "{}", written);
    prop_assert_eq!(&read.decode::<S>().unwrap().unwrap(), &ours, "{}", written);
    let again = Request::from_json(S::KIND, read.to_json().as_bytes(), &Limits::default()).unwrap();
    prop_assert_eq!(again.bytes(), read.bytes(), "{}", written);
    Ok(())
}

proptest! {
    #[test]
    fn requests_survive_json(seed: u64) {
        let mut random = Random::new(seed);
        random.eighths = true;
        let request = random.request();
        match request.kind() {
            SignalKind::Traces => agrees::<Traces>(&request)?,
            SignalKind::Metrics => agrees::<Metrics>(&request)?,
            SignalKind::Logs => agrees::<Logs>(&request)?,
        }
    }

    #[test]
    fn finite_doubles_round_trip_exactly(number in any::<f64>().prop_filter("JSON", |number| number.is_finite())) {
        let json = format!(
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{{"doubleValue":{number:e}}}}}]}}]}}]}}"#
        );
        let logs = read::<Logs>(&json).unwrap();
        let record = logs.resource_logs[0].scope_logs[0].log_records[0].clone();
        let Some(Value::DoubleValue(read)) = record.body.unwrap().value else { panic!("{json}") };
        prop_assert_eq!(read.to_bits(), number.to_bits(), "{}", json);
        let written = Request::encode::<Logs>(&logs).to_json();
        let read = Request::from_json(Logs::KIND, written.as_bytes(), &Limits::default()).unwrap();
        prop_assert_eq!(read.decode::<Logs>().unwrap().unwrap(), logs, "{}", written);
    }
}
