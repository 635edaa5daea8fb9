//! The forwarder's configuration, read once from the variables.

use crate::convert::PlatformSpans;
use crate::delivery::ingest_window::{IngestPolicy, OLD_RECORDS};
use crate::executions::{EXECUTIONS, ExecutionSettings};
use crate::queues::put::Queues;
use crate::queues::{DEAD_LETTER_QUEUE_URL, QUEUES, RETRY_QUEUE_URL};
use crate::rules::{DestinationRule, RulesSource, Template};
use crate::vitals::{FUNCTION_NAME, VITALS, VitalsSettings};
use aws::{AWS, AwsSecretsSettings, HISTORIES, SECRETS, SQS, SqsSettings};
use backend::{DESTINATION, DestinationConfig, O2_DESTINATION, Profile};
use settings::{
    InvalidSettings, PROXY, Reader, Remark, Setting, SettingWithDefault, Source, Table, Variable,
    Word, shared,
};

#[derive(Clone, Debug)]
pub struct Config {
    pub destination: DestinationConfig,
    pub platform: platform::PlatformOptions,
    /// Template of OpenObserve's stream, if it depends on the origin.
    pub stream: Option<Template>,
    pub rules: Option<RulesSource>,
    pub secrets: AwsSecretsSettings,
    pub queues: Queues<SqsSettings>,
    pub old_records: IngestPolicy,
    /// The region of the forwarder and of the log groups.
    pub region: Option<String>,
    pub platform_spans: Option<PlatformSpans>,
    pub own_log_groups: Vec<String>,
    pub vitals: Option<VitalsSettings>,
    /// Traces of executions, if they are on.
    pub executions: Option<ExecutionSettings>,
    pub log_level: tracing::Level,
}

/// Log groups of all stacks of `template.yaml`. Two stacks that forward each other's logs would never stop.
const STACKS_LOG_GROUPS: &str = "/lambda-otlp/*";

impl Config {
    /// Reads all variables. The error lists every mistake. The warnings name misspelt variables and surprising values.
    pub fn from_source(source: &dyn Source) -> (Result<Self, InvalidSettings>, Vec<Remark>) {
        let mut reader = Reader::new(source, TABLE);
        let read = Self::read(&mut reader);
        let warnings = reader.warnings().to_vec();
        let config = InvalidSettings::check(reader.finish()).and_then(|()| {
            read.ok_or_else(|| {
                // A fallback: the reader already notes a mistake if there is no destination.
                let name = "LAMBDA_OTLP_ENDPOINT".to_owned();
                Remark { name, text: "no usable endpoint".to_owned() }.into()
            })
        });
        (config, warnings)
    }

    /// The settings of a destination of the rules, which has its own endpoint and credentials. Those of TLS and proxy are common.
    pub fn destination_of(&self, rule: &DestinationRule) -> DestinationConfig {
        let common = self.destination.clone();
        DestinationConfig {
            headers: rule.headers.clone(),
            secret: rule.secret.clone(),
            profile: rule.profile,
            signals: rule.signals.clone(),
            own_authority: common.own_authority,
            proxy: common.proxy,
            request_timeout: common.request_timeout,
            compression: common.compression,
            ..DestinationConfig::new(&rule.endpoint)
        }
    }

    /// Returns `None` if there is no destination, which the reader has noted as a mistake.
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        use tracing::Level;
        let destination = DestinationConfig::read(reader);
        let stream = destination.as_ref().and_then(|destination| template(reader, destination));
        let package = reader.read(TASK_ROOT);
        let rules_text = reader.read(RULES);
        let rules = rules_text.map(|text| RulesSource::parse(&text, package.as_deref()));
        let secrets = AwsSecretsSettings::read(reader);
        let retry = SqsSettings::read(reader, RETRY_QUEUE_URL);
        let dead_letters = SqsSettings::read(reader, DEAD_LETTER_QUEUE_URL);
        if let (Some(retry), Some(dead_letters)) = (&retry, &dead_letters)
            && retry.is_same_queue(dead_letters)
        {
            let problem = format!(
                "the queue of {RETRY_QUEUE_URL}: dead letters would be sent again and again; name another queue"
            );
            reader.mistake(DEAD_LETTER_QUEUE_URL, problem);
        }
        let queues = Queues { retry, dead_letters };
        let choices = [("current", platform::Names::Current), ("legacy", platform::Names::Legacy)];
        let names = reader.choice(shared::LAMBDA_OTLP_NAMES, &choices, platform::Names::Current);
        let platform_logs = [("reports", false), ("all", true)];
        let platform_logs_all = reader.choice(PLATFORM_LOGS, &platform_logs, false);
        let levels = [
            ("error", Level::ERROR),
            ("warn", Level::WARN),
            ("info", Level::INFO),
            ("debug", Level::DEBUG),
        ];
        let log_level = reader.choice(shared::LAMBDA_OTLP_LOG_LEVEL, &levels, Level::WARN);
        let region = reader.read(aws::REGION);
        let vitals = VitalsSettings::read(reader);
        let executions = ExecutionSettings::read(reader);
        let platform_spans = platform_spans(reader);
        let list = reader.read(OWN_LOG_GROUPS).unwrap_or_default();
        let others = list.split(',').map(|group| group.trim().to_owned());
        let own_log_group = reader.read(LOG_GROUP);
        let own_log_groups = own_log_group
            .into_iter()
            .chain(others)
            .chain([STACKS_LOG_GROUPS.to_owned()])
            .filter(|group| !group.is_empty())
            .collect();
        let old_records = IngestPolicy::read(reader);
        // Last, so that mistakes in other variables are listed too.
        let destination = destination?;
        let shape = match destination.profile {
            Profile::OpenObserve => platform::Shape::OpenObserve,
            Profile::Otlp => platform::Shape::Otlp,
        };
        let platform = platform::PlatformOptions { shape, names, platform_logs_all };
        Some(Self {
            destination,
            platform,
            stream,
            rules,
            secrets,
            queues,
            old_records,
            region,
            platform_spans,
            own_log_groups,
            vitals,
            executions,
            log_level,
        })
    }
}

