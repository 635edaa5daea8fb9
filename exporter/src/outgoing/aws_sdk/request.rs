//! An unsigned request: its addressee, and the trace's context in it.
//!
//! This reads the request instead of the operation's input: inputs are types of one crate for each service, in a particular
//! version, and would have to be compiled even if unused.

use super::super::fields::ContextFields;
use super::super::json::with_custom;
use crate::propagation::XRAY_HEADER;
use crate::trigger::percent_encoded;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, Metadata};
use aws_smithy_types::body::SdkBody;
use opentelemetry::{Array, KeyValue, StringValue, Value};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use std::collections::BTreeSet;

/// A larger request stays unchanged, because additions must not exceed the service's limit. SQS and SNS had this limit before
/// they raised it, and a queue may still be configured with it.
const MAX_BYTES: usize = 256 * 1024;

const CLIENT_CONTEXT: &str = "x-amz-client-context";

/// The content of a supported service's request.
#[derive(Debug)]
pub(super) enum Payload<'a> {
    Json(&'a str),
    Form(&'a str),
    Lambda(LambdaCall<'a>),
    /// Of another service, or unreadable.
    Other,
}

/// A call of Lambda's API, whose body belongs to the invoked function.
#[derive(Debug)]
pub(super) struct LambdaCall<'a> {
    path: &'a str,
    client_context: Option<&'a str>,
    is_asynchronous: bool,
}

/// The members of a JSON body that name its addressee.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Addressee {
    queue_url: Option<String>,
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    table_name: Option<String>,
    #[serde(rename = "stateMachineArn")]
    state_machine_arn: Option<String>,
    entries: Vec<BatchEntry>,
    records: Vec<IgnoredAny>,
}

/// A message of SQS or an event of EventBridge.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchEntry {
    source: Option<String>,
}

impl<'a> Payload<'a> {
    pub(super) fn of(operation: &Metadata, request: &'a HttpRequest) -> Self {
        let header = |name: &str| request.headers().get(name);
        let body = || std::str::from_utf8(request.body().bytes()?).ok();
        let is_of =
            |kind: &str| header("content-type").is_some_and(|value| value.starts_with(kind));
        match operation.service() {
            "SQS" | "EventBridge" | "Kinesis" | "SFN" | "DynamoDB"
                if is_of("application/x-amz-json") =>
            {
                body().map_or(Self::Other, Self::Json)
            }
            "SNS" if is_of("application/x-www-form-urlencoded") => {
                body().map_or(Self::Other, Self::Form)
            }
            "Lambda" => Self::Lambda(LambdaCall {
                path: path_of(request.uri()),
                client_context: header(CLIENT_CONTEXT),
                is_asynchronous: header("x-amz-invocation-type")
                    .is_some_and(|kind| kind != "RequestResponse"),
            }),
            _ => Self::Other,
        }
    }

