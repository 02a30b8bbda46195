//! Debian's own tools, as programs: apt-get, apt-cache and dpkg-deb.
//!
//! Takes arguments; gives what they print for programs, in one locale whatever the operator's is. What they print for
//! people is shown as a cause and decides nothing: whether a package is known, apt-cache says by its fields.

use std::path::Path;
use std::process::Output;

use xshell::{Cmd, Shell, cmd};

use crate::error::{Context, Error, Kind, Result};
use crate::spec::values::PackageName;

/// The locale in which they run: the C locale's sentences, in UTF-8.
const LOCALE: &str = "C.UTF-8";

/// Runs one of them to its end, whatever comes of it. `package` has it, where it is not installed.
fn run(command: Cmd, program: &str, package: &str) -> Result<Output> {
    command.env("LC_ALL", LOCALE).quiet().ignore_status().output().map_err(|cause| {
        Error::new(format!("cannot run {program}"))
            .because(cause)
            .help(format!("packages need Debian's own tools: install {package}, or use dir:FOLDER in the spec"))
            .of_kind(Kind::Machine)
    })
}

/// apt-get; as root it fetches as root too, since its own user cannot write where we do.
pub fn get(shell: &Shell, words: &[&str], names: &[PackageName]) -> Result<Output> {
    let user: &[&str] = if rustix::process::geteuid().is_root() { &["-o", "APT::Sandbox::User=root"] } else { &[] };
    let names = names.iter().map(PackageName::as_str);
    run(cmd!(shell, "apt-get {user...} -q {words...} {names...}"), "apt-get", "apt")
}

/// dpkg-deb on one package file; gives what it prints.
pub fn dpkg_deb(shell: &Shell, verb: &str, file: &Path, folder: Option<&Path>) -> Result<String> {
    let output = run(cmd!(shell, "dpkg-deb {verb} {file} {folder...}"), "dpkg-deb", "dpkg")?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::new(format!("cannot unpack {}", file.display()))
        .because(last_line(&output.stderr))
        .help("free some space if the disk is full, else try again")
        .of_kind(Kind::Machine))
}

/// The fields of a package's newest version, as apt's lists have them; none if they do not have the package.
pub fn control(shell: &Shell, name: &PackageName) -> Result<Option<String>> {
    let name = name.as_str();
    let output = run(cmd!(shell, "apt-cache show --no-all-versions {name}"), "apt-cache", "apt")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((output.status.success() && field(&text, "Package").is_some()).then_some(text))
}

/// A shell for them.
pub fn shell() -> Result<Shell> {
    Shell::new().context("cannot start a program")
}

/// Whether apt has any list of packages: without one it knows only what is installed.
pub fn has_lists(shell: &Shell) -> Result<bool> {
    let words = ["indextargets", "--format", "$(FILENAME)", "Created-By: Packages"];
    let output = get(shell, &words, &[])?;
    Ok(output.status.success() && output.stdout.iter().any(|byte| !byte.is_ascii_whitespace()))
}

/// The names of all packages that it knows.
pub fn names(shell: &Shell) -> Result<Vec<String>> {
    let output = run(cmd!(shell, "apt-cache pkgnames"), "apt-cache", "apt")?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// The value of a field of one line.
pub fn field<'a>(control: &'a str, name: &str) -> Option<&'a str> {
    control.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// The error for packages that apt-get did not fetch: which of them its lists do not have, else what it said last.
pub fn not_fetched(shell: &Shell, names: &[PackageName], output: &Output) -> Error {
    let unknown: Vec<&str> =
        names.iter().filter(|name| matches!(control(shell, name), Ok(None))).map(PackageName::as_str).collect();
    let error = Error::new("cannot fetch packages").because(last_line(&output.stderr));
    if unknown.is_empty() {
        return error
            .help("check the network and /etc/apt/sources.list; `apt-get update` (as root) shows what fails")
            .of_kind(Kind::Machine);
    }
    let unknown = unknown.join(" ");
    error.help(format!("run `apt-get update` (as root), and check the names with `apt-cache policy {unknown}`"))
}

/// The last line of what a program said.
fn last_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_by_their_whole_name() {
        let text = "Package: a\nPre-Depends: x\nDepends: b (>= 1), c | d\nDescription: Depends: no\n";
        assert_eq!(field(text, "Depends"), Some("b (>= 1), c | d"));
        assert_eq!(field(text, "Package"), Some("a"));
        assert_eq!(field(text, "Pack"), None);
        assert_eq!(last_line(b"one\nE: two \n\n"), "E: two");
        assert_eq!(last_line(b"\n"), "no message");
    }

    #[test]
    fn what_apt_does_not_have_is_told_from_what_it_cannot_fetch_in_any_locale() {
        let shell = Shell::new().unwrap();
        shell.set_var("LC_ALL", "de_DE.UTF-8");
        let [dpkg, absent] = ["dpkg", "no-such-package-at-all"].map(|name| PackageName::parse(name).unwrap());
        let failed = get(&shell, &["download"], std::slice::from_ref(&absent)).unwrap();
        assert!(!failed.status.success());
        assert!(control(&shell, &dpkg).unwrap().is_some(), "installed packages are always known");
        let error = not_fetched(&shell, &[dpkg.clone(), absent], &failed).to_string();
        assert!(error.contains("`apt-cache policy no-such-package-at-all`"), "{error}");
        assert!(not_fetched(&shell, &[dpkg], &failed).to_string().contains("check the network"));
    }
}
