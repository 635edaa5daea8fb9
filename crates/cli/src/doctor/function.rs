//! The configuration of a deployed function.

use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
use aws_sdk_lambda::types::LastUpdateStatus;
use settings::Check;
use std::collections::{BTreeMap, HashMap};

#[derive(Debug, Default)]
pub(crate) struct Function {
    pub(super) name: String,
    pub(super) arn: String,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) layers: Vec<String>,
    pub(super) log_group: String,
    is_update_failed: bool,
    timeout_s: i32,
}

impl Function {
    pub(super) fn of(output: GetFunctionConfigurationOutput) -> Self {
        let name = output.function_name.unwrap_or_default();
        let variables = output.environment.and_then(|environment| environment.variables);
        let layers = output.layers.unwrap_or_default();
        let log_group = output.logging_config.and_then(|logging| logging.log_group);
        Self {
            log_group: log_group.unwrap_or_else(|| format!("/aws/lambda/{name}")),
            name,
            arn: output.function_arn.unwrap_or_default(),
            variables: variables.unwrap_or_default().into_iter().collect(),
            layers: layers.into_iter().filter_map(|layer| layer.arn).collect(),
            is_update_failed: output.last_update_status == Some(LastUpdateStatus::Failed),
            timeout_s: output.timeout.unwrap_or_default(),
        }
    }

    /// The variables that the function reads, including those that Lambda sets. A file in the function's package is
    /// left out, because this machine does not have it.
    pub(crate) fn settings(&self) -> HashMap<String, String> {
        const OF_LAMBDA: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
        let mut settings: HashMap<String, String> =
            OF_LAMBDA.map(|name| (name.to_owned(), "set by Lambda".to_owned())).into();
        let region = self.arn.split(':').nth(3).unwrap_or_default();
        settings.insert("AWS_REGION".to_owned(), region.to_owned());
        settings.extend(self.variables.clone());
        settings.remove("LAMBDA_OTLP_CA_FILE");
        settings
    }

    pub(super) fn check(&self) -> Check {
        let name = &self.name;
        if self.is_update_failed {
            return Check::failed("function", format!("{name}: its last update failed"));
        }
        if self.timeout_s < SHORTEST_TIMEOUT_S {
            let text = format!(
                "{name}: its timeout is {} s: set at least {SHORTEST_TIMEOUT_S} s, so that it can queue telemetry for retry when the backend is slow",
                self.timeout_s
            );
            return Check::warning("function", text);
        }
        Check::ok("function", format!("{name} is deployed"))
    }
}

/// A delivery may take 10 s, and queueing rejected items needs time after it.
const SHORTEST_TIMEOUT_S: i32 = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use settings::Verdict;

    #[test]
    fn settings_of_a_deployed_function_are_valid_outside_lambda() {
        let queue = "https://sqs.eu-west-1.amazonaws.com/123456789012/retry";
        let variables = [
            ("LAMBDA_OTLP_ENDPOINT", "https://o2.example.com/api/default"),
            ("LAMBDA_OTLP_RETRY_QUEUE_URL", queue),
            ("LAMBDA_OTLP_CA_FILE", "ca.pem"),
        ];
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:forwarder";
        let function = Function {
            arn: arn.to_owned(),
            variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..Function::default()
        };
        let (checks, config) = super::super::settings(&function.settings());
        assert!(checks.iter().all(|check| check.verdict == Verdict::Ok), "{checks:?}");
        assert!(config.is_some());
    }
}
