//! The changes that undo those of `instrument`. Only the exact state that the command left is undone: later changes by
//! somebody else stay, and are named.

use super::configuration::Configuration;
use super::layers::{LayerKind, is_same_layer, kind_by_name, short};
use super::line::restore_line;
use super::plan::{Change, FunctionRefusal, FunctionStep, NEXT_WRAPPER, OUR_WRAPPER, WRAPPER};
use super::record::{FormerWrapper, Record};
use super::trust::TrustedLayers;

/// Decides how to restore a function. It stays if it has neither changes of the command nor layers of lambda-otlp.
pub(super) fn undo(configuration: &Configuration, trusted: &TrustedLayers) -> FunctionStep {
    let record = match Record::of_tags(&configuration.tags) {
        Ok(record) => record,
        Err(tag) => return FunctionStep::Refuse(FunctionRefusal::UntrustedTag(tag)),
    };
    if record == Record::default() {
        let ours: Vec<&str> = configuration
            .layers
            .iter()
            .filter(|layer| kind_by_name(&layer.arn).is_some())
            .map(|layer| short(&layer.arn))
            .collect();
        if ours.is_empty() {
            return FunctionStep::Keep;
        }
        return FunctionStep::Refuse(FunctionRefusal::NotRecorded(ours.join(", ")));
    }
    if let Err(tag) = trusted.check(&record, configuration) {
        return FunctionStep::Refuse(FunctionRefusal::UntrustedTag(tag));
    }
    if let Some(reason) = &configuration.hidden_variables {
        return FunctionStep::Refuse(FunctionRefusal::HiddenVariables(reason.clone()));
    }
    let mut change = Change {
        layers: configuration.layer_arns(),
        variables: configuration.variables.clone(),
        ..Change::default()
    };
    for kind in LayerKind::ALL {
        restore_layer(&mut change, kind, &record, trusted);
    }
    restore_wrapper(&mut change, &record);
    restore_line(&mut change, record.line);
    if !configuration.aliases.is_empty() {
        let aliases = configuration.aliases.join(", ");
        change.notes.push(format!(
            "published versions ({aliases}) keep the layers: publish a version and move the alias"
        ));
    }
    FunctionStep::Change(change)
}

fn restore_layer(change: &mut Change, kind: LayerKind, record: &Record, trusted: &TrustedLayers) {
    let Some(recorded) = record.layer(kind) else { return };
    // An upgrade that ended between the tags and the layers leaves another version of the layer.
    let is_recorded = |arn: &String| is_same_layer(arn, &recorded.put);
    let Some(index) = change.layers.iter().position(is_recorded) else {
        let put = short(&recorded.put);
        let later = change.layers.iter().find(|arn| trusted.is_ours(kind, arn));
        if later != recorded.before.as_ref()
            && let Some(later) = later
        {
            change.notes.push(format!("leaves {}, which replaced {put} later", short(later)));
        }
        return;
    };
    match &recorded.before {
        Some(before) => {
            if let Some(layer) = change.layers.get_mut(index) {
                layer.clone_from(before);
            }
        }
        None => drop(change.layers.remove(index)),
    }
}

fn restore_wrapper(change: &mut Change, record: &Record) {
    let Some(former) = record.wrapper else { return };
    let present = change.variables.get(WRAPPER).map(String::as_str);
    if present != Some(OUR_WRAPPER) {
        if present.is_some_and(|present| !present.is_empty()) && former == FormerWrapper::Unset {
            change.notes.push(format!("leaves {WRAPPER}, which was changed later"));
        }
        restore_next(change, former);
        return;
    }
    let next = change.variables.get(NEXT_WRAPPER).cloned();
    let restored = match former {
        FormerWrapper::Unset => None,
        FormerWrapper::Empty => Some(String::new()),
        FormerWrapper::Copied => next,
        FormerWrapper::Moved | FormerWrapper::MovedOverEmpty => {
            restore_next(change, former);
            if next.is_none() {
                change.notes.push(format!(
                    "the former wrapper is unknown, because {NEXT_WRAPPER} was removed later"
                ));
            }
            next
        }
    };
    match restored {
        Some(restored) => drop(change.variables.insert(WRAPPER.to_owned(), restored)),
        None => drop(change.variables.remove(WRAPPER)),
    }
}

