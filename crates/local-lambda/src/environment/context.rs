//! What the parts of an environment share: the function, its log and telemetry, and the API of its processes.

use super::state::SharedEnvironmentState;
use crate::api::RuntimeApi;
use crate::captured_output::LineDestination;
use crate::cloudwatch::{CloudWatch, LogWriter};
use crate::function::FunctionSpec;
use crate::platform_events::PlatformEvents;
use crate::process::ProcessTable;
use crate::telemetry::{Category, Telemetry};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// The parts that all environments of a local Lambda share.
#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) cloudwatch: Arc<CloudWatch>,
    pub(crate) process_table: Arc<ProcessTable>,
}

/// The shared parts of an environment.
#[derive(Debug)]
pub(crate) struct EnvironmentContext {
    pub(crate) spec: Arc<FunctionSpec>,
    pub(crate) writer: Arc<LogWriter>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) events: PlatformEvents,
    pub(crate) process_table: Arc<ProcessTable>,
    pub(crate) state: Arc<SharedEnvironmentState>,
    /// Open from the first init.
    pub(crate) api: OnceCell<RuntimeApi>,
}

impl EnvironmentContext {
    pub(super) fn line_destination(&self, category: Category) -> LineDestination {
        LineDestination {
            writer: Arc::clone(&self.writer),
            telemetry: Arc::clone(&self.telemetry),
            category,
        }
    }

    pub(super) fn variables(
        &self,
        category: Category,
        runtime_api: &str,
    ) -> BTreeMap<String, String> {
        match category {
            Category::Extension => self.spec.extension_environment(runtime_api),
            _ => self.spec.environment(runtime_api, self.writer.stream()),
        }
    }
}

impl Drop for EnvironmentContext {
    fn drop(&mut self) {
        // Each environment of Lambda has its own `/tmp`. Here all share this machine's, so files named after the
        // environment's address are removed.
        let Some(api) = self.api.get() else { return };
        let environment = api.address().to_string().replace(':', "-");
        for file in std::fs::read_dir("/tmp").into_iter().flatten().flatten() {
            let name = file.file_name();
            let is_own = name.to_str().is_some_and(|name| {
                name.starts_with(".lambda-otlp-") && name.ends_with(&environment)
            });
            if is_own {
                drop(std::fs::remove_file(file.path()));
            }
        }
    }
}
