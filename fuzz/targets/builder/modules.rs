//! What modules and their folders say: .modinfo, modules.builtin, modprobe.d, depmod.d, each picked by the first byte.
//! Oracle: what was read is within what was given, is written and read again, and the lists that an image gets have as
//! many lines as they have things to say, whatever stands in names.

use super::texts;
use crate::kernel::modules::depmod::SearchOrder;
use crate::kernel::modules::info::{ModuleInfo, fields};
use crate::kernel::modules::modprobe::ModprobeConfig;
use crate::kernel::modules::settings;
use crate::kernel::modules::tree::{ChosenModules, Module, read_builtin};
use std::collections::BTreeMap;
use vmatic_plan::modules::ListedModule;

pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "0depends=mii,usb-net\0softdep=pre: a b-c post: d\0weakdep=e f\0firmware=x/*.bin\0alias=pci:v*d*\0vermagic=6.1 SMP\0",
        "1kernel/fs/ext4/ext4.ko\nkernel/a-b.ko.xz\n\nnothing\n",
        "2options dummy n=3 \\\n more=\"a b\"\nalias net-pf-* off\nblacklist x-y\nsoftdep a pre: b post: c\nweakdep a d\n\
         install z /bin/false\n# no\noops\n",
        "3search updates extra built-in # x\noverride acme 6.1-.* updates/dkms\noverride acme * extra\nexternal * /x\n",
    ])
}

pub fn run(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(data);
    match which {
        b'0' => info(data),
        b'1' => {
            let builtin = read_builtin(data);
            let lines: String = builtin.values().map(|line| format!("{line}\n")).collect();
            assert_eq!(read_builtin(lines.as_bytes()), builtin, "{text:?}");
        }
        b'2' => modprobe(&text),
        b'3' => {
            let order = SearchOrder::read([&*text].into_iter(), "6.1-5");
            for path in ["updates/dkms/acme.ko", "kernel/a/acme.ko.xz", "acme.ko", ""] {
                assert!(order.rank(path) <= text.split_whitespace().count() + 5, "{text:?}");
            }
            let usual = SearchOrder::read([""].into_iter(), "6.1-5");
            assert!(usual.rank("updates/acme.ko") < usual.rank("kernel/acme.ko"));
        }
        _ => {}
    }
}

fn info(section: &[u8]) {
    let info = ModuleInfo::read(section);
    assert!(info.aliases.len() + info.firmware.len() <= fields(section).count());
    let module = Module { path: "kernel/a.ko".into(), data: Vec::new(), info, load: true, needed_by: None };
    let chosen = ChosenModules {
        order: vec!["a".into()],
        modules: BTreeMap::from([("a".into(), module)]),
        ..ChosenModules::default()
    };
    // No name in it makes another line of anything.
    for (text, first) in [
        (chosen.modules_alias(), "alias"),
        (chosen.modules_softdep(), "softdep a"),
        (chosen.modules_weakdep(), "weakdep a"),
    ] {
        assert!(text.lines().all(|line| line.starts_with(first)), "{text:?}");
    }
    assert!(chosen.modules_alias().lines().all(|line| line.ends_with(" a") && line.split(' ').count() == 3));
    assert!(chosen.modules_dep().starts_with("kernel/a.ko:") && chosen.modules_dep().lines().count() == 1);
}

fn modprobe(text: &str) {
    let mut config = ModprobeConfig::default();
    config.add("x.conf", text);
    assert!(config.warnings.len() <= settings::lines(text).len());
    for line in settings::lines(text).iter().map(|(_, line)| line) {
        let name = line.split_ascii_whitespace().nth(1).unwrap_or_default().replace('-', "_");
        let options = config.options(&name).to_owned();
        if options.is_empty() {
            continue;
        }
        // A line of the list of modules is read as it was written.
        let list = format!("/k/a.ko {options}");
        assert_eq!(list.lines().count(), 1, "{text:?}");
        let listed = ListedModule::parse(&list).expect("it has a path");
        assert_eq!((listed.path, listed.options), ("/k/a.ko", options.trim_ascii()), "{text:?}");
        assert!(!options.contains('\0'));
    }
}
