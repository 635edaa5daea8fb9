//! The function with our library.

mod handler;
mod traced;

use lambda_otlp_exporter as library;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    traced::run().await
}
