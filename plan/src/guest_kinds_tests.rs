//! What kinds of guests say as text, and which mistakes are told.

use super::*;
use proptest::prelude::*;

fn sample(name: &str, guests: RangeSet) -> Kind {
    Kind { name: name.into(), guests, memory_mib: 64, cpus: 1, disk_writes_mib: 9, kernel: true, ..Kind::default() }
}

#[test]
fn what_is_written_is_read() {
    let memtest = Kind {
        cmdline: "console=ttyS0,115200".into(),
        ready: "Memtest86+".into(),
        snapshot: true,
        ..sample("memtest", RangeSet::span(2, 3))
    };
    let disk = Some(Disk { format: DiskFormat::Qcow2, virtual_bytes: DISK_MAX_BYTES });
    let debian = Kind { disk, kernel: false, cdrom: true, ..sample("debian", RangeSet::span(5, 8)) };
    let ours = Kind { kernel: false, guest_agent: true, ..sample("ours", RangeSet::span(9, 9)) };
    let kinds = Kinds { all_in_qemu: true, kinds: [memtest, debian, ours].into() };
    assert_eq!(Kinds::decode(&kinds.encode()), Ok(kinds.clone()));
    assert!(kinds.encode().starts_with("vmatic-kinds 3\n") && kinds.encode().contains("\nguest_agent\n"));
    assert_eq!(kinds.of(GuestId(7)).map(|kind| kind.name.as_str()), Some("debian"));
    assert_eq!(kinds.of(GuestId(4)), None);
    assert!(kinds.kinds[2].is_guest_image() && !kinds.kinds[1].is_guest_image());
}

#[test]
fn mistakes_are_refused() {
    for (wrong, why) in [
        ("", "first line"),
        ("vmatic-kinds 2\n", "first line"),
        ("vmatic-kinds 3\nguests 1\n", "no place"),
        ("vmatic-kinds 3\nkind a\nguests 1\n", "must be 1 to"),
        ("vmatic-kinds 3\nkind a/../b\nguests 1\nmemory_mib 9\ncpus 1\n", "a name is"),
        ("vmatic-kinds 3\nkind a\nguests 0-3\nmemory_mib 9\ncpus 1\n", "begin at 1"),
        ("vmatic-kinds 3\nkind a\nguests 1\nmemory_mib 9\ncpus 1\nsnapshot\n", "by which words"),
        ("vmatic-kinds 3\nkind a\nguests 1\nmemory_mib 9\ncpus 1\ninitrd\n", "needs a kernel"),
        ("vmatic-kinds 3\nkind a\ndisk vmdk 512\n", "line 3: \"vmdk 512\" is no disk"),
        ("vmatic-kinds 3\nkind a\ndisk raw\n", "\"raw\" is no disk"),
        ("vmatic-kinds 3\nkind a\ndisk raw 0\n", "\"raw 0\" is no disk"),
        ("vmatic-kinds 3\nkind a\ndisk raw 17592186044417\n", "is no disk"),
        ("vmatic-kinds 3\nkind a\nfloppy\n", "unknown"),
        ("vmatic-kinds 3\nkind a\nleaf\n", "\"leaf\" is unknown"),
    ] {
        let error = Kinds::decode(wrong).unwrap_err();
        assert!(error.to_string().contains(why), "{wrong:?}: {error}");
    }
    let twice = |name: &str, guests| Kinds {
        all_in_qemu: false,
        kinds: [sample("a", RangeSet::span(1, 3)), sample(name, guests)].into(),
    };
    assert!(twice("b", RangeSet::span(3, 4)).check().unwrap_err().to_string().contains("guests 3"));
    assert!(twice("a", RangeSet::span(4, 4)).check().unwrap_err().to_string().contains("two kinds"));
    assert_eq!(twice("b", RangeSet::span(4, 4)).check(), Ok(()));
}

#[test]
fn limits_hold_at_the_limit_and_fail_one_past_it() {
    let with = |cmdline: usize, cpus, memory_mib| Kind {
        cmdline: "x".repeat(cmdline),
        cpus,
        memory_mib,
        ..sample("a", RangeSet::span(1, 1))
    };
    assert_eq!(with(WORDS_MAX_BYTES, CPUS_MAX, MEMORY_MAX_MIB).check(), Ok(()));
    for past in [with(WORDS_MAX_BYTES + 1, 1, 1), with(1, CPUS_MAX + 1, 1), with(1, 1, MEMORY_MAX_MIB + 1)] {
        assert!(past.check().is_err());
    }
}

proptest! {
    #[test]
    fn noise_is_refused_without_a_panic(noise in "\\PC*", lines in proptest::collection::vec("(kind|guests|cpus|disk|ready|memory_mib)? ?[a-z0-9,-]{0,9}", 0..9)) {
        let _ = Kinds::decode(&noise);
        let _ = Kinds::decode(&format!("{HEADER}\n{}\n", lines.join("\n")));
    }
}
