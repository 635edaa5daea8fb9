//! The place and the stack trace of a panic, which only the process's panic hook sees.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::panic::{self, PanicHookInfo};
use std::sync::Once;

/// What is kept of a stack trace, in characters.
const LONGEST: usize = 16 * 1024;

thread_local! {
    /// The last panic of this thread.
    static LAST: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

struct Panic {
    message: String,
    stack_trace: String,
}

/// Adds a panic hook before the existing one, once for the process. A hook that the application sets later replaces it, unless it
/// calls the one before.
pub(crate) fn note_places() {
    static ADDED: Once = Once::new();
    ADDED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // A terminating thread may have no place for it.
            LAST.try_with(|last| last.replace(Some(Panic::of(info)))).ok();
            before(info);
        }));
    });
}

pub(super) fn message_of_panic(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let message = text.or_else(|| panic.downcast_ref::<String>().cloned());
    message.unwrap_or_else(|| "the panic has no message".to_owned())
}

/// Returns the stack trace of this thread's last panic, if it had this message; empty if no hook has seen it.
pub(super) fn stack_trace(message: &str) -> String {
    let last = LAST.try_with(RefCell::take).ok().flatten();
    last.filter(|panic| panic.message == message).map(|panic| panic.stack_trace).unwrap_or_default()
}

impl Panic {
    /// In the form in which Rust prints it. It has a backtrace if `RUST_BACKTRACE` or `RUST_LIB_BACKTRACE` asks for one.
    fn of(info: &PanicHookInfo<'_>) -> Self {
        let message = message_of_panic(info.payload());
        let place = info.location().map(|place| format!(" at {place}")).unwrap_or_default();
        let backtrace = Backtrace::capture();
        let stack_trace = if backtrace.status() == BacktraceStatus::Captured {
            format!("panicked{place}:\n{message}\nstack backtrace:\n{backtrace}")
        } else {
            format!("panicked{place}:\n{message}")
        };
        let stack_trace = stack_trace.chars().take(LONGEST).collect();
        Self { message, stack_trace }
    }
}
