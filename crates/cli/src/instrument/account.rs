//! The functions of an account: lists, reads and changes them through Lambda's API.
//!
//! Each change is one request that names the revision it is based on. If the function was changed meanwhile, it is read
//! again. `GetFunction` has a quota of its own, 100 requests per second; all other requests share 15 per second (Lambda
//! Developer Guide, "Lambda quotas"). Throttled requests are repeated.

use super::configuration::{AttachedLayer, Configuration, Update, Variables};
use super::layers::{LayerVersion, layer_name, short};
use super::plan::Change;
use super::record::is_tag;
use crate::aws::{Aws, FunctionConfiguration, Lambda, MISSING, TaggedFunction, explain};
use ::aws::ApiError;
use anyhow::{Context as _, anyhow, bail};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const POLL_AFTER: Duration = Duration::from_millis(250);
/// The longest time that an update may take is 10 minutes. Functions in a VPC take minutes.
const UPDATE_POLLS: u32 = 2400;

#[derive(Debug)]
pub(super) struct Account {
    lambda: Lambda,
}

/// The result of a request to change a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpdateAnswer {
    Accepted,
    /// The function was changed or is being updated. Read it again.
    Conflict,
}

impl Account {
    pub(super) fn new(aws: &Aws) -> anyhow::Result<Self> {
        Ok(Self { lambda: aws.patient().lambda()? })
    }

    /// Returns the names of all functions in the region.
    pub(super) async fn function_names(&self) -> anyhow::Result<Vec<String>> {
        let listed = self.lambda.functions().await;
        let functions = listed.map_err(|error| explain(&error)).context("cannot list functions")?;
        let mut names: Vec<String> = functions.into_iter().map(|it| it.function_name).collect();
        names.sort();
        Ok(names)
    }

    /// Reads a function with its tags, but without its aliases. Returns `None` if it does not exist.
    pub(super) async fn read(&self, name: &str) -> anyhow::Result<Option<Configuration>> {
        match self.lambda.function(name).await {
            Ok(function) => configuration(function).map(Some),
            Err(error) if error.code() == Some(MISSING) => Ok(None),
            Err(error) => Err(explain(&error)),
        }
    }

    /// Returns the aliases that lead to published versions.
    pub(super) async fn aliases(&self, name: &str) -> anyhow::Result<Vec<String>> {
        let listed = self.lambda.aliases(name).await;
        let aliases = listed.map_err(|error| explain(&error)).context("cannot list aliases")?;
        let published = aliases.iter().filter(|alias| alias.function_version != "$LATEST");
        Ok(published.map(|alias| format!("{} -> {}", alias.name, alias.function_version)).collect())
    }

    /// Reads a layer version, of this account or of one that shares it.
    pub(super) async fn layer_version(&self, arn: &str) -> anyhow::Result<LayerVersion> {
        let described = self.lambda.layer_version(arn).await;
        let described = described
            .map_err(|error| explain(&error))
            .with_context(|| format!("cannot read layer {arn}"))?;
        let mut version = LayerVersion {
            arn: arn.to_owned(),
            architectures: described.compatible_architectures,
            runtimes: described.compatible_runtimes,
            zipped_bytes: described.content.code_size,
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
        let new: BTreeMap<&str, &str> = tags
            .iter()
            .filter(|(key, value)| configuration.tags.get(*key) != Some(value))
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        if !new.is_empty() {
            let tagged = self.lambda.tag(arn, &new).await;
            tagged.map_err(|error| explain(&error)).context("cannot write its tags")?;
        }
        let old: Vec<String> = configuration
            .tags
            .keys()
            .filter(|key| is_tag(key) && !tags.contains_key(*key))
            .cloned()
            .collect();
        if !old.is_empty() {
            let untagged = self.lambda.untag(arn, &old).await;
            untagged.map_err(|error| explain(&error)).context("cannot remove its tags")?;
        }
        Ok(())
    }

    /// Sets layers and variables, if the function still has this revision.
    pub(super) async fn update(
        &self,
        configuration: &Configuration,
        change: &Change,
    ) -> anyhow::Result<UpdateAnswer> {
        let mut members = Map::new();
        members.insert("RevisionId".to_owned(), configuration.revision.as_str().into());
        if change.layers != configuration.layer_arns() {
            members.insert("Layers".to_owned(), json!(change.layers));
        }
        if change.variables != configuration.variables {
            let environment = json!({ "Variables": change.variables });
            members.insert("Environment".to_owned(), environment);
        }
        let members = Value::Object(members);
        match self.lambda.update_configuration(&configuration.name, &members).await {
            Ok(()) => Ok(UpdateAnswer::Accepted),
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

fn is_conflict(error: &ApiError) -> bool {
    let codes = ["PreconditionFailedException", "ResourceConflictException"];
    error.code().is_some_and(|code| codes.contains(&code))
}

fn explained_update(error: &ApiError) -> String {
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

fn configuration(function: TaggedFunction) -> anyhow::Result<Configuration> {
    if let Some(error) = function.tags_error {
        bail!("cannot read its tags: {}: {}", error.error_code, error.message);
    }
    let tags = function.tags;
    let function =
        function.configuration.context("AWS returned a function without a configuration")?;
    Ok(Configuration {
        log_group: function.log_group(),
        runtime: (function.package_type != "Image").then(|| function.runtime.clone()),
        update: update(&function),
        has_snap_start: function.snap_start.apply_on == "PublishedVersions",
        arn: function.function_arn,
        architecture: function
            .architectures
            .into_iter()
            .next()
            .unwrap_or_else(|| "x86_64".to_owned()),
        layers: function
            .layers
            .into_iter()
            .map(|layer| AttachedLayer { arn: layer.arn, zipped_bytes: layer.code_size })
            .collect(),
        variables: function.environment.variables,
        hidden_variables: function.environment.error.map(|error| error.error_code),
        code_bytes: function.code_size,
        aliases: Vec::new(),
        revision: function.revision_id,
        tags,
        log_format: function.logging_config.log_format.unwrap_or_else(|| "Text".to_owned()),
        name: function.function_name,
    })
}

fn update(function: &FunctionConfiguration) -> Update {
    match function.last_update_status.as_str() {
        "InProgress" => Update::InProgress,
        _ if function.state == "Pending" => Update::InProgress,
        "Failed" => {
            let reason = function.last_update_status_reason.as_deref();
            Update::Failed(reason.unwrap_or("without a reason").to_owned())
        }
        _ => Update::Successful,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::aws::Refusal;

    #[test]
    fn an_error_of_aws_shows_no_values_of_variables() {
        let check = |message: &str, expected: &str| {
            let code = "InvalidParameterValueException".to_owned();
            let error =
                ApiError::Refused(Refusal { status: 400, code, message: message.to_owned() });
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