    /// The addressee of the request.
    pub(super) fn attributes(&self, operation: &Metadata) -> Vec<KeyValue> {
        let json: Addressee = match self {
            Self::Json(json) => serde_json::from_str(json).unwrap_or_default(),
            Self::Form(_) | Self::Lambda(_) | Self::Other => Addressee::default(),
        };
        let form = if let Self::Form(form) = self { Some(*form) } else { None };
        let mut attributes = Vec::new();
        let mut say = |key: &'static str, value: Option<String>| {
            attributes.extend(value.map(|value| KeyValue::new(key, value)));
        };
        let mut count = 0;
        match operation.service() {
            "SQS" => {
                // The query is omitted, because it may contain credentials.
                let url = json.queue_url.map(|url| path_of(&url).to_owned());
                say("messaging.destination.name", last_part(url.as_deref(), '/'));
                say("aws.sqs.queue.url", url);
                count = json.entries.len();
            }
            "SNS" => {
                let encoded = form.and_then(|form| form_value(form, "TopicArn"));
                let topic = encoded.map(|topic| topic.replace("%3A", ":"));
                say("messaging.destination.name", last_part(topic.as_deref(), ':'));
                say("aws.sns.topic.arn", topic);
                count = form.map_or(0, |form| form_entries(form).len());
            }
            "Kinesis" => {
                let of_arn = || last_part(json.stream_arn.as_deref(), '/');
                let stream = json.stream_name.or_else(of_arn);
                say("messaging.destination.name", stream.clone());
                say("aws.kinesis.stream_name", stream);
                count = json.records.len();
            }
            "EventBridge" => {
                count = json.entries.len();
                let mut sources = json.entries.into_iter().map(|entry| entry.source);
                let first = sources.next().flatten();
                let is_shared = sources.all(|source| source == first);
                // A function gets the event's source, and never the name of the bus.
                say("messaging.destination.name", first.filter(|_| is_shared));
            }
            "SFN" => say("aws.step_functions.state_machine.arn", json.state_machine_arn),
            "DynamoDB" => {
                say("db.collection.name", json.table_name.clone());
                let tables =
                    json.table_name.map(|name| Array::String(vec![StringValue::from(name)]));
                attributes.extend(
                    tables.map(|names| {
                        KeyValue::new("aws.dynamodb.table_names", Value::Array(names))
                    }),
                );
            }
            "Lambda" if operation.name().starts_with("Invoke") => {
                let path = if let Self::Lambda(call) = self { call.path } else { "" };
                let name = invoked_function(path);
                say("faas.invoked_provider", name.as_ref().map(|_| "aws".to_owned()));
                say("faas.invoked_name", name);
            }
            _ => {}
        }
        if let Some(count) = i64::try_from(count).ok().filter(|count| *count > 0) {
            attributes.push(KeyValue::new("messaging.batch.message_count", count));
        }
        attributes
    }

    /// Returns the change that adds these fields.
    pub(super) fn with_context(
        &self,
        operation: &Metadata,
        fields: &ContextFields,
    ) -> Option<Edit> {
        let body = match (operation.service(), operation.name(), self) {
            _ if fields.is_empty() => None,
            ("SQS", "SendMessage" | "SendMessageBatch", Self::Json(json)) => {
                with_message_attributes(json, fields)
            }
            // Other targets are phone numbers, which do not propagate context.
            ("SNS", name @ ("Publish" | "PublishBatch"), Self::Form(form))
                if form_value(form, "TopicArn").is_some() =>
            {
                Some(with_form_attributes(form, name == "PublishBatch", fields))
            }
            ("Lambda", "Invoke" | "InvokeWithResponseStream", Self::Lambda(call))
                if !call.is_asynchronous =>
            {
                return with_custom(call.client_context, fields).map(Edit::ClientContext);
            }
            _ => None,
        };
        body.filter(|body| body.len() <= MAX_BYTES).map(Edit::Body)
    }
}

/// The request of SQS with the fields in the attributes of each message; `None` if it stays unchanged.
fn with_message_attributes(json: &str, fields: &ContextFields) -> Option<String> {
    let mut request: serde_json::Value = serde_json::from_str(json).ok()?;
    let messages = match request.get_mut("Entries") {
        Some(entries) => entries.as_array_mut()?,
        None => std::slice::from_mut(&mut request),
    };
    let mut is_changed = false;
    for message in messages {
        is_changed |=
            message.as_object_mut().is_some_and(|message| add_attributes(message, fields));
    }
    is_changed.then(|| request.to_string())
}

/// Adds the fields that fit into a message, and returns `true` if there are any.
fn add_attributes(
    message: &mut serde_json::Map<String, serde_json::Value>,
    fields: &ContextFields,
) -> bool {
    let typed = |value: &str| json!({ "DataType": "String", "StringValue": value });
    let existing = message.get("MessageAttributes").and_then(serde_json::Value::as_object);
    let names = existing.into_iter().flatten().map(|(name, _)| name.as_str());
    let added = fields.clone().for_message(names);
    // X-Ray's header has its own place, which does not count.
    let xray = fields.get(XRAY_HEADER).filter(|_| !message.contains_key("MessageSystemAttributes"));
    let is_changed = xray.is_some() || !added.is_empty();
    if let Some(header) = xray {
        let of_system = json!({ "AWSTraceHeader": typed(header) });
        message.insert("MessageSystemAttributes".to_owned(), of_system);
    }
    for (name, value) in added {
        let attributes = message.entry("MessageAttributes").or_insert_with(|| json!({}));
        attributes.as_object_mut().and_then(|object| object.insert(name, typed(&value)));
    }
    is_changed
}

#[derive(Debug)]
pub(super) enum Edit {
    Body(String),
    ClientContext(String),
}

impl Edit {
    pub(super) fn apply(self, request: &mut HttpRequest) {
        match self {
            Self::ClientContext(context) => {
                // Base64 is always a valid header value.
                request.headers_mut().try_insert(CLIENT_CONTEXT, context).ok();
            }
            Self::Body(body) => {
                if request.headers().contains_key("content-length") {
                    let length = body.len().to_string();
                    request.headers_mut().try_insert("content-length", length).ok();
                }
                *request.body_mut() = SdkBody::from(body);
            }
        }
    }
}

