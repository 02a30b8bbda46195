//! Kernel modules that an image loads: the lines of its list, and what the boot command line says of them.
//!
//! The kernel gives words such as `loop.max_loop=3` to drivers built into it, and to nobody else: for a module,
//! whoever loads it passes them. Here they are found as modprobe finds them (kmod's libkmod-config.c): quotes join
//! words, `-` and `_` are the same in a module's name, what stands behind `--` is for process 1. The options of
//! modprobe.d stand in the list already, since the builder has read them; the command line comes after them, and of a
//! parameter that stands twice the kernel takes the last.

use alloc::string::String;

/// One line of the list: a module's file, then, behind a space, the parameters that it is loaded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedModule<'a> {
    /// The module's file. It has no blank in it.
    pub path: &'a str,
    /// Parameters as the kernel takes them; often none.
    pub options: &'a str,
}

impl<'a> ListedModule<'a> {
    /// Reads a line; none where it is empty.
    pub fn parse(line: &'a str) -> Option<ListedModule<'a>> {
        let line = line.trim_ascii();
        let (path, options) = line.split_once(' ').unwrap_or((line, ""));
        (!path.is_empty()).then_some(ListedModule { path, options: options.trim_ascii_start() })
    }

    /// What the module is to be loaded with, the words of a boot command line included. None where that forbids it:
    /// `modprobe.blacklist=NAME,...`.
    pub fn with_cmdline(&self, cmdline: &str) -> Option<String> {
        let file = self.path.rsplit('/').next().unwrap_or(self.path);
        let name = file.split('.').next().unwrap_or(file);
        let mut all = String::from(self.options);
        for word in words(cmdline).filter_map(ModuleWord::parse) {
            if same(word.module, "modprobe") {
                let names = word.parameter.strip_prefix("blacklist=");
                if names.is_some_and(|names| names.trim_matches('"').split(',').any(|other| same(other, name))) {
                    return None;
                }
            } else if same(word.module, name) {
                if !all.is_empty() {
                    all.push(' ');
                }
                all.push_str(word.quote);
                all.push_str(word.parameter);
            }
        }
        Some(all)
    }
}

/// A word of a command line that is a module's: `MODULE.PARAMETER` or `MODULE.PARAMETER=VALUE`.
struct ModuleWord<'a> {
    /// The quote that the word begins with, if it does: the kernel takes one there in a module's parameters too.
    quote: &'a str,
    module: &'a str,
    /// With its value, as it stands there.
    parameter: &'a str,
}

impl<'a> ModuleWord<'a> {
    fn parse(word: &'a str) -> Option<ModuleWord<'a>> {
        let (quote, word) = word.strip_prefix('"').map_or(("", word), |rest| ("\"", rest));
        let (module, parameter) = word.split_once('.').filter(|(module, _)| !module.contains('='))?;
        // A parameter's name is one of C.
        let named = parameter.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_');
        (named && !module.is_empty()).then_some(ModuleWord { quote, module, parameter })
    }
}

/// The words of a command line as the kernel parts them (lib/cmdline.c, next_arg), up to a `--`.
pub(crate) fn words(cmdline: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let parts = cmdline.split(move |symbol: char| {
        quoted ^= symbol == '"';
        !quoted && symbol.is_ascii_whitespace()
    });
    parts.take_while(|word| *word != "--")
}

/// Whether two names mean the same module: `-` and `_` are alike.
fn same(one: &str, other: &str) -> bool {
    let plain = |byte: u8| if byte == b'-' { b'_' } else { byte };
    one.bytes().map(plain).eq(other.bytes().map(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(line: &str, cmdline: &str) -> Option<String> {
        ListedModule::parse(line).and_then(|module| module.with_cmdline(cmdline))
    }

    #[test]
    fn words_of_the_command_line_come_after_options_and_are_found_as_modprobe_does() {
        for (line, cmdline, expected) in [
            ("/k/loop.ko", "quiet loop.max_loop=3 dummy.numdummies=2", "max_loop=3"),
            ("/k/loop.ko max_loop=1", "loop.max_loop=3\n", "max_loop=1 max_loop=3"),
            ("/k/kvm-amd.ko", "kvm_amd.nested=0 kvm-amd.avic", "nested=0 avic"),
            ("/k/snd_hda_intel.ko", "snd-hda-intel.model=auto", "model=auto"),
            (
                "/k/acme.ko.xz text=\"a b\"",
                "acme.more=\"c d\" \"acme.last=e f\"",
                "text=\"a b\" more=\"c d\" \"last=e f\"",
            ),
            ("/k/acme.ko", "x=\"acme.a=1 acme.b=2\" acme.c=3 -- acme.d=4", "c=3"),
            ("/k/acme.ko", "acme=1 acme. .a=1 acme.=2 a=acme.b=1 acmes.c=1", ""),
            ("/k/acme.ko", "acme.a.b=1,2", "a.b=1,2"),
            ("/k/acme.ko", "acme.a=x\"y z\" acme.path=\"x y", "a=x\"y z\" path=\"x y"),
        ] {
            assert_eq!(with(line, cmdline).as_deref(), Some(expected), "{line} by {cmdline}");
        }
    }

    #[test]
    fn what_the_command_line_forbids_is_not_loaded() {
        assert_eq!(with("/k/kvm-amd.ko", "modprobe.blacklist=nouveau,kvm_amd"), None);
        assert_eq!(with("/k/loop.ko", "\"modprobe.blacklist=a,loop\" b"), None);
        assert_eq!(with("/k/kvm.ko", "modprobe.blacklist=nouveau,kvm_amd").as_deref(), Some(""));
        assert_eq!(ListedModule::parse("  "), None);
    }
}
