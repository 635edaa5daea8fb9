//! Checks the functions that write to the log groups: the layer, and the log format.

use super::deployment::Deployment;
use super::stack::Function;
use console::quantity::plural;
use settings::Check;

/// Names that one check prints.
const MOST_NAMES: usize = 5;
/// Runtimes whose functions the layer instruments.
const INSTRUMENTED: [&str; 2] = ["python", "nodejs"];

pub(super) fn check(functions: &[Function], deployment: &Deployment) -> Vec<Check> {
    let checks = [layers(functions, deployment), log_format(functions, &deployment.place)];
    checks.into_iter().flatten().collect()
}

/// Warns of functions without the layer beside functions with it.
fn layers(functions: &[Function], deployment: &Deployment) -> Option<Check> {
    let is_instrumented = |function: &&Function| {
        INSTRUMENTED.iter().any(|runtime| function.runtime.starts_with(runtime))
    };
    let with = functions.iter().filter(|function| function.has_layer()).count();
    let without: Vec<&Function> =
        functions.iter().filter(|function| !function.has_layer()).filter(is_instrumented).collect();
    if with == 0 || without.is_empty() {
        return None;
    }
    let stack = deployment.stack_arguments();
    let shown = without.iter().take(MOST_NAMES).map(|function| function.name.as_str());
    let shown = shown.collect::<Vec<_>>().join(",");
    let text = format!(
        "{} without the layer beside {with} with it, so their traces have gaps: {}; `lambda-otlp fleet{stack}` shows all, and `lambda-otlp instrument --function {shown}{stack}` adds it",
        plural(without.len(), "function"),
        names(&without),
    );
    Some(Check::warning("layer", text))
}

/// Warns of functions whose log format hides failed invocations: the line of Node's runtime in Lambda's JSON log format equals
/// `console.error(error)`, so it is no evidence.
fn log_format(functions: &[Function], place: &str) -> Option<Check> {
    let hides = |function: &&Function| {
        function.logs_json && function.runtime.starts_with("nodejs") && !function.has_layer()
    };
    let hiding: Vec<&Function> = functions.iter().filter(hides).collect();
    let first = hiding.first()?;
    let text = format!(
        "{} in Node with the JSON log format and without the layer, so their failed handlers count as successes without an error type: {}; add the layer, or `aws lambda update-function-configuration --function-name {} --logging-config LogFormat=Text{place}`",
        plural(hiding.len(), "function"),
        names(&hiding),
        first.name
    );
    Some(Check::warning("log format", text))
}

fn names(functions: &[&Function]) -> String {
    let shown = functions.iter().take(MOST_NAMES).map(|function| function.name.as_str());
    let names = shown.collect::<Vec<_>>().join(", ");
    if functions.len() > MOST_NAMES { format!("{names}, …") } else { names }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::deployment::tests::stack;

    fn function(name: &str, runtime: &str, logs_json: bool, layer: &str) -> Function {
        Function {
            name: name.to_owned(),
            runtime: runtime.to_owned(),
            logs_json,
            layers: [layer].iter().filter(|it| !it.is_empty()).map(ToString::to_string).collect(),
            ..Function::default()
        }
    }

    #[test]
    fn functions_that_hide_traces_or_failures_are_named_with_a_remedy() {
        const OURS: &str = "arn:aws:lambda:eu-west-1:123456789012:layer:lambda-otlp-x86_64:7";
        let names = |functions: &[Function]| {
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
        let found: Vec<String> = names(&[with(), without()]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("layer: 1 function without the layer beside 1 with it"));
        let remedy = "`lambda-otlp instrument --function shop --stack o2 --region eu-west-1`";
        assert!(found[0].contains(remedy), "{found:?}");
        assert!(
            found[0].contains("`lambda-otlp fleet --stack o2 --region eu-west-1`"),
            "{found:?}"
        );
        let found: Vec<String> = names(&[function("node", "nodejs22.x", true, "")]);
        assert!(found[0].starts_with("log format: 1 function in Node with the JSON"), "{found:?}");
        assert_eq!(names(&[function("node", "nodejs22.x", false, "")]), none);
    }
}
