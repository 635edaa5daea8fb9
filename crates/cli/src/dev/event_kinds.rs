//! Events as AWS's services send them, with a body of the user's.
//!
//! Source: AWS Lambda Developer Guide, "Invoking Lambda with events from other AWS services". exporter/events.json describes how
//! the libraries recognize them.

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use console::time_arguments::now_unix_nano;
use serde_json::{Map, Value, json};

/// A source of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum EventSource {
    /// REST API of API Gateway
    Apigw,
    /// HTTP API of API Gateway
    HttpApi,
    /// Function URL
    FunctionUrl,
    /// Application Load Balancer
    Alb,
    /// Message of a queue
    Sqs,
    /// Message of a topic
    Sns,
    /// Event of an event bus; the body is its detail
    Eventbridge,
    /// Schedule of EventBridge
    Schedule,
    /// Object in a bucket; the body is its key
    S3,
    /// Record of a stream
    Kinesis,
    /// New item of a table; the body is the item, and `id` its key
    Dynamodb,
}

impl EventSource {
    fn template(self) -> &'static str {
        match self {
            Self::Apigw => include_str!("event_kinds/apigw.json"),
            Self::HttpApi => include_str!("event_kinds/http-api.json"),
            Self::FunctionUrl => include_str!("event_kinds/function-url.json"),
            Self::Alb => include_str!("event_kinds/alb.json"),
            Self::Sqs => include_str!("event_kinds/sqs.json"),
            Self::Sns => include_str!("event_kinds/sns.json"),
            Self::Eventbridge => include_str!("event_kinds/eventbridge.json"),
            Self::Schedule => include_str!("event_kinds/schedule.json"),
            Self::S3 => include_str!("event_kinds/s3.json"),
            Self::Kinesis => include_str!("event_kinds/kinesis.json"),
            Self::Dynamodb => include_str!("event_kinds/dynamodb.json"),
        }
    }

    /// Makes an event in this region.
    pub(super) fn event(self, body: Option<&str>, region: &str) -> anyhow::Result<String> {
        if self == Self::Schedule && body.is_some() {
            bail!("--body: an event of a schedule has no body: leave it out");
        }
        let text = self.template().replace(TEMPLATE_REGION, region);
        let template = serde_json::from_str(&text).context("the template is not JSON")?;
        let body = body.or(self.default_body());
        let values = TemplateValues { kind: self, body, now: now_unix_nano() };
        Ok(values.fill(template)?.to_string())
    }

    /// The body if the user gives none.
    fn default_body(self) -> Option<&'static str> {
        match self {
            // A GET request has none.
            Self::Apigw | Self::HttpApi | Self::FunctionUrl | Self::Alb => None,
            Self::S3 => Some("key"),
            Self::Dynamodb => Some(r#"{"id":"1"}"#),
            Self::Sqs | Self::Sns | Self::Eventbridge | Self::Schedule | Self::Kinesis => {
                Some("{}")
            }
        }
    }
}

/// The region in the templates.
const TEMPLATE_REGION: &str = "us-east-1";

/// The values that fill a template's words in braces.
struct TemplateValues<'a> {
    kind: EventSource,
    body: Option<&'a str>,
    now: u64,
}

impl TemplateValues<'_> {
    fn fill(&self, value: Value) -> anyhow::Result<Value> {
        Ok(match value {
            Value::Object(fields) => {
                let filled = fields.into_iter().map(|(key, value)| Ok((key, self.fill(value)?)));
                Value::Object(filled.collect::<anyhow::Result<Map<String, Value>>>()?)
            }
            Value::Array(values) => {
                let filled = values.into_iter().map(|value| self.fill(value));
                Value::Array(filled.collect::<anyhow::Result<Vec<Value>>>()?)
            }
            Value::String(text) => self.fill_text(&text)?,
            other => other,
        })
    }

    fn fill_text(&self, text: &str) -> anyhow::Result<Value> {
        let millis = self.now / 1_000_000;
        Ok(match text {
            "{body}" => self.body.into(),
            "{base64}" => STANDARD.encode(self.body.unwrap_or_default()).into(),
            "{json}" => self.body_object()?.into(),
            "{item}" => attribute_values(&self.body_object()?),
            "{keys}" => attribute_values(&self.item_key()?),
            "{time}" => wire::timestamp::rfc3339_millis(self.now).into(),
            "{millis}" => millis.into(),
            "{millis as text}" => millis.to_string().into(),
            "{seconds}" => (millis / 1000).into(),
            "{id}" => format!("00000000-0000-4000-8000-{:012x}", millis & 0xffff_ffff_ffff).into(),
            _ => {
                let method = if self.body.is_some() { "POST" } else { "GET" };
                text.replace("{method}", method).into()
            }
        })
    }

    /// The body as a JSON object.
    fn body_object(&self) -> anyhow::Result<Map<String, Value>> {
        let body = self.body.unwrap_or_default();
        serde_json::from_str(body).with_context(|| {
            let kind = self.kind;
            format!("--body {body}: the body of an event of {kind:?} is a JSON object")
        })
    }

    /// The key of a table's item.
    fn item_key(&self) -> anyhow::Result<Map<String, Value>> {
        let item = self.body_object()?;
        let id = item.get_key_value("id").or_else(|| item.iter().next());
        Ok(id.map(|(key, value)| (key.clone(), value.clone())).into_iter().collect())
    }
}

