//! A batch of a queue: each message has its own span with a link to the sender's span. Only failed messages return to the queue
//! (`ReportBatchItemFailures`).

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use lambda_otlp_exporter::trigger::SpanAttributesExtractor as _;
use lambda_otlp_exporter::{TelemetryConfig, TracedHandler, init};
use lambda_runtime::{Error, LambdaEvent};

/// The span of a failed message is an error with the exception as an event. Use `continued_span` instead of `instrument` to put
/// the span into the sender's trace.
#[tracing::instrument(name = "store order", err, skip_all, fields(otel.kind = "consumer"))]
async fn store(message: &SqsMessage) -> Result<(), Error> {
    message.extract_span_attributes().add_to(&tracing::Span::current());
    let body = message.body.as_deref().unwrap_or_default();
    let id: u64 = body.parse()?;
    tracing::info!(id, "order stored");
    Ok(())
}

async fn handle(event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Error> {
    let mut response = SqsBatchResponse::default();
    for message in &event.payload.records {
        if store(message).await.is_err() {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = message.message_id.clone().unwrap_or_default();
            response.batch_item_failures.push(failure);
        }
    }
    Ok(response)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let completion_handler = init(TelemetryConfig::default());
    lambda_runtime::run(TracedHandler::new("orders", completion_handler, handle)).await
}
