//! The changes that instrument a function, decided from its present configuration alone. A command that was interrupted
//! therefore continues where it stopped.

use super::configuration::{Configuration, Support, Variables};
use super::layers::{LayerKind, Layers, OtherExtension, other_extension, short};
use super::line::{LINE, choose_line};
use super::record::{FormerWrapper, LayerChange, MAX_TAGS, Record, UntrustedTag, is_tag};
use super::trust::TrustedLayers;
use crate::lines::LineFormat;
use backend::direct_mode;

pub(crate) const WRAPPER: &str = "AWS_LAMBDA_EXEC_WRAPPER";
pub(super) const NEXT_WRAPPER: &str = "LAMBDA_OTLP_NEXT_WRAPPER";
pub(crate) const OUR_WRAPPER: &str = "/opt/lambda-otlp-handler";

// Lambda Developer Guide, "Lambda quotas".
const MAX_LAYERS: usize = 5;
const MAX_VARIABLE_BYTES: usize = 4096;
const MAX_UNZIPPED_BYTES: u64 = 262_144_000;

/// The options of the command line.
#[derive(Clone, Debug, Default)]
pub(super) struct InstrumentOptions {
    pub(super) layers: Layers,
    /// The format of the function's lines; `None` leaves it as it is.
    pub(super) line: Option<LineFormat>,
    /// Also change functions that CloudFormation manages.
    pub(super) managed: bool,
    /// Also change functions of which published versions run.
    pub(super) versions: bool,
}

/// The decision about a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FunctionStep {
    Change(Change),
    /// The function is as it should be.
    Keep,
    Refuse(FunctionRefusal),
}

/// The configuration that a function gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) layers: Vec<String>,
    pub(super) variables: Variables,
    pub(super) record: Record,
    /// Facts that the operator should know.
    pub(super) notes: Vec<String>,
}

/// The reason why a function stays as it is, with a remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FunctionRefusal {
    #[error("it belongs to the stack of lambda-otlp: leave it out with --exclude")]
    OfOurStack,
    #[error("a container image has no layers: add the lines below to its Dockerfile")]
    Image,
    #[error(
        "runtime {0} is too old: update the function to python3.10, nodejs18.x, java8.al2, dotnet6, ruby3.2, provided.al2 or later"
    )]
    OldRuntime(String),
    #[error("runtime {0} is unknown to this version of lambda-otlp: update it")]
    UnknownRuntime(String),
    #[error(
        "no layer with the extension for {0}: deploy the stack from the release files, or name all layers with --layer, also the stack's"
    )]
    NoExtension(String),
    #[error(
        "AWS does not return its variables ({0}), and an update would delete them: use credentials with kms:Decrypt for the function's key"
    )]
    HiddenVariables(String),
    #[error(
        "a function has at most {MAX_LAYERS} layers, this one would have {count}: merge or remove some of {layers}"
    )]
    TooManyLayers { count: usize, layers: String },
    #[error(
        "its variables would take {0} bytes of {MAX_VARIABLE_BYTES}: move some to Parameter Store or Secrets Manager"
    )]
    LargeVariables(usize),
    #[error(
        "code and layers would exceed 250 MB unzipped: {0} bytes zipped; remove files from the package, or use a container image"
    )]
    LargeCode(u64),
    #[error("{extension} in layer {layer} {problem}: first remove that layer, with {removal}", extension = .other.extension, layer = .other.layer, problem = .other.problem)]
    OtherExtension {
        other: OtherExtension,
        /// The command that removes the layer and keeps the others.
        removal: String,
    },
    #[error(
        "{WRAPPER} and {NEXT_WRAPPER} name two other wrappers, and ours starts only one: remove {NEXT_WRAPPER}"
    )]
    TwoWrappers,
    #[error("{LINE} is set, but not by this command: remove it there, or leave out --line")]
    OwnLine,
    #[error("a function has at most {MAX_TAGS} tags, and {0} more are needed: remove some")]
    TooManyTags(usize),
    #[error(
        "its traffic goes to published versions ({0}), which keep their layers: use --versions, then publish a version and move the alias"
    )]
    PublishedVersions(String),
    #[error(
        "SnapStart runs published versions, which keep their layers: use --versions, then publish a version"
    )]
    SnapStart,
    #[error(
        "CloudFormation's stack {0} manages it, and its next deployment may revert the change: add the lines below to its template, or use --managed"
    )]
    Managed(String),
    #[error("it has {0}, but not by this command: remove the layers and variables by hand")]
    NotRecorded(String),
    #[error("{0}")]
    UntrustedTag(UntrustedTag),
}

