//! Reads Kinesis records: deliveries of a subscription filter, or raw lines.
//!
//! Source: CloudWatch Logs User Guide, "Subscription filters with Kinesis Data Streams" (the data is the same gzip as for
//! Lambda); Lambda Developer Guide, "Using Lambda with Kinesis"; "KPL Aggregated Record Format" in the repository of AWS's
//! Kinesis Producer Library.

use super::event::EventData;
use super::long_texts::cut_message;
use super::subscription_data;
use super::{Batches, LogBatch, LogEvent, Origin, SourceError, SourceLimits, failed};
use md5::{Digest, Md5};
use serde::Deserialize;
use wire::arn::Arn;
use wire::protobuf::messages;

// Field numbers of AggregatedRecord and Record
const RECORDS: u32 = 3;
const DATA: u32 = 3;

#[derive(Debug, Deserialize)]
pub struct KinesisRecord {
    kinesis: KinesisData,
    #[serde(default, rename = "eventSourceARN")]
    stream_arn: String,
    #[serde(default, rename = "awsRegion")]
    region: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KinesisData {
    sequence_number: String,
    data: EventData,
    /// Seconds since the Unix epoch.
    #[serde(default)]
    approximate_arrival_timestamp: f64,
}

impl KinesisRecord {
    /// Identifies the record within its shard, and in a partial batch response.
    pub fn sequence_number(&self) -> &str {
        &self.kinesis.sequence_number
    }

    pub fn origin(&self) -> Origin {
        let Some(arn) = Arn::parse(&self.stream_arn) else {
            return Origin::new("", &self.region, "", "");
        };
        let region = if self.region.is_empty() { arn.region } else { &self.region };
        Origin::new(arn.account, region, "", arn.resource.trim_start_matches("stream/"))
    }

    /// The decoded data, or its text if that is invalid base64.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.kinesis.data.bytes()
    }

    /// The log events of the record. An unreadable user record does not block the others.
    pub fn batches(&self, limits: &SourceLimits) -> Batches<'_> {
        let data = match self.kinesis.data.decoded("the Kinesis record's data") {
            Ok(data) => data,
            Err(error) => return failed(error),
        };
        let aggregated = aggregated(data);
        let whole = if aggregated.is_none() { Some(data) } else { None };
        let user_records = messages(aggregated.unwrap_or_default(), RECORDS)
            .flat_map(|record| messages(record, DATA))
            .chain(whole);
        let limits = *limits;
        let mut lines_before = 0;
        Box::new(
            user_records.flat_map(move |data| {
                self.batches_of_user_record(data, &mut lines_before, &limits)
            }),
        )
    }

    /// The log events in the data of one producer. `lines_before` counts the lines of the user records before it, and gets those of
    /// this one.
    fn batches_of_user_record<'d>(
        &'d self,
        data: &'d [u8],
        lines_before: &mut usize,
        limits: &SourceLimits,
    ) -> Batches<'d> {
        const WHAT: &str = "the Kinesis record";
        let origin = self.origin();
        // The log group may be in another account and region than the stream.
        let only_region = Origin { region: origin.region.clone(), ..Origin::default() };
        if wire::gzip::is_gzip(data) {
            return subscription_data::read_gzip(WHAT, data, only_region, limits);
        }
        let Ok(text) = std::str::from_utf8(data) else {
            return failed(SourceError(format!("{WHAT} is neither gzip nor UTF-8 text")));
        };
        if subscription_data::is_delivery(text) {
            return subscription_data::read_json(WHAT, data.to_vec(), only_region, limits);
        }
        let KinesisData { sequence_number, approximate_arrival_timestamp, .. } = &self.kinesis;
        #[expect(clippy::cast_possible_truncation, reason = "saturates, and times are far below")]
        let timestamp_ms = (approximate_arrival_timestamp * 1000.0).round() as i64;
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let first = *lines_before;
        *lines_before += lines.clone().count();
        let mut numbered = (first..).zip(lines);
        let limits = *limits;
        Box::new(std::iter::from_fn(move || {
            let mut batch = LogBatch { origin: origin.clone(), ..LogBatch::default() };
            let mut bytes = 0;
            while bytes < limits.batch_bytes
                && let Some((number, line)) = numbered.next()
            {
                let id = match number {
                    0 => sequence_number.clone(),
                    number => format!("{sequence_number}-{number}"),
                };
                let mut event = LogEvent { id, timestamp_ms, message: line.to_owned() };
                batch.cut += usize::from(cut_message(&mut event.message, &limits));
                bytes += event.bytes();
                batch.events.push(event);
            }
            (!batch.events.is_empty()).then_some(Ok(batch))
        }))
    }
}

/// The `AggregatedRecord` in the record's data, if the Kinesis Producer Library aggregated several user records.
fn aggregated(data: &[u8]) -> Option<&[u8]> {
    const MAGIC: &[u8] = &[0xf3, 0x89, 0x9a, 0xc2];
    const MD5_BYTES: usize = 16;
    let marked = data.strip_prefix(MAGIC)?;
    let (content, sum) = marked.split_at_checked(marked.len().checked_sub(MD5_BYTES)?)?;
    (Md5::digest(content).as_slice() == sum).then_some(content)
}
