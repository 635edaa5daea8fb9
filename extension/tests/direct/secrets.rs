//! Credentials that are kept in Secrets Manager or the parameter store: the function waits for them no longer than for a flush.

use crate::account::{Account, told};
use crate::stories::{ONE_FLUSH, invocations};
use simulator::FunctionSpec;
use simulator::secrets::{SecretAnswer, SecretServer};
use simulator::sink::Sink;

const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:o2-AbCdEf";
const PASSWORD: &str = "hunter22";

/// Runs a story with credentials from `reference`, and this answer of AWS.
async fn told_with(reference: &str, answer: SecretAnswer) -> (Account, Vec<String>) {
    let sink = Sink::builder().no_window().user("root@example.com", PASSWORD).start().await;
    let sink = sink.unwrap();
    let secrets = SecretServer::start(answer).await.unwrap();
    let of_aws = |spec: FunctionSpec| {
        spec.env("LAMBDA_OTLP_SECRET", reference).env("AWS_ENDPOINT_URL", secrets.endpoint())
    };
    let account = told(&sink, sink.base(), &invocations(5), of_aws).await;
    account.balances(false);
    assert!(account.kept.iter().all(|kept| *kept < ONE_FLUSH), "{:?}", account.kept);
    for text in [PASSWORD, "cm9vdEBleGFtcGxlLmNvb", "simulated"] {
        assert!(!account.log.has_text(text), "{:?}", account.log.text);
    }
    (account, secrets.asked())
}

fn value() -> SecretAnswer {
    SecretAnswer::Value(format!("root@example.com:{PASSWORD}"))
}

#[tokio::test]
async fn a_secret_is_read_once_and_all_spans_are_delivered() {
    let (account, asked) = told_with(ARN, value()).await;
    assert_eq!((account.delivered.len(), account.spilled()), (15, 0), "{account:?}");
    assert_eq!(asked, ["GetSecretValue"]);
}

#[tokio::test]
async fn credentials_can_come_from_the_parameter_store() {
    let (account, asked) = told_with("ssm:/o2/auth", value()).await;
    assert_eq!((account.delivered.len(), account.spilled()), (15, 0), "{account:?}");
    assert_eq!(asked, ["GetParameter"]);
}

#[tokio::test]
async fn an_unreadable_secret_is_reported_once_and_spans_spilled() {
    let (account, _) = told_with(ARN, SecretAnswer::Denied).await;
    assert_eq!((account.delivered.len(), account.spilled()), (0, 15), "{account:?}");
    let advice = format!("access denied; allow secretsmanager:GetSecretValue on {ARN}");
    let said = account.log.text.iter().filter(|line| line.contains(&advice)).count();
    assert_eq!(said, 1, "{:?}", account.log.text);
}

#[tokio::test]
async fn spans_are_spilled_quickly_if_the_secret_service_hangs() {
    let (account, _) = told_with(ARN, SecretAnswer::Hangs).await;
    assert_eq!((account.delivered.len(), account.spilled()), (0, 15), "{account:?}");
    let said = account.log.text.iter().filter(|line| line.contains("cannot deliver")).count();
    assert_eq!(said, 1, "{:?}", account.log.text);
}
