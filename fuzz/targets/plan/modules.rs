//! A line of the list of modules and a boot command line. Oracle: what a module gets is its own, and a
//! command line made of it again gives it the same; options stand in front.

use super::texts;
use crate::modules::{ListedModule, words};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "/lib/modules/6.1/loop.ko max_loop=1\nquiet loop.max_loop=3 modprobe.blacklist=dummy,x-y -- loop.a=1",
        "/x/kvm-amd.ko\n\"kvm_amd.a=b c\" kvm-amd.d=\"e f\" x=\"kvm_amd.g\"",
        "loop.ko\nmodprobe.blacklist=loop",
    ])
}

pub fn run(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let (line, cmdline) = text.split_once('\n').unwrap_or((text, ""));
    let Some(module) = ListedModule::parse(line) else { return };
    assert!(line.contains(module.path) && line.contains(module.options));
    let Some(parameters) = module.with_cmdline(cmdline) else {
        assert!(cmdline.contains("blacklist"));
        return;
    };
    assert!(parameters.starts_with(module.options));
    // Each parameter behind the module's name again.
    let own = parameters[module.options.len()..].trim_ascii_start();
    let mut again = String::new();
    for word in words(own) {
        let (quote, word) = word.split_at(usize::from(word.starts_with('"')));
        again += &format!(" {quote}x-y.{word}");
    }
    let other = ListedModule { path: "/lib/x_y.ko", options: "" }.with_cmdline(&again);
    assert_eq!(other.as_deref(), Some(own), "{text:?}");
}
