//! The layers of lambda-otlp that are offered to functions, and those that functions have.

use super::configuration::Configuration;
use super::record::Record;
use wire::arn::Arn;

/// The content of a layer of lambda-otlp. A function has at most one of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LayerKind {
    /// The extension and the wrapper.
    Extension,
    /// OpenTelemetry's packages for Python or Node.
    Packages,
}

impl LayerKind {
    pub(super) const ALL: [Self; 2] = [Self::Extension, Self::Packages];
}

/// A version of a layer of lambda-otlp.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LayerVersion {
    pub(super) arn: String,
    pub(super) architectures: Vec<String>,
    /// Empty for the extension, which runs with every runtime.
    pub(super) runtimes: Vec<String>,
    pub(super) zipped_bytes: u64,
}

impl LayerVersion {
    pub(super) fn kind(&self) -> LayerKind {
        if self.runtimes.is_empty() { LayerKind::Extension } else { LayerKind::Packages }
    }

    fn fits(&self, runtime: &str, architecture: &str) -> bool {
        let is_of =
            |names: &[String], name: &str| names.is_empty() || names.iter().any(|it| it == name);
        is_of(&self.runtimes, runtime) && is_of(&self.architectures, architecture)
    }
}

/// The layer versions of a stack, or those of `--layer`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layers {
    pub(super) versions: Vec<LayerVersion>,
}

impl Layers {
    /// Returns the layer version of this kind for functions of this runtime and architecture.
    pub(super) fn find(
        &self,
        kind: LayerKind,
        runtime: &str,
        architecture: &str,
    ) -> Option<&LayerVersion> {
        self.versions.iter().find(|layer| layer.kind() == kind && layer.fits(runtime, architecture))
    }

    /// Returns the function's layer of this kind.
    pub(super) fn attached<'a>(
        &self,
        kind: LayerKind,
        configuration: &'a Configuration,
        record: &Record,
    ) -> Option<LayerPosition<'a>> {
        let arns = configuration.layers.iter().map(|layer| layer.arn.as_str());
        arns.enumerate()
            .map(|(index, arn)| LayerPosition { index, arn })
            .find(|layer| self.kind_of(layer.arn, record) == Some(kind))
    }

    /// Returns the kind of a layer, or `None` if it is not of lambda-otlp.
    fn kind_of(&self, arn: &str, record: &Record) -> Option<LayerKind> {
        let offered = self.versions.iter().find(|offered| is_same_layer(&offered.arn, arn));
        let recorded = || LayerKind::ALL.into_iter().find(|kind| record.has_put(*kind, arn));
        offered.map(LayerVersion::kind).or_else(recorded).or_else(|| kind_by_name(arn))
    }
}

/// A layer among those of a function.
pub(super) struct LayerPosition<'a> {
    pub(super) index: usize,
    pub(super) arn: &'a str,
}

/// Returns `true` if this is the ARN of a layer of lambda-otlp, by the names in `template.yaml` and in the documents.
pub(crate) fn is_our_layer(arn: &str) -> bool {
    kind_by_name(arn).is_some()
}

/// Returns `true` if a layer's name contains ours: it may be a layer of lambda-otlp under a name of the user's.
pub(crate) fn may_be_our_layer(arn: &str) -> bool {
    layer_name(arn).contains("lambda-otlp")
}

/// Recognizes the kind of a layer of lambda-otlp by the names in `template.yaml` and in the documents: `lambda-otlp-arm64`,
/// `lambda-otlp-python313`.
pub(super) fn kind_by_name(arn: &str) -> Option<LayerKind> {
    if !may_be_our_layer(arn) {
        return None;
    }
    kind_by_suffix(arn)
}

/// Returns the kind that the end of a layer's name tells, if the layer is of lambda-otlp.
pub(super) fn kind_by_suffix(arn: &str) -> Option<LayerKind> {
    let last = layer_name(arn).rsplit('-').next().unwrap_or_default();
    if last.starts_with("python3") || last == "node" {
        Some(LayerKind::Packages)
    } else if ["arm64", "x86_64"].contains(&last) {
        Some(LayerKind::Extension)
    } else {
        None
    }
}

