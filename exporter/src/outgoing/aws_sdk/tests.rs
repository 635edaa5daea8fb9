//! Requests as written by the SDK's clients, according to their sources: SNS 1.121, EventBridge 1.127, SFN 1.125, DynamoDB 1.136,
//! Lambda 1.115. `src/tests/aws_sdk.rs` sends real ones for SQS.

use super::super::fields::ContextFields;
use super::request::{Payload, peer, server};
use super::{error_type, span_kind};
use aws_smithy_runtime_api::client::interceptors::context::Error;
use aws_smithy_runtime_api::client::orchestrator::{
    HttpRequest, HttpResponse, Metadata, OrchestratorError,
};
use aws_smithy_types::body::SdkBody;
use base64::Engine as _;
use opentelemetry::propagation::Injector as _;
use std::fmt::Write as _;

const JSON: &str = "application/x-amz-json-1.1";
const FORM: &str = "application/x-www-form-urlencoded";

fn fields() -> ContextFields {
    let mut fields = ContextFields::default();
    fields.set("traceparent", "00-1".to_owned());
    fields
}

fn request(content_type: &'static str, path: &str, body: &str) -> HttpRequest {
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_uri(path.to_owned()).unwrap();
    request.headers_mut().insert("content-type", content_type);
    request.headers_mut().insert("content-length", body.len().to_string());
    request
}

fn operation(service: &'static str, name: &'static str) -> Metadata {
    Metadata::new(name, service)
}

/// The request with the context in it.
fn with_context(
    operation: &Metadata,
    mut request: HttpRequest,
    fields: &ContextFields,
) -> HttpRequest {
    if let Some(edit) = Payload::of(operation, &request).with_context(operation, fields) {
        edit.apply(&mut request);
    }
    request
}

/// The body with the context in it.
fn written(
    (service, name): (&'static str, &'static str),
    content_type: &'static str,
    body: &str,
) -> String {
    let plain = request(content_type, "/", body);
    let request = with_context(&operation(service, name), plain, &fields());
    let body = std::str::from_utf8(request.body().bytes().unwrap()).unwrap().to_owned();
    assert_eq!(request.headers().get("content-length").unwrap(), body.len().to_string());
    body
}

#[test]
fn each_topic_message_gets_the_context_after_its_attributes_and_sms_messages_do_not() {
    const PUBLISH: (&str, &str) = ("SNS", "Publish");
    const BATCH: (&str, &str) = ("SNS", "PublishBatch");
    let check = |operation, body: &str, attributes: &[&str]| {
        let added = attributes.iter().map(|own| {
            format!(
                "&{own}.Name=traceparent&{own}.Value.DataType=String&{own}.Value.StringValue=00-1"
            )
        });
        let expected = format!("{body}{}", added.collect::<String>());
        assert_eq!(written(operation, FORM, body), expected);
    };
    let own = "TopicArn=arn%3Aaws&MessageAttributes.entry.1.Name=a&MessageAttributes.entry.1.Value.DataType=String";
    check(PUBLISH, "Action=Publish&TopicArn=arn%3Aaws&Message=a", &["MessageAttributes.entry.1"]);
    check(PUBLISH, own, &["MessageAttributes.entry.2"]);
    check(PUBLISH, "TopicArn=arn%3Aaws&MessageAttributes.entry.1.Name=traceparent", &[]);
    check(PUBLISH, "Action=Publish&PhoneNumber=%2B49&Message=a", &[]);
    check(("SNS", "Subscribe"), "Action=Subscribe&TopicArn=arn", &[]);
    check(BATCH, "Action=PublishBatch&TopicArn=arn%3Aaws", &[]);
    check(
        BATCH,
        "TopicArn=arn%3Aaws&PublishBatchRequestEntries.member.1.Id=a&PublishBatchRequestEntries.member.2.Id=b\
         &PublishBatchRequestEntries.member.2.MessageAttributes.entry.1.Name=a",
        &[
            "PublishBatchRequestEntries.member.1.MessageAttributes.entry.1",
            "PublishBatchRequestEntries.member.2.MessageAttributes.entry.2",
        ],
    );
}

