//! The surroundings of an environment's processes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::cloudwatch::LogWriter;
use crate::environment::view::EnvironmentView;
use crate::function::FunctionSpec;
use crate::lock::lock;
use crate::platform_events::PlatformEvents;
use crate::process::CapturedOutput;
use crate::process::ProcessTable;
use crate::telemetry::{Category, Controls, Telemetry};

#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) spec: Arc<FunctionSpec>,
    pub(crate) writer: Arc<LogWriter>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) controls: Arc<Controls>,
    pub(crate) events: PlatformEvents,
    pub(crate) table: Arc<ProcessTable>,
    pub(crate) view: Arc<EnvironmentView>,
    /// The addresses of the Runtime API that its processes were told, one a reset.
    pub(crate) runtime_apis: Mutex<Vec<String>>,
}

impl Surroundings {
    pub(super) fn output(&self, category: Category) -> CapturedOutput {
        CapturedOutput {
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
        let variables = match category {
            Category::Extension => self.spec.extension_environment(runtime_api),
            _ => self.spec.environment(runtime_api, self.writer.stream()),
        };
        lock(&self.runtime_apis).push(runtime_api.to_owned());
        variables
    }
}

impl Drop for Surroundings {
    fn drop(&mut self) {
        // Each environment of Lambda has its own `/tmp`. Here all share this machine's, so files named after the
        // environment's address are removed.
        let names: Vec<String> =
            lock(&self.runtime_apis).iter().map(|address| address.replace(':', "-")).collect();
        for file in std::fs::read_dir("/tmp").into_iter().flatten().flatten() {
            let name = file.file_name();
            let is_own = name.to_str().is_some_and(|name| {
                name.starts_with(".lambda-otlp-") && names.iter().any(|own| name.ends_with(own))
            });
            if is_own {
                drop(std::fs::remove_file(file.path()));
            }
        }
    }
}
