//! Kernels and modules as other distributions have them: where they lie, what names what, which parameters reach them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;

use crate::fixture::Fixture;
use crate::output::{stderr, stdout};

/// The modules of the fixture's kernel.
const MODULES: &str = "kernel/lib/modules/1.2.3";

/// A spec whose host has these modules, and more lines.
fn spec(lab: &Fixture, modules: &str, more: &str) {
    let image = "kernel = \"dir:kernel\"\nbase = \"template\"\n";
    let text = format!(
        "name = \"lab\"\n[plan]\nhosts = 1\n[guest]\n{image}modules = []\n[host]\n{image}modules = [{modules}]\n{more}"
    );
    lab.write("spec.toml", &text);
}

/// What the build says, which must succeed.
fn built(lab: &Fixture) -> String {
    let output = lab.build();
    assert!(output.status.success(), "{}", stderr(&output));
    stderr(&output)
}

/// What the build says, which must fail.
fn refused(lab: &Fixture) -> String {
    let output = lab.build();
    // 3 where the spec's line is known, 1 where what other files say is the cause.
    assert!([Some(1), Some(3)].contains(&output.status.code()), "{}", stderr(&output));
    stderr(&output)
}

/// A file of the host image; empty if it is not there.
fn cat(lab: &Fixture, path: &str) -> String {
    stdout(&lab.vmatic(&["cat", path, "out/lab"]))
}

/// The modules that the host loads, in order, with their parameters.
fn loaded(lab: &Fixture) -> String {
    let list = cat(lab, "etc/vmatic/modules");
    list.lines().map(|line| line.strip_prefix("/lib/modules/1.2.3/").unwrap_or(line)).collect::<Vec<_>>().join(", ")
}

fn module(lab: &Fixture, path: &str, info: &[&str]) {
    lab.write(&format!("{MODULES}/{path}"), "");
    lab.module(&format!("{MODULES}/{path}"), info);
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    gzip.write_all(data).unwrap();
    gzip.finish().unwrap()
}

/// Moves the fixture's kernel to where Arch and Fedora have it, without a config.
fn beside_modules() -> Fixture {
    let lab = Fixture::with_inputs();
    fs::create_dir_all(lab.at("kernel/usr")).unwrap();
    fs::rename(lab.at("kernel/lib"), lab.at("kernel/usr/lib")).unwrap();
    fs::rename(lab.at("kernel/boot/vmlinuz-1.2.3"), lab.at("kernel/usr/lib/modules/1.2.3/vmlinuz")).unwrap();
    fs::remove_dir_all(lab.at("kernel/boot")).unwrap();
    lab
}

#[test]
fn a_kernel_beside_its_modules_is_found_and_without_a_config_nobody_can_know() {
    let lab = beside_modules();
    let said = built(&lab);
    assert!(said.contains("host image: cannot know whether"), "{said}");
    assert!(!said.contains("guest image: cannot"), "what is not packed needs no unpacker: {said}");
    assert!(said.contains("the kernel 1.2.3 unpacks zstd") && said.contains("compression = \"none\""), "{said}");
    assert_eq!(loaded(&lab), "kernel/net/failover.ko, kernel/net/net_failover.ko, kernel/net/virtio_net.ko");
}

#[test]
fn a_config_is_found_beside_the_modules_and_in_the_kernel_itself() {
    let lab = beside_modules();
    let image = lab.at("kernel/usr/lib/modules/1.2.3/vmlinuz");
    let bare = fs::read(&image).unwrap();
    let with =
        |config: &str| fs::write(&image, [&bare[..], b"IKCFG_ST", &gzip(config.as_bytes()), b"IKCFG_ED"].concat());
    with("CONFIG_RD_GZIP=y\n# CONFIG_RD_ZSTD is not set\n").unwrap();
    let said = refused(&lab);
    assert!(said.contains("without CONFIG_RD_ZSTD") && said.contains("gzip, none"), "{said}");
    with("CONFIG_RD_ZSTD=y\n").unwrap();
    assert!(!built(&lab).contains("cannot know"));
    fs::write(&image, &bare).unwrap();
    lab.write("kernel/usr/lib/modules/1.2.3/config", "CONFIG_RD_ZSTD=y\n");
    assert!(!built(&lab).contains("cannot know"));
    // A file of another kind tells nothing.
    lab.write("kernel/usr/lib/modules/1.2.3/config", "");
    assert!(built(&lab).contains("cannot know"));
    fs::write(&image, [&bare[..], b"ZSTD-compressed data is corrupt\0"].concat()).unwrap();
    assert!(!built(&lab).contains("cannot know"), "it holds the unpacker");
}

