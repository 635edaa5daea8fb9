//! The common handler: two pieces of work, each a span if the function is instrumented.

use lambda_runtime::{Error, LambdaEvent};
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) async fn handle(_event: LambdaEvent<Value>, setup: Duration) -> Result<Value, Error> {
    for table in ["orders", "stock"] {
        let _span = tracing::info_span!("write item", table, items = 3).entered();
        std::hint::black_box(table);
    }
    Ok(json!({ "statusCode": 200, "setup_us": setup.as_micros() }))
}
