//! Content that repeats or nests, read with a small stack. A reader that recurses over it overflows the stack, which aborts the
//! process: Lambda's threads have four times as much, and lines are up to a thousand times as long.

use super::events::{log_event, redacted};
use super::{fields, received};
use wire::compact::Context;
use wire::{Limits, Request, SignalKind, read_line_of};

/// Enough for each reader, unoptimized as in tests.
const STACK_BYTES: usize = 512 * 1024;

/// A reader that needs a hundred bytes of the stack for each repetition of ten bytes fails.
const BYTES: usize = 64 * 1024;

/// The reader, and the content: a beginning, a part that repeats, the centre, a part that repeats after it, and the end.
pub fn stack(data: &[u8]) {
    let ([reader, begin, open, centre, close], end) = fields(data);
    let times = BYTES / (open.len() + close.len()).max(1);
    let opened = open.repeat(times);
    let closed = close.repeat(times);
    let end = String::from_utf8_lossy(end);
    read(reader, [begin, &opened, centre, &closed, &end].concat());
}

/// Reads a text with a small stack, like the reader of this name.
pub fn read(reader: &str, text: String) {
    let read: fn(&str) = match reader {
        "spans" => |text| log_event("aws/spans", text),
        "redact" => redacted,
        "telemetry" => |text| received::telemetry(text.as_bytes()),
        "xray" => |text| received::xray(text.as_bytes()),
        "json" => |text| {
            let limits = Limits::default();
            for kind in SignalKind::ALL {
                drop(Request::from_json(kind, text.as_bytes(), &limits).map(|read| read.to_json()));
            }
        },
        "protobuf" => |text| {
            for kind in SignalKind::ALL {
                drop(Request::check(kind, text.as_bytes().to_vec(), &Limits::default()));
            }
        },
        "line" => |text| drop(read_line_of(text, &Context::default(), &Limits::default())),
        _ => |text| log_event("/aws/lambda/orders", text),
    };
    let thread = std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || read(&text))
        .expect("a thread");
    thread.join().expect("the reader panicked");
}
