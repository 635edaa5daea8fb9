//! The variables of the forwarder.

use crate::destination::ingest_window::OLD_RECORDS;
use crate::parking::QUEUES;
use crate::vitals::VITALS;
use aws::{AWS, SECRETS, SQS};
use backend::{DESTINATION, O2_DESTINATION, PROXY_ROW, SECRET_ROW};
use settings::shared::{self, set_by_lambda};
use settings::{Kind, PROXY, Table, Variable};

pub const TABLE: Table = Table::new(&[QUEUES, OLD_RECORDS, OWN])
    .with_shared(&[DESTINATION, SECRET_ROW, PROXY_ROW, PROXY])
    .with_aliases(&[O2_DESTINATION])
    .with_unlisted(&[SQS, SECRETS, LAMBDA, AWS]);

const OWN: &[Variable] = &[
    Variable {
        name: "LAMBDA_OTLP_PLATFORM_LOGS",
        default: Some("reports"),
        kind: Kind::Choice(&["reports", "all"]),
        doc: "Set `all` to store START, END and INIT_START lines as log records too.",
    },
    Variable {
        name: "LAMBDA_OTLP_PLATFORM_SPANS",
        default: Some("false"),
        kind: Kind::Switch,
        doc: "Set `true` to get a span for each invocation, if no function has the layer or the Rust library.",
    },
    shared::OTEL_PROPAGATORS,
    shared::LAMBDA_OTLP_NAMES,
    Variable {
        name: "LAMBDA_OTLP_RULES",
        default: None,
        kind: Kind::Text,
        doc: "The [rules file](rules.md): a path in the deployment package, or `ssm:NAME` for a parameter. Set it to drop, sample, redact or route telemetry.",
    },
    Variable {
        name: "LAMBDA_OTLP_OWN_LOG_GROUPS",
        default: None,
        kind: Kind::Text,
        doc: "Log groups of the delivery path, whose events the forwarder drops to prevent a loop; `*` at the end matches any suffix. `/lambda-otlp/*` is always included.",
    },
    VITALS,
    shared::LAMBDA_OTLP_LOG_LEVEL,
];

const LAMBDA: &[Variable] = &[
    shared::AWS_LAMBDA_FUNCTION_NAME.with_doc(
        "Set by Lambda: the dimension, and the service name, of the forwarder's own metrics.",
    ),
    set_by_lambda("LAMBDA_TASK_ROOT", "Set by Lambda: where the deployment package is."),
    set_by_lambda(
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "Set by Lambda: log events of this group, the forwarder's own, are dropped.",
    ),
];
