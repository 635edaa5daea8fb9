//! Texts for the templates and Dockerfiles of functions that the command cannot change for good.

use super::configuration::{Configuration, Support};
use super::layers::{LayerKind, Layers};
use super::line::{COMPACT, LINE};
use super::plan::{FunctionRefusal, FunctionStep, InstrumentOptions, OUR_WRAPPER, WRAPPER};
use super::report::FunctionEntry;
use crate::lines::LineFormat;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const TEMPLATES: &str = "
Add these lines to the templates. In place of EXTENSION_ARN and PACKAGES_ARN, use the ARNs of a function's runtime and architecture, behind the
function's other layers. Its other variables stay.
";

/// `{yaml}`, `{cdk}` and `{terraform}` stand for the variables.
const LINES: &str = r#"
SAM, CloudFormation (Properties of the function):
  Layers: [..., EXTENSION_ARN, PACKAGES_ARN]  # after existing layers
  Environment: {Variables: {yaml}}
CDK:
  fn.addLayers(...["EXTENSION_ARN", "PACKAGES_ARN"].map((arn, i) => lambda.LayerVersion.fromLayerVersionArn(this, `LambdaOtlp${i}`, arn)));
{cdk}
Terraform (aws_lambda_function):
  layers = [..., "EXTENSION_ARN", "PACKAGES_ARN"]  # after existing layers
  environment { variables = {terraform} }
Serverless Framework (function):
  layers: [..., EXTENSION_ARN, PACKAGES_ARN]  # after existing layers
  environment: {yaml}
"#;

/// `{docker}` stands for the variables.
const IMAGE: &str = r#"
Dockerfile of a container image, with zips of the release files (here for arm64 and Python 3.13):
  FROM public.ecr.aws/docker/library/alpine AS lambda-otlp
  COPY lambda-otlp-layer-arm64.zip lambda-otlp-python3.13-layer.zip /zips/
  RUN for zip in /zips/*; do unzip -q -o "$zip" -d /layer; done
  # In the last stage of your image:
  COPY --from=lambda-otlp /layer /opt
  ENV {docker}
  # Without AWS's base image, start the runtime client through the wrapper instead:
  # ENTRYPOINT ["/opt/lambda-otlp-handler", "python3", "-m", "awslambdaric"]
"#;

/// Returns the texts that the refused functions need.
pub(super) fn of(entries: &[FunctionEntry], options: &InstrumentOptions) -> String {
    let mut text = String::new();
    let layers = &options.layers;
    let line = (options.line == Some(LineFormat::Compact)).then_some((LINE, COMPACT));
    let variables: Vec<(&str, &str)> = [(WRAPPER, OUR_WRAPPER)].into_iter().chain(line).collect();
    let written = |separator: &str, write: fn((&str, &str)) -> String| {
        variables.iter().copied().map(write).collect::<Vec<_>>().join(separator)
    };
    let refusals = |is: fn(&FunctionRefusal) -> bool| {
        entries.iter().filter(
            move |entry| matches!(&entry.step, FunctionStep::Refuse(refusal) if is(refusal)),
        )
    };
    let managed = refusals(|refusal| matches!(refusal, FunctionRefusal::Managed(_)));
    let arns: BTreeMap<String, String> =
        managed.filter_map(|entry| arns_of(&entry.before, layers)).collect();
    if !arns.is_empty() {
        text.push_str(TEMPLATES);
        for (functions, arns) in arns {
            // A write to a String cannot fail.
            let _written = writeln!(text, "  {functions}: {arns}");
        }
        let yaml = written(", ", |(name, value)| format!("{name}: {value}"));
        let cdk =
            written("\n", |(name, value)| format!("  fn.addEnvironment(\"{name}\", \"{value}\");"));
        let terraform = written(", ", |(name, value)| format!("{name} = \"{value}\""));
        let lines = LINES
            .replace("{yaml}", &format!("{{{yaml}}}"))
            .replace("{cdk}", &cdk)
            .replace("{terraform}", &format!("{{ {terraform} }}"));
        text.push_str(&lines);
    }
    if refusals(|refusal| *refusal == FunctionRefusal::Image).next().is_some() {
        let docker = written(" ", |(name, value)| format!("{name}={value}"));
        text.push_str(&IMAGE.replace("{docker}", &docker));
    }
    text
}

/// Returns a function's runtime and architecture, and the ARNs of their layers.
fn arns_of(configuration: &Configuration, layers: &Layers) -> Option<(String, String)> {
    let runtime = configuration.runtime.as_deref()?;
    let architecture = &configuration.architecture;
    let has_packages = Support::of(runtime) == Support::Packages;
    let kinds =
        LayerKind::ALL.into_iter().filter(|kind| has_packages || *kind == LayerKind::Extension);
    let found = kinds.filter_map(|kind| layers.find(kind, runtime, architecture));
    let arns: Vec<&str> = found.map(|layer| layer.arn.as_str()).collect();
    Some((format!("{runtime} {architecture}"), arns.join(" ")))
}
