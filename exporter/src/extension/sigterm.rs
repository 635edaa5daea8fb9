//! Detects the end of the environment.
//!
//! Lambda sends SIGTERM before it kills the function's process if any extension is registered (AWS Lambda Developer Guide,
//! "Shutdown phase"); otherwise it kills at once.

use signal_hook::consts::SIGTERM;
use signal_hook::low_level::pipe;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Makes SIGTERM set `flag` and write a byte to `wake`. Existing handlers are still called.
pub(super) fn watch(flag: &Arc<AtomicBool>, wake: UnixStream) -> io::Result<()> {
    signal_hook::flag::register(SIGTERM, Arc::clone(flag))?;
    pipe::register(SIGTERM, wake)?;
    Ok(())
}

/// Returns `true` if the process already handles SIGTERM; that handler then decides when the process ends.
pub(super) fn is_handled() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    is_caught(&status)
}

/// From the mask of caught signals (proc_pid_status(5)).
fn is_caught(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (SIGTERM - 1)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caught_sigterm_is_detected_from_the_signal_mask() {
        let check = |mask: &str, expected| {
            let status = format!("Name:\tx\nSigIgn:\tffffffffffffffff\nSigCgt:\t{mask}\n");
            assert_eq!(is_caught(&status), expected, "{mask}");
        };
        check("0000000000000440", false);
        check("0000000000004440", true);
        check("0000000000004000", true);
        check("ffffffffffffbfff", false);
        check("nonsense", false);
        assert!(!is_caught(""));
    }
}
