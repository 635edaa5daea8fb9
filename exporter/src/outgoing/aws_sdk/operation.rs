//! The service and operation of a call.

use aws_smithy_runtime_api::client::orchestrator::Metadata;
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;

/// Service and operation by the SDK's names.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) service: String,
    pub(super) name: String,
}

impl Operation {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { service: metadata.service().to_owned(), name: metadata.name().to_owned() }
    }

    pub(super) fn is(&self, service: &str, names: &[&str]) -> bool {
        self.service == service && names.contains(&self.name.as_str())
    }

    pub(super) fn span_name(&self) -> String {
        format!("{}.{}", self.service, self.name)
    }

    pub(super) fn span_kind(&self) -> SpanKind {
        match self.messaging() {
            Some((_, "send", _)) => SpanKind::Producer,
            _ => SpanKind::Client,
        }
    }

    /// `messaging.system`, `messaging.operation.type` and `.name`, for sent, received and settled messages.
    fn messaging(&self) -> Option<(&'static str, &'static str, &'static str)> {
        let (kind, name) = match self.name.as_str() {
            "SendMessage" | "SendMessageBatch" => ("send", "send"),
            "Publish" | "PublishBatch" => ("send", "publish"),
            "PutEvents" | "PutRecord" | "PutRecords" => ("send", "put"),
            "ReceiveMessage" | "GetRecords" => ("receive", "receive"),
            "DeleteMessage" | "DeleteMessageBatch" => ("settle", "delete"),
            "ChangeMessageVisibility" | "ChangeMessageVisibilityBatch" => ("settle", "postpone"),
            _ => return None,
        };
        let system = match self.service.as_str() {
            "SQS" => "aws_sqs",
            "SNS" => "aws.sns",
            "EventBridge" => "aws_eventbridge",
            "Kinesis" => "aws_kinesis",
            _ => return None,
        };
        Some((system, kind, name))
    }

    /// The attributes known without the request.
    pub(super) fn attributes(&self) -> Vec<KeyValue> {
        let mut attributes = vec![
            KeyValue::new("rpc.system", "aws-api"),
            KeyValue::new("rpc.service", self.service.clone()),
            KeyValue::new("rpc.method", self.name.clone()),
        ];
        if let Some((system, kind, name)) = self.messaging() {
            attributes.extend([
                KeyValue::new("messaging.system", system),
                KeyValue::new("messaging.operation.type", kind),
                KeyValue::new("messaging.operation.name", name),
            ]);
        }
        if self.service == "DynamoDB" {
            attributes.extend([
                KeyValue::new("db.system.name", "aws.dynamodb"),
                KeyValue::new("db.operation.name", self.name.clone()),
            ]);
        }
        attributes
    }
}
