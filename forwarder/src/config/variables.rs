//! The forwarder's own rows of the table of variables.

use crate::destination::ingest_window::OLD_RECORDS;
use crate::parking::QUEUES;
use crate::vitals::VITALS;
use aws::{AWS, SECRETS, SQS};
use backend::{DESTINATION, PROXY_ROW, SECRET_ROW};
use settings::shared::{self, set_by_lambda};
use settings::{Kind, PROXY, Table, Variable};

/// All variables of the forwarder: where it sends, where it keeps what is not taken, how it converts.
pub const TABLE: Table = Table::new(&[
    DESTINATION,
    SECRET_ROW,
    PROXY_ROW,
    PROXY,
    QUEUES,
    SQS,
    OLD_RECORDS,
    OWN,
    SECRETS,
    LAMBDA,
    AWS,
]);

const OWN: &[Variable] = &[
    Variable {
        name: "LAMBDA_OTLP_PLATFORM_LOGS",
        default: Some("reports"),
        kind: Kind::Choice(&["reports", "all"]),
        doc: "`all` keeps START, END and INIT_START lines as log records; otherwise they are counted as consumed. \
              Reports, timeouts, exits and out of memory always become log records.",
    },
    Variable {
        name: "LAMBDA_OTLP_PLATFORM_SPANS",
        default: Some("false"),
        kind: Kind::Switch,
        doc: "Writes the span of each invocation, from its REPORT line, and the metrics of what only JSON lines say, such as the \
              response's latency. For functions that have neither the extension nor the Rust library: with them there would be \
              two. The next four variables say how.",
    },
    shared::LAMBDA_OTLP_SPAN_MAPPING,
    shared::O2_SPAN_MAPPING_STRATEGY,
    shared::LAMBDA_OTLP_SPAN_END,
    shared::OTEL_PROPAGATORS,
    shared::LAMBDA_OTLP_NAMES,
    Variable {
        name: "LAMBDA_OTLP_RULES",
        default: None,
        kind: Kind::Text,
        doc: "The rules file (`docs/rules.md`): a path in the deployment package, or `ssm:NAME` for a parameter. It is read \
              again every minute; a wrong file changes nothing and is reported.",
    },
    Variable {
        name: "LAMBDA_OTLP_JOIN_STACK_TRACES",
        default: Some("true"),
        kind: Kind::Switch,
        doc: "The lines of a stack trace that arrive as log events of their own, close together, become one log record.",
    },
    Variable {
        name: "LAMBDA_OTLP_UNDECODABLE",
        default: Some("dead-letter"),
        kind: Kind::Choice(&["dead-letter", "log"]),
        doc: "What happens to a line that claims to be OTLP and does not decode, besides the log record with its reason, size \
              and hash that it becomes: `dead-letter` keeps it in the dead-letter queue; with `log` it is dropped and counted, \
              for log groups with many lines of another tool's format. It stays in its log group in any case.",
    },
    Variable {
        name: "LAMBDA_OTLP_EMBEDDED_LINES",
        default: Some("whole"),
        kind: Kind::Choice(&["whole", "read", "never"]),
        doc: "Which OTLP lines are read that do not begin their log event (`docs/security.md`). `whole`: one that ends the event, behind \
              what was printed without a newline, and one that is the whole message of a log record. `read`: one in the middle of a \
              text as well, for functions that log lines through something else; whoever gets text into such a function's log can \
              forge telemetry. `never`: none.",
    },
    Variable {
        name: "LAMBDA_OTLP_MAX_LINE_ITEMS",
        default: Some("50000"),
        kind: Kind::Count,
        doc: "Most spans, data points and log records of the OTLP lines of one log event. A line of more is dead-lettered with that reason.",
    },
    Variable {
        name: "LAMBDA_OTLP_LEAST_ITEM_BYTES",
        default: Some("12"),
        kind: Kind::Count,
        doc: "Bytes that an item of an OTLP line has on average at least, once inflated: a line of more than a hundred smaller ones \
              is made to become very many records from few bytes, and is dead-lettered.",
    },
    Variable {
        name: "LAMBDA_OTLP_MAX_EVENT_ITEMS",
        default: Some("250000"),
        kind: Kind::Count,
        doc: "Most items of all OTLP lines of one event of the forwarder; lines beyond it are dead-lettered, and nothing of the event is \
              held back for it.",
    },
    Variable {
        name: "LAMBDA_OTLP_OWN_LOG_GROUPS",
        default: None,
        kind: Kind::Text,
        doc: "Other log groups of the delivery path, separated by commas, such as that of the redrive function; \
              one that ends in `*` names all that begin so, as `/lambda-otlp/*` does, which is always among them. Their events are dropped and counted, or each delivery would cause the next.",
    },
    VITALS,
    shared::LAMBDA_OTLP_LOG_LEVEL,
];

/// Set by Lambda itself.
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
