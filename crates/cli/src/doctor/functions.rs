//! Checks the functions that write to the log groups: the layer, and the log format.

use super::deployment::Deployment;
use super::function::DeployedFunction;
use crate::instrument::{OUR_WRAPPER, Support, WRAPPER, is_our_layer};
use console::quantity::plural;
use settings::Check;

/// Names that one check prints.
const MAX_NAMES: usize = 5;

pub(super) fn check(functions: &[DeployedFunction], deployment: &Deployment) -> Vec<Check> {
    let checks = [
        without_wrapper(functions, deployment),
        without_layer(functions, deployment),
        log_format(functions, deployment),
    ];
    checks.into_iter().flatten().collect()
}

/// Reports functions whose wrapper is in no layer of theirs, for example because a deployment replaced the layers. Lambda cannot
/// start them. A layer of another name may have the wrapper, so a function with other layers is only a warning.
fn without_wrapper(functions: &[DeployedFunction], deployment: &Deployment) -> Option<Check> {
    let is_broken = |function: &&DeployedFunction| lacks_wrapper(function, deployment);
    let broken: Vec<&DeployedFunction> = functions.iter().filter(is_broken).collect();
    if broken.is_empty() {
        return None;
    }
    let are_certain = broken.iter().any(|function| function.layers.is_empty());
    let unless = if are_certain { "" } else { ", unless another layer of theirs has it" };
    let text = format!(
        "{} with {WRAPPER}={OUR_WRAPPER}, but without the layer that has this file: Lambda cannot start them{unless}: {}; `{}` adds the layer",
        plural(broken.len(), "function"),
        names(&broken),
        instrument(&broken, deployment),
    );
    Some(if are_certain { Check::failed("layer", text) } else { Check::warning("layer", text) })
}

fn lacks_wrapper(function: &DeployedFunction, deployment: &Deployment) -> bool {
    let starts_wrapper =
        matches!(Support::of(&function.runtime), Support::Packages | Support::Wrapper);
    starts_wrapper
        && function.variables.get(WRAPPER).is_some_and(|wrapper| wrapper == OUR_WRAPPER)
        && !has_layer(function, deployment)
}

/// Warns of functions without the layer beside functions with it. Functions whose runtime is too old for it are left out.
fn without_layer(functions: &[DeployedFunction], deployment: &Deployment) -> Option<Check> {
    let is_without = |function: &&DeployedFunction| {
        Support::of(&function.runtime) == Support::Packages
            && !has_layer(function, deployment)
            && !lacks_wrapper(function, deployment)
    };
    let with = functions.iter().filter(|function| has_layer(function, deployment)).count();
    let without: Vec<&DeployedFunction> = functions.iter().filter(is_without).collect();
    if with == 0 || without.is_empty() {
        return None;
    }
    let text = format!(
        "{} without the layer beside {with} with it, so their traces have gaps: {}; `lambda-otlp fleet{}` shows all, and `{}` adds it",
        plural(without.len(), "function"),
        names(&without),
        deployment.stack_flags(),
        instrument(&without, deployment),
    );
    Some(Check::warning("layer", text))
}

/// Returns `true` if the function has a layer with the name of ours, or one that the stack publishes under its own name.
fn has_layer(function: &DeployedFunction, deployment: &Deployment) -> bool {
    function.layers.iter().any(|layer| is_our_layer(layer) || deployment.publishes(layer))
}

/// The command that adds the layer to the first of these functions.
fn instrument(functions: &[&DeployedFunction], deployment: &Deployment) -> String {
    let shown: Vec<&str> =
        functions.iter().take(MAX_NAMES).map(|function| function.name.as_str()).collect();
    let stack = deployment.stack_flags();
    format!("lambda-otlp instrument --function {}{stack}", shown.join(","))
}

