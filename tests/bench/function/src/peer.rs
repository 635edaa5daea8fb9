//! The function with crates.io's lambda-otel-lite.

mod handler;
mod traced;

use lambda_otel_lite as library;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    traced::run().await
}
