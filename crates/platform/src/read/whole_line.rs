//! Recognizes Lambda's lines without any text of the function, which may be omitted from the log records.
//!
//! An attacker who controls the beginning of a printed text can imitate Lambda's lines, and text in the place of a version or a
//! tenant must not disappear. So each word and each value must have AWS's format; a line with anything else is a log record.
//!
//! Source: Lambda Developer Guide, "Lambda Telemetry API Event schema reference" and "Lambda Web Functions system log schema", and the
//! patterns of the Lambda API (`CreateFunction`, `Invoke`).

use crate::read::ids::is_uuid;
use serde::Deserialize;
use std::borrow::Cow;
use wire::arn::Arn;
use wire::timestamp;

/// Returns `true` if a `START`, `END`, `INIT_START` or `RESTORE_START` is as Lambda writes it, to its end.
pub(crate) fn is_lambdas_to_the_end(message: &str) -> bool {
    let message = message.trim_ascii();
    if message.starts_with('{') {
        return serde_json::from_str::<SystemLine<'_>>(message).is_ok_and(|line| line.is_valid());
    }
    is_text_line(message) && memchr::memchr2(b'\n', b'\r', message.as_bytes()).is_none()
}

fn is_text_line(message: &str) -> bool {
    const MAX_WORDS: usize = 9;
    let mut words = [""; MAX_WORDS];
    let mut split = message.split_ascii_whitespace();
    let count = words.iter_mut().zip(&mut split).map(|(place, word)| *place = word).count();
    if split.next().is_some() {
        return false;
    }
    match *words.get(..count).unwrap_or_default() {
        ["START" | "END", "RequestId:", id] => is_uuid(id),
        ["START", "RequestId:", id, "Version:", version] => is_uuid(id) && is_version(version),
        ["START", "RequestId:", id, "Version:", version, "TenantId:", tenant]
        | ["START", "RequestId:", id, "Version:", version, "Tenant", "ID:", tenant] => {
            is_uuid(id) && is_version(version) && is_tenant(tenant)
        }
        ["INIT_START" | "RESTORE_START", "Runtime", "Version:", version] => is_runtime(version),
        [
            "INIT_START" | "RESTORE_START",
            "Runtime",
            "Version:",
            version,
            "Runtime",
            "Version",
            "ARN:",
            arn,
        ] => is_runtime(version) && is_runtime_arn(arn),
        _ => false,
    }
}

/// Lambda's JSON system log lines of these kinds; those of web functions add level and region.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SystemLine<'a> {
    #[serde(borrow, alias = "timestamp")]
    time: Cow<'a, str>,
    #[serde(borrow)]
    level: Option<Cow<'a, str>>,
    #[serde(borrow)]
    region: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    record: Record<'a>,
}

/// The values of the four kinds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow)]
    request_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    version: Option<Cow<'a, str>>,
    #[serde(borrow)]
    function_arn: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tenant_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tracing: Option<Tracing<'a>>,
    #[serde(borrow)]
    initialization_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    phase: Option<Cow<'a, str>>,
    #[serde(borrow)]
    runtime_version: Option<Cow<'a, str>>,
    #[serde(borrow)]
    runtime_version_arn: Option<Cow<'a, str>>,
    #[serde(borrow)]
    function_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    function_version: Option<Cow<'a, str>>,
    #[serde(borrow)]
    instance_id: Option<Cow<'a, str>>,
    #[serde(rename = "instanceMaxMemory")]
    _instance_max_memory: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Tracing<'a> {
    #[serde(borrow)]
    span_id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
}

impl SystemLine<'_> {
    fn is_valid(&self) -> bool {
        const MAX_TIME_BYTES: usize = 40;
        let is_level =
            |level: &str| matches!(level, "TRACE" | "DEBUG" | "INFO" | "WARN" | "ERROR" | "FATAL");
        let is_region = |region: &str| has_only(region, 32, b"-");
        self.time.len() <= MAX_TIME_BYTES
            && timestamp::parse(&self.time).is_some()
            && self.level.as_deref().is_none_or(is_level)
            && self.region.as_deref().is_none_or(is_region)
            && self.record.is_valid_of(&self.kind)
    }
}

