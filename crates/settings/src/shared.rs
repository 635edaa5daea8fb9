//! The variables that the tables of several binaries have in common. Where one means something else in a binary, that table
//! says so by [`Variable::with_doc`].

use crate::table::{Kind, Variable};

/// What the backend asks of OTLP.
pub const LAMBDA_OTLP_BACKEND: Variable = Variable {
    name: "LAMBDA_OTLP_BACKEND",
    default: Some("openobserve"),
    kind: Kind::Choice(&["openobserve", "otlp"]),
    doc: "What the backend asks of OTLP. `otlp` leaves users' metrics untouched.",
};

/// Level of a binary's own log.
pub const LAMBDA_OTLP_LOG_LEVEL: Variable = Variable {
    name: "LAMBDA_OTLP_LOG_LEVEL",
    default: Some("warn"),
    kind: Kind::Choice(&["error", "warn", "info", "debug"]),
    doc: "Level of this program's own log. `warn`: something was unexpected; `error`: telemetry was lost or not delivered.",
};

/// Longest OTLP line.
pub const LAMBDA_OTLP_MAX_LINE_BYTES: Variable = Variable {
    name: "LAMBDA_OTLP_MAX_LINE_BYTES",
    default: Some("60KiB"),
    kind: Kind::Bytes,
    doc: "Longest line; a larger batch becomes several lines. From 1 KiB to 250 KiB.",
};

/// Names of metrics and attributes that are made of Lambda's own events.
pub const LAMBDA_OTLP_NAMES: Variable = Variable {
    name: "LAMBDA_OTLP_NAMES",
    default: Some("current"),
    kind: Kind::Choice(&["current", "legacy"]),
    doc: "`legacy` also writes the metrics and span attributes of older systems, such as the gauge `faas.duration`.",
};

/// What ends the span of an invocation.
pub const LAMBDA_OTLP_SPAN_END: Variable = Variable {
    name: "LAMBDA_OTLP_SPAN_END",
    default: Some("runtime_done"),
    kind: Kind::Choice(&["runtime_done", "report"]),
    doc: "What ends the span of an invocation. `report` has billed duration and memory on it.",
};

/// How the phases of an invocation are written.
pub const LAMBDA_OTLP_SPAN_MAPPING: Variable = Variable {
    name: "LAMBDA_OTLP_SPAN_MAPPING",
    default: Some("span_events"),
    kind: Kind::Choice(&["span_events", "child_spans"]),
    doc: "Whether an invocation's phases become events of its span, or spans below it.",
};

/// The older name of [`LAMBDA_OTLP_SPAN_MAPPING`].
pub const O2_SPAN_MAPPING_STRATEGY: Variable = Variable {
    name: "O2_SPAN_MAPPING_STRATEGY",
    default: None,
    kind: LAMBDA_OTLP_SPAN_MAPPING.kind,
    doc: "The older name of `LAMBDA_OTLP_SPAN_MAPPING`, which wins.",
};

/// gzip level of OTLP lines.
pub const OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL: Variable = Variable {
    name: "OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL",
    default: Some("6"),
    kind: Kind::Count,
    doc: "gzip level of the lines, 0 (stored) to 9.",
};

/// The service name.
pub const OTEL_SERVICE_NAME: Variable = Variable {
    name: "OTEL_SERVICE_NAME",
    default: None,
    kind: Kind::Text,
    doc: "`service.name`; else the function's name.",
};

/// Which headers carry a parent.
pub const OTEL_PROPAGATORS: Variable = Variable {
    name: "OTEL_PROPAGATORS",
    default: None,
    kind: Kind::Text,
    doc: "Only where it names `xray-lambda` is X-Ray's segment the parent of the invocation span, and its `Sampled=0` obeyed.",
};

/// The function's region.
pub const AWS_REGION: Variable = set_by_lambda("AWS_REGION", "Set by Lambda: `cloud.region`.");

/// The function's name.
pub const AWS_LAMBDA_FUNCTION_NAME: Variable =
    set_by_lambda("AWS_LAMBDA_FUNCTION_NAME", "Set by Lambda: `faas.name`.");

/// A variable that Lambda sets itself (Lambda Developer Guide, "Defined runtime environment variables").
pub const fn set_by_lambda(name: &'static str, doc: &'static str) -> Variable {
    Variable { name, default: None, kind: Kind::Text, doc }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;

    #[test]
    fn the_rows_are_sound_and_a_table_may_say_what_one_means_in_it() {
        const ROWS: &[Variable] = &[
            LAMBDA_OTLP_BACKEND,
            LAMBDA_OTLP_LOG_LEVEL,
            LAMBDA_OTLP_MAX_LINE_BYTES,
            LAMBDA_OTLP_NAMES,
            LAMBDA_OTLP_SPAN_END,
            LAMBDA_OTLP_SPAN_MAPPING,
            O2_SPAN_MAPPING_STRATEGY,
            OTLP_STDOUT_SPAN_EXPORTER_COMPRESSION_LEVEL,
            OTEL_SERVICE_NAME,
            OTEL_PROPAGATORS.with_default("xray").with_doc("Its own meaning."),
            AWS_REGION,
            AWS_LAMBDA_FUNCTION_NAME,
        ];
        const TABLE: Table = Table::new(&[ROWS]);
        assert_eq!(TABLE.problems(), [""; 0]);
        let own = TABLE.find("OTEL_PROPAGATORS").unwrap();
        assert_eq!((own.default, own.doc), (Some("xray"), "Its own meaning."));
        assert_eq!(own.kind, OTEL_PROPAGATORS.kind);
    }
}