/// Warns of functions whose log format hides failed invocations: the line of Node's runtime in Lambda's JSON log format equals
/// `console.error(error)`, so it is no evidence.
fn log_format(functions: &[DeployedFunction], deployment: &Deployment) -> Option<Check> {
    let hides = |function: &&DeployedFunction| {
        function.logs_json
            && function.runtime.starts_with("nodejs")
            && !has_layer(function, deployment)
    };
    let hiding: Vec<&DeployedFunction> = functions.iter().filter(hides).collect();
    let first = hiding.first()?;
    let text = format!(
        "{} in Node with the JSON log format and without the layer: an invocation counts as a success even if its handler fails: {}; add the layer, or `aws lambda update-function-configuration --function-name {} --logging-config LogFormat=Text{}`",
        plural(hiding.len(), "function"),
        names(&hiding),
        first.name,
        deployment.aws_flags
    );
    Some(Check::warning("log format", text))
}

fn names(functions: &[&DeployedFunction]) -> String {
    let shown = functions.iter().take(MAX_NAMES).map(|function| function.name.as_str());
    let names = shown.collect::<Vec<_>>().join(", ");
    if functions.len() > MAX_NAMES { format!("{names}, …") } else { names }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::deployment::tests::stack;

    fn function(name: &str, runtime: &str, logs_json: bool, layer: &str) -> DeployedFunction {
        DeployedFunction {
            name: name.to_owned(),
            runtime: runtime.to_owned(),
            logs_json,
            layers: [layer].iter().filter(|it| !it.is_empty()).map(ToString::to_string).collect(),
            ..DeployedFunction::default()
        }
    }

    #[test]
    fn functions_that_hide_traces_or_failures_are_named_with_a_remedy() {
        const OURS: &str = "arn:aws:lambda:eu-west-1:123456789012:layer:lambda-otlp-x86_64:7";
        let names = |functions: &[DeployedFunction]| {
            let checks = check(functions, &stack("o2", &[], &[]));
            checks.into_iter().map(|check| format!("{}: {}", check.name, check.text)).collect()
        };
        let none: [String; 0] = [];
        let with = || function("with", "nodejs22.x", true, OURS);
        let without = || function("shop", "python3.13", true, "");
        assert_eq!(names(&[without()]), none);
        assert_eq!(names(&[with()]), none);
        // The Rust library needs no layer, and an image takes none.
        let rust = function("rust", "provided.al2023", true, "");
        assert_eq!(names(&[with(), rust, function("image", "", false, "")]), none);
        // `instrument` refuses this runtime.
        assert_eq!(names(&[with(), function("old", "python3.9", false, "")]), none);
        let found: Vec<String> = names(&[with(), without()]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("layer: 1 function without the layer beside 1 with it"));
        let remedy = "`lambda-otlp instrument --function shop --stack o2 --region eu-west-1`";
        assert!(found[0].contains(remedy), "{found:?}");
        assert!(
            found[0].contains("`lambda-otlp fleet --stack o2 --region eu-west-1`"),
            "{found:?}"
        );
        // `fleet` and `instrument` do not recognize this layer either.
        let tools = "arn:aws:lambda:eu-west-1:123456789012:layer:lambda-otlp-tools:1";
        let found: Vec<String> = names(&[with(), function("tools", "python3.13", true, tools)]);
        assert!(found[0].starts_with("layer: 1 function without the layer beside 1 with it"));
        let of_another_name = "arn:aws:lambda:eu-west-1:123456789012:layer:telemetry-arm64:3";
        let published =
            [("LayerArn", "arn:aws:lambda:eu-west-1:123456789012:layer:telemetry-arm64:4")];
        let deployed = stack("o2", &[], &published);
        let renamed = function("renamed", "nodejs22.x", true, of_another_name);
        assert!(check(&[renamed], &deployed).is_empty(), "the stack's layer has another name");
        let wrapped = DeployedFunction {
            variables: [(WRAPPER.to_owned(), OUR_WRAPPER.to_owned())].into(),
            ..function("wrapped", "python3.13", false, "")
        };
        let found: Vec<String> = names(&[with(), wrapped]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("this file: Lambda cannot start them: wrapped; `lambda-otlp instrument --function wrapped --stack o2 --region eu-west-1` adds the layer"), "{found:?}");
        let found: Vec<String> = names(&[function("node", "nodejs22.x", true, "")]);
        assert!(found[0].starts_with("log format: 1 function in Node with the JSON"), "{found:?}");
        assert_eq!(names(&[function("node", "nodejs22.x", false, "")]), none);
    }
}