impl Record<'_> {
    fn is_valid_of(&self, kind: &str) -> bool {
        let names_invocation = matches!(kind, "platform.start" | "platform.end");
        let is_name = |name: &str| has_only(name, 140, b"-_");
        let is_word = |word: &str| has_only(word, 128, b"-_:");
        names_invocation == self.request_id.is_some()
            && self.request_id.as_deref().is_none_or(is_uuid)
            && self.version.as_deref().is_none_or(is_version)
            && self.function_arn.as_deref().is_none_or(is_function_arn)
            && self.tenant_id.as_deref().is_none_or(is_tenant)
            && self.tracing.as_ref().is_none_or(Tracing::is_valid)
            && self.initialization_type.as_deref().is_none_or(is_initialization)
            && self.phase.as_deref().is_none_or(is_phase)
            && self.runtime_version.as_deref().is_none_or(is_runtime)
            && self.runtime_version_arn.as_deref().is_none_or(is_runtime_arn)
            && self.function_name.as_deref().is_none_or(is_name)
            && self.function_version.as_deref().is_none_or(is_version)
            && self.instance_id.as_deref().is_none_or(is_word)
    }
}

impl Tracing<'_> {
    /// `Root=1-…;Parent=…;Sampled=1;Lineage=1:a87bd80c:0`
    fn is_valid(&self) -> bool {
        self.kind == "X-Amzn-Trace-Id"
            && self.span_id.as_deref().is_none_or(|id| wire::ids::id::<8>(id).is_some())
            && has_only(&self.value, 256, b"-=;:")
    }
}

/// Returns `true` for a text of ASCII letters, digits and these characters.
fn has_only(text: &str, max_bytes: usize, others: &[u8]) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || others.contains(&byte);
    (1..=max_bytes).contains(&text.len()) && text.bytes().all(is_allowed)
}

