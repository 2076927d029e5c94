//! The allocator: mimalloc, told to keep the memory it has.
//!
//! A training step allocates and frees the same buffers as the step before. Returned to the system after each step, as
//! mimalloc does by default, they cost a page fault and a cleared page for every 4 KiB of every step.

use libmimalloc_sys::{mi_option_set_default, mi_option_t};
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// `mi_option_purge_delay` of `mimalloc.h`, which the bindings do not name: milliseconds until freed memory goes back to
/// the system; -1 is never.
const PURGE_DELAY: mi_option_t = 15;

/// Freed memory stays with the process, unless `MIMALLOC_PURGE_DELAY` says otherwise.
pub(crate) fn keep_freed_memory() {
    // SAFETY: the call writes one integer of mimalloc's table of options; it is made before there are threads.
    #[expect(unsafe_code, reason = "the bindings are those of a C library")]
    unsafe {
        mi_option_set_default(PURGE_DELAY, -1);
    }
}
