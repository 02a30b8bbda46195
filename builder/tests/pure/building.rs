//! The whole command against specs and inputs made here, without a network: same bytes, atomic
//! output, every mistake at once, reasons.

use std::fs;
use std::process::Stdio;

use crate::fixture::{Fixture, run, tree};
use crate::output::{stderr, stdout, text};

#[test]
fn a_spec_becomes_a_tftp_root_and_stdout_names_it() {
    let lab = Fixture::with_inputs();
    let output = lab.build();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "out/lab\n");
    let names: Vec<_> = tree(&lab.at("out/lab")).into_iter().map(|(name, _)| name).collect();
    let expected = [
        "boot.ipxe",
        "grub/grub.cfg",
        "initramfs",
        "manifest.json",
        "plan",
        "pxelinux.cfg/default",
        "sbom.spdx.json",
        "vmlinuz",
    ];
    assert_eq!(names, expected);
    let plan = fs::read_to_string(lab.at("out/lab/plan")).unwrap();
    assert_eq!(vmatic_plan::Plan::decode(&plan).unwrap().host_count(), 2);

    let image = vmatic::archive::read::read(fs::read(lab.at("out/lab/initramfs")).unwrap()).unwrap();
    let content = |path: &str| {
        let record = image.entries.iter().find(|entry| entry.name == path).unwrap_or_else(|| panic!("no {path}"));
        image.data(record).to_vec()
    };
    let modules = "/lib/modules/1.2.3/kernel/net/failover.ko\n/lib/modules/1.2.3/kernel/net/net_failover.ko\n/lib/modules/1.2.3/kernel/net/virtio_net.ko\n";
    assert_eq!(text(&content("etc/vmatic/modules")), modules);
    let dep = text(&content("usr/lib/modules/1.2.3/modules.dep"));
    assert!(dep.contains("kernel/net/virtio_net.ko: kernel/net/net_failover.ko kernel/net/failover.ko\n"), "{dep}");
    assert_eq!(content("init"), fs::read(lab.at("vmatic-agent")).unwrap());
    assert_eq!(text(&content("etc/vmatic/plan")), plan);
    assert_eq!(content("etc/vmatic/operator.pub").len(), 65);
    assert_eq!(content("boot/guest/vmlinux"), fs::read(lab.at("kernel/boot/vmlinuz-1.2.3")).unwrap());
    let guest = vmatic::archive::read::read(content("boot/guest/initramfs")).unwrap();
    assert!(guest.entries.iter().any(|entry| entry.name == "init"));
    let secret = fs::read_to_string(lab.at("operator.key")).unwrap();
    let unpacked = image.entries.iter().flat_map(|entry| image.data(entry).to_vec()).collect::<Vec<u8>>();
    assert!(!text(&unpacked).contains(secret.trim()), "no secret in an image");
}

#[test]
fn the_same_inputs_give_the_same_bytes_elsewhere_and_with_another_umask() {
    let (one, two) = (Fixture::with_inputs(), Fixture::with_inputs());
    for lab in [&one, &two] {
        lab.write("over/etc/motd", "hello\n");
        lab.spec("overlays = [\"over\"]");
    }
    assert!(one.build().status.success());
    fs::copy(one.at("operator.key"), two.at("operator.key")).unwrap();
    // gcc wrote the same programs into other folders; only names and modes differ now.
    let mut command = std::process::Command::new("sh");
    let build = "umask 077; chmod -R go-rwx kernel vmatic-* spec.toml; exec \"$0\" build spec.toml --agent vmatic-agent --leaf vmatic-leaf";
    let output = command
        .args(["-c", build, env!("CARGO_BIN_EXE_vmatic")])
        .current_dir(two.folder.path())
        .env("VMATIC_KEY", two.at("operator.key"))
        .env("VMATIC_CACHE", two.at("cache"))
        .env("LC_ALL", "C")
        .env("TZ", "Asia/Tokyo")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let (first, second) = (tree(&one.at("out/lab")), tree(&two.at("out/lab")));
    assert_eq!(first.len(), second.len());
    for ((name, first), (_, second)) in first.iter().zip(&second) {
        assert!(first == second, "{name} differs");
    }
}

