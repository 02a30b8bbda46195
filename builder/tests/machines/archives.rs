//! Level three: what a kernel has after it unpacked an odd archive, beside what we say that it has.
//!
//! Debian's kernel boots each with a program that walks its root and prints what is there. Archives that do not disturb
//! what follows them lie in one image, each below a folder of its own.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vmatic::archive::{read, tree};
use vmatic::names;
use vmatic::rootfs::tree::Content;

use crate::cluster::Workplace;
use crate::newc::{DIR, RUNS, archive, record};
use crate::odd::{self, Case};
use crate::output::{stderr, succeed, text};

/// Prints, as process 1, a line for each path: name, mode, owner, size, hash, target, device, inode.
const WALKER: &str = r#"
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static char path[16384], buffer[65536];

static void hex(const char *bytes, ssize_t count) {
  putchar(' ');
  for (ssize_t n = 0; n < count; n++) printf("%02x", (unsigned char)bytes[n]);
  if (count <= 0) putchar('-');
}

static uint64_t hash(void) {
  uint64_t sum = 0xcbf29ce484222325;
  int file = open(path, O_RDONLY);
  for (ssize_t got; (got = read(file, buffer, sizeof buffer)) > 0;)
    for (ssize_t n = 0; n < got; n++) sum = (sum ^ (unsigned char)buffer[n]) * 0x100000001b3;
  close(file);
  return sum;
}

static void walk(size_t end) {
  DIR *folder = opendir(end ? path : "/");
  for (struct dirent *entry; folder && (entry = readdir(folder));) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    size_t bytes = strlen(entry->d_name);
    path[end] = '/';
    memcpy(path + end + 1, entry->d_name, bytes + 1);
    struct stat at;
    if (lstat(path, &at)) continue;
    printf("@@");
    hex(path + 1, end + bytes);
    unsigned long long size = S_ISDIR(at.st_mode) ? 0 : at.st_size, sum = S_ISREG(at.st_mode) ? hash() : 0;
    printf(" %o %u:%u %llu %llx", at.st_mode, at.st_uid, at.st_gid, size, sum);
    hex(buffer, S_ISLNK(at.st_mode) ? readlink(path, buffer, sizeof buffer) : 0);
    printf(" %u,%u %llu\n", major(at.st_rdev), minor(at.st_rdev), (unsigned long long)at.st_ino);
    if (S_ISDIR(at.st_mode)) walk(end + 1 + bytes);
  }
  if (folder) closedir(folder);
}

int main(void) {
  walk(0);
  printf("@@ end\n");
  fflush(stdout);
  sleep(1);
  reboot(RB_AUTOBOOT);
}
"#;

/// What is at a path, without its inode.
type Paths = BTreeMap<String, String>;

/// Whose names are one file's: for each path of a file, the first of its names.
type Names = BTreeMap<String, String>;

/// Debian's kernel knows all packings.
const SPEC: &str =
    "name = \"odd\"\n[plan]\nhosts = 1\nguests = 0\n[host]\nkernel = \"debian:linux-image-cloud-amd64\"\n";

struct Laboratory {
    place: Workplace,
    kernel: PathBuf,
    /// An archive with the program that walks.
    walker: Vec<u8>,
}

impl Laboratory {
    fn new() -> Laboratory {
        let place = Workplace::new();
        let spec = place.path("spec.toml");
        fs::write(&spec, SPEC).unwrap();
        let kernel = Path::new(&place.build(&spec)).join("vmlinuz");
        let (source, program) = (place.path("walker.c"), place.path("walker"));
        fs::write(&source, WALKER).unwrap();
        succeed(Command::new("gcc").args(["-static", "-O1", "-w", "-o"]).arg(&program).arg(&source));
        let mut walker = archive(&[record(".walker", RUNS, fs::read(&program).unwrap())]);
        walker.resize(walker.len().next_multiple_of(4), 0);
        Laboratory { place, kernel, walker }
    }

    /// Boots an image behind the walker's; gives what the kernel then has.
    fn boot(&self, bytes: &[u8]) -> (Paths, Names) {
        let image = self.place.path("odd.img");
        fs::write(&image, [&self.walker[..], bytes].concat()).unwrap();
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-machine", "pc", "-accel", "tcg", "-cpu", "max", "-m", "512", "-no-reboot", "-nic", "none"]);
        qemu.args(["-display", "none", "-monitor", "none", "-serial", "stdio", "-kernel"]).arg(&self.kernel);
        qemu.arg("-initrd").arg(&image);
        qemu.args(["-append", "console=ttyS0 quiet loglevel=0 panic=-1 rdinit=/.walker"]);
        let output = qemu.stdin(Stdio::null()).output().unwrap();
        let said = text(&output.stdout);
        assert!(said.contains("@@ end"), "the kernel did not run the walker:\n{said}{}", stderr(&output));
        let mut seen = Paths::new();
        let (mut names, mut inodes) = (Names::new(), HashMap::new());
        let mut lines: Vec<Vec<&str>> =
            said.lines().filter(|line| line.starts_with("@@ ")).map(|line| line.split_whitespace().collect()).collect();
        lines.sort();
        for words in lines.iter().filter(|words| words.len() == 9) {
            let (path, inode) = (words[1], words[8]);
            seen.insert(path.to_owned(), words[2..8].join(" "));
            let first = inodes.entry(inode).or_insert(path);
            if words[2].len() == 6 && words[2].starts_with("10") {
                names.insert(path.to_owned(), (*first).to_owned());
            }
        }
        (seen, names)
    }

