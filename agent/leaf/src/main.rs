//! Process 1 of a guest. Takes the kernel's command line; gives a guest that
//! does what its host asks. See the library for the parts.
#![no_std]
#![no_main]

extern crate alloc;

use vmatic_leaf::identity::Identity;
use vmatic_leaf::log::log;
use vmatic_leaf::{boot, serve};
use vmatic_plan::boot_words::guest;
use vmatic_sys::calls;
use vmatic_sys::heap::Malloc;

#[global_allocator]
static ALLOCATOR: Malloc = Malloc;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    log(&alloc::format!("{info}"));
    // The host sees the guest end, and starts it again.
    calls::restart()
}

// The library crates' precompiled code was built to unwind; with panic = "abort" nothing ever does,
// but the linker wants the symbols that the exception tables name.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[cfg(target_env = "musl")]
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    calls::restart()
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
    let cmdline = boot::cmdline();
    boot::load_modules(&cmdline);
    let identity = Identity::parse(&cmdline);
    if identity.template {
        boot::prepare_template();
        serve::template()
    }
    boot::apply(&identity);
    match identity.node {
        Some(node) => serve::run(node),
        None => {
            log(&alloc::format!("no {}= on the command line: this guest has no number", guest::NODE));
            calls::restart()
        }
    }
}
