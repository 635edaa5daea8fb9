//! The resource: Lambda's attributes merged with the user's.

use crate::config::{Config, LambdaEnvironment};
use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use settings::{Env, Source, percent_decoded};
use wire::resource as names;

/// The resource of this function from its environment: Lambda's attributes, `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`.
#[must_use]
pub fn lambda_resource() -> Resource {
    resource(&Config::from_source(&Env as &dyn Source), None)
}

/// Merges the parts; later ones win: Lambda, then code, then the environment.
pub(crate) fn resource(config: &Config, from_code: Option<&Resource>) -> Resource {
    let mut attributes = lambda_attributes(&config.lambda);
    let of_code = from_code.into_iter().flat_map(Resource::iter);
    attributes.extend(of_code.map(|(key, value)| KeyValue::new(key.clone(), value.clone())));
    if let Some(text) = &config.resource_attributes {
        attributes.extend(environment_attributes(text));
    }
    if let Some(name) = &config.service_name {
        attributes.push(KeyValue::new(names::SERVICE_NAME, name.clone()));
    }
    let schema_url = from_code.and_then(Resource::schema_url).unwrap_or_default().to_owned();
    let builder = Resource::builder_empty().with_detector(Box::new(TelemetryResourceDetector));
    builder.with_schema_url(attributes, schema_url).build()
}

/// Semantic conventions 1.44, `docs/resource/faas.md`, `cloud.md`, `docs/faas/aws-lambda.md`.
fn lambda_attributes(lambda: &LambdaEnvironment) -> Vec<KeyValue> {
    const BYTES_PER_MIB: i64 = 1024 * 1024;
    let service_name = lambda.function_name.as_deref().unwrap_or("unknown_service").to_owned();
    let list = |text: &String| Value::Array(Array::String(vec![StringValue::from(text.clone())]));
    let text = |text: &String| Value::from(text.clone());
    let bytes = |mib: i64| Value::from(mib.saturating_mul(BYTES_PER_MIB));
    let known = [
        (names::CLOUD_PROVIDER, Some("aws".into())),
        (names::CLOUD_PLATFORM, Some("aws_lambda".into())),
        ("telemetry.distro.name", Some(env!("CARGO_PKG_NAME").into())),
        ("telemetry.distro.version", Some(env!("CARGO_PKG_VERSION").into())),
        (names::SERVICE_NAME, Some(service_name.into())),
        (names::CLOUD_REGION, lambda.region.as_ref().map(text)),
        (names::FAAS_NAME, lambda.function_name.as_ref().map(text)),
        (names::FAAS_VERSION, lambda.function_version.as_ref().map(text)),
        (names::FAAS_INSTANCE, lambda.log_stream.as_ref().map(text)),
        (names::FAAS_MAX_MEMORY, lambda.memory_mib.map(bytes)),
        (names::AWS_LOG_GROUP_NAMES, lambda.log_group.as_ref().map(list)),
        (names::AWS_LOG_STREAM_NAMES, lambda.log_stream.as_ref().map(list)),
    ];
    known.into_iter().filter_map(|(key, value)| Some(KeyValue::new(key, value?))).collect()
}

/// Reads `key=value,key=value`, percent-encoded as in W3C Baggage (Resource SDK, "Specifying resource information via an
/// environment variable"). Omits entries without `=` or with an empty key.
fn environment_attributes(text: &str) -> Vec<KeyValue> {
    text.split(',')
        .filter_map(|entry| entry.split_once('='))
        .map(|(key, value)| (percent_decoded(key.trim()), percent_decoded(value.trim())))
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| KeyValue::new(key, value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_wins_over_code_and_code_over_lambda() {
        let of_code =
            ["service.name", "tier", "faas.name", "own"].map(|key| KeyValue::new(key, "code"));
        let code = Resource::builder_empty().with_schema_url(of_code, "https://schema").build();
        let config = Config::from_source(&[
            ("AWS_REGION", "eu-west-1"),
            ("AWS_LAMBDA_FUNCTION_NAME", "orders"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/orders"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/11/20/[$LATEST]0123"),
            ("OTEL_RESOURCE_ATTRIBUTES", "team=a%20b,service.name=c,tier=gold, x = 1%,=y,z"),
            ("OTEL_SERVICE_NAME", "d"),
        ]);
        let resource = resource(&config, Some(&code));
        assert_eq!(resource.schema_url(), Some("https://schema"));
        let shown = resource.iter().map(|(key, value)| format!("{key}={value}\n"));
        let mut lines: Vec<String> = shown.filter(|line| !line.starts_with("telemetry.")).collect();
        lines.sort();
        expect_test::expect![[r#"
            aws.log.group.names=["/aws/lambda/orders"]
            aws.log.stream.names=["2026/11/20/[$LATEST]0123"]
            cloud.platform=aws_lambda
            cloud.provider=aws
            cloud.region=eu-west-1
            faas.instance=2026/11/20/[$LATEST]0123
            faas.max_memory=134217728
            faas.name=code
            faas.version=$LATEST
            own=code
            service.name=d
            team=a b
            tier=gold
            x=1%
        "#]]
        .assert_eq(&lines.concat());
    }
}
