//! The functions of an account: lists, reads and changes them through Lambda's API.
//!
//! Each change is one request that names the revision it is based on. If the function was changed meanwhile, it is read
//! again. `GetFunction` has a quota of its own, 100 requests per second; all other requests share 15 per second (Lambda
//! Developer Guide, "Lambda quotas"). AWS's SDK repeats throttled requests.

use super::configuration::{AttachedLayer, Configuration, Update, Variables};
use super::layers::{LayerVersion, layer_name, short};
use super::plan::Change;
use super::record::is_tag;
use crate::aws::explain;
use anyhow::{Context as _, anyhow, bail};
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::operation::get_function::GetFunctionOutput;
use aws_sdk_lambda::types::{
    Environment, FunctionConfiguration, LastUpdateStatus, PackageType, SnapStartApplyOn, State,
};
use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

/// Enough for throttling.
const ATTEMPTS: u32 = 10;
pub(super) const POLL_AFTER: Duration = Duration::from_millis(250);
/// The longest time that an update may take is 10 minutes. Functions in a VPC take minutes.
const UPDATE_POLLS: u32 = 2400;

#[derive(Clone, Debug)]
pub(super) struct Account {
    lambda: Client,
}

/// The result of a request to change a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpdateAnswer {
    Accepted,
    /// The function was changed or is being updated. Read it again.
    Conflict,
}

impl Account {
    pub(super) fn new(aws: &SdkConfig) -> Self {
        Self { lambda: Client::new(&with_retries(aws)) }
    }

    /// Returns the names of all functions in the region.
    pub(super) async fn function_names(&self) -> anyhow::Result<Vec<String>> {
        let mut listed = self.lambda.list_functions().into_paginator().items().send();
        let mut names = Vec::new();
        while let Some(function) = listed.next().await {
            let function =
                function.map_err(|error| explain(&error)).context("cannot list functions")?;
            names.extend(function.function_name);
        }
        names.sort();
        Ok(names)
    }

    /// Reads a function with its tags, but without its aliases. Returns `None` if it does not exist.
    pub(super) async fn read(&self, name: &str) -> anyhow::Result<Option<Configuration>> {
        let answer = self.lambda.get_function().function_name(name).send().await;
        let output = match answer {
            Ok(output) => output,
            Err(error) if error.code() == Some("ResourceNotFoundException") => return Ok(None),
            Err(error) => return Err(explain(&error)),
        };
        configuration(output).map(Some)
    }

    /// Returns the aliases that lead to published versions.
    pub(super) async fn aliases(&self, name: &str) -> anyhow::Result<Vec<String>> {
        let mut listed =
            self.lambda.list_aliases().function_name(name).into_paginator().items().send();
        let mut aliases = Vec::new();
        while let Some(alias) = listed.next().await {
            let alias = alias.map_err(|error| explain(&error)).context("cannot list aliases")?;
            let version = alias.function_version.unwrap_or_default();
            if version != "$LATEST" {
                aliases.push(format!("{} -> {version}", alias.name.unwrap_or_default()));
            }
        }
        Ok(aliases)
    }

    /// Reads a layer version, of this account or of one that shares it.
    pub(super) async fn layer_version(&self, arn: &str) -> anyhow::Result<LayerVersion> {
        let answer = self.lambda.get_layer_version_by_arn().arn(arn).send().await;
        let output = answer
            .map_err(|error| explain(&error))
            .with_context(|| format!("cannot read layer {arn}"))?;
        let names = |names: Option<Vec<String>>| names.unwrap_or_default();
        let architectures = output
            .compatible_architectures
            .map(|all| all.into_iter().map(|it| it.as_str().to_owned()).collect());
        let runtimes = output
            .compatible_runtimes
            .map(|all| all.into_iter().map(|it| it.as_str().to_owned()).collect());
        let mut version = LayerVersion {
            arn: arn.to_owned(),
            architectures: names(architectures),
            runtimes: names(runtimes),
            zipped_bytes: output
                .content
                .and_then(|content| u64::try_from(content.code_size).ok())
                .unwrap_or_default(),
        };
        // The extension is a program, so its architecture must be known.
        if version.runtimes.is_empty() && version.architectures.is_empty() {
            let name = layer_name(arn);
            let suffix = ["arm64", "x86_64"].into_iter().find(|suffix| name.ends_with(suffix));
            let Some(architecture) = suffix else {
                bail!(
                    "layer {} has neither architectures nor runtimes: publish it with --compatible-architectures",
                    short(arn)
                );
            };
            version.architectures = vec![architecture.to_owned()];
        }
        Ok(version)
    }

