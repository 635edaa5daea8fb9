//! Settings of the process: the forwarder's own log, as JSON lines with queryable fields, and memory kept between events.

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts the log. Other crates log from WARN, because their messages may contain telemetry.
pub fn init_log(level: Level) {
    let ours = Targets::new()
        .with_default(LevelFilter::from_level(level).min(LevelFilter::WARN))
        .with_target("lambda_otlp", level);
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false);
    // After a second call, the first subscriber stays.
    let _already_set = tracing_subscriber::registry().with(lines).with(ours).try_init().is_err();
}

/// glibc keeps up to twice this many freed bytes.
const KEPT_BYTES: usize = 16 * 1024 * 1024;

/// Lets the C library keep freed memory for the next event. Returned to the kernel, it costs a tenth of an event's CPU time to
/// map again, page by page.
///
/// glibc returns free memory at the end of its heap beyond a threshold. Freeing a separately mapped block raises the threshold to
/// twice the size of the block (`malloc/malloc.c`, "dynamic mmap threshold"). The block's pages are never touched. Other
/// allocators ignore this.
pub fn keep_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(KEPT_BYTES)));
}
