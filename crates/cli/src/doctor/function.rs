//! A function as Lambda describes it.

use crate::aws::FunctionConfiguration;
use crate::instrument::{OUR_WRAPPER, WRAPPER, may_be_our_layer};
use backend::direct_mode;
use forwarder::RULES;
use settings::Check;
use std::collections::{BTreeMap, HashMap};
use wire::arn::Arn;

/// The settings of a deployed function.
#[derive(Debug, Default)]
pub(crate) struct DeployedFunction {
    pub(super) name: String,
    pub(super) arn: String,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) layers: Vec<String>,
    pub(super) log_group: String,
    /// `python3.13`, `nodejs22.x`, …; empty for an image.
    pub(super) runtime: String,
    pub(super) logs_json: bool,
    /// The reason of a failed update.
    pub(super) update_failure: Option<String>,
}

impl DeployedFunction {
    pub(crate) fn of(function: FunctionConfiguration) -> Self {
        let is_update_failed = function.last_update_status == "Failed";
        let reason = function.last_update_status_reason.clone().unwrap_or_default();
        Self {
            log_group: function.log_group(),
            logs_json: function.logging_config.log_format.as_deref() == Some("JSON"),
            update_failure: is_update_failed.then_some(reason),
            name: function.function_name,
            arn: function.function_arn,
            runtime: function.runtime,
            variables: function.environment.variables,
            layers: function.layers.into_iter().map(|layer| layer.arn).collect(),
        }
    }

    /// The variables that the function reads, including those that Lambda sets. An empty one counts as absent, as in the
    /// function: the template sets those of omitted parameters to empty texts. A file in the function's package is left out,
    /// because this machine does not have it.
    pub(crate) fn settings(&self) -> HashMap<String, String> {
        const OF_LAMBDA: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
        let mut settings: HashMap<String, String> =
            OF_LAMBDA.map(|name| (name.to_owned(), "set by Lambda".to_owned())).into();
        let region = Arn::parse(&self.arn).map(|arn| arn.region).unwrap_or_default();
        settings.insert("AWS_REGION".to_owned(), region.to_owned());
        let set = self.variables.iter().filter(|(_, value)| !value.is_empty());
        settings.extend(set.map(|(name, value)| (name.clone(), value.clone())));
        settings.remove("LAMBDA_OTLP_CA_FILE");
        settings
    }

    /// The forwarder's rules, if they are a file of its package, which this machine doesn't have.
    pub(crate) fn packaged_rules(&self) -> Option<&str> {
        let rules = self.variables.get(RULES.name())?.trim();
        (!rules.is_empty() && !rules.starts_with("ssm:")).then_some(rules)
    }

    /// The log groups of the function's region to which its backend writes. Forwarding them would never end.
    pub(crate) fn written_log_groups(&self) -> Vec<String> {
        let settings = self.settings();
        let Ok(config) = forwarder::Config::from_source(&settings).0 else { return Vec::new() };
        let region = Arn::parse(&self.arn).map(|arn| arn.region).unwrap_or_default();
        let written = config.destination.written_log_groups().into_iter();
        written.filter(|it| it.region == region).map(|it| it.name).collect()
    }

    pub(super) fn check(&self) -> Check {
        let name = &self.name;
        if let Some(reason) = &self.update_failure {
            let text = format!(
                "{name}: its last update failed: {reason}: correct the cause and deploy the stack again"
            );
            return Check::failed("function", text);
        }
        Check::ok("function", format!("{name} is deployed"))
    }
}

/// Returns the variable that puts the layer of a function with these layers and variables into direct mode. A stack with a name of
/// its own gives it to the layer, so the wrapper is evidence of the layer too. A doubtful layer counts, because a subscription of
/// the function's log would store its telemetry twice.
pub(crate) fn direct_mode_variable<'a>(
    mut layers: impl Iterator<Item = &'a str>,
    variables: &BTreeMap<String, String>,
) -> Option<&'static str> {
    let has_wrapper = variables.get(WRAPPER).is_some_and(|wrapper| wrapper == OUR_WRAPPER);
    let has_layer = has_wrapper || layers.any(may_be_our_layer);
    direct_mode::variable_of(variables).filter(|_| has_layer)
}