/// Writes values with their types (Amazon DynamoDB API reference, "AttributeValue").
fn attribute_values(fields: &Map<String, Value>) -> Value {
    let typed = fields.iter().map(|(key, value)| (key.clone(), attribute_value(value)));
    Value::Object(typed.collect())
}

fn attribute_value(value: &Value) -> Value {
    match value {
        Value::Null => json!({ "NULL": true }),
        Value::Bool(value) => json!({ "BOOL": value }),
        Value::Number(number) => json!({ "N": number.to_string() }),
        Value::String(text) => json!({ "S": text }),
        Value::Array(values) => {
            json!({ "L": values.iter().map(attribute_value).collect::<Vec<_>>() })
        }
        Value::Object(fields) => json!({ "M": attribute_values(fields) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    /// The description by which the libraries recognize events.
    const DESCRIPTION: &str = include_str!("../../../../exporter/events.json");

    #[test]
    fn the_shared_description_recognizes_each_kind() {
        let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
        let matches = |event: &Value, pointer: &str, expected: &Value| {
            let found = event.pointer(pointer);
            match (expected, found) {
                (Value::String(kind), Some(found)) => match kind.as_str() {
                    "text" => found.is_string(),
                    "object" => found.is_object(),
                    "number" => found.is_number(),
                    _ => false,
                },
                (expected, Some(found)) => {
                    expected["one_of"].as_array().is_some_and(|all| all.contains(found))
                }
                (_, None) => false,
            }
        };
        let recognized = |event: &Value| {
            let sources = description["sources"].as_array().unwrap();
            let source = sources.iter().find(|source| {
                let ways = source["when"].as_array().unwrap();
                ways.iter().any(|way| {
                    way.as_object().unwrap().iter().all(|(at, kind)| matches(event, at, kind))
                })
            });
            source.map(|source| source["name"].as_str().unwrap().to_owned())
        };
        let seen = EventSource::value_variants().iter().map(|kind| {
            let event: Value =
                serde_json::from_str(&kind.event(None, "eu-west-1").unwrap()).unwrap();
            assert!(!event.to_string().contains("us-east-1"), "{event}");
            assert!(!event.to_string().contains("{m"), "{event}");
            let record = event.pointer("/Records/0").unwrap_or(&event);
            format!("{kind:?}: {}", recognized(record).unwrap_or_default())
        });
        assert_eq!(
            seen.collect::<Vec<_>>(),
            [
                "Apigw: REST API",
                "HttpApi: HTTP API and function URL",
                "FunctionUrl: HTTP API and function URL",
                "Alb: Application Load Balancer",
                "Sqs: SQS",
                "Sns: SNS",
                "Eventbridge: EventBridge",
                "Schedule: schedule",
                "S3: S3",
                "Kinesis: Kinesis",
                "Dynamodb: DynamoDB",
            ]
        );
    }

    #[test]
    fn an_event_contains_the_body() {
        let check = |kind: EventSource, pointer: &str, expected: Value| {
            let text = kind.event(Some(r#"{"id":7,"tags":["a"]}"#), "us-east-1").unwrap();
            let event: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(event.pointer(pointer), Some(&expected), "{kind:?}: {event}");
        };
        let body = json!(r#"{"id":7,"tags":["a"]}"#);
        check(EventSource::Sqs, "/Records/0/body", body.clone());
        check(EventSource::Sns, "/Records/0/Sns/Message", body.clone());
        check(EventSource::Apigw, "/body", body.clone());
        check(EventSource::Apigw, "/httpMethod", json!("POST"));
        check(EventSource::HttpApi, "/requestContext/routeKey", json!("POST /"));
        check(
            EventSource::Kinesis,
            "/Records/0/kinesis/data",
            json!(STANDARD.encode(body.as_str().unwrap())),
        );
        check(EventSource::Eventbridge, "/detail", json!({ "id": 7, "tags": ["a"] }));
        check(EventSource::Dynamodb, "/Records/0/dynamodb/Keys", json!({ "id": { "N": "7" } }));
        check(
            EventSource::Dynamodb,
            "/Records/0/dynamodb/NewImage/tags",
            json!({ "L": [{ "S": "a" }] }),
        );
        for (kind, body) in [(EventSource::Schedule, "{}"), (EventSource::Eventbridge, "no object")]
        {
            let refused = kind.event(Some(body), "us-east-1").unwrap_err().to_string();
            assert!(refused.starts_with("--body"), "{refused}");
        }
    }
}
