//! What becomes of a panic: the program starts anew in the place of its process, and goes on where that one was.
//!
//! A panic is a mistake of ours, which must not end the extension: Lambda fails the invocation of a function whose extension
//! ends. The process executes its own program again (`execve`), so that for Lambda it is the same process, registered and
//! subscribed. Nothing is unwound, so no task goes on with data that was half changed, and the binary has neither the tables nor
//! the code for unwinding, a fifth of it. What the new program has to know is in [`Handover`]; what was acknowledged and is not
//! settled is in a file in memory (`unsettled`), and is written as lines.
//!
//! Lost is what Lambda had delivered of an invocation and was not yet written or sent: it is in the function's log. And what no backend
//! took and is not written, where stdout takes nothing or its own thread has panicked, which the log says.

mod handover;
#[cfg(feature = "direct")]
mod unsettled;

use crate::counts::{Count, Counts};
use crate::log;
pub use handover::Handover;
pub(crate) use handover::{Notes, Question};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(feature = "direct")]
pub(crate) use unsettled::{read, write};

/// What the program is started with, before what it has to know.
pub const ARGUMENT: &str = "--after-panic";

/// After more panics than this the extension only asks for events until the environment ends: what comes so often comes again.
pub(crate) const MOST_PANICS: u64 = 5;

/// After more than this even that has panicked: the extension ends, where Lambda says so, instead of starting without an end.
const MOST_STARTS: u64 = 2 * MOST_PANICS;

/// From now on a panic, of whatever thread, starts the program anew. `path` is what the program was started as.
pub fn take_over_panics(path: &str, handover: &Arc<Handover>, counts: &Arc<Counts>) {
    let (path, handover, counts) = (path.to_owned(), Arc::clone(handover), Arc::clone(counts));
    counts.add(Count::Panics, usize::try_from(handover.notes().panics).unwrap_or(usize::MAX));
    let is_under_way = AtomicBool::new(false);
    std::panic::set_hook(Box::new(move |panic| {
        if is_under_way.swap(true, Ordering::SeqCst) {
            // Another thread has panicked too, and all of them end with the program.
            loop {
                std::thread::park();
            }
        }
        // Before the variables are read nobody has asked for a log.
        log::init_plain();
        counts.add(Count::Panics, 1);
        let panics = counts.get(Count::Panics);
        // The place, but not the message, which may hold a customer's data.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        if panics > MOST_STARTS {
            tracing::error!(place, panics, "the extension panics whatever it does, it ends");
            return;
        }
        if panics > MOST_PANICS {
            tracing::error!(place, panics, counts = %counts, "the extension panicked too often, from here on it only asks for events");
        } else {
            tracing::error!(place, panics, counts = %counts, "the extension panicked, it starts anew");
        }
        let error = handover.hand_over(&path, panics);
        tracing::error!(%error, "the extension cannot be started anew, it ends");
    }));
}