#[test]
fn of_several_kernels_in_a_folder_the_spec_names_one() {
    let lab = Fixture::with_inputs();
    fs::copy(lab.at("kernel/boot/vmlinuz-1.2.3"), lab.at("kernel/boot/vmlinuz-1.2.4")).unwrap();
    lab.write("kernel/lib/modules/1.2.4/modules.builtin", "");
    let said = refused(&lab);
    assert!(said.contains("it holds 2 kernels: 1.2.3, 1.2.4") && said.contains("lib/modules/1.2.3\""), "{said}");
    let text = fs::read_to_string(lab.at("spec.toml")).unwrap();
    lab.write("spec.toml", &text.replace("dir:kernel", "dir:kernel/lib/modules/1.2.3"));
    assert!(!built(&lab).contains("cannot know"), "its config is found");
    assert!(loaded(&lab).ends_with("virtio_net.ko"));
}

#[test]
fn updates_come_before_the_kernels_own_and_every_packing_is_read() {
    let lab = Fixture::with_inputs();
    // A list that does not name a file is no reason not to see it.
    lab.write(&format!("{MODULES}/modules.dep"), "kernel/net/failover.ko:\n");
    module(&lab, "updates/dkms/failover.ko", &["depends="]);
    module(&lab, "updates/dkms/acme.ko", &["depends=second"]);
    module(&lab, "build/never.ko", &["depends="]);
    for (name, end) in [("second", "gz"), ("third", "zst"), ("fourth", "xz")] {
        module(&lab, &format!("extra/{name}.ko"), &["license=GPL"]);
        let plain = fs::read(lab.at(&format!("{MODULES}/extra/{name}.ko"))).unwrap();
        let packed = match end {
            "gz" => gzip(&plain),
            "zst" => zstd::encode_all(&plain[..], 3).unwrap(),
            _ => vmatic::spec::values::Compression::Xz.pack(&plain, vmatic::archive::compress::Effort::Work).unwrap(),
        };
        fs::remove_file(lab.at(&format!("{MODULES}/extra/{name}.ko"))).unwrap();
        fs::write(lab.at(&format!("{MODULES}/extra/{name}.ko.{end}")), packed).unwrap();
    }
    // Red Hat's weak-updates are links to another release's modules.
    module(&lab, "../9.9/extra/weak.ko", &["depends="]);
    fs::create_dir_all(lab.at(&format!("{MODULES}/weak-updates"))).unwrap();
    symlink("/lib/modules/9.9/extra/weak.ko", lab.at(&format!("{MODULES}/weak-updates/weak.ko"))).unwrap();
    spec(&lab, r#""acme", "failover", "folder:extra", "weak""#, "");
    built(&lab);
    let order = "extra/second.ko, updates/dkms/acme.ko, updates/dkms/failover.ko, extra/fourth.ko, extra/third.ko, \
                 weak-updates/weak.ko";
    assert_eq!(loaded(&lab), order);
    assert!(cat(&lab, "lib/modules/1.2.3/modules.dep").contains("updates/dkms/acme.ko: extra/second.ko\n"));
    spec(&lab, r#""never""#, "");
    assert!(refused(&lab).contains("cannot find the kernel module \"never\""));
    lab.write("kernel/etc/depmod.d/own.conf", "search built-in updates\n");
    spec(&lab, r#""failover""#, "");
    built(&lab);
    assert_eq!(loaded(&lab), "kernel/net/failover.ko");
    lab.write("kernel/lib/depmod.d/z.conf", "override failover * updates/dkms\n");
    built(&lab);
    assert_eq!(loaded(&lab), "updates/dkms/failover.ko");
}

#[test]
fn a_soft_dependency_that_lacks_one_of_its_own_is_left_out_and_said() {
    let lab = Fixture::with_inputs();
    module(&lab, "kernel/a/needs.ko", &["depends=", "softdep=pre: half post: later"]);
    module(&lab, "kernel/a/half.ko", &["depends=whole,gone"]);
    module(&lab, "kernel/a/whole.ko", &["depends="]);
    module(&lab, "kernel/a/later.ko", &["depends=", "weakdep=half"]);
    spec(&lab, "\"needs\"", "");
    let said = built(&lab);
    assert_eq!(loaded(&lab), "kernel/a/needs.ko, kernel/a/later.ko");
    assert_eq!(cat(&lab, "lib/modules/1.2.3/kernel/a/whole.ko"), "", "what it needed is left out with it");
    let wanted = "the module half, which needs asks for softly, is left out: it needs gone";
    assert!(said.contains(wanted) && said.contains("the module half, which later may ask for later"), "{said}");
    // What the spec names has to be whole.
    spec(&lab, "\"half\"", "");
    assert!(refused(&lab).contains("cannot find the kernel module \"gone\""), "{}", refused(&lab));
}

#[test]
fn soft_and_weak_dependencies_go_by_aliases_and_the_kernel_can_ask_for_them() {
    let lab = Fixture::with_inputs();
    lab.write(&format!("{MODULES}/modules.builtin.modinfo"), "built_in.alias=crypto-sha256\0built_in.license=GPL\0");
    let soft = "softdep=pre: blake2b-256 crypto-sha256 not-there post: later";
    module(&lab, "kernel/fs/btrfs.ko", &[soft, "weakdep=crypto-lz4 zlib_x", "alias=fs-btrfs", "depends=xor"]);
    module(&lab, "kernel/lib/xor.ko", &["depends="]);
    module(&lab, "kernel/crypto/blake2b_generic.ko", &["alias=crypto-blake2b-256", "alias=blake2b-256", "depends="]);
    module(&lab, "kernel/crypto/lz4.ko", &["alias=crypto-lz4", "depends=lz4_compress"]);
    module(&lab, "kernel/lib/lz4_compress.ko", &["depends="]);
    module(&lab, "kernel/lib/late.ko", &["alias=later", "depends="]);
    module(&lab, "kernel/lib/other.ko", &["alias=crypto-other", "depends="]);
    spec(&lab, r#""fs-btrfs""#, "");
    built(&lab);
    let order = "kernel/lib/xor.ko, kernel/crypto/blake2b_generic.ko, kernel/fs/btrfs.ko, kernel/lib/late.ko";
    assert_eq!(loaded(&lab), order);
    let text = |name: &str| cat(&lab, &format!("lib/modules/1.2.3/modules.{name}"));
    let alias = text("alias");
    assert!(alias.contains("alias fs-btrfs btrfs\n") && alias.contains("alias crypto-lz4 lz4\n"), "{alias}");
    assert!(!alias.contains("other"), "{alias}");
    let dep = text("dep");
    assert!(dep.contains("kernel/crypto/lz4.ko: kernel/lib/lz4_compress.ko\n"), "weak ones wait in the image: {dep}");
    assert!(text("softdep").contains("softdep btrfs pre: blake2b-256 crypto-sha256 not-there\n"));
    assert_eq!(text("weakdep"), "weakdep btrfs crypto-lz4 zlib_x\n");
    assert_eq!(text("builtin"), "kernel/fs/built-in.ko\n");
}

#[test]
fn options_of_modprobe_d_stand_in_the_list_and_blacklists_count_for_aliases() {
    let lab = Fixture::with_inputs();
    module(&lab, "kernel/net/one.ko", &["alias=pci:v00008086d00000001sv*", "depends="]);
    module(&lab, "kernel/net/two.ko", &["alias=pci:v00008086d00000002sv*", "depends="]);
    lab.write("over/etc/modprobe.d/x.conf", "options net-failover a=1 \\\n  b=\"c d\"\nblacklist two\nopsions one x\n");
    lab.write("over/usr/lib/modprobe.d/x.conf", "options one never=1\n");
    lab.write("over/usr/lib/modprobe.d/y.conf", "options one n=2\nsoftdep one pre: failover\ninstall one /bin/false\n");
    spec(&lab, r#""virtio_net", "pci:v00008086d*""#, "overlays = [\"over\"]");
    let said = built(&lab);
    let order = "kernel/net/failover.ko, kernel/net/net_failover.ko a=1   b=\"c d\", kernel/net/virtio_net.ko, \
                 kernel/net/one.ko n=2";
    assert_eq!(loaded(&lab), order);
    assert!(said.contains("/etc/modprobe.d/x.conf:4: modprobe does not take \"opsions one x\""), "{said}");
    assert!(said.contains("y.conf:3: modprobe would run this command; the agent just loads one"), "{said}");
    // Its own name is no alias.
    spec(&lab, r#""two""#, "overlays = [\"over\"]");
    built(&lab);
    assert_eq!(loaded(&lab), "kernel/net/two.ko");
    spec(&lab, r#""pci:v00008086d00000002sv0""#, "overlays = [\"over\"]");
    let said = refused(&lab);
    assert!(said.contains("two is blacklisted by /etc/modprobe.d/x.conf:3"), "{said}");
}

#[test]
fn words_that_name_no_module_are_told_with_the_nearest() {
    let lab = Fixture::with_inputs();
    module(&lab, "kernel/fs/btrfs.ko", &["alias=fs-btrfs", "depends="]);
    for (word, remedy) in [
        ("virtio_nett", "did you mean \"virtio_net\"?"),
        ("fs-btrf", "did you mean \"fs_btrfs\"?"),
        ("clas:virtio", "did you mean \"class:virtio\"?"),
        ("pci:v0000dead*", "an alias such as fs-btrfs or pci:v00008086d*"),
        ("class:virtual", "write one of ethernet, block"),
    ] {
        spec(&lab, &format!("{word:?}"), "");
        let said = refused(&lab);
        assert!(said.contains(remedy), "{word}: {said}");
    }
}

#[test]
fn modules_that_nobody_would_build_are_refused_and_named() {
    let lab = Fixture::with_inputs();
    for n in 0..150 {
        module(&lab, &format!("kernel/deep/m{n}.ko"), &[&format!("depends=m{}", n + 1)]);
    }
    spec(&lab, r#""m0""#, "");
    let said = refused(&lab);
    assert!(said.contains("more than 100 modules depend on each other"), "{said}");
    module(&lab, "kernel/deep/m90.ko", &["depends=m0", "vermagic=4.5.6 SMP"]);
    assert!(
        built(&lab).contains("kernel/deep/m90.ko is built for 4.5.6: the kernel 1.2.3 refuses it"),
        "a circle ends"
    );
    lab.write(&format!("{MODULES}/kernel/deep/m0.ko"), "no module");
    assert!(refused(&lab).contains("cannot read the kernel module m0"));
}

#[test]
fn firmware_goes_by_patterns_keeps_its_links_and_is_unpacked_where_the_kernel_cannot() {
    let lab = Fixture::with_inputs();
    let names =
        ["acme/a*.bin", "acme/link.bin", "acme/packed.bin", "../../../secret", "gone/1", "gone/2", "gone/3", "gone/4"];
    let fields: Vec<String> = names.iter().map(|name| format!("firmware={name}")).collect();
    let fields: Vec<&str> = fields.iter().map(String::as_str).chain(["depends="]).collect();
    module(&lab, "kernel/net/acme.ko", &fields);
    for (path, text) in
        [("acme/a1.bin", "one"), ("acme/a22.bin", "two"), ("acme/b.bin", "no"), ("real/x.bin", "linked")]
    {
        lab.write(&format!("root/usr/lib/firmware/{path}"), text);
    }
    lab.write("root/secret", "secret");
    symlink("usr/lib", lab.at("root/lib")).unwrap();
    symlink("../real/x.bin", lab.at("root/usr/lib/firmware/acme/link.bin")).unwrap();
    let packed = zstd::encode_all(&b"packed"[..], 3).unwrap();
    fs::write(lab.at("root/usr/lib/firmware/acme/packed.bin.zst"), packed).unwrap();
    let more = "root = \"root\"";
    spec(&lab, r#""acme""#, more);
    let said = built(&lab);
    let list = stdout(&lab.vmatic(&["list", "out/lab"]));
    let firmware: Vec<&str> =
        list.lines().filter_map(|line| line.split_once("lib/firmware/")).map(|(_, path)| path).collect();
    let expected = [
        "acme",
        "acme/a1.bin",
        "acme/a22.bin",
        "acme/link.bin -> ../real/x.bin",
        "acme/packed.bin",
        "real",
        "real/x.bin",
    ];
    assert_eq!(firmware, expected, "{list}");
    assert_eq!(cat(&lab, "lib/firmware/acme/packed.bin"), "packed");
    assert!(!list.contains("secret"), "{list}");
    assert!(said.contains("of acme (../../../secret, gone/1, gone/2 and 2 more)"), "{said}");
    let able = "CONFIG_RD_ZSTD=y\nCONFIG_FW_LOADER_COMPRESS=y\nCONFIG_FW_LOADER_COMPRESS_ZSTD=y\n";
    lab.write("kernel/boot/config-1.2.3", able);
    built(&lab);
    assert!(stdout(&lab.vmatic(&["list", "out/lab"])).contains("lib/firmware/acme/packed.bin.zst"));
}