    /// What we say of the same image.
    fn read(&self, bytes: &[u8]) -> (Paths, Names) {
        let image = read::read([&self.walker[..], bytes].concat()).unwrap();
        let (tree, _) = tree::tree(&image);
        let (mut seen, mut all, mut firsts) = (Paths::new(), Names::new(), HashMap::new());
        let mut entries: Vec<_> = tree.iter().map(|(path, entry)| (hex(path), entry)).collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        for (path, entry) in entries {
            let (kind, sum, target, device) = match &entry.content {
                Content::Dir => (0o040000, 0, String::new(), (0, 0)),
                Content::File { data, group } => {
                    let first = group.map_or(&path, |group| firsts.entry(group).or_insert_with(|| path.clone()));
                    all.insert(path.clone(), first.clone());
                    (0o100000, hash(data), String::new(), (0, 0))
                }
                Content::Symlink(target) => (0o120000, 0, hex(target), (0, 0)),
                Content::Device { block: true, major, minor } => (0o060000, 0, String::new(), (*major, *minor)),
                Content::Device { block: false, major, minor } => (0o020000, 0, String::new(), (*major, *minor)),
                Content::Fifo => (0o010000, 0, String::new(), (0, 0)),
                Content::Socket => (0o140000, 0, String::new(), (0, 0)),
            };
            let target = if target.is_empty() { "-" } else { &target };
            let (mode, owner, size) = (kind | entry.mode, (entry.uid, entry.gid), entry.size());
            let line = format!("{mode:o} {}:{} {size} {sum:x} {target} {},{}", owner.0, owner.1, device.0, device.1);
            seen.insert(path, line);
        }
        (seen, all)
    }

    /// How the two differ.
    fn differences(&self, bytes: &[u8]) -> Vec<String> {
        let ((mut kernel, kernel_names), (ours, our_names)) = (self.boot(bytes), self.read(bytes));
        // What the kernel has of its own is in no image.
        for own in ["dev", "dev/console", "root"] {
            if !ours.contains_key(&hex(own)) {
                kernel.remove(&hex(own));
            }
        }
        let paths: std::collections::BTreeSet<_> = kernel.keys().chain(ours.keys()).collect();
        let mut differences = Vec::new();
        for path in paths {
            let (kernel, ours) = (kernel.get(path), ours.get(path));
            let (kernel_name, our_name) = (kernel_names.get(path), our_names.get(path));
            if kernel != ours || kernel_name != our_name {
                let path = names::show(&plain(path)).into_owned();
                differences.push(format!("{path}: kernel {kernel:?} {kernel_name:?}, we {ours:?} {our_name:?}"));
            }
        }
        differences
    }
}

fn hex(name: &str) -> String {
    names::decode(name).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn plain(hex: &str) -> String {
    let bytes = (0..hex.len() / 2).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap());
    names::encode(&bytes.collect::<Vec<_>>()).into_owned()
}

/// FNV-1a.
fn hash(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

#[test]
#[ignore = "level three: make test-machines"]
fn what_is_listed_is_what_a_kernel_has() {
    let lab = Laboratory::new();
    let mut wrong = Vec::new();
    let count = odd::cases("").len();
    let mut together = Vec::new();
    for number in 0..count {
        let prefix = format!("c{number:02}");
        let case = odd::cases(&format!("{prefix}/")).swap_remove(number);
        if !case.alone {
            together.extend(record(&prefix, DIR, "").bytes());
            together.extend(case.bytes);
            together.resize(together.len().next_multiple_of(4), 0);
        }
    }
    wrong.extend(lab.differences(&together));
    for case in odd::cases("").into_iter().filter(|case| case.alone) {
        let found = lab.differences(&case.bytes);
        let Case { name, seen, says, .. } = &case;
        eprintln!("{name}: {} differences in {} paths {says}", found.len(), seen.len());
        wrong.extend(found.into_iter().map(|difference| format!("{}: {difference}", case.name)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    lab.place.assert_nothing_left();
}
