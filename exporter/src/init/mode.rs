//! Starts what the mode needs beside the handlers.

use crate::config::Config;
use crate::config::processor_mode::ProcessorMode;
use crate::extension;
use crate::extension::actions::Actions;
use crate::telemetry::Telemetry;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long the last writing may take. Lambda gives a process 500 ms between SIGTERM and its end where an extension is inside it,
/// 300 ms where all are beside it (AWS Lambda Developer Guide, "Shutdown phase").
const LAST_WRITE: Duration = Duration::from_millis(280);

/// Starts it, once all else is there.
pub(super) fn start_mode(
    telemetry: &Arc<Telemetry>,
    mode: ProcessorMode,
    environment: &Config,
    handles_sigterm: bool,
) {
    // The thread lives as long as the process; telemetry that is dropped before has nothing to write.
    let of_thread: Weak<Telemetry> = Arc::downgrade(telemetry);
    let of_end = Weak::clone(&of_thread);
    let actions = Actions {
        write: Box::new(move |completed| {
            let Some(telemetry) = of_thread.upgrade() else { return };
            telemetry.write(completed.iter().filter_map(|invocation| invocation.record));
            for invocation in completed {
                telemetry.signals.line.deadline().clear(invocation.deadline);
            }
        }),
        end: Box::new(move || {
            if let Some(telemetry) = of_end.upgrade() {
                telemetry.write_at_end(LAST_WRITE);
            }
        }),
    };
    let started = extension::start(mode, &environment.lambda, actions, handles_sigterm);
    // It is set here only.
    telemetry.mode.set(started).ok();
}