#[test]
fn xrays_header_has_its_own_place_in_messages_of_sqs_and_malformed_batches_stay_unchanged() {
    let mut fields = ContextFields::default();
    fields.set("X-Amzn-Trace-Id", "Root=1".to_owned());
    let check = |name, body: &'static str, expected: &str| {
        let request = with_context(&operation("SQS", name), request(JSON, "/", body), &fields);
        assert_eq!(std::str::from_utf8(request.body().bytes().unwrap()).unwrap(), expected);
    };
    check(
        "SendMessage",
        "{}",
        r#"{"MessageSystemAttributes":{"AWSTraceHeader":{"DataType":"String","StringValue":"Root=1"}}}"#,
    );
    let own = r#"{"MessageSystemAttributes":{"AWSTraceHeader":{}}}"#;
    check("SendMessage", own, own);
    for malformed in [r#"{"Entries":[7,"a"]}"#, r#"{"Entries":null}"#, "[]", "not JSON"] {
        check("SendMessageBatch", malformed, malformed);
    }
}

#[test]
fn a_synchronous_invoke_carries_the_context_in_its_client_context() {
    let base64 = base64::engine::general_purpose::STANDARD;
    let check = |kind: Option<&'static str>, existing: Option<&str>, expected: Option<&str>| {
        let mut request =
            request("application/json", "/2015-03-31/functions/stock/invocations", "");
        if let Some(kind) = kind {
            request.headers_mut().insert("X-Amz-Invocation-Type", kind);
        }
        if let Some(existing) = existing {
            request.headers_mut().insert("X-Amz-Client-Context", base64.encode(existing));
        }
        let request = with_context(&operation("Lambda", "Invoke"), request, &fields());
        let header = request.headers().get("x-amz-client-context");
        let written = header.map(|own| String::from_utf8(base64.decode(own).unwrap()).unwrap());
        assert_eq!(written.as_deref(), expected, "{kind:?} {existing:?}");
    };
    let own = r#"{"custom":{"traceparent":"00-1"}}"#;
    check(None, None, Some(own));
    check(Some("RequestResponse"), None, Some(own));
    check(Some("Event"), None, None);
    check(
        None,
        Some(r#"{"client":{"installation_id":"1"}}"#),
        Some(r#"{"client":{"installation_id":"1"},"custom":{"traceparent":"00-1"}}"#),
    );
    check(
        None,
        Some(r#"{"custom":{"traceparent":"own"}}"#),
        Some(r#"{"custom":{"traceparent":"own"}}"#),
    );
    check(None, Some("not JSON"), Some("not JSON"));
    let long = format!(r#"{{"custom":{{"a":"{}"}}}}"#, "x".repeat(2650));
    check(None, Some(&long), Some(&long));
}

#[test]
fn spans_name_the_target_resource_but_no_payload() {
    let check = |(service, name): (&'static str, &'static str),
                 content_type,
                 path,
                 body,
                 expected: &str| {
        let operation = operation(service, name);
        let request = request(content_type, path, body);
        let mut shown = format!("{:?}", span_kind(&operation));
        let mut attributes = Payload::of(&operation, &request).attributes(&operation);
        attributes.extend(peer(&operation, &attributes));
        for own in attributes {
            write!(shown, " {}={}", own.key, own.value.as_str()).unwrap();
        }
        assert_eq!(shown, expected, "{service}.{name}");
        assert!(!format!("{:?}", super::attributes(&operation)).contains("secret"));
    };
    let form = |operation, body, expected| check(operation, FORM, "/", body, expected);
    let json = |operation, body, expected| check(operation, JSON, "/", body, expected);
    form(
        ("SNS", "PublishBatch"),
        "TopicArn=arn%3Aaws%3Asns%3Ax%3A1%3Aorders&PublishBatchRequestEntries.member.1.Message=secret",
        "Producer messaging.destination.name=orders aws.sns.topic.arn=arn:aws:sns:x:1:orders messaging.batch.message_count=1",
    );
    form(("SNS", "Publish"), "PhoneNumber=secret", "Producer peer.service=SNS");
    let put = ("EventBridge", "PutEvents");
    let of_several = "Producer messaging.batch.message_count=2 peer.service=EventBridge";
    json(put, r#"{"Entries":[{"Detail":"secret"},{}]}"#, of_several);
    json(put, r#"{"Entries":[{"Source":"shop"},{"Source":"stock"}]}"#, of_several);
    json(
        put,
        r#"{"Entries":[{"Source":"shop","Detail":"secret"},{"Source":"shop"}]}"#,
        "Producer messaging.destination.name=shop messaging.batch.message_count=2",
    );
    json(
        ("SFN", "StartExecution"),
        r#"{"stateMachineArn":"arn","input":"secret"}"#,
        "Client aws.step_functions.state_machine.arn=arn peer.service=SFN",
    );
    json(
        ("DynamoDB", "PutItem"),
        r#"{"TableName":"orders","Item":{"id":{"S":"secret"}}}"#,
        r#"Client db.collection.name=orders aws.dynamodb.table_names=["orders"] peer.service=orders"#,
    );
    json(
        ("Kinesis", "PutRecords"),
        r#"{"StreamName":"s","Records":[{"Data":"c2VjcmV0"}]}"#,
        "Producer messaging.destination.name=s aws.kinesis.stream_name=s messaging.batch.message_count=1",
    );
    let invoke =
        |path, expected| check(("Lambda", "Invoke"), "application/json", path, "secret", expected);
    let stock = "Client faas.invoked_provider=aws faas.invoked_name=stock peer.service=stock";
    invoke("/2015-03-31/functions/stock/invocations?Qualifier=secret", stock);
    invoke(
        "/2015-03-31/functions/arn%3Aaws%3Alambda%3Ax%3A1%3Afunction%3Astock%3Alive/invocations",
        stock,
    );
    invoke("/2015-03-31/functions", "Client peer.service=Lambda");
    check(("S3", "PutObject"), "text/plain", "/secret?X-Amz-Signature=secret", "secret", "Client");
    // A body in another protocol is opaque.
    let opaque = "Producer peer.service=Kinesis";
    check(("Kinesis", "PutRecord"), "application/cbor", "/", "secret", opaque);
}

/// A call, its answer and its span: a row of `tests/fixtures/aws-calls.jsonl`.
#[derive(serde::Deserialize)]
struct CallRow {
    service: String,
    operation: String,
    input: serde_json::Value,
    name: String,
    kind: String,
    attributes: serde_json::Map<String, serde_json::Value>,
}

impl CallRow {
    /// The request that the SDK writes.
    fn request(&self) -> HttpRequest {
        let text = |name: &str| self.input[name].as_str().unwrap_or_default();
        let (content_type, path, body) = match self.service.as_str() {
            "SNS" => (FORM, "/".to_owned(), self.form()),
            "Lambda" if self.operation == "Invoke" => {
                let function = text("FunctionName").replace(':', "%3A");
                (
                    "application/json",
                    format!("/2015-03-31/functions/{function}/invocations"),
                    String::new(),
                )
            }
            "S3" => {
                let uri = format!(
                    "https://s3.eu-west-1.amazonaws.com/{}/{}",
                    text("Bucket"),
                    text("Key")
                );
                ("text/plain", uri, String::new())
            }
            _ => (JSON, "/".to_owned(), self.input.to_string()),
        };
        request(content_type, &path, &body)
    }

    fn form(&self) -> String {
        let encoded = |name: &str| self.input[name].as_str().map(|text| text.replace(':', "%3A"));
        let topic = encoded("TopicArn").map(|arn| format!("TopicArn={arn}&"));
        let count = self.input["PublishBatchRequestEntries"].as_array().map_or(0, Vec::len);
        let entry = |number: usize| format!("PublishBatchRequestEntries.member.{number}.Id=1&");
        let entries: Vec<String> = (1..=count).map(entry).collect();
        let entries = entries.concat();
        format!("{}{entries}Message=secret", topic.unwrap_or_default())
    }
}

#[test]
fn calls_have_the_attributes_of_the_layers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/aws-calls.jsonl");
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let row: CallRow = serde_json::from_str(line).unwrap();
        let service: &str = row.service.clone().leak();
        let name: &str = row.operation.clone().leak();
        let operation = operation(service, name);
        let request = row.request();
        let mut attributes = super::attributes(&operation);
        attributes.extend(Payload::of(&operation, &request).attributes(&operation));
        attributes.extend(peer(&operation, &attributes));
        attributes.extend(server(&operation, &request));
        let is_of_every_call =
            |name: &str| ["rpc.", "server."].iter().any(|part| name.starts_with(part));
        let found: std::collections::BTreeMap<_, _> = attributes
            .iter()
            .filter(|own| !is_of_every_call(own.key.as_str()))
            .map(|own| (own.key.to_string(), own.value.to_string()))
            .collect();
        let text = |value: &serde_json::Value| {
            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
        };
        let expected =
            row.attributes.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        assert_eq!(found, expected, "{line}");
        assert_eq!(format!("{:?}", span_kind(&operation)).to_uppercase(), row.kind);
        // The layers name calls of models by the conventions for those.
        assert!(row.name.starts_with("chat ") || row.name == format!("{service}.{name}"));
    }
}

#[test]
fn the_bucket_name_is_read_from_host_or_path() {
    let check = |service, uri: &str, expected: Option<&str>| {
        let attributes = server(&operation(service, "PutObject"), &request("text/plain", uri, ""));
        let others = attributes.iter().filter(|own| !own.key.as_str().starts_with("server."));
        let shown: Vec<_> = others.map(|own| format!("{}={}", own.key, own.value)).collect();
        let expected = expected
            .map(|name| [format!("aws.s3.bucket={name}"), format!("peer.service={name}")])
            .map_or(vec![], Vec::from);
        assert_eq!(shown, expected, "{uri}");
    };
    check("S3", "https://uploads.s3.eu-west-1.amazonaws.com/a/b?x-id=PutObject", Some("uploads"));
    check("S3", "https://my.uploads.s3-fips.us-east-1.amazonaws.com/a", Some("my.uploads"));
    check("S3", "https://s3.eu-west-1.amazonaws.com/uploads/a?x-id=PutObject", Some("uploads"));
    check("S3", "https://s3.eu-west-1.amazonaws.com/", None);
    check("S3", "http://localhost:9000/uploads/a", None);
    check("SQS", "https://uploads.s3.eu-west-1.amazonaws.com/", None);
}

#[test]
fn the_error_type_is_aws_error_code_or_http_status() {
    let check = |header: Option<&'static str>, body: &'static str, expected: &str| {
        let mut response = HttpResponse::new(400.try_into().unwrap(), SdkBody::from(body));
        if let Some(header) = header {
            response.headers_mut().insert("x-amzn-errortype", header);
        }
        let error = OrchestratorError::operation(Error::erase(std::fmt::Error));
        assert_eq!(error_type(&error, Some(&response)), expected, "{header:?} {body}");
    };
    check(None, r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist"}"#, "QueueDoesNotExist");
    check(None, r#"{"code":"Throttling","message":"slow down"}"#, "Throttling");
    check(
        Some("ResourceNotFoundException:http://internal.amazon.com/coral/"),
        "",
        "ResourceNotFoundException",
    );
    check(None, "<ErrorResponse><Error><Code>NotFound</Code></Error></ErrorResponse>", "NotFound");
    check(None, "<Error><Code>a secret of yours</Code></Error>", "400");
    check(None, "<html>", "400");
    check(None, r#"{"__type":7}"#, "400");
    check(None, "{", "400");
    check(None, "", "400");
}
