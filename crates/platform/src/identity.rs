//! Identifies the function of a log stream, and builds the resource of its telemetry.
//!
//! Source: Lambda Developer Guide, "Sending Lambda function logs to CloudWatch Logs" (names of groups and streams);
//! OpenTelemetry's semantic conventions, resource/faas and resource/cloud.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::resource::v1::Resource;
use wire::compact::Context;

use crate::attributes::{string, strings};
use crate::names;

/// The origin of a delivery's log events, as stated by the delivery's envelope.
///
/// The content of a log event never determines an identity, because the function can write anything there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSource<'a> {
    /// The account that owns the log group (`owner`).
    pub account: &'a str,
    /// The region, if known. Few envelopes name it; otherwise the forwarder's own region is used.
    pub region: Option<&'a str>,
    pub log_group: &'a str,
    pub log_stream: &'a str,
}

impl<'a> LogSource<'a> {
    /// The function named by log stream and log group, in its original case.
    ///
    /// A function's own group decides, because a function can create streams of any name in its group. The stream decides in
    /// other groups, for example one shared by several functions.
    pub fn function_name(&self) -> Option<&'a str> {
        let of_stream = || LambdaStream::parse(self.log_stream).and_then(|stream| stream.function);
        function_of_group(self.log_group).or_else(of_stream)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name of the function or state machine, or the last part of the log group's name if none is known. Never empty.
    pub service_name: String,
    pub function_name: Option<String>,
    /// The function's version, such as `$LATEST`, or on managed instances `$LATEST.PUBLISHED`.
    pub function_version: Option<String>,
    /// The state machine that the log stream names, in a log group that is none of Lambda's.
    pub state_machine: Option<String>,
    /// `true` if the log group or stream belongs to a Lambda function.
    pub is_lambda: bool,
    pub account: Option<String>,
    pub region: Option<String>,
    pub log_group: String,
    /// Name of the log stream. A function has one for each execution environment.
    pub log_stream: String,
}

impl Identity {
    pub fn of(source: &LogSource<'_>) -> Self {
        let stream = LambdaStream::parse(source.log_stream);
        let function_name = source.function_name();
        let is_in_lambda_group = source.log_group.starts_with(LAMBDA_GROUP_PREFIX);
        let state_machine = machine_of_stream(source.log_stream).filter(|_| !is_in_lambda_group);
        let service_name = function_name
            .or(state_machine)
            .or_else(|| source.log_group.rsplit('/').find(|part| !part.is_empty()))
            .unwrap_or("unknown_service");
        Self {
            service_name: service_name.to_owned(),
            function_name: function_name.map(str::to_owned),
            function_version: stream.map(|stream| stream.version.to_owned()),
            state_machine: state_machine.map(str::to_owned),
            // In a group of its own, a function's streams do not name it.
            is_lambda: is_in_lambda_group || stream.is_some_and(|stream| stream.function.is_some()),
            account: non_empty(source.account),
            region: source.region.and_then(non_empty),
            log_group: source.log_group.to_owned(),
            log_stream: source.log_stream.to_owned(),
        }
    }

    /// The names that compact lines of this log stream leave out. Lambda hides the log stream from extensions, so our
    /// exporter writes it if there is an extension.
    pub fn line_context(&self) -> Context<'_> {
        Context {
            function: self.function_name.as_deref().unwrap_or_default(),
            account: self.account.as_deref().unwrap_or_default(),
            log_stream: &self.log_stream,
            region: "",
        }
    }

    pub fn log_resource(&self) -> Resource {
        let mut attributes = self.shared_attributes();
        if self.is_lambda && !self.log_stream.is_empty() {
            attributes.push(string(names::FAAS_INSTANCE, &self.log_stream));
        }
        if !self.log_group.is_empty() {
            attributes.push(strings(names::AWS_LOG_GROUP_NAMES, [self.log_group.as_str()]));
        }
        if !self.log_stream.is_empty() {
            attributes.push(strings(names::AWS_LOG_STREAM_NAMES, [self.log_stream.as_str()]));
        }
        resource(attributes)
    }

    /// The resource of metrics. OpenObserve turns each attribute into a label of every series, so it omits everything that
    /// differs between environments of a function.
    pub fn metric_resource(&self) -> Resource {
        resource(self.shared_attributes())
    }

    fn shared_attributes(&self) -> Vec<KeyValue> {
        let mut attributes = vec![
            string(names::SERVICE_NAME, &self.service_name),
            string(names::CLOUD_PROVIDER, "aws"),
        ];
        if self.is_lambda {
            attributes.push(string(names::CLOUD_PLATFORM, "aws_lambda"));
        }
        let optional = [
            (names::CLOUD_REGION, &self.region),
            (names::CLOUD_ACCOUNT_ID, &self.account),
            (names::FAAS_NAME, &self.function_name),
            (names::FAAS_VERSION, &self.function_version),
        ];
        for (key, value) in optional {
            attributes.extend(value.as_ref().map(|value| string(key, value)));
        }
        attributes
    }
}