impl Change {
    /// Returns `true` if layers or variables change, and not only tags.
    pub(super) fn differs_from(&self, configuration: &Configuration) -> bool {
        self.layers != configuration.layer_arns() || self.variables != configuration.variables
    }
}

/// Decides how to instrument a function.
pub(super) fn plan(
    configuration: &Configuration,
    options: &InstrumentOptions,
    trusted: &TrustedLayers,
) -> FunctionStep {
    match needed_change(configuration, options, trusted) {
        Ok(Some(change)) => FunctionStep::Change(change),
        Ok(None) => FunctionStep::Keep,
        Err(refusal) => FunctionStep::Refuse(refusal),
    }
}

/// Returns the change that instruments a function; `None` if it needs none.
fn needed_change(
    configuration: &Configuration,
    options: &InstrumentOptions,
    trusted: &TrustedLayers,
) -> Result<Option<Change>, FunctionRefusal> {
    // Only the stack's functions have queues of telemetry, or patterns of log groups.
    let variables_of_stack = ["LAMBDA_OTLP_RETRY_QUEUE_URL", "LAMBDA_OTLP_INCLUDE"];
    if variables_of_stack.iter().any(|name| configuration.variables.contains_key(*name)) {
        return Err(FunctionRefusal::OfOurStack);
    }
    let runtime = configuration.runtime.as_deref().ok_or(FunctionRefusal::Image)?;
    let support = Support::of(runtime);
    match support {
        Support::TooOld => return Err(FunctionRefusal::OldRuntime(runtime.to_owned())),
        Support::Unknown => return Err(FunctionRefusal::UnknownRuntime(runtime.to_owned())),
        Support::Packages | Support::Wrapper | Support::ExtensionOnly => {}
    }
    if let Some(reason) = &configuration.hidden_variables {
        return Err(FunctionRefusal::HiddenVariables(reason.clone()));
    }
    let record = Record::of_tags(&configuration.tags).map_err(FunctionRefusal::UntrustedTag)?;
    // A recorded layer would be replaced, and its former layer be attached later.
    trusted.check(&record, configuration).map_err(FunctionRefusal::UntrustedTag)?;
    let mut change = Change {
        layers: configuration.layer_arns(),
        variables: configuration.variables.clone(),
        record,
        notes: Vec::new(),
    };
    add_layers(&mut change, configuration, options, support)?;
    if support != Support::ExtensionOnly {
        add_wrapper(&mut change)?;
    }
    if let Some(format) = options.line {
        choose_line(&mut change, format)?;
    }
    if !change.differs_from(configuration) {
        return Ok(None);
    }
    check_quotas(&change, configuration, options)?;
    check_versions(&mut change, configuration, options)?;
    check_stack(&mut change, configuration, options)?;
    add_notes(&mut change, support);
    Ok(Some(change))
}

