//! Level three: whole machines. QEMU PXE-boots the image that `vmatic build` makes, its agent starts
//! real guests under nested KVM, and the console commands them.
//!
//! Needs QEMU and bin/ as `make build` fills it; `make test-machines` runs it. One boot serves many
//! checks, because each costs a minute under emulation.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a cluster may take: shared machines are slow at times.
const UP: Duration = Duration::from_secs(420);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn vmatic() -> PathBuf {
    let path = root().join("bin/vmatic");
    assert!(path.exists(), "{} is not there: make build", path.display());
    path
}

/// A workplace with a key, a runtime folder and images of its own.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("run")).unwrap();
        fs::create_dir(folder.path().join("tmp")).unwrap();
        Place { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let path = format!("{}:{}", root().join("bin").display(), std::env::var("PATH").unwrap());
        command.current_dir(root()).env("PATH", path).env("VMATIC_KEY", self.path("key"));
        command.env("XDG_RUNTIME_DIR", self.path("run")).env("TMPDIR", self.path("tmp")).env("NO_COLOR", "1");
        command
    }

    fn vmatic(&self, arguments: &[&str]) -> Output {
        self.command(vmatic()).args(arguments).output().unwrap()
    }

    /// Builds a spec; gives the output folder.
    fn build(&self, spec: &Path) -> String {
        let out = self.path("out").display().to_string();
        let output = self.vmatic(&["build", spec.to_str().unwrap(), "--out", &out]);
        assert!(output.status.success(), "{}", stderr(&output));
        out
    }

    fn boot(&self, spec: &Path, out: &str) -> Booting {
        let mut command = self.command(vmatic());
        command.args(["boot", spec.to_str().unwrap(), "--out", out]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let talk = Arc::new(Mutex::new(String::new()));
        let (into, stream) = (talk.clone(), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                eprintln!("    {line}");
                into.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        Booting { child, talk }
    }

    /// What must be gone when a cluster has ended.
    fn assert_nothing_left(&self) {
        let left = |name: &str| fs::read_dir(self.path(name)).map(|d| d.flatten().count()).unwrap_or(0);
        assert_eq!(left("tmp"), 0, "temporary files are left");
        assert_eq!(left("run/vmatic"), 0, "a note is left");
        let mine = self.folder.path().display().to_string();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let cmdline = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let cmdline = String::from_utf8_lossy(&cmdline).into_owned();
            assert!(!(cmdline.contains("qemu-system") && cmdline.contains(&mine)), "a machine is left");
        }
    }
}

/// A `vmatic boot` that runs.
struct Booting {
    child: Child,
    talk: Arc<Mutex<String>>,
}

impl Booting {
    fn talk(&self) -> String {
        self.talk.lock().unwrap().clone()
    }

    fn wait_for(&mut self, text: &str) {
        let start = Instant::now();
        while !self.talk().contains(text) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "vmatic boot ended ({ended:?}) before {text:?}\n{}", self.talk());
            assert!(start.elapsed() < UP, "no {text:?} within {UP:?}\n{}", self.talk());
            sleep(Duration::from_millis(100));
        }
    }

    /// Ctrl-C; gives the exit code.
    fn interrupt(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < Duration::from_secs(20), "did not end after Ctrl-C");
            sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Booting {
    fn drop(&mut self) {
        // Its machines die with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn assert_run(place: &Place, arguments: &[&str], want: &str, count: &str) {
    let output = place.vmatic(&[&["run"], arguments].concat());
    assert_eq!(stdout(&output), want, "{arguments:?}: {}", stderr(&output));
    assert!(stderr(&output).contains(count), "{arguments:?}: {}", stderr(&output));
}

#[test]
#[ignore = "level three: make test-machines"]
fn the_demos_cluster_boots_by_pxe_and_every_guest_answers() {
    let place = Place::new();
    let spec = root().join("examples/laptop.toml");
    let out = place.build(&spec);
    check_sizes(&out);
    let mut booting = place.boot(&spec, &out);
    booting.wait_for("guests: 4 of 4 up");
    booting.wait_for("up: try");
    the_plan_holds(&place);
    outcomes_are_told_apart(&place);
    guests_reach_each_other(&place);
    the_readme_tells_the_truth(&place);
    a_guest_that_ends_is_started_again(&place);
    let output = place.command(vmatic()).args(["run", "./.", "true"]).env("VMATIC_KEY", other_key(&place)).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("built with another operator key"), "{}", stderr(&output));
    assert_eq!(booting.interrupt(), Some(0));
    assert!(booting.talk().contains("summary: 1 of 1 hosts and 4 of 4 guests up"), "{}", booting.talk());
    place.assert_nothing_left();
}

