//! Attributes from the invoked ARN.

use opentelemetry::KeyValue;
use wire::resource as names;

/// The account in the invoked ARN.
pub(super) fn account(lambda: &lambda_runtime::Context) -> Option<&str> {
    let arn = lambda.invoked_function_arn.as_str();
    let account = arn.strip_prefix("arn:")?.split(':').nth(3)?;
    (account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit())).then_some(account)
}

/// Attributes from the invoked ARN: `arn:aws:lambda:<region>:<account>:function:<name>[:<version or alias>]` (semantic
/// conventions 1.44, `docs/faas/aws-lambda.md`).
pub(super) fn function_attributes(
    lambda: &lambda_runtime::Context,
    function_version: Option<&str>,
) -> Vec<KeyValue> {
    let arn = lambda.invoked_function_arn.as_str();
    if !arn.starts_with("arn:") {
        return Vec::new();
    }
    let mut attributes = vec![KeyValue::new("aws.lambda.invoked_arn", arn.to_owned())];
    let mut parts: Vec<&str> = arn.split(':').collect();
    if let Some(account) = parts.get(4) {
        attributes.push(KeyValue::new(names::CLOUD_ACCOUNT_ID, (*account).to_owned()));
    }
    // An alias may later point to another version, so the running version replaces it.
    if let (Some(qualifier), Some(version)) = (parts.get_mut(7), function_version) {
        *qualifier = version;
    }
    attributes.push(KeyValue::new(names::CLOUD_RESOURCE_ID, parts.join(":")));
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[test]
    fn the_version_replaces_an_alias_in_the_arn() {
        let check = |arn: &str, version: Option<&str>, expected: Expect| {
            let mut context = lambda_runtime::Context::default();
            context.invoked_function_arn = arn.to_owned();
            let attributes = function_attributes(&context, version);
            let lines = attributes.iter().map(|own| format!("{} {}\n", own.key, own.value));
            expected.assert_eq(&lines.collect::<String>());
        };
        check(
            "arn:aws:lambda:eu-west-1:123456789012:function:orders",
            Some("7"),
            expect![[r"
            aws.lambda.invoked_arn arn:aws:lambda:eu-west-1:123456789012:function:orders
            cloud.account.id 123456789012
            cloud.resource_id arn:aws:lambda:eu-west-1:123456789012:function:orders
        "]],
        );
        check(
            "arn:aws:lambda:eu-west-1:123456789012:function:orders:live",
            Some("7"),
            expect![[r"
            aws.lambda.invoked_arn arn:aws:lambda:eu-west-1:123456789012:function:orders:live
            cloud.account.id 123456789012
            cloud.resource_id arn:aws:lambda:eu-west-1:123456789012:function:orders:7
        "]],
        );
        check("No header lambda-runtime-invoked-function-arn found.", None, expect![""]);
    }
}
