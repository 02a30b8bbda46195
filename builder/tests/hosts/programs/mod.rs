//! Real programs of Debian: the builder chooses their files from a root of packages that are not installed,
//! and each runs in a folder that holds nothing else. Needs root (for chroot), apt's lists and a mirror:
//! `make test-programs`. The cases are in `cases` and `unseen`; `beyond` runs them once more with the whole root at
//! hand and watches what they open.

mod beyond;
mod cases;
mod unseen;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cases::{CASES, Case};
use unseen::UNSEEN;

use crate::folder::Folder;
use crate::output::{stderr, stdout, succeed};
use vmatic::image::layer::{Layer, add_busybox};
use vmatic::image::{check, programs};
use vmatic::packages::cache::Cache;
use vmatic::rootfs::tree::{Content, FileTree, LayerName};
use vmatic::spec::Spec;
use vmatic::spec::values::PackageName;

/// An ARP request in a capture file.
fn capture() -> Vec<u8> {
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0];
    let mut packet = vec![0xff; 6];
    packet.extend([2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1]);
    packet.extend([0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    file.extend([0; 8]);
    for _ in 0..2 {
        file.extend((packet.len() as u32).to_le_bytes());
    }
    file.extend(packet);
    file
}

/// The image of a case, as `vmatic build` makes it, without kernel and agent.
fn image(lab: &Folder, root: &Path, busybox: &[u8], case: &Case) -> Result<FileTree, String> {
    let spec = format!(
        "name = \"x\"\n[plan]\nhosts = 1\n[host]\nroot = {:?}\noverlays = [\"over\"]\n{}\n",
        root.display(),
        case.spec
    );
    let spec = Spec::load(&lab.write("spec.toml", &spec)).map_err(|error| error.to_string())?.host;
    let mut tree = FileTree::new();
    let template = Layer::embedded_base().unwrap();
    let applets = template.applets.clone();
    template.lay(&mut tree).unwrap();
    add_busybox(&mut tree, busybox.to_vec(), &applets, "busybox-static").unwrap();
    Layer::overlay("over", &lab.at("over")).unwrap().lay(&mut tree).unwrap();
    for file in &spec.files {
        let entry = vmatic::rootfs::tree::Entry::file(
            fs::read(&file.from).unwrap(),
            file.mode.unwrap_or(0o644),
            Default::default(),
        );
        tree.insert(&file.to, entry).unwrap();
    }
    programs::add(&spec, None, &mut tree).map_err(|error| error.to_string())?;
    check::check(&tree, &spec).map_err(|error| error.to_string())?;
    Ok(tree)
}

fn unpack(tree: &FileTree, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (path, entry) in tree.iter() {
        let at = folder.join(path);
        match &entry.content {
            Content::Dir => fs::create_dir_all(&at).unwrap(),
            Content::Symlink(target) => symlink(target, &at).unwrap(),
            Content::File { data, .. } => {
                fs::write(&at, data).unwrap();
                // All of an image is of one time: to some programs a source is not newer than what was made of it.
                fs::File::open(&at).and_then(|file| file.set_modified(std::time::UNIX_EPOCH)).unwrap();
            }
            Content::Device { major, minor, .. } => {
                succeed(Command::new("mknod").arg(&at).args(["c", &major.to_string(), &minor.to_string()]));
            }
            Content::Fifo => succeed(Command::new("mkfifo").arg(&at)),
            // A socket's name without its program serves nobody.
            Content::Socket => continue,
        }
        if !matches!(entry.content, Content::Symlink(_)) {
            fs::set_permissions(&at, fs::Permissions::from_mode(entry.mode)).unwrap();
        }
    }
    fs::write(folder.join("tmp/arp.pcap"), capture()).unwrap();
}

/// The root as an installed Debian has it, /bin and /lib being links into /usr: packages of before bring folders of
/// that name, which take the links' place when they are unpacked.
fn merged(root: &Path) -> PathBuf {
    let merged = root.with_extension("merged");
    if !merged.is_dir() {
        succeed(Command::new("cp").args(["-al"]).arg(root).arg(&merged));
        for name in ["bin", "sbin", "lib", "lib64"] {
            let (own, usr) = (merged.join(name), merged.join("usr").join(name));
            if fs::symlink_metadata(&own).is_ok_and(|metadata| metadata.is_dir()) {
                succeed(Command::new("cp").arg("-alfT").arg(&own).arg(&usr));
                fs::remove_dir_all(&own).unwrap();
                symlink(format!("usr/{name}"), &own).unwrap();
            }
        }
    }
    merged
}

/// The command that runs a case in this root, without a network and with processes of its own, which end with it.
fn in_a_root(folder: &Path, case: &Case) -> Vec<String> {
    let mounts = "mount -t proc p /proc; mount -t devtmpfs d /dev; exec </dev/null; ip link set lo up";
    let folder = folder.to_str().unwrap();
    let words = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"];
    let words = words.into_iter().chain(["unshare", "-m", "-n", "-p", "-f", "chroot", folder, "/bin/sh", "-c"]);
    words.map(str::to_owned).chain([format!("{mounts}; {}", case.command)]).collect()
}

/// What a case prints in its own root, or why it did not run.
fn runs(folder: &Path, case: &Case) -> Result<(), String> {
    let words = in_a_root(folder, case);
    let output = Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()).output().unwrap();
    let said = stdout(&output);
    if output.status.success() && said.contains(case.prints) {
        return Ok(());
    }
    let (out, err) = (said.trim_end(), stderr(&output));
    let last = |text: &str| text.lines().rev().take(4).collect::<Vec<_>>().join(" | ");
    Err(format!("{}: {} || {}", output.status, last(err.trim_end()), last(out)))
}