fn add_layers(
    change: &mut Change,
    configuration: &Configuration,
    options: &InstrumentOptions,
    support: Support,
) -> Result<(), FunctionRefusal> {
    let runtime = configuration.runtime.as_deref().unwrap_or_default();
    let architecture = &configuration.architecture;
    let former = change.record.clone();
    for kind in LayerKind::ALL {
        let offered = options.layers.find(kind, runtime, architecture);
        let put = match (kind, offered) {
            (_, Some(offered)) => offered.arn.clone(),
            (LayerKind::Extension, None) => {
                return Err(FunctionRefusal::NoExtension(architecture.clone()));
            }
            (LayerKind::Packages, None) => {
                if support == Support::Packages {
                    change.notes.push(format!(
                        "no packages layer for {runtime} on {architecture}, so the function's code makes no spans: deploy the stack from the release files"
                    ));
                }
                continue;
            }
        };
        let attached = options.layers.attached(kind, configuration, &former);
        let before = match attached {
            Some(present) if present.arn == put => {
                // The layer stays. A record of another layer is outdated.
                if !former.has_put(kind, present.arn) {
                    change.record.set_layer(kind, None);
                }
                continue;
            }
            Some(present) => {
                if let Some(layer) = change.layers.get_mut(present.index) {
                    layer.clone_from(&put);
                }
                let recorded = former.layer(kind).filter(|recorded| recorded.put == present.arn);
                match recorded {
                    Some(recorded) => recorded.before.clone(),
                    None => Some(present.arn.to_owned()),
                }
            }
            None => {
                change.layers.push(put.clone());
                None
            }
        };
        change.record.set_layer(kind, Some(LayerChange { put, before }));
    }
    if let Some(other) = other_extension(configuration) {
        let removal = removal_command(configuration, &other);
        return Err(FunctionRefusal::OtherExtension { other, removal });
    }
    Ok(())
}

/// Returns the command that sets the function's layers without this one. AWS replaces the whole list.
fn removal_command(configuration: &Configuration, other: &OtherExtension) -> String {
    let arns = configuration.layers.iter().map(|layer| layer.arn.as_str());
    let kept: Vec<&str> = arns.filter(|arn| short(arn) != other.layer).collect();
    let list = if kept.is_empty() { "'[]'".to_owned() } else { kept.join(" ") };
    let name = &configuration.name;
    format!("`aws lambda update-function-configuration --function-name {name} --layers {list}`")
}

fn add_wrapper(change: &mut Change) -> Result<(), FunctionRefusal> {
    let present = change.variables.get(WRAPPER).cloned();
    let next = change.variables.get(NEXT_WRAPPER).cloned();
    let former = match present {
        Some(present) if present == OUR_WRAPPER => return Ok(()),
        None => FormerWrapper::Unset,
        Some(present) if present.is_empty() => FormerWrapper::Empty,
        Some(present) => match next {
            None => {
                change.variables.insert(NEXT_WRAPPER.to_owned(), present);
                FormerWrapper::Moved
            }
            Some(next) if next.is_empty() => {
                change.variables.insert(NEXT_WRAPPER.to_owned(), present);
                FormerWrapper::MovedOverEmpty
            }
            Some(next) if next == present => FormerWrapper::Copied,
            Some(_) => return Err(FunctionRefusal::TwoWrappers),
        },
    };
    change.variables.insert(WRAPPER.to_owned(), OUR_WRAPPER.to_owned());
    change.record.wrapper = Some(former);
    Ok(())
}

