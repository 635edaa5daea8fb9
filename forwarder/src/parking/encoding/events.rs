//! Encodes log events in the format of CloudWatch Logs, and decodes them.

use super::json_problem;
use crate::source::{LogBatch, LogEvent, MessageType, Origin};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A delivery of CloudWatch Logs: `{"awslogs":{"data": body}}` is an event for the forwarder.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventsText<'a> {
    message_type: Cow<'a, str>,
    owner: Cow<'a, str>,
    log_group: Cow<'a, str>,
    log_stream: Cow<'a, str>,
    log_events: Vec<DeliveredEvent<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeliveredEvent<'a> {
    id: Cow<'a, str>,
    timestamp: i64,
    message: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    extracted_fields: Option<ExtractedRegion<'a>>,
}

/// The only place for a region in this format.
#[derive(Serialize, Deserialize)]
struct ExtractedRegion<'a> {
    #[serde(default, rename = "@aws.region", skip_serializing_if = "Option::is_none")]
    region: Option<Cow<'a, str>>,
}

const CONTROL: &str = "CONTROL_MESSAGE";

/// Encodes log events as a delivery of CloudWatch Logs.
pub(super) fn events_json(batch: &LogBatch) -> Vec<u8> {
    let Origin { account, region, log_group, log_stream } = &batch.origin;
    let message_type = match batch.message_type {
        MessageType::Data => "DATA_MESSAGE",
        MessageType::Control => CONTROL,
    };
    let log_events = batch.events.iter().map(|event| {
        let LogEvent { id, timestamp_ms, message } = event;
        let region = (!region.is_empty()).then(|| Cow::from(region));
        DeliveredEvent {
            id: id.into(),
            timestamp: *timestamp_ms,
            message: message.into(),
            extracted_fields: region.map(|region| ExtractedRegion { region: Some(region) }),
        }
    });
    let text = EventsText {
        message_type: message_type.into(),
        owner: account.into(),
        log_group: log_group.into(),
        log_stream: log_stream.into(),
        log_events: log_events.collect(),
    };
    // Text and numbers only: serializing cannot fail.
    serde_json::to_vec(&text).unwrap_or_default()
}

pub(super) fn log_batch(json: &[u8]) -> Result<LogBatch, String> {
    let text: EventsText<'_> =
        serde_json::from_slice(json).map_err(|error| json_problem(&error))?;
    let message_type =
        if text.message_type == CONTROL { MessageType::Control } else { MessageType::Data };
    let region = text.log_events.iter().find_map(|event| {
        let region = event.extracted_fields.as_ref()?.region.as_ref()?;
        Some(region.to_string())
    });
    let events = text.log_events.into_iter().map(|event| LogEvent {
        id: event.id.into_owned(),
        timestamp_ms: event.timestamp,
        message: event.message.into_owned(),
    });
    let origin = Origin {
        account: text.owner.into_owned(),
        region: region.unwrap_or_default(),
        log_group: text.log_group.into_owned(),
        log_stream: text.log_stream.into_owned(),
    };
    Ok(LogBatch { message_type, origin, events: events.collect() })
}