fn is_version(text: &str) -> bool {
    const MAX_DIGITS: usize = 20;
    let is_number =
        (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    is_number || matches!(text, "$LATEST" | "$LATEST.PUBLISHED")
}

/// A tenant without spaces. AWS allows them, but then a sentence would be a tenant's name; such a START is a log record.
fn is_tenant(text: &str) -> bool {
    has_only(text, 256, b"._:/=+-@")
}

/// `python:3.13.v64`, `provided:al2023.v112`
fn is_runtime(text: &str) -> bool {
    let parts = text.split_once(':');
    parts.is_some_and(|(name, version)| has_only(name, 32, b"") && has_only(version, 64, b".-"))
}

fn is_runtime_arn(text: &str) -> bool {
    let Some(arn) = Arn::parse(text).filter(|arn| arn.service == "lambda") else { return false };
    let id = arn.resource.strip_prefix("runtime:");
    has_only(text, 256, b":-") && id.is_some_and(|id| has_only(id, 128, b""))
}

fn is_function_arn(text: &str) -> bool {
    let is_function =
        |arn: Arn<'_>| arn.service == "lambda" && arn.resource.starts_with("function:");
    has_only(text, 300, b":-_$") && Arn::parse(text).is_some_and(is_function)
}

fn is_initialization(text: &str) -> bool {
    matches!(
        text,
        "on-demand" | "provisioned-concurrency" | "snap-start" | "lambda-managed-instances"
    )
}

fn is_phase(text: &str) -> bool {
    matches!(text, "init" | "invoke" | "snap-start")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
    const ARN: &str = "arn:aws:lambda:eu-west-1::runtime:1f77ab5a5bb31b03b2e7d6b4ffe5c8d1a4a7b2fb2e8b3d0a0a0a0a0a0a0a0a0a";

    #[track_caller]
    fn check(line: &str, is_lambdas: bool) {
        let line = line.replace("<ID>", ID).replace("<ARN>", ARN);
        assert_eq!(is_lambdas_to_the_end(&line), is_lambdas, "{line}");
    }

    #[test]
    fn a_line_of_lambda_may_be_omitted_only_if_each_word_has_awss_format() {
        for line in [
            "START RequestId: <ID> Version: $LATEST\n",
            "START RequestId: <ID> Version: 17",
            "START RequestId: <ID>",
            "START RequestId: <ID> Version: 1 TenantId: blue+green@example.com",
            "START RequestId: <ID> Version: 1 Tenant ID: blue",
            "END RequestId: <ID>",
            "INIT_START Runtime Version: python:3.13.v64\tRuntime Version ARN: <ARN>\n",
            "RESTORE_START Runtime Version: java:21.mainline.v82\tRuntime Version ARN: <ARN>\n",
            "INIT_START Runtime Version: provided:al2023.v112",
        ] {
            check(line, true);
        }
        for line in [
            r#"START RequestId: <ID> Version: {"level":"ERROR","message":"payment-failed"}"#,
            "START RequestId: <ID> Version: deleted-account-17",
            "START RequestId: <ID> Version: 1 TenantId: any text",
            "START RequestId: <ID> Version: 1 TenantId: {\"a\":1}",
            "START RequestId: <ID> Version: 1 deleted account 17",
            "START RequestId: deleted",
            "END RequestId: <ID> Version: 1",
            "END RequestId: deleted",
            "INIT_START Runtime Version: deleted",
            "INIT_START Runtime Version: python:3.13.v64 Runtime Version ARN: deleted",
            "INIT_START Runtime Version: python:3.13.v64 Runtime Version ARN: <ARN> user eve changed it",
            "RESTORE_START Runtime Version: a:{b}",
            "ERROR Runtime Version: python:3.13.v64 Runtime Version ARN: <ARN>",
            "START RequestId: <ID>\nVersion: 1",
        ] {
            check(line, false);
        }
        let long = format!("START RequestId: <ID> Version: {}", "1".repeat(3000));
        check(&long, false);
    }

    #[test]
    fn a_json_line_of_lambda_may_be_omitted_only_if_each_value_has_awss_format() {
        let json = |kind: &str, record: &str, rest: &str| {
            format!(
                r#"{{"time":"2026-09-21T14:13:20.000Z","type":"platform.{kind}","record":{{{record}}}{rest}}}"#
            )
        };
        for (kind, record) in [
            ("start", r#""requestId":"<ID>","version":"$LATEST""#),
            (
                "start",
                r#""requestId":"<ID>","functionArn":"arn:aws:lambda:us-east-1:123456789012:function:orders","version":"$LATEST","tenantId":"BlueTenant""#,
            ),
            (
                "start",
                r#""requestId":"<ID>","tracing":{"spanId":"24cd7d670fa455f0","type":"X-Amzn-Trace-Id","value":"Root=1-6352a70e-1e2c502e358361800241fd45;Parent=35465b3a9e2f7c6a;Sampled=1;Lineage=1:a87bd80c:0"}"#,
            ),
            ("end", r#""requestId":"<ID>""#),
            (
                "initStart",
                r#""initializationType":"on-demand","phase":"init","runtimeVersion":"python:3.13.v64","runtimeVersionArn":"<ARN>","functionName":"orders","functionVersion":"$LATEST","instanceId":"a-1","instanceMaxMemory":128"#,
            ),
            ("restoreStart", r#""functionName":"orders","functionVersion":"7""#),
            ("initStart", ""),
        ] {
            check(&json(kind, record, ""), true);
            check(&json(kind, record, r#","level":"INFO","region":"eu-west-1""#), true);
            check(&json(kind, record, r#","level":"payment failed""#), false);
            check(&json(kind, record, r#","level":{"a":1}"#), false);
            check(&json(kind, record, r#","region":"payment failed""#), false);
            check(&json(kind, record, r#","message":"x""#), false);
            check(
                &json(kind, record, "").replace("2026-09-21T14:13:20.000Z", "payment failed"),
                false,
            );
        }
        for (kind, record) in [
            ("start", ""),
            ("start", r#""requestId":"r""#),
            ("start", r#""requestId":"<ID>","message":"payment failed""#),
            ("start", r#""requestId":"<ID>","version":"payment failed""#),
            ("start", r#""requestId":"<ID>","version":{"level":"ERROR"}"#),
            ("start", r#""requestId":"<ID>","tenantId":"payment failed for order 17""#),
            ("start", r#""requestId":"<ID>","functionArn":"payment failed""#),
            (
                "start",
                r#""requestId":"<ID>","tracing":{"type":"X-Amzn-Trace-Id","value":"payment failed"}"#,
            ),
            ("start", r#""requestId":"<ID>","tracing":{"type":"payment","value":"Root=1"}"#),
            ("start", r#""requestId":"<ID>","requestId":"<ID>""#),
            ("end", r#""requestId":"<ID>","metrics":{"a":1}"#),
            ("initStart", r#""requestId":"<ID>""#),
            ("initStart", r#""phase":"payment-failed""#),
            ("initStart", r#""initializationType":"payment-failed""#),
            ("initStart", r#""runtimeVersion":"payment-failed""#),
            ("initStart", r#""runtimeVersionArn":"arn:aws:x""#),
            ("initStart", r#""functionName":"payment failed""#),
            ("initStart", r#""instanceId":"payment failed""#),
            ("initStart", r#""instanceMaxMemory":"128""#),
            ("restoreStart", r#""error":"payment failed""#),
        ] {
            check(&json(kind, record, ""), false);
        }
    }
}
