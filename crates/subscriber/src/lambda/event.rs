//! Reads the function's events.

use crate::decision::{KinesisStream, OurFilter};
use crate::selection::{Selection, parse_patterns, parse_tags};
use serde_json::Value;
use settings::Pattern;
use url::Url;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SubscriberEvent {
    /// CloudFormation creates, updates or deletes the stack's subscription.
    Resource(Box<ResourceRequest>),
    NewLogGroup(String),
    /// The schedule, or a manual invocation with `{}`.
    Run,
    /// An unrelated event, with its name.
    Other(String),
}

/// CloudFormation's request about a custom resource: its properties and the URL for the answer.
///
/// Source: CloudFormation User Guide, "Custom resource request objects".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResourceRequest {
    pub(super) kind: RequestKind,
    /// A presigned URL.
    pub(super) response_url: Url,
    pub(super) stack_id: String,
    pub(super) request_id: String,
    pub(super) logical_resource_id: String,
    /// Constant during the resource's life: CloudFormation would delete the resource with the previous one.
    pub(super) physical_resource_id: String,
    /// The names that the current or the previous properties include.
    pub(super) included: Vec<Pattern>,
    /// Our filter before this update.
    pub(super) former: Option<OurFilter>,
    /// `true` if the stack forwarded spilled lines only before this update, from all log groups.
    pub(super) collected_spilled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestKind {
    Create,
    Update,
    Delete,
}

impl RequestKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// A custom resource's request that cannot be answered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a custom resource's request {0}")]
pub struct UnanswerableRequest(String);

/// The URLs to which an answer may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerUrls {
    /// Those of S3: CloudFormation has its answers put there.
    S3,
    /// Any, for tests. The deployed program always uses [`S3`](Self::S3).
    Any,
}

impl AnswerUrls {
    /// Returns the URL if an answer may be sent there. The error does not repeat the URL, which may be a credential.
    fn checked(self, url: Url) -> Result<Url, UnanswerableRequest> {
        if self == Self::Any || aws::is_s3(&url) {
            return Ok(url);
        }
        let host = url.host_str().unwrap_or_default().chars().take(MAX_HOST_CHARS);
        Err(UnanswerableRequest(format!(
            "was refused: its ResponseURL is {}://{}, expected https and a host of S3, as CloudFormation sends it",
            url.scheme(),
            host.collect::<String>()
        )))
    }
}

/// Maximum number of characters of a host in an error.
const MAX_HOST_CHARS: usize = 100;

impl SubscriberEvent {
    /// Fails for a CloudFormation event without a URL for the answer.
    pub(super) fn read(event: &Value, answers: AnswerUrls) -> Result<Self, UnanswerableRequest> {
        if event.get("RequestType").is_some() {
            let request = ResourceRequest::read(event, answers)?;
            return Ok(Self::Resource(Box::new(request)));
        }
        let text =
            |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        Ok(match text("/detail-type") {
            "AWS API Call via CloudTrail" => read_cloud_trail(&text),
            "Scheduled Event" => Self::Run,
            "" if event.as_object().is_some_and(serde_json::Map::is_empty) => Self::Run,
            other => Self::Other(format!("an event of the kind {other:?}")),
        })
    }
}

/// CloudTrail User Guide, "CloudTrail record contents"; a failed call has an `errorCode`.
fn read_cloud_trail<'a>(text: &impl Fn(&str) -> &'a str) -> SubscriberEvent {
    let name = text("/detail/requestParameters/logGroupName");
    let operation = text("/detail/eventName");
    let error = text("/detail/errorCode");
    if operation == "CreateLogGroup" && error.is_empty() && !name.is_empty() {
        return SubscriberEvent::NewLogGroup(name.to_owned());
    }
    SubscriberEvent::Other(format!("a call of {operation:?} that created no log group"))
}

