//! The subscriber's variables: one table, read once.

use crate::decision::{KinesisStream, OurFilter, WantedFilter};
use crate::selection::{InvalidSelection, Selection, parse_patterns, parse_tags};
use aws::{AWS, ApiSettings, LOGS, SQS, SqsSettings};
use settings::{
    InvalidSettings, PROXY, Reader, Remark, Setting, SettingWithDefault, Source, Table, Variable,
    Word, shared,
};
use std::str::FromStr;
use url::Url;
use wire::arn::Arn;

const INCLUDE: Setting<String> = Setting::text(
    "LAMBDA_OTLP_INCLUDE",
    "Log groups to subscribe: names, or patterns such as `/aws/lambda/shop-*`. A `/` at the end includes all names below. Empty: those with the tags of `LAMBDA_OTLP_TAGS`.",
);
const EXCLUDE: Setting<String> = Setting::text(
    "LAMBDA_OTLP_EXCLUDE",
    "Log groups to leave out, in the same form. `/lambda-otlp/*` is always left out.",
);
const TAGS: Setting<String> = Setting::text(
    "LAMBDA_OTLP_TAGS",
    "Tags that a log group must have: `team=shop`, `stage=prod*`, or a key alone. Every key is required, with one of its values.",
);
pub const DESTINATION: Setting<String> =
    Setting::text("LAMBDA_OTLP_DESTINATION", "ARN of the forwarder, with or without an alias.");
const KINESIS_STREAM: Setting<String> = Setting::text(
    "LAMBDA_OTLP_KINESIS_STREAM",
    "ARN of a Kinesis stream to subscribe log groups to instead of the forwarder, with `LAMBDA_OTLP_KINESIS_ROLE`.",
);
const KINESIS_ROLE: Setting<String> = Setting::text(
    "LAMBDA_OTLP_KINESIS_ROLE",
    "ARN of the role with which CloudWatch Logs writes to that stream. Requires `iam:PassRole`.",
);
const COLLECT: SettingWithDefault<Word> =
    Setting::choice("LAMBDA_OTLP_COLLECT", &["all", "telemetry", "spilled"], "Log events to forward. `telemetry`: only OTLP lines and Lambda's reports and failures. `spilled`, for functions in direct mode: only telemetry that no backend accepted.").with_default("all");
const RETRY_QUEUE_URL: Setting<Url> = Setting::url(
    "LAMBDA_OTLP_RETRY_QUEUE_URL",
    "URL of the forwarder's retry queue, for the first events of a new log group; without it they are lost.",
);
const LOG_LEVEL: SettingWithDefault<Word> =
    shared::LAMBDA_OTLP_LOG_LEVEL.with_default("info").with_doc(
        "Level of this program's own log. `warn` reports log groups that could not be subscribed.",
    );
const OWN_LOG_GROUP: Setting<String> = Setting::text(
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "Set by Lambda: this log group is never subscribed.",
);

pub const TABLE: Table =
    Table::new(&[OWN]).with_shared(&[PROXY]).with_unlisted(&[LAMBDA, LOGS, SQS, AWS]);

const OWN: &[Variable] = &[
    INCLUDE.row(),
    EXCLUDE.row(),
    TAGS.row(),
    DESTINATION.row(),
    KINESIS_STREAM.row(),
    KINESIS_ROLE.row(),
    COLLECT.row(),
    RETRY_QUEUE_URL.row(),
    LOG_LEVEL.row(),
];

const LAMBDA: &[Variable] = &[OWN_LOG_GROUP.row()];

/// The word of the lines to collect is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected all, telemetry or spilled")]
pub struct UnknownLines;

/// The lines of a log group that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collect {
    All,
    /// OTLP lines, and Lambda's own reports and failures.
    Telemetry,
    /// Spilled OTLP lines: telemetry that the extension in direct mode could not send.
    Spilled,
}

impl FromStr for Collect {
    type Err = UnknownLines;

    fn from_str(text: &str) -> Result<Self, UnknownLines> {
        let found = Self::WORDS.into_iter().find(|(word, _)| *word == text);
        found.map(|(_, collect)| collect).ok_or(UnknownLines)
    }
}