/// The bars: image at most 20 MB unpacked without kernels, agent 4 MB, leaf 200 kB.
fn check_sizes(out: &str) {
    let manifest: Value = serde_json::from_slice(&fs::read(Path::new(out).join("manifest.json")).unwrap()).unwrap();
    let text = manifest.to_string();
    assert!(text.contains("vmatic-leaf"), "the manifest names what is in the guest image");
    let output = Command::new(vmatic()).args(["list", "--json", out]).output().unwrap();
    let listing: Value = serde_json::from_slice(&output.stdout).unwrap();
    let files = listing.as_array().or_else(|| listing["files"].as_array()).expect("a list of files");
    let size = |f: &Value| f["size"].as_u64().unwrap_or(0);
    let path = |f: &Value| f["path"].as_str().unwrap_or_default().to_string();
    let total: u64 = files.iter().filter(|f| !path(f).ends_with("/vmlinux")).map(size).sum();
    assert!((1_000_000..=20_000_000).contains(&total), "the host image has {total} bytes unpacked");
    let agent = files.iter().find(|f| path(f) == "/init").map(size).unwrap();
    assert!(agent <= 4_000_000, "the agent has {agent} bytes");
    let leaf = fs::metadata(root().join("bin/vmatic-leaf")).unwrap().len();
    assert!(leaf <= 200_000, "the leaf has {leaf} bytes");
}

fn the_plan_holds(place: &Place) {
    let output = place.vmatic(&["nodes"]);
    let rows = stdout(&output);
    assert!(rows.contains("1/1-4  h1-g[1-4]      4  up"), "{rows}");
    assert_eq!(output.status.code(), Some(0));
    assert_run(place, &[".", "hostname"], "1: h1\n", "1 node: 1 ok, 0 failed, 0 unreachable");
    let each = |line: &str| (1..=4).map(|g| line.replace('#', &g.to_string())).collect::<String>();
    assert_run(place, &["./.", "uname", "-n"], &each("1/#: h1-g#\n"), "4 nodes: 4 ok, 0 failed, 0 unreachable");
    let macs = each("1/#: 02:00:00:01:00:0#\n");
    assert_run(place, &["./.", "cat", "/sys/class/net/eth0/address"], &macs, "4 ok");
    let script = "ip -4 -o addr show eth0 | sed 's,.*inet \\([0-9.]*\\)/.*,\\1,'";
    let want = (1..=4).map(|g| format!("1/{g}: 10.0.1.{}\n", g + 1)).collect::<String>();
    assert_run(place, &["./.", "sh", "-c", script], &want, "4 ok");
    // Real guests: a kernel of their own, under KVM, with the RAM that the spec gives them.
    assert_run(place, &["./.", "grep", "-c", "hypervisor", "/proc/cpuinfo"], "1/1-4: 1\n", "4 ok");
    let output = place.vmatic(&["nodes", "--long", "--json"]);
    assert!(stdout(&output).contains("kvm=linux guests=4/4"), "{}", stdout(&output));
}

