//! The subscriber's binary.

use lambda_otlp_subscriber::AnswerUrls;
use lambda_runtime::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_otlp_subscriber::run(AnswerUrls::S3).await
}
