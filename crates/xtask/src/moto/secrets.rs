//! Secrets Manager and the parameter store of moto, read by the code that the functions read them with.

use super::aws::Moto;
use crate::checks::Tally;
use anyhow::{Context as _, ensure};
use aws::{AWS, AwsSecrets, AwsSecretsSettings, SECRETS, SecretService as _, authorization};
use serde_json::{Value, json};
use settings::{Reader, SecretReference, Table};

const TABLE: Table = Table::new(&[AWS, SECRETS, settings::PROXY]);
/// `root@example.com:pass`
const BASIC: &str = "Basic cm9vdEBleGFtcGxlLmNvbTpwYXNz";

pub(super) async fn check(moto: &Moto, tally: &mut Tally) {
    let object = json!({ "o2": BASIC, "other": "x" }).to_string();
    let user = json!({ "username": "root@example.com", "password": "pass" }).to_string();
    tally.note("Secrets Manager, text", secret(moto, "text", BASIC, "").await);
    tally.note("Secrets Manager, key of an object", secret(moto, "object", &object, "#o2").await);
    tally
        .note("Secrets Manager, key as ECS writes it", secret(moto, "ecs", &object, ":o2::").await);
    tally.note("Secrets Manager, user and password", secret(moto, "user", &user, "").await);
    tally.note("Secrets Manager, a new value", rotated(moto).await);
    tally.note("SSM, SecureString", parameter(moto, "/o2/text", BASIC, "").await);
    tally.note("SSM, key of an object", parameter(moto, "/o2/object", &object, "#o2").await);
}

async fn secret(moto: &Moto, name: &str, value: &str, key: &str) -> anyhow::Result<String> {
    let arn = create(moto, name, value).await?;
    as_expected(moto, &format!("{arn}{key}")).await
}

async fn create(moto: &Moto, name: &str, value: &str) -> anyhow::Result<String> {
    let body = json!({ "Name": name, "SecretString": value });
    let created = moto.call("secretsmanager", "secretsmanager.CreateSecret", &body).await?;
    Ok(created.get("ARN").and_then(Value::as_str).context("no ARN")?.to_owned())
}

async fn parameter(moto: &Moto, name: &str, value: &str, key: &str) -> anyhow::Result<String> {
    let body = json!({ "Name": name, "Value": value, "Type": "SecureString" });
    moto.call("ssm", "AmazonSSM.PutParameter", &body).await?;
    as_expected(moto, &format!("ssm:{name}{key}")).await
}

async fn rotated(moto: &Moto) -> anyhow::Result<String> {
    let arn = create(moto, "rotated", "Basic b2xkOm9sZA==").await?;
    ensure!(read(moto, &arn).await? != BASIC, "the old value is the new one");
    let body = json!({ "SecretId": arn, "SecretString": BASIC });
    moto.call("secretsmanager", "secretsmanager.PutSecretValue", &body).await?;
    as_expected(moto, &arn).await
}

async fn as_expected(moto: &Moto, reference: &str) -> anyhow::Result<String> {
    ensure!(read(moto, reference).await? == BASIC, "another value");
    Ok("the authorization header".to_owned())
}

async fn read(moto: &Moto, reference: &str) -> anyhow::Result<String> {
    let variables = moto.variables();
    let mut reader = Reader::new(&variables, TABLE);
    let aws = AwsSecrets::new(AwsSecretsSettings::read(&mut reader), crate::checks::now);
    let reference = SecretReference::parse(reference).map_err(anyhow::Error::msg)?;
    let secret = aws.read(&reference).await?;
    let header = authorization(&secret, reference.key.as_deref()).map_err(anyhow::Error::msg)?;
    Ok(header.expose().to_owned())
}
