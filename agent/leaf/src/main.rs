//! Process 1 of a guest. Takes the kernel's command line; gives a guest that
//! obeys its host. See the library for the parts.
#![no_std]
#![no_main]

extern crate alloc;

use core::alloc::{GlobalAlloc, Layout};
use vmatic_leaf::identity::Identity;
use vmatic_leaf::{boot, serve, sys};

/// The C library's allocator.
struct Malloc;

/// What malloc aligns to on 64-bit machines.
const MALLOC_ALIGN: usize = 16;

// SAFETY: malloc, realloc and free keep GlobalAlloc's contract for alignments up to MALLOC_ALIGN;
// for larger ones (which the leaf has none of) allocation fails.
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

#[global_allocator]
static ALLOCATOR: Malloc = Malloc;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    sys::say(&alloc::format!("leaf: {info}\n"));
    // The host sees the guest end, and starts it again.
    sys::restart()
}

// The library crates' precompiled code was built to unwind; with panic = "abort" nothing ever does,
// but the linker wants the symbols that the exception tables name.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[cfg(target_env = "musl")]
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    sys::restart()
}

// Without std nobody else asks for the C library.
// glibc's static archive wants gcc's unwinder beside it.
#[link(name = "c")]
#[cfg_attr(target_env = "gnu", link(name = "gcc_eh"))]
#[cfg_attr(target_env = "gnu", link(name = "gcc"))]
unsafe extern "C" {}

/// Called by the C library's start code.
#[unsafe(no_mangle)]
pub extern "C" fn main() -> core::ffi::c_int {
    boot::mount_all();
    boot::load_modules();
    let cmdline = boot::cmdline();
    let identity = Identity::parse(&cmdline);
    if identity.template {
        boot::prepare_template();
        serve::template()
    }
    boot::apply(&identity);
    match identity.node {
        Some(node) => serve::forever(node),
        None => {
            sys::say("leaf: no vmatic.node= on the command line: this guest has no number\n");
            sys::restart()
        }
    }
}
