//! The subscriber for `tests/moto`, whose CloudFormation has its answers put to loopback. Never deployed: the deployed binary sends
//! them to S3 only, whatever its settings.

use lambda_otlp_subscriber::AnswerUrls;
use lambda_runtime::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_otlp_subscriber::run(AnswerUrls::Any).await
}
