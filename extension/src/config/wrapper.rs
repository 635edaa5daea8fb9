//! The table of the variables that the layer's wrapper (`layer/lambda-otlp-handler`) reads and no binary does.

use settings::{Kind, Table, Variable, shared};

/// The variables that only the wrapper reads.
pub const WRAPPER: Table = Table::new(&[&[
    shared::LAMBDA_OTLP_INFERRED_SPANS,
    Variable {
        name: "LAMBDA_OTLP_INSTRUMENT",
        default: Some("auto"),
        kind: Kind::Choice(&["auto", "off"]),
        doc: "Set `off` if Python and Node must not load instrumentations. `auto` loads them unless there is a second wrapper or the handler's module sets up an SDK.",
    },
    Variable {
        name: "LAMBDA_OTLP_NEXT_WRAPPER",
        default: None,
        kind: Kind::Text,
        doc: "Path of [another layer's wrapper](layer.md#beside-other-wrappers-and-extensions) to start too.",
    },
]]);