impl Collect {
    /// The words of `LAMBDA_OTLP_COLLECT`.
    pub const WORDS: [(&'static str, Self); 3] =
        [("all", Self::All), ("telemetry", Self::Telemetry), ("spilled", Self::Spilled)];

    /// Returns the word of a filter pattern; `None` if the pattern is another one.
    pub fn word_of(pattern: &str) -> Option<&'static str> {
        let found = Self::WORDS.into_iter().find(|(_, collect)| collect.pattern() == pattern);
        found.map(|(word, _)| word)
    }

    /// The filter pattern of CloudWatch Logs.
    pub fn pattern(self) -> &'static str {
        match self {
            Self::All => "",
            Self::Telemetry => {
                r#"?"__otel_otlp_stdout" ?"_otelc" ?"resourceSpans" ?"resourceMetrics" ?"resourceLogs" ?"scopeSpans" ?"scopeMetrics" ?"scopeLogs" ?"REPORT RequestId" ?"INIT_REPORT" ?"Task timed out" ?"Runtime exited" ?"platform.report" ?"platform.initReport""#
            }
            Self::Spilled => "{ $.spill IS TRUE }",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Config {
    /// The log groups to subscribe.
    pub selection: Selection,
    pub wanted: WantedFilter,
    /// Endpoint and credentials of CloudWatch Logs.
    pub logs: ApiSettings,
    /// The queue for lines from before a subscription.
    pub retry_queue: Option<SqsSettings>,
    pub log_level: tracing::Level,
}

impl Config {
    /// Reads all variables. The error lists every mistake, and the warnings likely misspelt names.
    pub fn from_source(source: &dyn Source) -> (Result<Self, InvalidSettings>, Vec<Remark>) {
        let mut reader = Reader::new(source, TABLE);
        let config = Self::read(&mut reader);
        let warnings = reader.warnings().to_vec();
        let checked = InvalidSettings::check(reader.finish());
        // Without a configuration the reader has noted the reason.
        let result = checked.and_then(|()| config.ok_or_else(|| no_destination().into()));
        (result, warnings)
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        use tracing::Level;
        let include = parsed(reader, INCLUDE, parse_patterns);
        let exclude = parsed(reader, EXCLUDE, parse_patterns);
        let tags = parsed(reader, TAGS, parse_tags);
        let collect = reader.choice(COLLECT, &Collect::WORDS, Collect::All);
        let levels = [
            ("error", Level::ERROR),
            ("warn", Level::WARN),
            ("info", Level::INFO),
            ("debug", Level::DEBUG),
        ];
        let log_level = reader.choice(LOG_LEVEL, &levels, Level::INFO);
        let retry_queue = SqsSettings::read(reader, RETRY_QUEUE_URL);
        let logs = ApiSettings::read_for_logs(reader);
        let own_log_group = reader.read(OWN_LOG_GROUP);
        let destination = reader.read(DESTINATION).unwrap_or_default();
        let stream = kinesis_stream(reader);
        let Some(ours) = OurFilter::new(&destination, stream, collect.pattern()) else {
            let mistake = no_destination();
            reader.mistake(&mistake.name, mistake.text);
            return None;
        };
        let own = own_log_group.into_iter().chain([ours.default_log_group()]);
        let selection = Selection::new(include, exclude, tags, own);
        let wanted = WantedFilter { ours, former: None, beside_others: false, keeps_spilled: true };
        Some(Self { selection, wanted, logs: logs?, retry_queue, log_level })
    }
}

fn no_destination() -> Remark {
    Remark {
        name: DESTINATION.name().to_owned(),
        text: "not the forwarder's ARN: expected arn:aws:lambda:{region}:{account}:function:{name}"
            .to_owned(),
    }
}

/// Reads the stream with its role, if they are set. One of the two variables alone is a mistake.
fn kinesis_stream(reader: &mut Reader<'_>) -> Option<KinesisStream> {
    let arn = reader.read(KINESIS_STREAM);
    let role = reader.read(KINESIS_ROLE);
    let is_of =
        |service: &str, text: &str| Arn::parse(text).is_some_and(|arn| arn.service == service);
    if arn.as_deref().is_some_and(|arn| !is_of("kinesis", arn)) {
        let form = "arn:aws:kinesis:{region}:{account}:stream/{name}";
        reader.mistake(KINESIS_STREAM, format!("not the ARN of a stream: expected {form}"));
    }
    if role.as_deref().is_some_and(|role| !is_of("iam", role)) {
        let form = "arn:aws:iam::{account}:role/{name}";
        reader.mistake(KINESIS_ROLE, format!("not the ARN of a role: expected {form}"));
    }
    match (arn, role) {
        (Some(arn), Some(role)) => Some(KinesisStream { arn, role }),
        (None, None) => None,
        (Some(_), None) => {
            let problem = format!("not set, though {KINESIS_STREAM} is: set both or neither");
            reader.mistake(KINESIS_ROLE, problem);
            None
        }
        (None, Some(_)) => {
            let problem = format!("not set, though {KINESIS_ROLE} is: set both or neither");
            reader.mistake(KINESIS_STREAM, problem);
            None
        }
    }
}

fn parsed<T: Default>(
    reader: &mut Reader<'_>,
    setting: Setting<String>,
    parse: impl Fn(&str) -> Result<T, InvalidSelection>,
) -> T {
    let text = reader.read(setting).unwrap_or_default();
    parse(&text).unwrap_or_else(|problem| {
        reader.mistake(setting, problem.to_string());
        T::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::Unselected;
    use std::collections::HashMap;

    fn read(variables: &[(&str, &str)]) -> Result<Config, InvalidSettings> {
        let of_lambda = [
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            (OWN_LOG_GROUP.name(), "/own/subscriber"),
            (DESTINATION.name(), "arn:aws:lambda:eu-west-1:123456789012:function:fwd"),
        ];
        let all = of_lambda.iter().chain(variables);
        let source: HashMap<String, String> =
            all.map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let (config, _) = Config::from_source(&source);
        config
    }

    #[test]
    fn the_table_of_the_subscriber_has_no_problems() {
        assert_eq!(TABLE.problems(), Vec::<String>::new());
    }

    #[test]
    fn an_empty_configuration_selects_no_log_group() {
        let config = read(&[]).unwrap();
        assert!(config.selection.is_empty());
        assert_eq!(config.wanted.ours.as_filter().pattern, "");
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn names_and_tags_select_and_own_log_groups_are_excluded() {
        let config = read(&[
            (INCLUDE.name(), "/aws/lambda/*, /own/"),
            (EXCLUDE.name(), "*-dev"),
            (COLLECT.name(), "telemetry"),
        ])
        .unwrap();
        let by_name = |name| config.selection.check_name(name);
        assert_eq!(by_name("/aws/lambda/orders"), Ok(()));
        assert_eq!(by_name("/aws/lambda/orders-dev"), Err(Unselected::Excluded));
        assert_eq!(by_name("/aws/lambda/fwd"), Err(Unselected::Own));
        assert_eq!(by_name("/own/subscriber"), Err(Unselected::Own));
        assert!(config.wanted.ours.as_filter().pattern.starts_with(r#"?"__otel"#));
        assert!(read(&[(TAGS.name(), "team=shop")]).unwrap().selection.asks_for_tags());
    }

    #[test]
    fn a_filter_targets_the_kinesis_stream_with_its_role() {
        let stream = "arn:aws:kinesis:eu-west-1:123456789012:stream/s";
        let role = "arn:aws:iam::123456789012:role/r";
        let both = read(&[(KINESIS_STREAM.name(), stream), (KINESIS_ROLE.name(), role)]);
        let filter = both.unwrap().wanted.ours.as_filter();
        assert_eq!(filter.name, "lambda-otlp/fwd");
        assert_eq!(filter.destination, stream);
        assert_eq!(filter.role.as_deref(), Some(role));
        let error = read(&[(KINESIS_STREAM.name(), stream)]).unwrap_err().to_string();
        assert!(error.contains("LAMBDA_OTLP_KINESIS_ROLE: not set"), "{error}");
    }

    #[test]
    fn the_subscriber_reports_all_invalid_settings_at_once() {
        let error = read(&[
            (INCLUDE.name(), "/aws/{x}"),
            (TAGS.name(), "=x"),
            (COLLECT.name(), "some"),
            (DESTINATION.name(), "forwarder"),
            (KINESIS_ROLE.name(), "arn:aws:lambda:eu-west-1:123456789012:function:fwd"),
            ("AWS_REGION", ""),
        ])
        .unwrap_err()
        .to_string();
        for name in [
            INCLUDE.name(),
            TAGS.name(),
            COLLECT.name(),
            DESTINATION.name(),
            KINESIS_ROLE.name(),
            KINESIS_STREAM.name(),
            "AWS_REGION",
        ] {
            assert!(error.contains(&format!("{name}: ")), "{error}");
        }
        assert!(!error.contains('\n'));
    }
}