#[test]
#[ignore = "needs root, apt's lists and a mirror; minutes"]
fn real_programs_run_in_a_root_of_only_their_closure() {
    hold(CASES, 58);
}

#[test]
#[ignore = "needs root, apt's lists and a mirror; minutes"]
fn so_do_programs_that_nobody_had_looked_at() {
    hold(UNSEEN, 20);
}

/// Chooses and runs each case in a root of all their packages; so many at least must use nothing beyond their closure.
fn hold(cases: &[Case], whole_min: usize) {
    let only = std::env::var("VMATIC_PROGRAMS").unwrap_or_default();
    let chosen: Vec<&Case> =
        cases.iter().filter(|case| only.is_empty() || only.split(',').any(|n| n == case.name)).collect();
    // A folder of its own even in a cache that is set: what root writes there is in nobody's way.
    let set = std::env::var_os("VMATIC_CACHE").filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR"))).join("programs");
    let cache = Cache::at(folder, false);
    let mut packages: Vec<PackageName> =
        cases.iter().flat_map(|case| case.packages).map(|name| PackageName::known(name)).collect();
    packages.sort();
    packages.dedup();
    let root = merged(&cache.root_folder(&cache.root_of(&packages).unwrap()));
    let busybox = cache.folder_of(&cache.package(&PackageName::known("busybox-static")).unwrap()).join("bin/busybox");
    let busybox = fs::read(busybox).unwrap();
    let (mut failed, mut left_out, mut whole) = (Vec::new(), Vec::new(), 0);
    println!("{:12} {:>6} {:>8} {:>7}  runs", "program", "files", "MB", "choose");
    for case in chosen {
        let lab = Folder::new();
        lab.write("over/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/bin/false\nnobody:x:65534:65534::/:/bin/false\n");
        for kind in ["auth", "account", "session", "session-noninteractive", "password"] {
            let word = kind.split('-').next().unwrap();
            lab.write(&format!("over/etc/pam.d/common-{kind}"), &format!("{word} required pam_unix.so\n"));
        }
        lab.write("over/etc/ssh/sshd_config", "UsePAM yes\n");
        lab.write("over/etc/shadow", "root:*:19000:0:99999:7:::\nnobody:*:19000:0:99999:7:::\n");
        lab.write("over/etc/group", "root:x:0:\nnogroup:x:65534:\n");
        lab.write("script", "#!/usr/bin/env -S python3 -u\nimport json\nprint(json.dumps(6 * 7))\n");
        let start = std::time::Instant::now();
        let tree = image(&lab, &root, &busybox, case);
        let seconds = start.elapsed().as_secs_f64();
        let result = tree.and_then(|tree| {
            let ours =
                tree.iter().filter(|(_, entry)| entry.why.layer == LayerName::Binaries && entry.kind() == "file");
            let (files, bytes) = ours.fold((0, 0), |(files, bytes), (_, entry)| (files + 1, bytes + entry.size()));
            print!("{:12} {files:>6} {:>8.1} {seconds:>6.2}s  ", case.name, bytes as f64 / 1e6);
            unpack(&tree, &lab.at("root"));
            runs(&lab.at("root"), case)?;
            beyond::beyond(&lab, &tree, &root, case)
        });
        match result {
            Ok(beyond) if beyond.is_empty() => {
                whole += 1;
                println!("yes");
            }
            Ok(beyond) => {
                println!("yes, but it uses {} files beyond its closure: {beyond:?}", beyond.len());
                if !beyond.iter().all(|path| beyond::is_known(case.name, path)) {
                    left_out.push(case.name);
                }
            }
            Err(cause) => {
                println!("NO {}: {cause}", case.name);
                failed.push(case.name);
            }
        }
    }
    println!("{whole} programs use nothing beyond their closure");
    assert!(whole >= whole_min || !only.is_empty(), "{whole} programs use nothing beyond their closure");
    let (failed, left_out) = (failed.join(", "), left_out.join(", "));
    assert!(failed.is_empty() && left_out.is_empty(), "do not run: {failed}; files were left out of: {left_out}");
}