/// Restores the variable with the next wrapper, if the command set it.
fn restore_next(change: &mut Change, former: FormerWrapper) {
    match former {
        FormerWrapper::Moved => drop(change.variables.remove(NEXT_WRAPPER)),
        FormerWrapper::MovedOverEmpty => {
            change.variables.insert(NEXT_WRAPPER.to_owned(), String::new());
        }
        FormerWrapper::Unset | FormerWrapper::Empty | FormerWrapper::Copied => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::plan::plan;
    use crate::instrument::plan::tests::{arn, changed, function, options};

    /// The layers of the stack `telemetry`.
    fn trusted() -> TrustedLayers {
        options(1).layers.versions.into_iter().map(|layer| layer.arn).collect()
    }

    fn instrumented(configuration: &Configuration, version: u32) -> Configuration {
        match plan(configuration, &options(version), &trusted()) {
            FunctionStep::Change(change) => changed(configuration, &change),
            other => panic!("{configuration:?}: {other:?}"),
        }
    }

    fn undone(configuration: &Configuration) -> (Configuration, String) {
        match undo(configuration, &trusted()) {
            FunctionStep::Change(change) => {
                (changed(configuration, &change), change.notes.join("; "))
            }
            other => panic!("{configuration:?}: {other:?}"),
        }
    }

    #[test]
    fn each_configuration_is_restored_exactly_after_several_versions() {
        for (layers, variables, tags) in [
            ("", "", ""),
            ("a:1 b:2", "A=1 OTEL_SERVICE_NAME=x", "team=shop"),
            ("", "AWS_LAMBDA_EXEC_WRAPPER=/opt/otel-handler", ""),
            ("", "AWS_LAMBDA_EXEC_WRAPPER=", ""),
            ("", "AWS_LAMBDA_EXEC_WRAPPER=/opt/x LAMBDA_OTLP_NEXT_WRAPPER=/opt/x", ""),
            ("", "LAMBDA_OTLP_NEXT_WRAPPER=/opt/x", ""),
            ("", "AWS_LAMBDA_EXEC_WRAPPER=/opt/x LAMBDA_OTLP_NEXT_WRAPPER=", ""),
            // Instrumented by hand.
            ("telemetry-arm64:3 a:1", "AWS_LAMBDA_EXEC_WRAPPER=/opt/lambda-otlp-handler", ""),
            ("a:1 lambda-otlp-x86_64:3 b:1 lambda-otlp-python312:4", "", ""),
        ] {
            for runtime in ["python3.13", "java21", "provided.al2023"] {
                let before = function(runtime, layers, variables, tags);
                let first = instrumented(&before, 7);
                let second = instrumented(&first, 8);
                for after in [&first, &second] {
                    let (restored, notes) = undone(after);
                    assert_eq!(restored, Configuration { ..before.clone() }, "{layers}");
                    assert_eq!(notes, "");
                    let again = undo(&restored, &trusted());
                    assert!(!matches!(again, FunctionStep::Change(_)), "{again:?}");
                }
            }
        }
    }

    /// The tags are written before the layers, and AWS may refuse those.
    #[test]
    fn an_upgrade_that_did_not_finish_is_undone_exactly() {
        for layers in ["", "a:1 lambda-otlp-arm64:3 b:1"] {
            let before = function("python3.13", layers, "A=1", "team=shop");
            let first = instrumented(&before, 7);
            let second = instrumented(&first, 8);
            let unfinished = Configuration { tags: second.tags, ..first };
            let (restored, notes) = undone(&unfinished);
            assert_eq!(restored, before);
            assert_eq!(notes, "");
        }
    }

    #[test]
    fn a_later_change_by_somebody_else_is_left_and_named() {
        let before = function("python3.13", "a:1", "A=1 AWS_LAMBDA_EXEC_WRAPPER=/opt/x", "");
        let check = |edit: &dyn Fn(&mut Configuration), expected: Configuration, notes: &str| {
            let mut later = instrumented(&before, 7);
            edit(&mut later);
            let (restored, named) = undone(&later);
            assert_eq!(restored, expected);
            assert_eq!(named, notes);
        };
        check(
            &|later| drop(later.variables.insert("B".to_owned(), "2".to_owned())),
            function("python3.13", "a:1", "A=1 B=2 AWS_LAMBDA_EXEC_WRAPPER=/opt/x", ""),
            "",
        );
        check(
            &|later| later.layers.insert(0, function("", "b:2", "", "").layers.remove(0)),
            function("python3.13", "b:2 a:1", "A=1 AWS_LAMBDA_EXEC_WRAPPER=/opt/x", ""),
            "",
        );
        check(
            &|later| {
                later
                    .layers
                    .iter_mut()
                    .filter(|it| it.arn == arn("telemetry-arm64:7"))
                    .for_each(|layer| layer.arn = arn("lambda-otlp-arm64:9"));
            },
            function(
                "python3.13",
                "a:1 lambda-otlp-arm64:9",
                "A=1 AWS_LAMBDA_EXEC_WRAPPER=/opt/x",
                "",
            ),
            "leaves lambda-otlp-arm64:9, which replaced telemetry-arm64:7 later",
        );
        check(
            &|later| drop(later.variables.remove(NEXT_WRAPPER)),
            function("python3.13", "a:1", "A=1", ""),
            "the former wrapper is unknown, because LAMBDA_OTLP_NEXT_WRAPPER was removed later",
        );
        // Somebody restored the function, or CloudFormation deployed it again.
        check(
            &|later| {
                later.layers.truncate(1);
                later.variables.remove(NEXT_WRAPPER);
                later.variables.insert(WRAPPER.to_owned(), "/opt/x".to_owned());
            },
            before.clone(),
            "",
        );
    }

    #[test]
    fn a_wrapper_that_somebody_else_set_later_is_left() {
        let before = function("java21", "", "", "");
        let mut later = instrumented(&before, 7);
        later.variables.insert(WRAPPER.to_owned(), "/opt/new".to_owned());
        let (restored, notes) = undone(&later);
        assert_eq!(restored, function("java21", "", "AWS_LAMBDA_EXEC_WRAPPER=/opt/new", ""));
        assert_eq!(notes, "leaves AWS_LAMBDA_EXEC_WRAPPER, which was changed later");
    }

    #[test]
    fn hidden_variables_are_not_deleted() {
        let mut hidden = instrumented(&function("java21", "", "A=1", ""), 7);
        hidden.variables.clear();
        hidden.hidden_variables = Some("AccessDenied".to_owned());
        assert!(matches!(
            undo(&hidden, &trusted()),
            FunctionStep::Refuse(FunctionRefusal::HiddenVariables(_))
        ));
    }

    #[test]
    fn layers_without_a_record_are_named() {
        let by_hand = function("java21", "a:1 lambda-otlp-arm64:3", "", "");
        let named = FunctionRefusal::NotRecorded("lambda-otlp-arm64:3".to_owned());
        assert_eq!(undo(&by_hand, &trusted()), FunctionStep::Refuse(named));
        assert_eq!(undo(&function("java21", "a:1", "", ""), &trusted()), FunctionStep::Keep);
    }

    #[test]
    fn a_record_of_a_reverted_function_does_not_undo_a_later_instrumentation_by_hand() {
        let before = function("java21", "a:1", "", "");
        let mut reverted = Configuration { tags: instrumented(&before, 7).tags, ..before };
        let by_hand = function("java21", "a:1 telemetry-arm64:8", "", "");
        reverted.layers = by_hand.layers;
        let again = instrumented(&reverted, 9);
        let (restored, _) = undone(&again);
        let kept: Vec<String> =
            restored.layers.iter().map(|layer| short(&layer.arn).to_owned()).collect();
        assert_eq!(kept, ["a:1", "telemetry-arm64:8"]);
    }
}