/// Returns `true` if both ARNs are of versions of the same layer.
pub(crate) fn is_same_layer(one: &str, other: &str) -> bool {
    without_version(one) == without_version(other)
}

/// Returns the layer's ARN of a layer version's ARN.
fn without_version(arn: &str) -> &str {
    arn.rsplit_once(':').map_or(arn, |(layer, _)| layer)
}

/// Returns the name of a layer version's ARN, `arn:aws:lambda:{region}:{account}:layer:{name}:{version}`.
pub(super) fn layer_name(arn: &str) -> &str {
    let resource = short(arn);
    resource.split_once(':').map_or(resource, |(name, _)| name)
}

/// Shortens a layer version's ARN for a table: `lambda-otlp-arm64:7`.
pub(super) fn short(arn: &str) -> &str {
    Arn::parse(arn).and_then(|arn| arn.resource.strip_prefix("layer:")).unwrap_or(arn)
}

/// Returns an extension of the function that conflicts with ours.
pub(super) fn other_extension(configuration: &Configuration) -> Option<OtherExtension> {
    configuration.layers.iter().find_map(|layer| {
        let name = layer_name(&layer.arn).to_ascii_lowercase();
        let known = EXTENSIONS.iter().find(|known| name.contains(known.part))?;
        let is_enabled = |variable: &str| configuration.variable(variable).is_some();
        known.enabled_by.is_none_or(is_enabled).then(|| OtherExtension {
            extension: known.extension,
            problem: known.problem,
            layer: short(&layer.arn).to_owned(),
        })
    })
}

/// An extension that conflicts with ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OtherExtension {
    pub(super) extension: &'static str,
    /// The conflict: both would do this.
    pub(super) problem: &'static str,
    pub(super) layer: String,
}

struct KnownExtension {
    /// A part of the layer's name.
    part: &'static str,
    extension: &'static str,
    problem: &'static str,
    /// The variable that starts the receiver. `None` if it always conflicts.
    enabled_by: Option<&'static str>,
}

/// Both would open the port of the OpenTelemetry protocol.
const PORT: &str = "also receives OTLP at port 4318";

/// The layers that their projects document, and that conflict with ours.
const EXTENSIONS: [KnownExtension; 6] = [
    KnownExtension {
        part: "datadog-extension",
        extension: "Datadog's extension",
        problem: PORT,
        enabled_by: Some("DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_HTTP_ENDPOINT"),
    },
    KnownExtension {
        part: "opentelemetry-collector",
        extension: "OpenTelemetry's collector",
        problem: PORT,
        enabled_by: None,
    },
    KnownExtension {
        part: "aws-otel-",
        extension: "AWS's collector",
        problem: PORT,
        enabled_by: None,
    },
    KnownExtension {
        part: "rotel-extension",
        extension: "rotel's extension",
        problem: PORT,
        enabled_by: None,
    },
    KnownExtension {
        part: "opentelemetry-lambda-extension",
        extension: "djv3's extension",
        problem: PORT,
        enabled_by: None,
    },
    KnownExtension {
        part: "openobserve-lambda-extension",
        extension: "OpenObserve's extension",
        problem: "sends the same telemetry to OpenObserve, so all of it would arrive twice",
        enabled_by: None,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_recognized_by_name() {
        let check = |name: &str, expected: Option<LayerKind>| {
            let arn = format!("arn:aws:lambda:eu-west-1:123456789012:layer:{name}:7");
            assert_eq!(kind_by_name(&arn), expected, "{name}");
            assert_eq!(
                is_our_layer(&arn),
                expected.is_some(),
                "{name}: as `fleet` and `instrument` say"
            );
            assert_eq!(short(&arn), format!("{name}:7"));
        };
        check("lambda-otlp-arm64", Some(LayerKind::Extension));
        check("lambda-otlp-x86_64", Some(LayerKind::Extension));
        check("shop-lambda-otlp-arm64", Some(LayerKind::Extension));
        check("lambda-otlp-python313", Some(LayerKind::Packages));
        check("lambda-otlp-node", Some(LayerKind::Packages));
        check("lambda-otlp-tools", None);
        check("insights-arm64", None);
    }
}
