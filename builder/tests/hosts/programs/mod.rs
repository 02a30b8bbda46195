//! Real programs of Debian: the builder chooses their files from a root of packages that are not installed,
//! and each runs in a folder that holds nothing else. Needs root (for chroot), apt's lists and a mirror:
//! `make test-programs`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::folder::Folder;
use crate::output::{stderr, stdout, succeed};
use vmatic::image::layer::{Layer, add_busybox};
use vmatic::image::{check, programs};
use vmatic::packages::cache::Cache;
use vmatic::rootfs::tree::{Content, FileTree, LayerName};
use vmatic::spec::Spec;
use vmatic::spec::values::PackageName;

/// A program: the Debian packages that have it, what the spec says, the command, what it must print.
struct Case {
    name: &'static str,
    packages: &'static [&'static str],
    spec: &'static str,
    command: &'static str,
    prints: &'static str,
}

const fn case(
    name: &'static str,
    packages: &'static [&'static str],
    spec: &'static str,
    command: &'static str,
    prints: &'static str,
) -> Case {
    Case { name, packages, spec, command, prints }
}

const CASES: &[Case] = &[
    case("bash", &["bash"], r#"binaries = ["bash"]"#, "bash -c 'a=(6 7); echo $((a[0]*a[1]))'", "42"),
    case(
        "python3",
        &["python3"],
        r#"binaries = ["python3"]"#,
        "python3 -c 'import ssl, sqlite3, ctypes, decimal, json; print(6*7)'",
        "42",
    ),
    case(
        "perl",
        &["perl"],
        r#"binaries = ["perl"]"#,
        "perl -MPOSIX -MEncode -MList::Util=sum -MSocket -e 'print sum(40, 2)'",
        "42",
    ),
    case("ruby", &["ruby"], r#"binaries = ["ruby"]"#, "ruby -e 'require \"json\"; puts JSON.dump([6*7])'", "[42]"),
    case(
        "tclsh",
        &["tcl"],
        r#"binaries = ["/usr/bin/tclsh8.6"]"#,
        "echo 'puts [expr 6*7][clock format 0 -gmt 1 -format %Y]' | tclsh8.6",
        "421970",
    ),
    case(
        "java",
        &["openjdk-17-jre-headless"],
        r#"binaries = ["/usr/lib/jvm/java-17-openjdk-amd64/bin/java"]"#,
        "/usr/lib/jvm/java-17-openjdk-amd64/bin/java -version 2>&1 && /usr/lib/jvm/java-17-openjdk-amd64/bin/java --list-modules",
        "java.base@17",
    ),
    case(
        "git",
        &["git"],
        r#"binaries = ["git"]"#,
        "cd /tmp && git init -q r && cd r && echo x >f && git add f && git -c user.name=n -c user.email=e commit -qm first && git gc -q && git clone -q /tmp/r /tmp/c && git -C /tmp/c log --oneline",
        "first",
    ),
    case(
        "gcc",
        &["gcc", "libc6-dev"],
        r#"binaries = ["gcc"]"#,
        "cd /tmp && echo 'int main(){return 42;}' >m.c && gcc m.c -o m; ./m; echo $?",
        "42",
    ),
    case("gdb", &["gdb"], r#"binaries = ["gdb"]"#, "gdb -batch -nx -ex 'python import gdb.types; print(6*7)'", "42"),
    case("sudo", &["sudo", "coreutils"], r#"binaries = ["sudo", "id"]"#, "sudo -n -u nobody id -u", "65534"),
    case(
        "sshd",
        &["openssh-server", "openssh-client"],
        r#"binaries = ["sshd", "ssh-keygen"]"#,
        "mkdir -p /run/sshd && ssh-keygen -qA && $(which sshd) -T",
        "usepam yes",
    ),
    case(
        "iptables",
        &["iptables"],
        r#"binaries = ["iptables-nft"]"#,
        "iptables-nft -m conntrack -j MASQUERADE --help",
        "--to-ports",
    ),
    case(
        "ip",
        &["iproute2"],
        r#"binaries = ["ip", "tc"]"#,
        "ip -o link show lo && ip route show table local >/dev/null && tc qdisc show dev lo",
        "LOOPBACK",
    ),
    case("nft", &["nftables"], r#"binaries = ["nft"]"#, "nft --version", "nftables v1"),
    case(
        "tcpdump",
        &["tcpdump"],
        r#"binaries = ["tcpdump"]"#,
        "tcpdump -Z root -n -r /tmp/arp.pcap",
        "who-has 10.0.0.2",
    ),
    case(
        "tshark",
        &["tshark"],
        r#"binaries = ["tshark"]"#,
        "HOME=/tmp tshark -r /tmp/arp.pcap && tshark -G plugins",
        "Who has 10.0.0.2",
    ),
    case(
        "frr",
        &["frr"],
        r#"packages = ["frr"]"#,
        "printf 'router bgp 65001\\n neighbor 10.0.0.1 remote-as 65002\\n' >/tmp/b.conf && /usr/lib/frr/bgpd -S -C -f /tmp/b.conf && /usr/lib/frr/zebra -v",
        "8.4",
    ),
    case(
        "bird",
        &["bird2"],
        r#"binaries = ["bird"]"#,
        "printf 'router id 1.2.3.4;\\nprotocol device {}\\n' >/tmp/b.conf && bird -p -c /tmp/b.conf && echo good",
        "good",
    ),
    case(
        "strongswan",
        &["strongswan-pki", "strongswan"],
        r#"packages = ["strongswan-pki", "strongswan-starter"]"#,
        "pki --gen --type rsa --size 1024 --outform pem && ipsec --version",
        "BEGIN RSA PRIVATE KEY",
    ),
    case(
        "nginx",
        &["nginx-core", "libnginx-mod-stream"],
        r#"packages = ["nginx-core", "libnginx-mod-stream"]"#,
        "printf 'load_module modules/ngx_stream_module.so;\\nevents {}\\nstream {}\\n' >/tmp/n.conf && mkdir -p /var/log/nginx && nginx -t -c /tmp/n.conf -p /usr/share/nginx 2>&1",
        "test is successful",
    ),
    case(
        "postgres",
        &["postgresql-15"],
        r#"binaries = ["/usr/lib/postgresql/15/bin/initdb"]"#,
        "P=/usr/lib/postgresql/15/bin; mkdir /tmp/d && chown nobody /tmp/d && su -s /bin/sh nobody -c \"$P/initdb --no-locale -D /tmp/d >/dev/null && echo 'select 6*7 as answer' | $P/postgres --single -D /tmp/d postgres\"",
        "\"42\"",
    ),
    case(
        "named",
        &["bind9"],
        r#"binaries = ["named-checkconf", "named"]"#,
        "echo 'options { directory \"/tmp\"; };' >/tmp/n.conf && named-checkconf -p /tmp/n.conf && named -V",
        "directory \"/tmp\"",
    ),
    case("dnsmasq", &["dnsmasq-base"], r#"binaries = ["dnsmasq"]"#, "dnsmasq --test 2>&1", "syntax check OK"),
    case(
        "qemu",
        &["qemu-system-x86", "ipxe-qemu"],
        r#"binaries = ["qemu-system-x86_64"]"#,
        "echo quit | qemu-system-x86_64 -accel tcg -display none -monitor stdio -nic user,model=virtio -vga std",
        "QEMU",
    ),
    case(
        "openssl",
        &["openssl"],
        r#"binaries = ["openssl"]"#,
        "openssl list -providers -provider legacy -provider default",
        "OpenSSL Legacy Provider",
    ),
    case("curl", &["curl"], r#"binaries = ["curl"]"#, "curl -s file:///etc/passwd", "root:"),
    case("file", &["file"], r#"binaries = ["file"]"#, "file /etc/passwd", "ASCII text"),
    case(
        "vim",
        &["vim"],
        r#"binaries = ["/usr/bin/vim.basic"]"#,
        "vim.basic -es -c 'call writefile([6*7], \"/tmp/x\")' -c q; cat /tmp/x",
        "42",
    ),
    case(
        "nmap",
        &["nmap"],
        "binaries = [\"nmap\"]\nlibrary_path = [\"/usr/lib/x86_64-linux-gnu/blas\"]",
        "nmap -V && nmap -sL -n 10.0.0.1",
        "Nmap scan report",
    ),
    case("sqlite3", &["sqlite3"], r#"binaries = ["sqlite3"]"#, "sqlite3 :memory: 'select 6*7'", "42"),
    case(
        "getent",
        &["libc-bin"],
        r#"binaries = ["getent"]"#,
        "getent passwd nobody && getent hosts localhost",
        "nobody",
    ),
    case(
        "env -S",
        &["python3-minimal", "coreutils"],
        r#"files = [{ from = "script", to = "/usr/bin/script", mode = "0755" }]"#,
        "script",
        "42",
    ),
];

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
            Content::File { data, .. } => fs::write(&at, data).unwrap(),
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

/// What a case prints in its own root, or why it did not run.
fn runs(folder: &Path, case: &Case) -> Result<(), String> {
    let output = Command::new("unshare")
        .args(["-m", "-n", "-p", "-f", "chroot"])
        .arg(folder)
        .args([
            "/bin/sh",
            "-c",
            &format!("mount -t proc p /proc; mount -t devtmpfs d /dev; ip link set lo up; {}", case.command),
        ])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root")
        .stdin(Stdio::null())
        .output()
        .unwrap();
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
    let only = std::env::var("VMATIC_PROGRAMS").unwrap_or_default();
    let chosen: Vec<&Case> =
        CASES.iter().filter(|case| only.is_empty() || only.split(',').any(|n| n == case.name)).collect();
    // A folder of its own even in a cache that is set: what root writes there is in nobody's way.
    let set = std::env::var_os("VMATIC_CACHE").filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR"))).join("programs");
    let cache = Cache::at(folder, false);
    let mut packages: Vec<PackageName> =
        CASES.iter().flat_map(|case| case.packages).map(|name| PackageName::known(name)).collect();
    packages.sort();
    packages.dedup();
    let root = cache.root_folder(&cache.root_of(&packages).unwrap());
    let busybox = cache.folder_of(&cache.package(&PackageName::known("busybox-static")).unwrap()).join("bin/busybox");
    let busybox = fs::read(busybox).unwrap();
    let mut failed = Vec::new();
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
            runs(&lab.at("root"), case)
        });
        match result {
            Ok(()) => println!("yes"),
            Err(cause) => {
                println!("NO {}: {cause}", case.name);
                failed.push(case.name);
            }
        }
    }
    assert!(failed.is_empty(), "do not run: {}", failed.join(", "));
}