fn check_quotas(
    change: &Change,
    configuration: &Configuration,
    options: &InstrumentOptions,
) -> Result<(), FunctionRefusal> {
    if change.layers.len() > MAX_LAYERS {
        let layers: Vec<String> =
            configuration.layers.iter().map(|layer| short(&layer.arn).to_owned()).collect();
        let count = change.layers.len();
        return Err(FunctionRefusal::TooManyLayers { count, layers: layers.join(", ") });
    }
    let variable_bytes = variable_bytes(&change.variables);
    if variable_bytes > MAX_VARIABLE_BYTES {
        return Err(FunctionRefusal::LargeVariables(variable_bytes));
    }
    // The API has only zipped sizes. AWS refuses an update whose unzipped files are too large.
    let bytes_of = |arn: &String| {
        let attached = configuration.layers.iter().find(|layer| layer.arn == *arn);
        let offered = options.layers.versions.iter().find(|layer| layer.arn == *arn);
        match (attached, offered) {
            (Some(layer), _) => layer.zipped_bytes,
            (None, Some(layer)) => layer.zipped_bytes,
            (None, None) => 0,
        }
    };
    let zipped_bytes = configuration.code_bytes + change.layers.iter().map(bytes_of).sum::<u64>();
    if zipped_bytes > MAX_UNZIPPED_BYTES {
        return Err(FunctionRefusal::LargeCode(zipped_bytes));
    }
    let others = configuration.tags.keys().filter(|key| !is_tag(key) && !key.starts_with("aws:"));
    let tags = others.count() + change.record.to_tags().len();
    if tags > MAX_TAGS {
        return Err(FunctionRefusal::TooManyTags(tags - MAX_TAGS));
    }
    Ok(())
}

/// Returns the size of the variables as Lambda measures them: as JSON.
fn variable_bytes(variables: &Variables) -> usize {
    serde_json::to_vec(variables).map_or(0, |json| json.len())
}

fn check_versions(
    change: &mut Change,
    configuration: &Configuration,
    options: &InstrumentOptions,
) -> Result<(), FunctionRefusal> {
    let name = &configuration.name;
    let aliases = configuration.aliases.join(", ");
    if configuration.aliases.is_empty() && !configuration.has_snap_start {
        return Ok(());
    }
    if !options.versions {
        return Err(if configuration.aliases.is_empty() {
            FunctionRefusal::SnapStart
        } else {
            FunctionRefusal::PublishedVersions(aliases)
        });
    }
    let publish = format!("then publish it: aws lambda publish-version --function-name {name}");
    let alias = configuration.aliases.first().and_then(|alias| alias.split(' ').next());
    change.notes.push(match alias {
        Some(alias) => format!(
            "published versions run ({aliases}): {publish}; aws lambda update-alias --function-name {name} --name {alias} --function-version VERSION"
        ),
        None => format!("SnapStart runs published versions: {publish}"),
    });
    Ok(())
}

fn check_stack(
    change: &mut Change,
    configuration: &Configuration,
    options: &InstrumentOptions,
) -> Result<(), FunctionRefusal> {
    // CloudFormation sets this tag itself.
    let Some(stack) = configuration.tags.get("aws:cloudformation:stack-name") else {
        return Ok(());
    };
    if !options.managed {
        return Err(FunctionRefusal::Managed(stack.clone()));
    }
    change.notes.push(format!("the next deployment of stack {stack} may revert the change"));
    Ok(())
}

