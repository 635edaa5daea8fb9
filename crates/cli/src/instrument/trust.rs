//! The layers that the tags of a function may name. Whoever may tag a function could otherwise make `uninstrument` attach a layer of a
//! foreign account, which runs code in the function, or remove the layer of somebody else.

use super::configuration::Configuration;
use super::layers::{LayerKind, is_same_layer, kind_by_name, kind_by_suffix, layer_name};
use super::record::{Record, UntrustedTag};
use crate::aws::{Aws, stack_values};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::Mutex;
use wire::arn::Arn;

/// Layers that are ours under any name, in any account: the user's, and those in the outputs of stacks of this account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TrustedLayers(BTreeSet<String>);

impl FromIterator<String> for TrustedLayers {
    fn from_iter<I: IntoIterator<Item = String>>(arns: I) -> Self {
        Self(arns.into_iter().collect())
    }
}

impl TrustedLayers {
    fn has(&self, arn: &str) -> bool {
        self.0.iter().any(|own| is_same_layer(own, arn))
    }

    pub(super) fn is_ours(&self, kind: LayerKind, arn: &str) -> bool {
        kind_by_name(arn) == Some(kind) || self.has(arn)
    }

    /// Fails if the command would remove or attach a layer because a tag names it, and nothing else says that it is ours.
    pub(super) fn check(
        &self,
        record: &Record,
        configuration: &Configuration,
    ) -> Result<(), UntrustedTag> {
        for kind in LayerKind::ALL {
            let Some(change) = record.layer(kind) else { continue };
            let is_attached =
                configuration.layers.iter().any(|layer| is_same_layer(&layer.arn, &change.put));
            if !is_attached {
                continue;
            }
            if !self.is_ours(kind, &change.put) {
                return Err(UntrustedTag::new(kind.tag(), &change.put));
            }
            let Some(before) = &change.before else { continue };
            let is_ours = self.is_ours(kind, before) || is_same_layer(before, &change.put);
            let is_near = self.has(before)
                || is_of_account(before, &configuration.arn)
                || is_of_account(before, &change.put);
            if !(is_ours && is_near) {
                return Err(UntrustedTag::new(kind.former_tag(), before));
            }
        }
        Ok(())
    }
}

/// Returns `true` if both ARNs are of the same account and region.
pub(super) fn is_of_account(arn: &str, other: &str) -> bool {
    let place = |text| {
        let arn: Arn<'_> = Arn::parse(text)?;
        Some((arn.partition.to_owned(), arn.region.to_owned(), arn.account_id()?.to_owned()))
    };
    place(arn).is_some_and(|own| place(other) == Some(own))
}

/// Asks CloudFormation about recorded layers whose names do not tell that they are ours: `template.yaml` names a stack's layers after
/// the stack, and its outputs have them.
#[derive(Clone, Debug)]
pub(super) struct StackLayers {
    aws: Aws,
    /// The layers that the user named.
    named: TrustedLayers,
    /// The layers in the outputs, by stack.
    read: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
}

impl StackLayers {
    pub(super) fn new(aws: Aws, named: TrustedLayers) -> Self {
        Self { aws, named, read: Arc::default() }
    }

    /// Returns the layers that the function's record may name.
    pub(super) async fn trusted(&self, configuration: &Configuration) -> TrustedLayers {
        let mut trusted = self.named.clone();
        let Ok(record) = Record::of_tags(&configuration.tags) else { return trusted };
        for kind in LayerKind::ALL {
            let Some(change) = record.layer(kind) else { continue };
            for arn in [Some(&change.put), change.before.as_ref()].into_iter().flatten() {
                let is_own = is_of_account(arn, &configuration.arn);
                if is_own && !trusted.is_ours(kind, arn) && kind_by_suffix(arn) == Some(kind) {
                    trusted.0.extend(self.of_stack(layer_name(arn)).await);
                }
            }
        }
        trusted
    }

    /// Returns the layers of the stack that would give a layer this name; none if it cannot be read.
    async fn of_stack(&self, layer_name: &str) -> Vec<String> {
        let Some((stack, _)) = layer_name.rsplit_once('-') else { return Vec::new() };
        let mut read = self.read.lock().await;
        if let Some(known) = read.get(stack) {
            return known.clone();
        }
        let outputs = stack_values(&self.aws, stack).await.unwrap_or_default().outputs;
        let layers: Vec<String> =
            outputs.into_values().filter(|value| super::is_layer_version(value)).collect();
        read.insert(stack.to_owned(), layers.clone());
        layers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::plan::tests::{arn, function};
    use crate::instrument::record::LayerChange;

    const FOREIGN: &str = "arn:aws:lambda:eu-west-1:999999999999:layer:lambda-otlp-arm64:3";

    #[track_caller]
    fn check(attached: &str, put: &str, before: Option<&str>, trusted: &[&str], expected: &str) {
        let mut configuration = function("java21", "", "", "");
        configuration.layers.push(super::super::configuration::AttachedLayer {
            arn: attached.to_owned(),
            ..Default::default()
        });
        let change = LayerChange { put: put.to_owned(), before: before.map(str::to_owned) };
        let record = Record { extension: Some(change), ..Record::default() };
        let trusted: TrustedLayers = trusted.iter().map(|arn| (*arn).to_owned()).collect();
        let found = match trusted.check(&record, &configuration) {
            Ok(()) => String::new(),
            Err(tag) => tag.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn only_layers_of_our_kinds_and_of_near_accounts_are_attached_or_removed() {
        let text = |key: &str, value: &str| {
            format!(
                "its tag lambda-otlp:{key} names {value}, which may be somebody else's layer: remove the tag, or confirm the layer with --layer {value}"
            )
        };
        let ours = arn("lambda-otlp-arm64:7");
        let older = arn("lambda-otlp-arm64:3");
        check(&ours, &ours, None, &[], "");
        check(&ours, &ours, Some(&older), &[], "");
        check(&ours, &ours, Some(&arn("lambda-otlp-x86_64:3")), &[], "");
        // A foreign account.
        check(&ours, &ours, Some(FOREIGN), &[], &text("extension-before", FOREIGN));
        check(&ours, &ours, Some(FOREIGN), &[FOREIGN], "");
        let region = "arn:aws:lambda:us-east-1:123456789012:layer:lambda-otlp-arm64:3";
        check(&ours, &ours, Some(region), &[], &text("extension-before", region));
        // An organization shares its layer: earlier versions of it are known.
        let put = FOREIGN.replace(":3", ":4");
        check(&put, &put, Some(FOREIGN), &[], "");
        check(&put, &put, None, &[], "");
        check(&put, &put, Some(&older), &[], "");
        // Other kinds of layers.
        for other in
            ["insights:1", "insights-arm64:1", "lambda-otlp-python313:1", "lambda-otlp-tools:1"]
        {
            let other = arn(other);
            check(&other, &other, None, &[], &text("extension", &other));
            check(&ours, &ours, Some(&other), &[], &text("extension-before", &other));
            // Nothing is removed.
            check(&ours, &other, None, &[], "");
        }
        let named = arn("telemetry-arm64:7");
        check(&named, &named, None, &[], &text("extension", &named));
        check(&named, &named, Some(&arn("telemetry-arm64:6")), &[&named], "");
    }
}
