//! Keeps freed memory between two events.

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