#[test]
fn source_date_epoch_is_honoured_and_checked() {
    let lab = Fixture::with_inputs();
    let arguments = ["build", "spec.toml", "--agent", "vmatic-agent", "--leaf", "vmatic-leaf"];
    assert!(lab.command(&arguments).env("SOURCE_DATE_EPOCH", "1234567890").status().unwrap().success());
    let image = vmatic::archive::read::read(fs::read(lab.at("out/lab/initramfs")).unwrap()).unwrap();
    assert!(image.entries.iter().all(|entry| entry.mtime == 1_234_567_890));
    let output = lab.command(&arguments).env("SOURCE_DATE_EPOCH", "4294967296").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("SOURCE_DATE_EPOCH"));
}

#[test]
fn a_failed_build_leaves_the_old_output() {
    let lab = Fixture::with_inputs();
    assert!(lab.build().status.success());
    let before = tree(&lab.at("out"));
    let failures: [(&str, &str, &str); 4] = [
        ("binaries = [\"no-such-program\"]", "no-such-program", "install the package"),
        ("modules = [\"virtio_nett\"]", "virtio_nett", "did you mean \"virtio_net\"?"),
        ("kernel = \"debian:no-such-kernel-package\"", "no-such-kernel-package", "apt-get update"),
        ("compression = \"gzip\"\noverlays = [\"bad\"]", "no earlier layer has it", "whiteout"),
    ];
    lab.write("bad/.wh.nothing", "");
    for (line, cause, remedy) in failures {
        let key = line.split(' ').next().unwrap();
        let spec = "name = \"lab\"\n[plan]\nhosts = 2\n[guest]\nkernel = \"dir:kernel\"\nbase = \"template\"\nmodules = []\n[host]\nbase = \"template\"\n";
        let kernel = if key == "kernel" { "" } else { "kernel = \"dir:kernel\"\n" };
        let modules = if key == "modules" { "" } else { "modules = []\n" };
        lab.write("spec.toml", &format!("{spec}{kernel}{modules}{line}\n"));
        let output = lab.build();
        let said = stderr(&output);
        // What the spec names and is not there is a mistake of the spec, shown at its line.
        let mistake = ["binaries", "modules"].contains(&key);
        assert_eq!(output.status.code(), Some(if mistake { 3 } else { 1 }), "{said}");
        assert!(said.contains(cause) && said.contains(remedy), "{said}");
        assert!(stdout(&output).is_empty());
        assert_eq!(tree(&lab.at("out")), before, "{line}");
    }
}

