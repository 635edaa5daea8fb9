//! The variable with the format of OTLP lines, which `instrument --line` sets and `uninstrument` restores.

use super::plan::{Change, FunctionRefusal};
use super::record::FormerLine;
use crate::lines::LineFormat;

pub(super) const LINE: &str = "LAMBDA_OTLP_LINE";
pub(super) const COMPACT: &str = "compact";

/// Sets the format, or restores what it was before this command set it. A value of somebody else is refused: it was chosen for
/// the readers of this function's log.
pub(super) fn choose_line(change: &mut Change, format: LineFormat) -> Result<(), FunctionRefusal> {
    let present = change.variables.get(LINE).map(String::as_str);
    let former = match (format, present) {
        (LineFormat::Compact, None) => FormerLine::Unset,
        (LineFormat::Compact, Some("")) => FormerLine::Empty,
        (LineFormat::Compact, Some(COMPACT))
        | (LineFormat::Standard, None | Some("" | "standard")) => return Ok(()),
        (LineFormat::Standard, Some(COMPACT)) if change.record.line.is_some() => {
            let former = change.record.line.take();
            restore_line(change, former);
            return Ok(());
        }
        (_, Some(_)) => return Err(FunctionRefusal::OwnLine),
    };
    change.variables.insert(LINE.to_owned(), COMPACT.to_owned());
    change.record.line = Some(former);
    Ok(())
}

/// Restores the variable, if the command set it.
pub(super) fn restore_line(change: &mut Change, former: Option<FormerLine>) {
    let present = change.variables.get(LINE).map(String::as_str);
    match (former, present) {
        (None, _) | (Some(_), None | Some("")) => {}
        (Some(FormerLine::Unset), Some(COMPACT)) => drop(change.variables.remove(LINE)),
        (Some(FormerLine::Empty), Some(COMPACT)) => {
            change.variables.insert(LINE.to_owned(), String::new());
        }
        (Some(_), Some(_)) => {
            change.notes.push(format!("leaves {LINE}, which was changed later"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::configuration::Configuration;
    use crate::instrument::plan::tests::{changed, function, options};
    use crate::instrument::plan::{FunctionStep, InstrumentOptions, plan};
    use crate::instrument::trust::TrustedLayers;
    use crate::instrument::undo::undo;
    use LineFormat::{Compact, Standard};

    fn trusted() -> TrustedLayers {
        options(7).layers.versions.into_iter().map(|layer| layer.arn).collect()
    }

    fn step(before: &Configuration, line: Option<LineFormat>) -> FunctionStep {
        plan(before, &InstrumentOptions { line, ..options(7) }, &trusted())
    }

    /// The function after a change, with the notes.
    fn after(before: &Configuration, step: FunctionStep) -> (Configuration, String) {
        let FunctionStep::Change(change) = step else { panic!("{before:?}: {step:?}") };
        (changed(before, &change), change.notes.join("; "))
    }

    #[test]
    fn a_format_is_set_once_and_restored_exactly() {
        for variables in ["A=1", "LAMBDA_OTLP_LINE=", "LAMBDA_OTLP_LINE=compact"] {
            for runtime in ["java21", "provided.al2023"] {
                let before = function(runtime, "a:1", variables, "team=shop");
                let (compact, _) = after(&before, step(&before, Some(Compact)));
                assert_eq!(compact.variables.get(LINE).map(String::as_str), Some(COMPACT));
                for line in [None, Some(Compact)] {
                    assert_eq!(step(&compact, line), FunctionStep::Keep, "{variables}");
                }
                let restored = after(&compact, undo(&compact, &trusted()));
                assert_eq!(restored, (before.clone(), String::new()));
                if before.variables.get(LINE).map(String::as_str) != Some(COMPACT) {
                    let (standard, _) = after(&compact, step(&compact, Some(Standard)));
                    assert_eq!(standard, after(&before, step(&before, None)).0);
                    assert_eq!(step(&standard, Some(Standard)), FunctionStep::Keep);
                }
            }
        }
    }

    #[test]
    fn a_format_of_somebody_else_stays() {
        for (value, line) in [("standard", Compact), ("compact", Standard), ("short", Standard)] {
            let own = function("java21", "", &format!("{LINE}={value}"), "");
            assert_eq!(step(&own, Some(line)), FunctionStep::Refuse(FunctionRefusal::OwnLine));
        }
        let before = function("java21", "", "", "");
        let (mut later, _) = after(&before, step(&before, Some(Compact)));
        later.variables.insert(LINE.to_owned(), "standard".to_owned());
        let restored = function("java21", "", "LAMBDA_OTLP_LINE=standard", "");
        let note = "leaves LAMBDA_OTLP_LINE, which was changed later".to_owned();
        assert_eq!(after(&later, undo(&later, &trusted())), (restored, note));
    }
}
