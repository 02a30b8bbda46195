//! tmpfiles.d(5): which folders, files and links a package has made at boot.
//!
//! Takes such a file's text; gives what is made, each with its line. An image is what a system is after that: the same
//! is made in it. Lines that only remove or clean have nothing to do there; what an image cannot hold is said.

use super::step::{Action, Rights, image_path, owner};
use super::sysusers::words;
use crate::fs::octal;

/// Reads a file.
pub fn read(text: &str) -> Vec<(usize, Action)> {
    let lines = text.lines().enumerate();
    lines.filter_map(|(number, line)| Some((number + 1, read_line(line)?))).collect()
}

fn read_line(line: &str) -> Option<Action> {
    let words = words(line);
    let word = |at: usize| words.get(at).map(String::as_str).filter(|word| *word != "-" && !word.is_empty());
    let kind = word(0)?;
    let plain = kind.trim_end_matches(['+', '!', '-', '=', '~', '^', '$', '?']);
    let undone =
        || Some(Action::Undone(line.split_whitespace().collect::<Vec<_>>().join(" ").replace(char::is_control, " ")));
    let path = match word(1).map(specifiers)? {
        Some(path) => image_path(&path)?,
        None => return if "dDfFLCpcbvqQzZ".contains(plain) { undone() } else { None },
    };
    let mode = word(2).map(|mode| mode.trim_start_matches(['~', ':']));
    let mode = mode.and_then(|mode| octal(mode).or_else(|| octal(&format!("0{mode}"))));
    let name = |at: usize| word(at).map(|name| name.trim_start_matches(':')).and_then(owner);
    let rights = Rights { mode, user: name(3), group: name(4) };
    // What is left of the line is the argument.
    let argument = words.get(6..).map(|rest| rest.join(" ")).filter(|text| !text.is_empty() && text != "-");
    let argument = argument.as_deref().map(specifiers);
    // Contents that are encoded, or that the machine is given.
    if kind.contains(['~', '^']) && "fFw".contains(plain) {
        return undone();
    }
    match (plain, argument) {
        ("d" | "D" | "v" | "q" | "Q", _) => Some(Action::Folder(path, rights)),
        ("f" | "F" | "w", Some(None)) | ("C" | "L", Some(None)) => undone(),
        ("f" | "F", Some(Some(text))) => Some(Action::File(path, text, rights)),
        ("f" | "F", None) => Some(Action::File(path, String::new(), rights)),
        ("L", Some(Some(target))) => Some(Action::Link(path, target)),
        ("L", None) => Some(Action::Link(path.clone(), format!("/usr/share/factory{path}"))),
        ("C", Some(Some(from))) => Some(Action::Copy(image_path(&from)?, path, rights)),
        ("C", None) => Some(Action::Copy(format!("/usr/share/factory{path}"), path, rights)),
        ("z" | "m" | "e", _) => Some(Action::Change(path, rights, false)),
        ("Z", _) => Some(Action::Change(path, rights, true)),
        ("p" | "c" | "b" | "w" | "t" | "T" | "h" | "H" | "a" | "A", _) => undone(),
        _ => None,
    }
}

/// A text with its specifiers replaced; none where only the running system knows them, or a pattern is meant.
fn specifiers(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '%' => {
                out += match chars.next()? {
                    '%' => "%",
                    't' => "/run",
                    'S' => "/var/lib",
                    'C' => "/var/cache",
                    'L' => "/var/log",
                    'T' => "/tmp",
                    'V' => "/var/tmp",
                    'h' => "/root",
                    'u' | 'g' => "root",
                    'U' | 'G' => "0",
                    _ => return None,
                }
            }
            '*' | '?' | '[' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(mode: u32, user: &str) -> Rights {
        let user = Some(user.to_owned()).filter(|user| !user.is_empty());
        Rights { mode: Some(mode), group: user.clone(), user }
    }

    #[test]
    fn what_is_made_at_boot_is_read_and_what_cannot_be_is_said() {
        let text = "# a\nd /run/sshd 0755 root root\nD! %t/x 1777 - - 10d\nf+ /etc/app 0640 app app - some text\nL+ /var/x - - - - ../y\nZ /var/lib/app 750 app app\nC /etc/default/app\nx /tmp/y\np /run/fifo 0600\nd /home/%m\nbad\nd relative\n";
        let actions: Vec<_> = read(text);
        let wanted = [
            (2, Action::Folder("/run/sshd".into(), rights(0o755, "root"))),
            (3, Action::Folder("/run/x".into(), rights(0o1777, ""))),
            (4, Action::File("/etc/app".into(), "some text".into(), rights(0o640, "app"))),
            (5, Action::Link("/var/x".into(), "../y".into())),
            (6, Action::Change("/var/lib/app".into(), rights(0o750, "app"), true)),
            (
                7,
                Action::Copy("/usr/share/factory/etc/default/app".into(), "/etc/default/app".into(), Rights::default()),
            ),
            (9, Action::Undone("p /run/fifo 0600".into())),
            (10, Action::Undone("d /home/%m".into())),
        ];
        assert_eq!(actions, wanted);
    }
}