    /// Writes the record of a change into the function's tags.
    pub(super) async fn set_tags(
        &self,
        configuration: &Configuration,
        tags: &BTreeMap<String, String>,
    ) -> anyhow::Result<()> {
        let arn = &configuration.arn;
        let new: Vec<_> = tags
            .iter()
            .filter(|(key, value)| configuration.tags.get(*key) != Some(value))
            .collect();
        if !new.is_empty() {
            let mut request = self.lambda.tag_resource().resource(arn);
            for (key, value) in new {
                request = request.tags(key, value);
            }
            request
                .send()
                .await
                .map_err(|error| explain(&error))
                .context("cannot write its tags")?;
        }
        let old: Vec<String> = configuration
            .tags
            .keys()
            .filter(|key| is_tag(key) && !tags.contains_key(*key))
            .cloned()
            .collect();
        if !old.is_empty() {
            let request = self.lambda.untag_resource().resource(arn).set_tag_keys(Some(old));
            request
                .send()
                .await
                .map_err(|error| explain(&error))
                .context("cannot remove its tags")?;
        }
        Ok(())
    }

    /// Sets layers and variables, if the function still has this revision.
    pub(super) async fn update(
        &self,
        configuration: &Configuration,
        change: &Change,
    ) -> anyhow::Result<UpdateAnswer> {
        let mut request = self.lambda.update_function_configuration();
        request = request.function_name(&configuration.name).revision_id(&configuration.revision);
        if change.layers != configuration.layer_arns() {
            request = request.set_layers(Some(change.layers.clone()));
        }
        if change.variables != configuration.variables {
            let variables = change.variables.clone().into_iter().collect();
            request =
                request.environment(Environment::builder().set_variables(Some(variables)).build());
        }
        match request.send().await {
            Ok(_) => Ok(UpdateAnswer::Accepted),
            Err(error) if is_conflict(&error) => Ok(UpdateAnswer::Conflict),
            Err(error) => {
                Err(anyhow!(without_values(&explained_update(&error), &change.variables)))
            }
        }
    }

    /// Waits until no update of the function is in progress. Returns `None` if the function does not exist any more.
    pub(super) async fn settled(&self, name: &str) -> anyhow::Result<Option<Configuration>> {
        for _ in 0..UPDATE_POLLS {
            let Some(configuration) = self.read(name).await? else { return Ok(None) };
            if configuration.update != Update::InProgress {
                return Ok(Some(configuration));
            }
            tokio::time::sleep(POLL_AFTER).await;
        }
        bail!("its update has been in progress for 10 minutes: run the command again later")
    }
}

/// Returns a configuration whose clients repeat throttled requests, and then send fewer.
pub(super) fn with_retries(aws: &SdkConfig) -> SdkConfig {
    let retries = RetryConfig::adaptive().with_max_attempts(ATTEMPTS);
    aws.clone().into_builder().retry_config(retries).build()
}

fn is_conflict<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let codes = ["PreconditionFailedException", "ResourceConflictException"];
    error.code().is_some_and(|code| codes.contains(&code))
}

fn explained_update<E>(error: &SdkError<E>) -> String
where
    E: Error + Send + Sync + 'static,
{
    let explained = explain(error).to_string();
    // AWS prints all variables after these words.
    let text = explained.split("String measured").next().unwrap_or_default().trim_end();
    let is_too_large = text.contains("maximum allowed size");
    let remedy = if is_too_large {
        ": remove files from the package or from its layers, or use a container image"
    } else {
        ""
    };
    format!("{text}{remedy}")
}

/// Removes values of variables from a text of AWS.
fn without_values(text: &str, variables: &Variables) -> String {
    /// A shorter value is not a secret, and may be a part of any word.
    const SECRET_CHARS: usize = 6;
    let mut masked = text.to_owned();
    for (name, value) in variables.iter().filter(|(_, value)| value.len() >= SECRET_CHARS) {
        masked = masked.replace(value.as_str(), &format!("(value of {name})"));
    }
    masked
}

