//! Builds a [`LineExporter`] from code and environment.

use super::line::{LineExporter, LineSettings};
use super::write_timeout::Deadline;
use crate::config::lambda_environment::LambdaEnvironment;
use crate::config::log_level::LogLevel;
use crate::config::{Config, DEFAULT_COMPRESSION_LEVEL};
use crate::output::stdout::Stdout;
use crate::output::{Output, stderr};
use std::path::Path;
use std::sync::Arc;
use wire::compact::Names;
use wire::invocation_record;

/// The options shared by the exporters' builders; the environment overrides code.
#[derive(Debug, Default, Clone)]
pub(crate) struct LineExporterBuilder {
    pub(crate) compression_level: Option<u32>,
    pub(crate) level: Option<LogLevel>,
    pub(crate) output: Option<Arc<dyn Output>>,
    /// The deadline of the process if unset.
    pub(crate) deadline: Option<Arc<Deadline>>,
}

impl LineExporterBuilder {
    pub(crate) fn build(self, config: &Config) -> LineExporter {
        let level = match (&config.lambda.json_log_level, config.level) {
            (Some(configured), chosen) => {
                if chosen.is_some() || self.level.is_some() {
                    stderr::warn(
                        "the log level of lines is ignored under the JSON log format: another level than the configured \
                         one would get the lines dropped",
                    );
                }
                Some(configured.clone())
            }
            (None, chosen) => chosen.or(self.level).map(|level| level.as_str().to_owned()),
        };
        let settings = LineSettings {
            compression_level: config
                .compression_level
                .or(self.compression_level)
                .unwrap_or(DEFAULT_COMPRESSION_LEVEL)
                .min(9),
            max_line_bytes: config.max_line_bytes,
            level,
            with_timestamp: config.lambda.json_log_level.is_some(),
            compact: config.writes_compact_lines.then(|| names(&config.lambda)),
        };
        let output = self.output.unwrap_or_else(|| Arc::new(Stdout));
        let deadline = self.deadline.unwrap_or_else(Deadline::of_process);
        LineExporter::new(output, settings, Arc::default(), deadline)
    }
}

/// The names that compact lines leave out, apart from the account, which is in the invoked ARN.
///
/// In direct mode our extension reads the function's lines. Lambda hides the log stream from extensions, so these lines must not
/// leave it out. The extension creates the file of the invocation records before the function starts.
fn names(lambda: &LambdaEnvironment) -> Names {
    let record = lambda.runtime_api.as_deref().map(invocation_record::path);
    let has_extension = record.is_some_and(|path| Path::new(&path).exists());
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let log_stream = if has_extension { String::new() } else { text(&lambda.log_stream) };
    let (function, region) = (text(&lambda.function_name), text(&lambda.region));
    Names::of_function(&function, &region, &text(&lambda.log_group), &log_stream)
}
