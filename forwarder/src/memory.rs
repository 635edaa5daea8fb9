//! What becomes of memory between two events.

/// Freed memory of up to twice this is kept for the next event.
const KEPT_BYTES: usize = 16 * 1024 * 1024;

/// Lets the C library keep freed memory for the next event: given back to the kernel, it would be asked for again page by
/// page, which takes a tenth of an event's time.
///
/// glibc gives back what is free at the end of its heap beyond a bound that follows from what was freed before: a block
/// that was mapped by itself raises it to twice its size (`malloc/malloc.c`, "dynamic mmap threshold"). No page of the
/// block is touched. Elsewhere it is of no use and costs nothing.
pub fn keep_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(KEPT_BYTES)));
}
