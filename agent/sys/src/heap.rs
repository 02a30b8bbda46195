//! The C library's allocator, for a program without std.

use core::alloc::{GlobalAlloc, Layout};

/// What malloc aligns to on 64-bit machines.
const MALLOC_ALIGN: usize = 16;

/// The C library's allocator, to be named as `#[global_allocator]`.
#[derive(Debug)]
pub struct Malloc;

// SAFETY: malloc, realloc and free keep GlobalAlloc's contract for alignments up to MALLOC_ALIGN;
// for larger ones (which the guest's agent has none of) allocation fails.
unsafe impl GlobalAlloc for Malloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > MALLOC_ALIGN {
            return core::ptr::null_mut();
        }
        // SAFETY: any size may be asked of malloc.
        unsafe { libc::malloc(layout.size()).cast() }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, _: Layout) {
        // SAFETY: the caller gives back what alloc gave.
        unsafe { libc::free(pointer.cast()) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, _: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller gives what alloc gave.
        unsafe { libc::realloc(pointer.cast(), size).cast() }
    }
}