#[test]
fn an_interrupted_build_leaves_the_old_output_and_nothing_else() {
    let lab = Fixture::with_inputs();
    assert!(lab.build().status.success());
    let before = tree(&lab.at("out"));
    // A large file that does not compress keeps the build busy while the signal comes.
    let noise: Vec<u8> = (0..60_000_000u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    fs::write(lab.at("noise"), noise).unwrap();
    lab.spec("files = [{ from = \"noise\", to = \"/noise\" }]");
    let mut command = lab.command(&["build", "spec.toml", "--agent", "vmatic-agent", "--leaf", "vmatic-leaf"]);
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    // After the guest image is made the host image takes a while.
    std::io::BufRead::lines(std::io::BufReader::new(child.stderr.as_mut().unwrap()))
        .find(|line| line.as_ref().is_ok_and(|line| line.contains("unpacked for the guests")))
        .unwrap()
        .unwrap();
    crate::fixture::interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(tree(&lab.at("out")), before);
    assert_eq!(fs::read_dir(lab.at("out")).unwrap().count(), 1, "no folder is left beside the output");
}

#[test]
fn a_full_disk_leaves_the_old_output() {
    // A file system of 8 MiB, in a mount namespace of its own, too small for a file of 20 MB.
    let lab = Fixture::with_inputs();
    let noise: Vec<u8> = (0..20_000_000u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    fs::write(lab.at("noise"), noise).unwrap();
    lab.write("small.toml", &fs::read_to_string(lab.at("spec.toml")).unwrap());
    lab.spec("files = [{ from = \"noise\", to = \"/noise\" }]\ncompression = \"none\"");
    fs::create_dir(lab.at("small")).unwrap();
    let script = "mount -t tmpfs -o size=8m none small || exit 99
        $0 build small.toml --agent vmatic-agent --leaf vmatic-leaf --out small/lab || exit 98
        before=$(cat small/lab/* small/lab/*/* 2>/dev/null | sha256sum)
        $0 build spec.toml --agent vmatic-agent --leaf vmatic-leaf --out small/lab; code=$?
        [ \"$before\" = \"$(cat small/lab/* small/lab/*/* 2>/dev/null | sha256sum)\" ] || exit 97
        [ \"$(ls -A small)\" = lab ] || exit 96
        exit $code";
    let mut command = std::process::Command::new("unshare");
    let output = command
        .args(crate::fixture::unshare_words("-m"))
        .args(["sh", "-c", script, env!("CARGO_BIN_EXE_vmatic")])
        .current_dir(lab.folder.path())
        .env("VMATIC_KEY", lab.at("operator.key"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("free some space"), "{}", stderr(&output));
}

#[test]
fn a_dynamic_agent_is_refused() {
    let lab = Fixture::with_inputs();
    let output = lab.vmatic(&["build", "spec.toml", "--agent", "/bin/ls", "--leaf", "vmatic-leaf"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("it is not static"), "{}", stderr(&output));
    let output = lab.vmatic(&["build", "spec.toml", "--agent", "none", "--leaf", "vmatic-leaf"]);
    assert!(stderr(&output).contains("make build"), "{}", stderr(&output));
}

#[test]
fn list_why_and_size_explain_an_output() {
    let lab = Fixture::with_inputs();
    lab.write("over/etc/hosts", "127.0.0.1 lab\n");
    lab.spec("overlays = [\"over\"]\nbinaries = [\"ls\"]");
    assert!(lab.build().status.success());
    let why = |path: &str| stdout(&lab.vmatic(&["why", path]));
    assert!(why("/etc/hosts").contains("overlay over") && why("/etc/hosts").contains("in place of the one of base"));
    let libc = why("/lib/x86_64-linux-gnu/libc.so.6");
    assert!(libc.contains("library libc.so.6") && libc.contains("binary named in the spec"), "{libc}");
    let module = why("/lib/modules/1.2.3/kernel/net/failover.ko");
    assert!(
        module.contains("needed by /lib/modules/1.2.3/kernel/net/virtio_net.ko") || module.contains("virtio_net.ko"),
        "{module}"
    );
    let list = stdout(&lab.vmatic(&["list", "out/lab"]));
    assert!(list.contains("/dev/console") && list.contains("/lib -> usr/lib"), "{list}");
    let bare = stdout(&lab.vmatic(&["list", "--json", "out/lab/initramfs"]));
    let bare: serde_json::Value = serde_json::from_str(&bare).unwrap();
    assert_eq!(bare.as_array().unwrap().len(), list.lines().count());
    let size: serde_json::Value = serde_json::from_slice(&lab.vmatic(&["size", "--json"]).stdout).unwrap();
    assert_eq!(size["packed_bytes"].as_u64().unwrap(), fs::metadata(lab.at("out/lab/initramfs")).unwrap().len());
    let copy = lab.at("other.img");
    fs::copy(lab.at("out/lab/initramfs"), copy).unwrap();
    assert_eq!(stdout(&lab.vmatic(&["list", "other.img"])).lines().count(), list.lines().count());
    let output = lab.vmatic(&["why", "/init", "other.img"]);
    assert!(stderr(&output).contains("holds no reasons"));
}

#[test]
fn every_mistake_of_a_spec_is_reported_at_once() {
    let lab = Fixture::new();
    lab.write(
        "bad.toml",
        "name = \"la b\"
hostz = 3

[plan]
hosts = \"dn[4-\"
guests = \"four\"
host_network = \"172.20.0.0\"
guest_reach = \"internet\"
port = 70000

[host]
overlays = [\"nowhere\"]
modules = [\"tun\", 3]
compression = \"zip\"
files = [{ from = \"motd\", too = \"/etc/motd\" }]
",
    );
    let output = lab.command(&["check", "bad.toml"]).env("NO_COLOR", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let golden = include_str!("golden/bad-spec.txt");
    let said = stderr(&output);
    assert_eq!(said, golden, "--- said:\n{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_plan_that_does_not_work_is_shown_at_its_key() {
    let lab = Fixture::new();
    lab.write("big.toml", "name = \"big\"\n[plan]\nhosts = 1000\nhost_network = \"172.20.0.0/24\"\n");
    let output = lab.vmatic(&["check", "big.toml"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("big.toml:4:16: invalid plan"), "{}", stderr(&output));
}

#[test]
fn includes_come_first_and_their_mistakes_are_shown_in_their_file() {
    let lab = Fixture::new();
    lab.write("base/base.toml", "name = \"base\"\n[plan]\nhosts = 3\nguests = 7\n");
    lab.write("top.toml", "include = [\"base/base.toml\"]\nname = \"top\"\n[plan]\nguests = 1\n");
    let output = lab.vmatic(&["check", "top.toml"]);
    assert!(stderr(&output).contains("3 hosts, 3 guests"), "{}", stderr(&output));
    lab.write("base/base.toml", "nam = \"base\"\n[plan]\nhosts = 3\n");
    let said = stderr(&lab.vmatic(&["check", "top.toml"]));
    assert!(
        said.contains("base/base.toml:1:1: unknown key \"nam\"") && said.contains("did you mean \"name\"?"),
        "{said}"
    );
    lab.write("loop.toml", "include = [\"loop.toml\"]\n");
    assert_eq!(lab.vmatic(&["check", "loop.toml"]).status.code(), Some(3));
}

#[test]
fn a_new_spec_is_good_and_is_never_written_over_another() {
    let lab = Fixture::new();
    assert!(lab.vmatic(&["new", "x.toml"]).status.success());
    assert!(lab.vmatic(&["check", "x.toml"]).status.success());
    fs::write(lab.at("x.toml"), "mine").unwrap();
    assert_eq!(lab.vmatic(&["new", "x.toml"]).status.code(), Some(1));
    assert_eq!(fs::read_to_string(lab.at("x.toml")).unwrap(), "mine");
}

#[test]
fn what_a_new_spec_shows_is_the_default() {
    let lab = Fixture::new();
    lab.vmatic(&["new", "all.toml"]);
    lab.write("none.toml", "name = \"laptop\"\n[plan]\nhosts = \"h1\"\n");
    let load = |name: &str| {
        let mut spec = vmatic::spec::Spec::load(&lab.at(name)).unwrap();
        spec.path = Default::default();
        format!("{spec:#?}")
    };
    assert_eq!(load("all.toml"), load("none.toml"));
}

#[test]
fn the_examples_are_good() {
    for example in ["laptop", "two-hosts"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../examples/{example}.toml"));
        assert_eq!(vmatic::spec::Spec::load(&path).unwrap().name, example);
    }
}

#[test]
fn usage_errors_have_their_own_exit_code() {
    let lab = Fixture::new();
    assert_eq!(lab.vmatic(&["frobnicate"]).status.code(), Some(2));
    assert_eq!(lab.vmatic(&["check", "missing.toml"]).status.code(), Some(3));
}

#[test]
fn modules_are_chosen_by_alias_class_and_folder_and_bring_their_firmware() {
    let lab = Fixture::with_inputs();
    let folder = "kernel/lib/modules/1.2.3/kernel/drivers/net/ethernet";
    lab.module(&format!("{folder}/card.ko"), &["alias=pci:v00001234d*sv*", "firmware=card/a.fw", "firmware=card/b.fw"]);
    lab.module(&format!("{folder}/other.ko"), &["alias=pci:v00004321d*sv*"]);
    run("xz", &[lab.at(&format!("{folder}/other.ko")).to_str().unwrap()]);
    lab.write("root/usr/lib/firmware/card/a.fw", "firmware");
    let chosen = |modules: &str| {
        lab.spec("root = \"root\"");
        let spec = fs::read_to_string(lab.at("spec.toml")).unwrap();
        let (guest, host) = spec.split_once("[host]").unwrap();
        let host = host.replace("[\"virtio_net\", \"built_in\"]", modules);
        lab.write("spec.toml", &format!("{guest}[host]{host}"));
        let output = lab.build();
        let said = stderr(&output);
        let list = stdout(&lab.vmatic(&["cat", "/etc/vmatic/modules"]));
        let names = list.lines().filter_map(|line| line.rsplit('/').next().map(str::to_owned)).collect::<Vec<_>>();
        (output.status.code(), names, said)
    };
    let (_, names, said) = chosen("[\"alias:pci:v00001234d00000001sv00000000\"]");
    assert_eq!(names, ["card.ko"], "{said}");
    assert!(said.contains("card/b.fw"), "{said}");
    assert_eq!(stdout(&lab.vmatic(&["cat", "/lib/firmware/card/a.fw"])), "firmware");
    let (_, names, _) = chosen("[\"class:ethernet\"]");
    assert_eq!(names, ["card.ko", "other.ko", "failover.ko", "net_failover.ko", "virtio_net.ko"]);
    let (_, names, _) = chosen("[\"folder:drivers/net/ethernet\"]");
    assert_eq!(names, ["card.ko", "other.ko"], "a packed module is found, and unpacked");
    let (code, _, said) = chosen("[\"alias:usb:nothing\"]");
    assert!(code == Some(3) && said.contains("cannot find a kernel module for \"alias:usb:nothing\""), "{said}");
    let (code, _, said) = chosen("[\"class:ethernets\"]");
    assert!(code == Some(3) && said.contains("write one of ethernet"), "{said}");
}

#[test]
fn the_bill_of_materials_names_every_file_and_input() {
    let lab = Fixture::with_inputs();
    assert!(lab.build().status.success());
    let bill: serde_json::Value = serde_json::from_slice(&fs::read(lab.at("out/lab/sbom.spdx.json")).unwrap()).unwrap();
    assert_eq!(
        (bill["spdxVersion"].as_str(), bill["creationInfo"]["created"].as_str()),
        (Some("SPDX-2.3"), Some("1970-01-01T00:00:00Z"))
    );
    let files = bill["files"].as_array().unwrap();
    let init = files.iter().find(|file| file["fileName"] == "./init").unwrap();
    let sum = vmatic::digest::sha256(&fs::read(lab.at("vmatic-agent")).unwrap());
    assert_eq!(init["checksums"][0]["checksumValue"].as_str(), Some(sum.as_str()));
    let ids: std::collections::HashSet<_> =
        bill["packages"].as_array().unwrap().iter().chain(files).map(|item| &item["SPDXID"]).collect();
    let relations = bill["relationships"].as_array().unwrap();
    assert!(
        relations.iter().all(|relation| ids.contains(&relation["relatedSpdxElement"])),
        "no relation leads nowhere"
    );
}
