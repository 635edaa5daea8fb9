//! Starts the threads of a mode.

use crate::config::Config;
use crate::config::processor_mode::ProcessorMode;
use crate::extension;
use crate::extension::actions::Actions;
use crate::extension::invocations::Completed;
use crate::telemetry::Telemetry;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Time limit for the last write. Between SIGTERM and kill Lambda leaves 500 ms if an extension is inside the process, and 300 ms
/// if all are outside (AWS Lambda Developer Guide, "Shutdown phase").
const LAST_WRITE: Duration = Duration::from_millis(280);

/// Starts the threads, after everything else.
pub(super) fn start_mode(
    telemetry: &Arc<Telemetry>,
    mode: ProcessorMode,
    environment: &Config,
    handles_sigterm: bool,
) {
    // The thread lives as long as the process; dropped telemetry has nothing to write.
    let of_thread: Weak<Telemetry> = Arc::downgrade(telemetry);
    let of_end = Weak::clone(&of_thread);
    let actions = Actions {
        write: Box::new(move |completed| {
            let Some(telemetry) = of_thread.upgrade() else { return };
            // As during a write before the response; no running invocation has this number.
            let watch = |invocation: &Completed| telemetry.deadline.arm(0, invocation.deadline);
            let _watched: Vec<_> = completed.iter().map(watch).collect();
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
    // Only set here.
    telemetry.mode.set(started).ok();
}