fn add_notes(change: &mut Change, support: Support) {
    let kept: Vec<&str> = change
        .variables
        .keys()
        .map(String::as_str)
        .filter(|name| name.starts_with("OTEL_"))
        .collect();
    if !kept.is_empty() {
        change.notes.push(format!("keeps {}", kept.join(", ")));
    }
    if let Some(variable) = direct_mode::variable_of(&change.variables) {
        change.notes.push(format!(
            "{variable} puts the layer into direct mode, which sends the function's printed lines to that backend too: set LAMBDA_OTLP_OUTPUT=stdout to prevent it"
        ));
    }
    if support == Support::ExtensionOnly {
        let note = "Lambda starts no wrapper with this runtime: the function's SDK needs OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318";
        change.notes.push(note.to_owned());
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::instrument::configuration::AttachedLayer;
    use crate::instrument::layers::LayerVersion;
    use std::collections::BTreeMap;

    pub(in crate::instrument) fn arn(layer: &str) -> String {
        format!("arn:aws:lambda:eu-west-1:123456789012:layer:{layer}")
    }

    fn offered(layer: &str, architectures: &[&str], runtimes: &[&str]) -> LayerVersion {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        LayerVersion {
            arn: arn(layer),
            architectures: owned(architectures),
            runtimes: owned(runtimes),
            zipped_bytes: 1_000_000,
        }
    }

    /// The layers of a stack `telemetry`, whose names do not contain `lambda-otlp`, in this version.
    pub(in crate::instrument) fn options(version: u32) -> InstrumentOptions {
        let layers = vec![
            offered(&format!("telemetry-arm64:{version}"), &["arm64"], &[]),
            offered(&format!("telemetry-x86_64:{version}"), &["x86_64"], &[]),
            offered(&format!("telemetry-python313:{version}"), &[], &["python3.13"]),
            offered(&format!("telemetry-node:{version}"), &[], &["nodejs20.x", "nodejs22.x"]),
        ];
        InstrumentOptions { layers: Layers { versions: layers }, ..InstrumentOptions::default() }
    }

    fn trusted() -> TrustedLayers {
        options(1).layers.versions.into_iter().map(|layer| layer.arn).collect()
    }

    /// A function, described by its runtime, layers, variables and tags, each separated by spaces.
    pub(in crate::instrument) fn function(
        runtime: &str,
        layers: &str,
        variables: &str,
        tags: &str,
    ) -> Configuration {
        let pairs = |text: &str| -> BTreeMap<String, String> {
            let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
            pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        let layers = layers.split_whitespace();
        Configuration {
            name: "shop".to_owned(),
            arn: "arn:aws:lambda:eu-west-1:123456789012:function:shop".to_owned(),
            runtime: Some(runtime.to_owned()).filter(|runtime| !runtime.is_empty()),
            architecture: "arm64".to_owned(),
            layers: layers
                .map(|layer| AttachedLayer { arn: arn(layer), zipped_bytes: 1_000_000 })
                .collect(),
            variables: pairs(variables),
            tags: pairs(tags),
            ..Configuration::default()
        }
    }

    /// Applies a change as AWS does.
    pub(in crate::instrument) fn changed(
        configuration: &Configuration,
        change: &Change,
    ) -> Configuration {
        let mut tags = configuration.tags.clone();
        tags.retain(|key, _| !is_tag(key));
        tags.extend(change.record.to_tags());
        let layers = change.layers.iter().cloned();
        Configuration {
            layers: layers.map(|arn| AttachedLayer { arn, zipped_bytes: 1_000_000 }).collect(),
            variables: change.variables.clone(),
            tags,
            ..configuration.clone()
        }
    }

    fn shown(variables: &Variables) -> String {
        let pairs: Vec<String> =
            variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join(" ")
    }

    /// Checks the layers, variables and notes after a plan for version 7.
    fn check(configuration: &Configuration, layers: &str, variables: &str, notes: &str) {
        let FunctionStep::Change(change) = plan(configuration, &options(7), &trusted()) else {
            panic!("{configuration:?}: {:?}", plan(configuration, &options(7), &trusted()));
        };
        let short: Vec<String> = change.layers.iter().map(|arn| short(arn).to_owned()).collect();
        assert_eq!(short.join(" "), layers);
        assert_eq!(shown(&change.variables), variables);
        assert_eq!(change.notes.join("; "), notes);
        let changed = changed(configuration, &change);
        assert_eq!(
            plan(&changed, &options(7), &trusted()),
            FunctionStep::Keep,
            "the second run has nothing to do"
        );
    }

    const OURS: &str = "AWS_LAMBDA_EXEC_WRAPPER=/opt/lambda-otlp-handler";

    #[test]
    fn layers_and_variables_are_merged() {
        let python = |layers: &str, variables: &str| function("python3.13", layers, variables, "");
        let both = "telemetry-arm64:7 telemetry-python313:7";
        check(&python("", ""), both, OURS, "");
        check(&python("a:1 b:2", "A=1"), &format!("a:1 b:2 {both}"), &format!("A=1 {OURS}"), "");
        // A next version takes the place of the older one.
        let older = python("telemetry-arm64:6 a:1 telemetry-python313:6", OURS);
        check(&older, "telemetry-arm64:7 a:1 telemetry-python313:7", OURS, "");
        // So do layers of another architecture, Python or stack.
        let others = python("lambda-otlp-x86_64:3 a:1 lambda-otlp-python312:2", OURS);
        check(&others, "telemetry-arm64:7 a:1 telemetry-python313:7", OURS, "");
        let next = format!("{OURS} LAMBDA_OTLP_NEXT_WRAPPER=/opt/otel-handler");
        check(&python("", "AWS_LAMBDA_EXEC_WRAPPER=/opt/otel-handler"), both, &next, "");
        check(&python("", &next.replace(OUR_WRAPPER, "/opt/otel-handler")), both, &next, "");
        check(&python("", "AWS_LAMBDA_EXEC_WRAPPER="), both, OURS, "");
        // An empty next wrapper is none.
        let empty = "AWS_LAMBDA_EXEC_WRAPPER=/opt/otel-handler LAMBDA_OTLP_NEXT_WRAPPER=";
        check(&python("", empty), both, &next, "");
        let named = format!("{OURS} OTEL_SERVICE_NAME=x");
        check(&python("", "OTEL_SERVICE_NAME=x"), both, &named, "keeps OTEL_SERVICE_NAME");
        let endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=https://collector.example.com";
        let directly = format!("{OURS} {endpoint}");
        let note = "keeps OTEL_EXPORTER_OTLP_ENDPOINT; OTEL_EXPORTER_OTLP_ENDPOINT puts the layer into direct mode, which sends the function's printed lines to that backend too: set LAMBDA_OTLP_OUTPUT=stdout to prevent it";
        check(&python("", endpoint), both, &directly, note);
    }

    #[test]
    fn a_function_gets_the_layers_of_its_runtime_and_architecture() {
        let x86 = |runtime: &str| Configuration {
            architecture: "x86_64".to_owned(),
            ..function(runtime, "", "", "")
        };
        check(&x86("nodejs22.x"), "telemetry-x86_64:7 telemetry-node:7", OURS, "");
        check(&x86("java21"), "telemetry-x86_64:7", OURS, "");
        let no_wrapper = "Lambda starts no wrapper with this runtime: the function's SDK needs OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318";
        check(&x86("provided.al2023"), "telemetry-x86_64:7", "", no_wrapper);
        let no_packages = "no packages layer for python3.12 on x86_64, so the function's code makes no spans: deploy the stack from the release files";
        check(&x86("python3.12"), "telemetry-x86_64:7", OURS, no_packages);
    }

    #[test]
    fn a_function_that_cannot_be_instrumented_is_refused_with_a_remedy() {
        let python = |layers: &str, variables: &str| function("python3.13", layers, variables, "");
        let check = |configuration: Configuration, expected: &str| {
            let FunctionStep::Refuse(refusal) = plan(&configuration, &options(7), &trusted())
            else {
                panic!("{expected}: {:?}", plan(&configuration, &options(7), &trusted()));
            };
            let text = refusal.to_string();
            assert!(text.contains(expected), "{text}");
            assert!(text.contains(": "), "no remedy: {text}");
            assert!(!text.contains("hunter2"), "{text}");
        };
        check(function("", "", "", ""), "Dockerfile");
        check(python("", "LAMBDA_OTLP_RETRY_QUEUE_URL=https://x"), "stack of lambda-otlp");
        check(function("python3.9", "", "", ""), "python3.9 is too old");
        check(function("cobol1", "", "", ""), "cobol1 is unknown");
        check(
            Configuration { architecture: "riscv".to_owned(), ..python("", "") },
            "extension for riscv",
        );
        check(
            Configuration { hidden_variables: Some("AccessDenied".to_owned()), ..python("", "") },
            "kms:Decrypt",
        );
        check(
            python("a:1 b:1 c:1 d:1", ""),
            "would have 6: merge or remove some of a:1, b:1, c:1, d:1",
        );
        let large = format!("SECRET=hunter2{}", "x".repeat(4040));
        check(python("", &large), "bytes of 4096");
        check(Configuration { code_bytes: 261_000_000, ..python("", "") }, "250 MB");
        check(python("opentelemetry-collector-arm64-0_15_0:1", ""), "OpenTelemetry's collector");
        check(python("openobserve-lambda-extension:3", ""), "would arrive twice: first remove");
        check(
            python("openobserve-lambda-extension:3", "O2_ORGANIZATION_ID=default"),
            "`aws lambda update-function-configuration --function-name shop --layers '[]'`",
        );
        let others = format!("--function-name shop --layers {} {}`", arn("a:1"), arn("b:2"));
        check(python("a:1 openobserve-lambda-extension:3 b:2", ""), &others);
        let datadog = "DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_HTTP_ENDPOINT=localhost:4318";
        check(python("Datadog-Extension-ARM:65", datadog), "Datadog-Extension-ARM:65");
        check(
            python("", "AWS_LAMBDA_EXEC_WRAPPER=/opt/a LAMBDA_OTLP_NEXT_WRAPPER=/opt/b"),
            "two other wrappers",
        );
        let tags: Vec<String> = (0..48).map(|number| format!("t{number}=x")).collect();
        check(function("python3.13", "", "", &tags.join(" ")), "1 more are needed");
        let aliases = vec!["live -> 7".to_owned()];
        check(Configuration { aliases, ..python("", "") }, "live -> 7");
        check(Configuration { has_snap_start: true, ..python("", "") }, "SnapStart");
        check(function("python3.13", "", "", "aws:cloudformation:stack-name=shop"), "stack shop");
    }

    #[test]
    fn variables_and_sizes_up_to_the_quota_are_accepted() {
        let fits = |variables: String| {
            matches!(
                plan(&function("python3.13", "", &variables, ""), &options(7), &trusted()),
                FunctionStep::Change(_)
            )
        };
        // {"A":"…","AWS_LAMBDA_EXEC_WRAPPER":"/opt/lambda-otlp-handler"}
        let rest = r#"{"A":"","AWS_LAMBDA_EXEC_WRAPPER":"/opt/lambda-otlp-handler"}"#.len();
        let value = |bytes: usize| format!("A={}", "x".repeat(bytes));
        assert!(fits(value(4096 - rest)));
        assert!(!fits(value(4096 - rest + 1)));
        let datadog = function("python3.13", "Datadog-Extension-ARM:65", "", "");
        assert!(
            matches!(plan(&datadog, &options(7), &trusted()), FunctionStep::Change(_)),
            "its receiver is off"
        );
    }

    #[test]
    fn flags_permit_managed_functions_and_published_versions() {
        let options = InstrumentOptions { managed: true, versions: true, ..options(7) };
        let check = |configuration: Configuration, expected: &str| {
            let FunctionStep::Change(change) = plan(&configuration, &options, &trusted()) else {
                panic!("{expected}")
            };
            assert_eq!(change.notes, [expected]);
        };
        let tags = "aws:cloudformation:stack-name=shop";
        check(
            function("python3.13", "", "", tags),
            "the next deployment of stack shop may revert the change",
        );
        let plain = function("python3.13", "", "", "");
        check(
            Configuration { has_snap_start: true, ..plain.clone() },
            "SnapStart runs published versions: then publish it: aws lambda publish-version --function-name shop",
        );
        check(
            Configuration { aliases: vec!["live -> 7".to_owned()], ..plain },
            "published versions run (live -> 7): then publish it: aws lambda publish-version --function-name shop; aws lambda update-alias --function-name shop --name live --function-version VERSION",
        );
    }
}
