//! The table of the variables that the layer's wrapper (`layer/lambda-otlp-handler`) reads and no binary does.

use settings::{Kind, Table, Variable};

/// All variables of the wrapper that nobody else has.
pub const WRAPPER: Table = Table::new(&[&[
    Variable {
        name: "LAMBDA_OTLP_INSTRUMENT",
        default: Some("auto"),
        kind: Kind::Choice(&["auto", "off"]),
        doc: "Whether the wrapper has Python and Node load OpenTelemetry's instrumentations. `auto`: unless there is a second wrapper, \
              or the handler's module sets an SDK up by itself.",
    },
    Variable {
        name: "LAMBDA_OTLP_NEXT_WRAPPER",
        default: None,
        kind: Kind::Text,
        doc: "A second wrapper, to which this one hands on.",
    },
]]);
