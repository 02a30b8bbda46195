//! The system's allocator, with a limit: a parser that allocates by a length that it did not check is found out,
//! however much memory the machine has.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes that are allocated, and how many may be.
static LIVE: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

struct Limited;

#[global_allocator]
static ALLOCATOR: Limited = Limited;

impl Limited {
    fn grow(bytes: usize) {
        let live = LIVE.fetch_add(bytes, Relaxed).saturating_add(bytes);
        if live > LIMIT.load(Relaxed) {
            // What follows allocates, too.
            LIMIT.store(usize::MAX, Relaxed);
            eprintln!("fuzz: an input made its target hold {live} bytes, the last {bytes} at once: more than it may");
            std::process::abort();
        }
    }
}

// SAFETY: each call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::grow(layout.size());
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::grow(layout.size());
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises are the system's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        Self::grow(bytes);
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises are the system's.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

/// Allows any number again.
pub fn lift() {
    LIMIT.store(usize::MAX, Relaxed);
}

/// Does something that may allocate so many bytes beyond what there are.
pub fn bounded(bytes_max: usize, act: impl FnOnce()) {
    LIMIT.store(LIVE.load(Relaxed).saturating_add(bytes_max), Relaxed);
    act();
    lift();
}