fn platform_spans(reader: &mut Reader<'_>) -> Option<PlatformSpans> {
    let propagators = reader.read(shared::OTEL_PROPAGATORS).unwrap_or_default();
    let xray_lambda = propagators.split(',').any(|name| name.trim() == "xray-lambda");
    let spans = PlatformSpans { xray_lambda };
    reader.read(PLATFORM_SPANS).then_some(spans)
}

/// The template, if the stream contains fields of the origin, such as `{function}`.
fn template(reader: &mut Reader<'_>, destination: &DestinationConfig) -> Option<Template> {
    let stream = destination.stream.as_ref().filter(|stream| stream.contains('{'))?;
    match Template::parse(stream) {
        Ok(template) => Some(template),
        Err(error) => {
            reader.mistake(backend::STREAM, error.to_string());
            None
        }
    }
}

pub const TABLE: Table = Table::new(&[QUEUES, EXECUTIONS, OLD_RECORDS, OWN])
    .with_shared(&[DESTINATION, PROXY])
    .with_aliases(&[O2_DESTINATION])
    .with_unlisted(&[SQS, SECRETS, HISTORIES, LAMBDA, AWS]);

const PLATFORM_LOGS: SettingWithDefault<Word> = Setting::choice(
    "LAMBDA_OTLP_PLATFORM_LOGS",
    &["reports", "all"],
    "Set `all` to store START, END and INIT_START lines as log records too.",
)
.with_default("reports");

const PLATFORM_SPANS: SettingWithDefault<bool> = Setting::switch(
    "LAMBDA_OTLP_PLATFORM_SPANS",
    "Set `true` to get a span for each invocation of functions without the layer or the Rust library. Others normally get no second root span.",
)
.with_default("false");

pub const RULES: Setting<String> = Setting::text(
    "LAMBDA_OTLP_RULES",
    "The [rules file](rules.md): a path in the deployment package, or `ssm:NAME` for a parameter. Set it to drop, sample, redact or route telemetry.",
);

const OWN_LOG_GROUPS: Setting<String> = Setting::text(
    "LAMBDA_OTLP_OWN_LOG_GROUPS",
    "Log groups of the delivery path, whose events the forwarder drops to prevent a loop; `*` at the end matches any suffix. `/lambda-otlp/*` is always included.",
);

const OWN: &[Variable] = &[
    PLATFORM_LOGS.row(),
    PLATFORM_SPANS.row(),
    shared::OTEL_PROPAGATORS.row(),
    shared::LAMBDA_OTLP_NAMES.row(),
    RULES.row(),
    OWN_LOG_GROUPS.row(),
    VITALS.row(),
    shared::LAMBDA_OTLP_LOG_LEVEL.row(),
];

const TASK_ROOT: Setting<String> =
    Setting::text("LAMBDA_TASK_ROOT", "Set by Lambda: where the deployment package is.");
const LOG_GROUP: Setting<String> = Setting::text(
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "Set by Lambda: log events of this group, the forwarder's own, are dropped.",
);

const LAMBDA: &[Variable] = &[FUNCTION_NAME.row(), TASK_ROOT.row(), LOG_GROUP.row()];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn the_table_is_sound() {
        assert_eq!(TABLE.problems(), Vec::<String>::new());
    }

    #[test]
    fn a_mistake_in_the_endpoint_hides_no_other() {
        let mistaken =
            ["LAMBDA_OTLP_ENDPOINT", "LAMBDA_OTLP_INGEST_WINDOW", "LAMBDA_OTLP_LOG_LEVEL"];
        let variables = mistaken.map(|name| (name.to_owned(), "no value".to_owned()));
        let config = Config::from_source(&HashMap::from(variables)).0;
        let error = config.unwrap_err().to_string();
        for name in mistaken {
            assert!(error.contains(&format!("{name}: ")), "{name}: {error}");
        }
    }

    #[test]
    fn the_dead_letter_queue_must_differ_from_the_retry_queue() {
        let read = |dead_letters| {
            let variables = [
                ("LAMBDA_OTLP_ENDPOINT", "https://o2.example.com/api/default"),
                ("AWS_ACCESS_KEY_ID", "id"),
                ("AWS_SECRET_ACCESS_KEY", "key"),
                (RETRY_QUEUE_URL.name(), "https://sqs.eu-west-1.amazonaws.com/123456789012/parked"),
                (DEAD_LETTER_QUEUE_URL.name(), dead_letters),
            ];
            let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
            Config::from_source(&HashMap::from(variables)).0.map_err(|error| error.to_string())
        };
        for same in [
            "https://sqs.eu-west-1.amazonaws.com/123456789012/parked",
            "https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com/123456789012/parked",
        ] {
            assert_eq!(
                read(same).unwrap_err(),
                "LAMBDA_OTLP_DEAD_LETTER_QUEUE_URL: the queue of LAMBDA_OTLP_RETRY_QUEUE_URL: dead letters would be sent again and again; name another queue"
            );
        }
        for other in [
            "https://sqs.eu-west-1.amazonaws.com/123456789012/dead",
            "https://sqs.eu-west-2.amazonaws.com/123456789012/parked",
        ] {
            assert!(read(other).is_ok());
        }
    }
}