fn configuration(output: GetFunctionOutput) -> anyhow::Result<Configuration> {
    if let Some(error) = output.tags_error {
        bail!("cannot read its tags: {}: {}", error.error_code, error.message);
    }
    let function =
        output.configuration.context("AWS returned a function without a configuration")?;
    let name = function.function_name.clone().unwrap_or_default();
    let logging = function.logging_config.as_ref();
    let log_group = logging.and_then(|logging| logging.log_group.clone());
    let log_format = logging.and_then(|logging| logging.log_format.as_ref());
    let snap_start = function.snap_start.as_ref().and_then(|it| it.apply_on.as_ref());
    let environment = function.environment.as_ref();
    let hidden = environment.and_then(|environment| environment.error.as_ref());
    Ok(Configuration {
        arn: function.function_arn.clone().unwrap_or_default(),
        runtime: runtime(&function),
        architecture: function
            .architectures
            .as_ref()
            .and_then(|all| all.first())
            .map_or("x86_64", |it| it.as_str())
            .to_owned(),
        layers: attached_layers(&function),
        variables: environment
            .and_then(|environment| environment.variables.clone())
            .unwrap_or_default()
            .into_iter()
            .collect(),
        hidden_variables: hidden.map(|error| error.error_code.clone().unwrap_or_default()),
        code_bytes: u64::try_from(function.code_size).unwrap_or_default(),
        has_snap_start: snap_start == Some(&SnapStartApplyOn::PublishedVersions),
        aliases: Vec::new(),
        revision: function.revision_id.clone().unwrap_or_default(),
        update: update(&function),
        tags: output.tags.unwrap_or_default().into_iter().collect(),
        log_group: log_group.unwrap_or_else(|| format!("/aws/lambda/{name}")),
        log_format: log_format.map_or("Text", |format| format.as_str()).to_owned(),
        name,
    })
}

fn runtime(function: &FunctionConfiguration) -> Option<String> {
    if function.package_type == Some(PackageType::Image) {
        return None;
    }
    Some(function.runtime.as_ref().map_or("", |runtime| runtime.as_str()).to_owned())
}

fn attached_layers(function: &FunctionConfiguration) -> Vec<AttachedLayer> {
    let layers = function.layers.iter().flatten();
    let attached = layers.map(|layer| AttachedLayer {
        arn: layer.arn.clone().unwrap_or_default(),
        zipped_bytes: u64::try_from(layer.code_size).unwrap_or_default(),
    });
    attached.collect()
}

fn update(function: &FunctionConfiguration) -> Update {
    let is_pending = function.state == Some(State::Pending);
    match function.last_update_status {
        Some(LastUpdateStatus::InProgress) => Update::InProgress,
        _ if is_pending => Update::InProgress,
        Some(LastUpdateStatus::Failed) => {
            let reason = function.last_update_status_reason.as_deref();
            Update::Failed(reason.unwrap_or("without a reason").to_owned())
        }
        _ => Update::Successful,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_lambda::config::http::HttpResponse;
    use aws_sdk_lambda::error::ErrorMetadata;
    use aws_sdk_lambda::operation::update_function_configuration::UpdateFunctionConfigurationError;

    #[test]
    fn an_error_of_aws_shows_no_values_of_variables() {
        let check = |message: &str, expected: &str| {
            let metadata =
                ErrorMetadata::builder().code("InvalidParameterValueException").message(message);
            let service_error = UpdateFunctionConfigurationError::generic(metadata.build());
            let raw = HttpResponse::new(400.try_into().unwrap(), "x".into());
            let error = SdkError::service_error(service_error, raw);
            let variables = [("TOKEN".to_owned(), "hunter2".to_owned())].into();
            let text = without_values(&explained_update(&error), &variables);
            assert_eq!(text, format!("InvalidParameterValueException: {expected}"));
        };
        check(
            r#"exceeded the 4KB limit. String measured: {"TOKEN":"hunter2","A":"pas"}"#,
            "exceeded the 4KB limit.",
        );
        check("unexpected hunter2 in TOKEN", "unexpected (value of TOKEN) in TOKEN");
        check(
            "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes.",
            "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes.: remove files from the package or from its layers, or use a container image",
        );
    }
}