fn resource(attributes: Vec<KeyValue>) -> Resource {
    Resource { attributes, ..Resource::default() }
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

const LAMBDA_GROUP_PREFIX: &str = "/aws/lambda/";

/// The function of a default log group: `/aws/lambda/NAME`, or `/aws/lambda/us-east-1.NAME` for Lambda@Edge in any region.
fn function_of_group(log_group: &str) -> Option<&str> {
    let within = log_group.strip_prefix(LAMBDA_GROUP_PREFIX)?;
    let name = within.strip_prefix("us-east-1.").unwrap_or(within);
    is_function_name(name).then_some(name)
}

/// The state machine of a stream that Step Functions writes: `states/NAME/YYYY-MM-DD-hh-mm/hex`.
fn machine_of_stream(log_stream: &str) -> Option<&str> {
    const MAX_BYTES: usize = 80;
    let (rest, id) = log_stream.strip_prefix("states/")?.rsplit_once('/')?;
    let (name, time) = rest.rsplit_once('/')?;
    let is_time = time.len() == "2026-09-21-14-13".len()
        && time.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 | 10 | 13 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    // A Distributed Map's children: `NAME/LABEL`
    let name = name.split('/').next()?;
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_time && is_id && (1..=MAX_BYTES).contains(&name.len())).then_some(name)
}

/// Function names consist of letters, digits, `-` and `_`, with 64 bytes at most; some older ones are longer.
fn is_function_name(name: &str) -> bool {
    (1..=140).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// The stream of one execution environment: `YYYY/MM/DD/[VERSION]hex` in the function's own group, `YYYY/MM/DD/NAME[VERSION]hex`
/// in a custom group.
#[derive(Clone, Copy)]
struct LambdaStream<'a> {
    function: Option<&'a str>,
    version: &'a str,
}

impl<'a> LambdaStream<'a> {
    fn parse(log_stream: &'a str) -> Option<Self> {
        let (date, rest) = log_stream.split_at_checked("2026/09/21/".len())?;
        let is_date = date.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 | 10 => byte == b'/',
            _ => byte.is_ascii_digit(),
        });
        let (name, rest) = rest.split_once('[')?;
        let (version, environment) = rest.split_once(']')?;
        let is_version = matches!(version, "$LATEST" | "$LATEST.PUBLISHED")
            || (!version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()));
        let is_lambda = is_date
            && (name.is_empty() || is_function_name(name))
            && is_version
            && !environment.is_empty();
        is_lambda.then_some(Self { function: Some(name).filter(|name| !name.is_empty()), version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::check_table;
    use expect_test::expect_file;

    #[test]
    fn group_and_stream_name_the_function() {
        check_table(&expect_file!["../fixtures/identities.txt"], |names| {
            let given = |name: &str| if name == "-" { String::new() } else { name.to_owned() };
            let names = names.replace("{hex}", "2f399eb14537447da05ab2a2e39309de");
            let (group, stream) = names.split_once(' ').unwrap();
            let log_group = &given(group);
            let log_stream = &given(stream);
            let account = "123456789012";
            let source = LogSource { account, region: None, log_group, log_stream };
            let Identity { function_name, function_version, service_name, is_lambda, .. } =
                Identity::of(&source);
            let or_none = |name: Option<String>| name.unwrap_or_else(|| "-".to_owned());
            let function = or_none(function_name);
            let version = or_none(function_version);
            format!("{function} {version} {service_name} {is_lambda}")
        });
    }
}