/// `peer.service` for these attributes. OpenObserve's service map makes it a node, and prefers it to the names of queues, topics
/// and streams, which are the nodes that their consumers name. The name of a bucket is known later: see [`server`].
pub(super) fn peer(operation: &Metadata, attributes: &[KeyValue]) -> Option<KeyValue> {
    let value = |key: &str| {
        attributes
            .iter()
            .find(|attribute| attribute.key.as_str() == key)
            .map(|found| found.value.clone())
    };
    if value("messaging.destination.name").is_some() || operation.service() == "S3" {
        return None;
    }
    let addressee = value("db.collection.name").or_else(|| value("faas.invoked_name"));
    let service = || Value::from(operation.service().to_owned());
    Some(KeyValue::new("peer.service", addressee.unwrap_or_else(service)))
}

/// `server.address` and `server.port` of a request about to be sent, and for Amazon S3 `aws.s3.bucket` and `peer.service` (Amazon S3
/// user guide, "Virtual hosting of general purpose buckets").
pub(super) fn server(operation: &Metadata, request: &HttpRequest) -> Vec<KeyValue> {
    let Ok(uri) = request.uri().parse::<aws_lambda_events::http::Uri>() else { return Vec::new() };
    let host = uri.host().unwrap_or_default();
    let mut attributes = vec![KeyValue::new("server.address", host.to_owned())];
    let usual = || uri.scheme_str().map(|scheme| if scheme == "http" { 80 } else { 443 });
    let port = uri.port_u16().or_else(usual);
    attributes.extend(port.map(|port| KeyValue::new("server.port", i64::from(port))));
    let virtual_host = || host.split_once(".s3.").or_else(|| host.split_once(".s3-"));
    let bucket = if host.starts_with("s3.") || host.starts_with("s3-") {
        uri.path().split('/').nth(1)
    } else {
        virtual_host().map(|(bucket, _)| bucket)
    };
    if let Some(bucket) = bucket.filter(|bucket| operation.service() == "S3" && !bucket.is_empty())
    {
        let names = ["aws.s3.bucket", "peer.service"];
        attributes.extend(names.map(|key| KeyValue::new(key, bucket.to_owned())));
    }
    attributes
}

fn path_of(uri: &str) -> &str {
    uri.split(['?', '#']).next().unwrap_or_default()
}

fn last_part(text: Option<&str>, separator: char) -> Option<String> {
    text?.rsplit(separator).next().filter(|name| !name.is_empty()).map(str::to_owned)
}

/// `stock` of `/2015-03-31/functions/stock/invocations`, also from an ARN.
fn invoked_function(path: &str) -> Option<String> {
    let (_, rest) = path.split_once("/functions/")?;
    let (encoded, _) = rest.split_once('/')?;
    let function = encoded.replace("%3A", ":");
    let qualified = function.rsplit_once("function:").map_or(function.as_str(), |(_, name)| name);
    let name = qualified.split(':').next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// The percent-encoded value of a parameter.
fn form_value<'a>(form: &'a str, name: &str) -> Option<&'a str> {
    form_parameters(form).find(|(parameter, _)| *parameter == name).map(|(_, value)| value)
}

fn form_parameters(form: &str) -> impl Iterator<Item = (&str, &str)> {
    form.split('&').filter_map(|parameter| parameter.split_once('='))
}

/// The prefixes of the parameters of a batch's entries.
fn form_entries(form: &str) -> BTreeSet<String> {
    const ENTRIES: &str = "PublishBatchRequestEntries.member.";
    let numbers = form_parameters(form).filter_map(|(name, _)| {
        let (number, _) = name.strip_prefix(ENTRIES)?.split_once('.')?;
        Some(format!("{ENTRIES}{number}."))
    });
    numbers.collect()
}

/// Adds the fields to each message of the form as attributes.
fn with_form_attributes(form: &str, is_batch: bool, fields: &ContextFields) -> String {
    let entries = if is_batch { form_entries(form) } else { BTreeSet::from([String::new()]) };
    let mut written = form.to_owned();
    for entry in entries {
        let attributes = format!("{entry}MessageAttributes.entry.");
        let is_name =
            |name: &str| name.strip_prefix(&attributes).is_some_and(|rest| rest.ends_with(".Name"));
        let names: Vec<&str> = form_parameters(form)
            .filter(|(name, _)| is_name(name))
            .map(|(_, value)| value)
            .collect();
        let own = fields.clone().for_message(names.iter().copied());
        for (number, (name, value)) in (names.len() + 1..).zip(own) {
            let name = percent_encoded(&name);
            let text = percent_encoded(&value);
            let value =
                format!("Value.DataType=String&{attributes}{number}.Value.StringValue={text}");
            for parameter in [format!("Name={name}"), value] {
                written.extend(["&", &attributes, &number.to_string(), ".", &parameter]);
            }
        }
    }
    written
}
