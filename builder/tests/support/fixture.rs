//! A small laboratory for the builder's tests: programs and libraries made with gcc, kernel packages
//! of our own making, specs, and the vmatic command with an environment of its own.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::folder::Folder;
use crate::output::succeed;

/// The folder of all that, and of what vmatic keeps.
pub struct Fixture {
    pub folder: Folder,
}

impl Deref for Fixture {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.folder
    }
}

/// Where a Debian root has its libraries, and the loader of `merged_root`.
pub const LIB: &str = "usr/lib/x86_64-linux-gnu";
pub const LOADER: &str = "/usr/lib/x86_64-linux-gnu/ld-real.so.2";

/// The user without rights, on every system.
pub const NOBODY: u32 = 65_534;

/// A merged-/usr root with a loader.
pub fn merged_root() -> Fixture {
    let lab = Fixture::new();
    for folder in [LIB, "usr/bin", "usr/lib64"] {
        fs::create_dir_all(lab.at(folder)).unwrap();
    }
    for (link, target) in [("lib", "usr/lib"), ("lib64", "usr/lib64"), ("bin", "usr/bin")] {
        symlink(target, lab.at(link)).unwrap();
    }
    lab.library(LIB, "ld-real.so.2", &[]);
    symlink("/lib/x86_64-linux-gnu/ld-real.so.2", lab.at("usr/lib64/ld-linux-x86-64.so.2")).unwrap();
    lab
}

/// Ctrl-C for a process.
pub fn interrupt(child: &std::process::Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

/// What unshare(1) has to be told for a namespace: root needs no user namespace, and a chroot forbids it one.
pub fn unshare_words(namespace: &'static str) -> Vec<&'static str> {
    if rustix::process::getuid().is_root() { vec![namespace] } else { vec!["-r", namespace] }
}

/// Runs a program of the machine, which must succeed.
pub fn run(program: &str, arguments: &[&str]) {
    succeed(Command::new(program).args(arguments));
}

impl Fixture {
    pub fn new() -> Fixture {
        Fixture { folder: Folder::new() }
    }

    /// An executable script.
    pub fn script(&self, path: &str, content: &str) -> PathBuf {
        let path = self.write(path, content);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Compiles C to `path` with more words for gcc.
    pub fn gcc(&self, path: &str, code: &str, words: &[&str]) -> PathBuf {
        let source = self.write(&format!("{path}.c"), code);
        let target = self.at(path);
        let mut arguments = vec!["-o", target.to_str().unwrap(), source.to_str().unwrap()];
        arguments.extend(words);
        run("gcc", &arguments);
        fs::remove_file(source).unwrap();
        target
    }

    /// A shared library that needs others in the same folder.
    pub fn library(&self, folder: &str, name: &str, words: &[&str]) -> PathBuf {
        let function = name.split('.').next().unwrap().replace('-', "_");
        let soname = format!("-Wl,-soname,{name}");
        let mut all = vec!["-shared", "-fPIC", "-nostdlib", "-Wl,--no-as-needed", &soname];
        all.extend(words);
        self.gcc(&format!("{folder}/{name}"), &format!("int {function}(void) {{ return 1; }}"), &all)
    }

    /// A program without libc, so that only what the test says is needed.
    pub fn program(&self, path: &str, words: &[&str]) -> PathBuf {
        let mut all = vec!["-nostdlib", "-nostartfiles", "-Wl,--no-as-needed", "-Wl,--unresolved-symbols=ignore-all"];
        all.extend(words);
        self.gcc(path, "void _start(void) { for (;;); }", &all)
    }

    /// A module with this .modinfo.
    pub fn module(&self, path: &str, info: &[&str]) {
        let fields: String = info.iter().map(|field| format!("{field}\\0")).collect();
        let code = format!("__attribute__((section(\".modinfo\"))) const char info[] = \"{fields}\";");
        self.gcc(path, &code, &["-c"]);
    }

    /// All that a build needs without a network: two static programs, a kernel package, a template.
    pub fn with_inputs() -> Fixture {
        let lab = Fixture::new();
        for name in ["vmatic-agent", "vmatic-leaf"] {
            lab.program(name, &["-static"]);
        }
        lab.program("kernel/boot/vmlinuz-1.2.3", &["-static"]);
        lab.write("kernel/boot/config-1.2.3", "CONFIG_RD_ZSTD=y\nCONFIG_RD_GZIP=y\n");
        lab.write("kernel/lib/modules/1.2.3/modules.builtin", "kernel/fs/built-in.ko\n");
        let folder = "kernel/lib/modules/1.2.3/kernel";
        lab.module(&format!("{folder}/net/virtio_net.ko"), &["depends=net-failover", "license=GPL"]);
        lab.module(&format!("{folder}/net/net_failover.ko"), &["depends=failover"]);
        lab.module(&format!("{folder}/net/failover.ko"), &["depends="]);
        lab.write("template/files/etc/hosts", "127.0.0.1 localhost\n");
        lab.write("template/layer.toml", "[links]\n\"/lib\" = \"usr/lib\"\n[directories]\n\"/usr/lib\" = \"0755\"\n[devices]\n\"/dev/console\" = \"c 5 1 0600\"\n");
        lab.spec("");
        lab
    }

    /// Writes spec.toml, with more lines for [host].
    pub fn spec(&self, host: &str) {
        let image = "kernel = \"dir:kernel\"\nbase = \"template\"\nmodules = [\"virtio_net\", \"built_in\"]\n";
        let text = format!("name = \"lab\"\n[plan]\nhosts = 2\n[guest]\n{image}[host]\n{image}{host}\n");
        self.write("spec.toml", &text);
    }

    /// vmatic with this lab's key and cache, in this lab's folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmatic"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("VMATIC_KEY", self.at("operator.key"))
            .env("VMATIC_CACHE", self.at("cache"))
            .env_remove("SOURCE_DATE_EPOCH");
        command
    }

    pub fn vmatic(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The same as a user without any rights; nobody's, where the test itself is root's.
    pub fn as_nobody(&self, arguments: &[&str]) -> Output {
        // The program as built may lie where others may not look.
        let program = self.at("vmatic-of-all");
        if !program.exists() {
            fs::copy(env!("CARGO_BIN_EXE_vmatic"), &program).unwrap();
        }
        fs::set_permissions(self.folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let ours = self.command(arguments);
        let mut command = Command::new(&program);
        command.args(arguments).current_dir(self.folder.path());
        command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.output().unwrap()
    }

    pub fn build(&self) -> Output {
        self.vmatic(&["build", "spec.toml", "--agent", "vmatic-agent", "--leaf", "vmatic-leaf"])
    }
}

/// The files of a folder, by path.
pub fn tree(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let path = entry.path().strip_prefix(folder).unwrap().to_string_lossy().into_owned();
            files.push((path, fs::read(entry.path()).unwrap()));
        }
    }
    files
}