fn outcomes_are_told_apart(place: &Place) {
    let script = "echo same; case $(uname -n) in *2) exit 3;; *3) kill -9 $$;; esac";
    let output = place.vmatic(&["run", "./.", "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(4));
    let talk = stderr(&output);
    assert!(
        talk.contains("failed 1/2: exit status 3\nfailed 1/3: ended by signal 9\n4 nodes: 2 ok, 2 failed"),
        "{talk}"
    );
    let output = place.vmatic(&["run", "./.!1/4", "no-such-program"]);
    assert!(stderr(&output).contains("failed 1/1-3: no such program or directory"), "{}", stderr(&output));
    let output = place.vmatic(&["run", "-t", "2", "1/1", "sleep", "60"]);
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    assert_run(
        place,
        &["-e", "COLOUR=red", "-C", "/etc", "1/1", "sh", "-c", "echo $COLOUR; pwd"],
        "--- 1/1 (1)\nred\n/etc\n",
        "1 ok",
    );
    let big = "head -c 300000 /dev/zero | tr '\\0' x";
    let output = place.vmatic(&["run", "--json", "./.", "sh", "-c", big]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["groups"][0]["nodes"], "1/1-4");
    assert_eq!(json["groups"][0]["stdout"].as_str().unwrap().len(), 300_000);
}

fn guests_reach_each_other(place: &Place) {
    let output = place.vmatic(&["run", "./.", "ping", "-c", "1", "-W", "10", "10.0.1.3"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let output = place.vmatic(&["run", "./.", "ping", "-c", "1", "-W", "10", "10.0.1.1"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
}

/// Commands of the README's `console` blocks give what stands below them; times are not compared.
fn the_readme_tells_the_truth(place: &Place) {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut tried = 0;
    for block in readme.split("```console\n").skip(1).filter_map(|b| b.split("```").next()) {
        for part in block.split("$ ").skip(1) {
            let (command, want) = part.split_once('\n').unwrap();
            if !command.starts_with("vmatic nodes") && !command.starts_with("vmatic run") {
                continue;
            }
            tried += 1;
            let output = place.command("sh").args(["-c", command]).output().unwrap();
            let timeless = |text: &str| {
                let line = |l: &str| l.split(" (").next().unwrap_or_default().trim_end().to_string();
                text.lines().map(line).filter(|l| !l.is_empty()).collect::<Vec<_>>()
            };
            let got = stdout(&output) + &stderr(&output);
            assert_eq!(timeless(&got), timeless(want), "README: $ {command}");
        }
    }
    assert!(tried >= 3, "the README has too few commands to try: {tried}");
}

fn a_guest_that_ends_is_started_again(place: &Place) {
    let id = || stdout(&place.vmatic(&["run", "1/2", "cat", "/proc/sys/kernel/random/boot_id"]));
    let before = id();
    let output = place.vmatic(&["run", "-t", "5", "1/2", "reboot", "-f"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("unreachable 1/2: the link to guest 2 was lost"), "{}", stderr(&output));
    let start = Instant::now();
    loop {
        if place.vmatic(&["nodes", "1/2"]).status.code() == Some(0) {
            break;
        }
        assert!(start.elapsed() < UP, "the guest did not come back");
        sleep(Duration::from_millis(500));
    }
    let after = id();
    assert!(after.starts_with("1/2: ") && after != before, "{before}{after}");
}

fn other_key(place: &Place) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = place.path("other-key");
    fs::write(&path, "5a".repeat(32)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
#[ignore = "level three: make test-machines"]
fn two_hosts_join_one_tree() {
    let place = Place::new();
    let spec = root().join("examples/two-hosts.toml");
    let out = place.build(&spec);
    let mut booting = place.boot(&spec, &out);
    booting.wait_for("up: try");
    assert_run(&place, &[".", "hostname"], "1: h1\n2: h2\n", "2 nodes: 2 ok, 0 failed, 0 unreachable");
    let output = place.vmatic(&["run", "./.", "uname", "-n"]);
    assert_eq!(stdout(&output), "1/1: h1-g1\n1/2: h1-g2\n2/1: h2-g1\n2/2: h2-g2\n", "{}", stderr(&output));
    assert_run(&place, &["./.", "uname", "-s"], "1-2/1-2: Linux\n", "4 nodes: 4 ok, 0 failed, 0 unreachable");
    assert_eq!(booting.interrupt(), Some(0));
    place.assert_nothing_left();
}

#[test]
#[ignore = "level three: make test-machines"]
fn a_guest_that_never_reports_is_counted_and_said() {
    let place = Place::new();
    let spec = place.path("broken.toml");
    let text = "name = \"broken\"\n[plan]\nhosts = 1\nguests = 1\n[guest]\ncmdline = \"rdinit=/no/such/init\"\n";
    fs::write(&spec, text).unwrap();
    let out = place.build(&spec);
    let mut booting = place.boot(&spec, &out);
    booting.wait_for("joined the tree");
    let start = Instant::now();
    let why = loop {
        let text = stdout(&place.vmatic(&["nodes", "./."]));
        if text.contains("in a row") {
            break text;
        }
        assert!(start.elapsed() < UP, "not said: {text}");
        sleep(Duration::from_millis(500));
    };
    assert!(why.contains("1/1") && why.contains("down: ended before it reported (1 in a row)"), "{why}");
    let output = place.vmatic(&["run", "./.", "true"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("1 node: 0 ok, 0 failed, 1 unreachable"), "{}", stderr(&output));
    // The host itself goes on.
    assert_run(&place, &[".", "echo", "well"], "1: well\n", "1 ok");
    assert_eq!(booting.interrupt(), Some(1));
    place.assert_nothing_left();
}

#[test]
#[ignore = "level three: make test-machines"]
fn ctrl_c_half_way_leaves_nothing_behind() {
    let place = Place::new();
    let spec = root().join("examples/laptop.toml");
    let out = place.build(&spec);
    let mut booting = place.boot(&spec, &out);
    booting.wait_for("machine started");
    sleep(Duration::from_secs(2));
    assert_eq!(booting.interrupt(), Some(1));
    assert!(booting.talk().contains("interrupted"), "{}", booting.talk());
    place.assert_nothing_left();
    // The same command works again, at least as far.
    let mut again = place.boot(&spec, &out);
    again.wait_for("machine started");
    assert_eq!(again.interrupt(), Some(1));
    place.assert_nothing_left();
}
