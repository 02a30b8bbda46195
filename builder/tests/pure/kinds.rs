//! `[[guest.kinds]]`: what a spec may say of guests that are other systems, and what is said of its mistakes.

use crate::fixture::Fixture;
use vmatic::spec::Spec;
use vmatic::spec::kinds::{Backend, FileSource};
use vmatic::spec::values::PackageName;
use vmatic_plan::{GuestId, RangeSet};

const HEAD: &str = "name = \"k\"\n[plan]\nhosts = 2\nguests = 8\n";

fn load(lab: &Fixture, text: &str) -> Result<Spec, String> {
    Spec::load(&lab.write("spec.toml", &format!("{HEAD}{text}"))).map_err(|error| error.to_string())
}

#[test]
fn kinds_name_guests_of_every_host_and_the_rest_stay_as_they_are() {
    let lab = Fixture::new();
    lab.write("debian.img", "boot sector");
    let spec = load(
        &lab,
        "[[guest.kinds]]\nname = \"debian\"\nguests = \"5-8\"\ndisk = \"debian.img\"\nmemory_mib = 128\nready = \"login:\"\n\
         snapshot = true\n\
         [[guest.kinds]]\nname = \"memtest\"\nguests = 2\nkernel = \"debian:memtest86+/boot/memtest86+x64.bin\"\n\
         [[guest.kinds]]\nname = \"ours\"\nguests = \"3,4\"\n",
    )
    .unwrap();
    let kinds = spec.kinds();
    assert_eq!(kinds.check(), Ok(()));
    assert_eq!(kinds.of(GuestId(6)).unwrap().memory_mib, 128);
    assert!(kinds.of(GuestId(6)).unwrap().snapshot && kinds.of(GuestId(6)).unwrap().disk.is_some());
    assert_eq!(kinds.of(GuestId(2)).unwrap().guests, RangeSet::span(2, 2));
    assert!(kinds.of(GuestId(1)).is_none(), "an ordinary guest");
    // Nothing to boot but the guest image: VMatic's guest agent runs in it.
    assert!(kinds.of(GuestId(3)).unwrap().is_guest_image() && kinds.of(GuestId(3)).unwrap().guest_agent);
    assert_eq!(spec.kinds[0].files, [("disk", FileSource::File(lab.at("debian.img")))]);
    let package = FileSource::Package { name: PackageName::known("memtest86+"), path: "boot/memtest86+x64.bin".into() };
    assert_eq!(spec.kinds[1].files, [("kernel", package)]);
    assert!(spec.wants_qemu() && spec.backend == Backend::Own);
    assert!(!load(&lab, "").unwrap().wants_qemu());
    assert!(load(&lab, "[guest]\nbackend = \"own-or-qemu\"\n").unwrap().wants_qemu());
    assert!(load(&lab, "[guest]\nbackend = \"qemu\"\n").unwrap().kinds().all_in_qemu);
}

#[test]
fn mistakes_have_a_place_and_a_remedy() {
    let lab = Fixture::new();
    let kind = |more: &str| format!("[[guest.kinds]]\nname = \"a\"\nguests = \"1-2\"\n{more}");
    for (text, wanted) in [
        (kind("disk = \"nowhere.img\"\n"), "spec.toml:8:8: the file"),
        (kind("kernel = \"debian:memtest86+\"\n"), "= write \"debian:PACKAGE/PATH\""),
        (kind("disks = \"x\"\n"), "= did you mean \"disk\"?"),
        (kind("snapshot = true\n"), "by which words"),
        (kind("snapshot = \"yes\"\n"), "= write snapshot = true"),
        (kind("guest_agent = 1\n"), "= write guest_agent = true"),
        (kind("guest_agent = true\nsnapshot = true\nready = \"x\"\n"), "it cannot start from a snapshot"),
        (kind("cpus = 0\n"), "must lie between 1 and 255"),
        ("[[guest.kinds]]\nguests = 1\n".into(), "a kind of guests needs a name"),
        ("[[guest.kinds]]\nname = \"A b\"\nguests = 1\n".into(), "a name is lower-case letters"),
        ("[[guest.kinds]]\nname = \"a\"\nguests = \"7-9\"\n".into(), "has guests 9, and each host has 8"),
        ("[[guest.kinds]]\nname = \"a\"\nguests = \"3-\"\n".into(), "invalid guests"),
        (
            format!("{}[[guest.kinds]]\nname = \"b\"\nguests = 2\n", kind("")),
            "guests 2 of the kind \"b\" are of another",
        ),
        (format!("{}[[guest.kinds]]\nname = \"a\"\nguests = 3\n", kind("")), "two kinds have the name"),
        ("[guest]\nbackend = \"xen\"\n".into(), "= write \"own\", \"own-or-qemu\" or \"qemu\""),
        ("[host]\nbackend = \"qemu\"\n".into(), "unknown key \"backend\" in [host]"),
    ] {
        let error = load(&lab, &text).unwrap_err();
        assert!(error.contains(wanted) && error.contains("spec.toml:"), "{text}\n{error}");
    }
}