impl ResourceRequest {
    fn read(event: &Value, answers: AnswerUrls) -> Result<Self, UnanswerableRequest> {
        let text =
            |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let kind = match text("RequestType").as_str() {
            "Create" => RequestKind::Create,
            "Update" => RequestKind::Update,
            "Delete" => RequestKind::Delete,
            other => return Err(UnanswerableRequest(format!("has the unknown type {other:?}"))),
        };
        let any_url = Url::parse(&text("ResponseURL"))
            .map_err(|error| UnanswerableRequest(format!("has no valid ResponseURL: {error}")))?;
        let response_url = answers.checked(any_url)?;
        let property = |properties: &str, name: &str| {
            event.get(properties).and_then(|all| all.get(name)).and_then(Value::as_str)
        };
        let mut included = Vec::new();
        for properties in ["ResourceProperties", "OldResourceProperties"] {
            let value = |name| property(properties, name).unwrap_or_default();
            // Unreadable properties were never in force.
            if let Ok(include) = parse_patterns(value("Include"))
                && let Ok(tags) = parse_tags(value("Tags"))
            {
                let selection = Selection::new(include, Vec::new(), tags, []);
                included.extend_from_slice(selection.include());
            }
        }
        let former_property =
            |name| property("OldResourceProperties", name).filter(|value| !value.is_empty());
        let former_stream = former_property("KinesisStream").map(|arn| KinesisStream {
            arn: arn.to_owned(),
            role: former_property("KinesisRole").unwrap_or_default().to_owned(),
        });
        let former = former_property("Destination")
            .and_then(|forwarder| OurFilter::new(forwarder, former_stream, ""));
        let collected_spilled = former_property("Collect") == Some("spilled");
        let stack_id = text("StackId");
        let logical_resource_id = text("LogicalResourceId");
        let physical_resource_id = match text("PhysicalResourceId") {
            given if !given.is_empty() => given,
            // arn:aws:cloudformation:{region}:{account}:stack/{name}/{id}
            _ => {
                let stack = stack_id.split('/').nth(1).unwrap_or("stack");
                format!("{stack}-{logical_resource_id}")
            }
        };
        Ok(Self {
            kind,
            response_url,
            request_id: text("RequestId"),
            included,
            former,
            collected_spilled,
            stack_id,
            logical_resource_id,
            physical_resource_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(kind: &str, rest: &Value) -> Value {
        let mut event = json!({
            "RequestType": kind, "ResponseURL": "https://s3.eu-west-1.amazonaws.com/b/k?X-Amz-Signature=1",
            "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/lambda-otlp/7a1c",
            "RequestId": "r", "LogicalResourceId": "Subscriptions", "ResourceType": "Custom::X",
        });
        let rest = rest.as_object().cloned().unwrap_or_default();
        event.as_object_mut().unwrap().extend(rest);
        event
    }

    fn resource(event: &Value) -> ResourceRequest {
        match SubscriberEvent::read(event, AnswerUrls::S3).unwrap() {
            SubscriberEvent::Resource(request) => *request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_update_reaches_all_included_names_and_knows_the_former_filter() {
        let names = |request: &ResourceRequest| {
            request.included.iter().map(|p| p.as_str().to_owned()).collect::<Vec<_>>()
        };
        let stream = "arn:aws:kinesis:eu-west-1:123456789012:stream/s";
        let updated = resource(&request(
            "Update",
            &json!({
                "ResourceProperties": { "Include": "/b/*", "Destination": "new" },
                "OldResourceProperties": {
                    "Include": "/a/*", "Tags": "x", "KinesisStream": stream, "KinesisRole": "role",
                    "Destination": "arn:aws:lambda:eu-west-1:123456789012:function:old",
                },
            }),
        ));
        assert_eq!(names(&updated), ["/b/*", "/a/*"]);
        let former = updated.former.unwrap().as_filter();
        assert_eq!(
            (former.name.as_str(), former.role.as_deref()),
            ("lambda-otlp/old", Some("role"))
        );
        assert_eq!(former.destination, stream);
        let properties = json!({ "OldResourceProperties": {
            "Include": "", "Tags": "team=shop", "Destination": "no ARN",
        } });
        let by_tags = resource(&request("Update", &properties));
        assert_eq!(names(&by_tags), ["*"]);
        assert_eq!(by_tags.former, None);
    }

    #[test]
    fn subscriber_events_are_classified() {
        let check = |event: Value, expected: SubscriberEvent| {
            assert_eq!(SubscriberEvent::read(&event, AnswerUrls::S3).unwrap(), expected, "{event}");
        };
        let other = |text: &str| SubscriberEvent::Other(text.to_owned());
        check(json!({}), SubscriberEvent::Run);
        check(
            json!({ "detail-type": "Scheduled Event", "source": "aws.events" }),
            SubscriberEvent::Run,
        );
        check(json!({ "x": 1 }), other("an event of the kind \"\""));
        check(json!([1]), other("an event of the kind \"\""));
        check(json!({ "detail-type": "x" }), other("an event of the kind \"x\""));
        let call = |name: &str, error: Value| {
            json!({
                "detail-type": "AWS API Call via CloudTrail", "source": "aws.logs",
                "detail": {
                    "eventSource": "logs.amazonaws.com", "eventName": name, "errorCode": error,
                    "requestParameters": { "logGroupName": "/aws/lambda/new" },
                },
            })
        };
        check(
            call("CreateLogGroup", Value::Null),
            SubscriberEvent::NewLogGroup("/aws/lambda/new".to_owned()),
        );
        let nothing = |name: &str| other(&format!("a call of {name:?} that created no log group"));
        check(call("CreateLogGroup", json!("AccessDenied")), nothing("CreateLogGroup"));
        check(call("DeleteLogGroup", Value::Null), nothing("DeleteLogGroup"));
        for (event, expected) in [
            (
                json!({ "RequestType": "Create" }),
                "has no valid ResponseURL: relative URL without a base",
            ),
            (request("Revert", &json!({})), "has the unknown type \"Revert\""),
        ] {
            let error = SubscriberEvent::read(&event, AnswerUrls::S3).unwrap_err();
            assert_eq!(error.to_string(), format!("a custom resource's request {expected}"));
        }
    }
}
